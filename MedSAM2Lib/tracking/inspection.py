"""What a memory bank holds, as plain data that a report or a panel can show without knowing tensors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from MedSAM2Lib.memory.bank import MemoryEntry
from MedSAM2Lib.tracking.tracker import Tracker
from MedSAM2Lib.types import Axis, BankEvent, BankView, RememberedSlice


def bank_view(axis: Axis, tracker: Tracker) -> BankView:
    """The memory of one object along one axis, as it is now."""
    state = tracker.bank.state()
    slices = tuple(_remembered(entry, state.events) for entry in tracker.bank.entries())
    shown = {record.index: record.shown for record in tracker.records}
    return BankView(axis, tracker.bank.capacity, slices, state.events, shown)


def bank_notices(name: str, views: Mapping[Axis, BankView]) -> Iterator[str]:
    """Sentences for the user on the banks of the object ``name``."""
    for axis, view in views.items():
        if view.grown:
            yield (
                f"The memory of '{name}' along axis {axis} is to hold {view.capacity} "
                f"slice{'s' if view.capacity != 1 else ''} and "
                f"{view.prompted_count} are prompted: it keeps them all, and no tracked slice beside them."
            )


def _remembered(entry: MemoryEntry, events: Sequence[BankEvent]) -> RememberedSlice:
    own = (entry.slice_index, entry.direction)
    places = [place for place, event in enumerate(events) if event.kept and (event.slice_index, event.direction) == own]
    pushed_out = [events[place].pushed_out for place in places]
    return RememberedSlice(
        index=entry.slice_index,
        direction=entry.direction,
        predicted_iou=entry.predicted_iou,
        object_score=entry.object_score,
        arrival=places[0],
        pushed_out=tuple(index for index in pushed_out if index is not None),
    )

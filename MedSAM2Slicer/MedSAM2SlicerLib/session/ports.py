"""What a session needs from outside, as small Protocols: the scene's objects, the engine, something that ticks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from MedSAM2Lib.types import (
    Axis,
    BankView,
    BoolArray,
    FloatArray,
    FusedSlab,
    Prompt,
    PropagationRequest,
    SegmentationEngine,
    SliceKey,
    SliceResult,
    Suggestion,
    VolumeData,
)

Box = tuple[slice, slice, slice]
"""A part of a [k, j, i] array."""

Node = Any
"""A MRML node."""


class Ticker(Protocol):
    """Calls back again and again on the main thread: a zero timer in the panel, a loop elsewhere."""

    def start(self, callback: Callable[[], None]) -> None: ...

    def stop(self) -> None: ...


class Prompts(Protocol):
    """Prompts of every segment, in the scene; ``changed`` is called with a segment's id when the user moved one."""

    changed: Callable[[str], None] | None

    def add(self, segment_id: str, prompt: Prompt) -> str: ...

    def remove(self, prompt_id: str) -> None: ...

    def clear(self, segment_id: str) -> None: ...

    def prompts(self, segment_id: str) -> Mapping[str, Prompt]: ...

    def segment_of(self, prompt_id: str) -> str | None: ...

    def set_active_segment(self, segment_id: str | None) -> None: ...

    def set_mask_keyframe(self, segment_id: str, key: SliceKey) -> None: ...

    def drop_mask_keyframe(self, segment_id: str, key: SliceKey) -> None: ...

    def mask_keyframes(self, segment_id: str) -> Sequence[SliceKey]: ...

    def snapshot(self) -> Any: ...

    def restore(self, data: Any) -> None: ...


class Preview(Protocol):
    """What is shown and not yet in the segmentation."""

    def show_slice(self, key: SliceKey, mask: BoolArray) -> None: ...

    def clear(self) -> None: ...


class Change(Protocol):
    """Voxels of a segment that were added and removed, bool ``[k, j, i]`` of a box of the volume."""

    @property
    def box(self) -> Box: ...

    @property
    def added(self) -> BoolArray: ...

    @property
    def removed(self) -> BoolArray: ...


class CommitReport(Protocol):
    """What a commit changed, and what other segments kept from it."""

    @property
    def changed_voxels(self) -> int: ...

    @property
    def protected_voxels(self) -> int: ...


class Commits(Protocol):
    """Writes masks into the user's segments."""

    def commit(self, segment_id: str, mask: BoolArray, within: Box | None, label: str) -> CommitReport: ...

    def record(self, change: Any, label: str = "") -> bool:
        """An edit by others becomes an undo step; nothing is written."""
        ...

    def taken_back_by_others(self, change: Any) -> bool:
        """Whether an edit by others took exactly the last commit back; it then counts as undone."""
        ...

    def undo(self) -> bool: ...

    def redo(self) -> bool: ...


class Edits(Protocol):
    """Notices what anything else does to a segment's voxels; ``changed`` is called with the segment's id."""

    changed: Callable[[str], None] | None

    def accept(self, segment_id: str) -> None: ...

    def edit_of(self, segment_id: str) -> Change | None: ...


class Provenance(Protocol):
    """How each segment came about, in the scene."""

    def read(self, segment_id: str) -> Mapping[str, Any]: ...

    def write(self, segment_id: str, data: Mapping[str, Any]) -> None: ...


class Segments(Protocol):
    """The user's segments; their voxels are read only."""

    def name(self, segment_id: str) -> str: ...

    def check(self, segment_id: str) -> None:
        """Raises InputError where the segment is not there, locked or hidden, or no longer fits the volume."""
        ...

    def mask(self, segment_id: str, within: Box | None = None) -> BoolArray:
        """The segment's voxels [k, j, i], all or those of a part."""
        ...

    def flagged(self, segment_id: str) -> bool:
        """Whether it is flagged since the engine doubts it."""
        ...

    def flag(self, segment_id: str, doubted: bool) -> None:
        """Flags it, or takes that flag away; a status that the user set stays."""
        ...


@dataclass(frozen=True)
class SceneEvents:
    """Who is told when nodes go, and what else happens to them.

    ``gone`` gets ``scene``, ``volume`` or ``segmentation``, ``segment_gone`` a segment's id; ``saving`` comes before
    the scene is saved.
    """

    gone: Callable[[str], None]
    segment_gone: Callable[[str], None]
    voxels_changed: Callable[[], None]
    saving: Callable[[], None]


@dataclass(frozen=True, eq=False)
class SceneParts:
    """The scene's objects for one volume and segmentation.

    ``window`` are the grey values that the volume's display shows as black and white now, None where it has none;
    ``first_window`` those that the engine is shown from the first positive prompt on, which it is asked with.
    ``watch`` tells of what happens to the nodes, until ``close``, which removes all observers and the preview.
    """

    volume: VolumeData
    prompts: Prompts
    preview: Preview
    commits: Commits
    edits: Edits
    provenance: Provenance
    segments: Segments
    window: Callable[[], tuple[float, float] | None]
    first_window: Callable[[Prompt], tuple[float, float] | None]
    watch: Callable[[SceneEvents], None]
    close: Callable[[], None]


class Scene(Protocol):
    """Opens the scene's objects. Raises InputError for nodes that cannot be worked on, with the fix named."""

    def open(self, volume_node: Node, segmentation_node: Node) -> SceneParts: ...


@dataclass(frozen=True)
class EngineChoice:
    """What an engine is made for: grey values shown as black and white (None: taken from the voxels), memory, model."""

    window: tuple[float, float] | None = None
    memory: str = "self-sorting"
    model: str = "embedded"


@dataclass(frozen=True, eq=False)
class ReadyEngine:
    """An engine and what is to be known of it: model and checksum, device, versions by name, notices so far."""

    engine: SegmentationEngine
    model: str = ""
    checksum: str = ""
    device: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    notices: Callable[[], Sequence[str]] = field(default=lambda: ())


EngineFactory = Callable[[EngineChoice], ReadyEngine]
"""Called on the worker thread, where it may import torch and load a model."""


class EngineSession(Protocol):
    """A ``SegmentationSession``; what only some have is in the Protocols below."""

    def add_object(self, name: str) -> int: ...

    def add_prompt(self, object_id: int, prompt: Prompt) -> tuple[Prompt, ...]: ...

    def clear_prompts(self, object_id: int, key: SliceKey) -> None: ...

    def preview(self, object_id: int, key: SliceKey) -> SliceResult: ...

    def propagate(self, request: PropagationRequest) -> Iterator[SliceResult]: ...

    def results(self, object_id: int) -> Sequence[SliceResult]: ...

    def fused(self, object_id: int, first: int, last: int) -> FusedSlab: ...

    def voxel_logits(self, result: SliceResult) -> FloatArray: ...


@runtime_checkable
class Foreseeing(Protocol):
    """Tells how many slices a propagation under way has still to compute."""

    def remaining(self, object_ids: list[int] | None = None) -> int: ...


@runtime_checkable
class Rememberable(Protocol):
    """Gives one object's knowledge as plain data and takes it back."""

    def object_state(self, object_id: int) -> dict[str, Any]: ...

    def restore_object(self, object_id: int, state: dict[str, Any]) -> None: ...


@runtime_checkable
class Inspectable(Protocol):
    """Says where the next prompt helps most, what its memory holds, and what the user should know."""

    def suggest(self, object_id: int) -> Suggestion | None: ...

    def bank(self, object_id: int, axis: Axis) -> BankView | None: ...

    def notices(self, object_id: int) -> list[str]: ...

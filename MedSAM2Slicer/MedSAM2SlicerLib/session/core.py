"""What the parts of a session share: the state that is shown, the tasks that are pending, and what is open."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from MedSAM2Lib.errors import InputError, MedSAM2Error
from MedSAM2Lib.types import Axis, BoolArray, MaskPrompt, Prompt, SliceKey, array_dimension
from MedSAM2SlicerLib.session.answers import Gathered, Telling, Wanted
from MedSAM2SlicerLib.session.before import Kept
from MedSAM2SlicerLib.session.engine_side import EngineSide
from MedSAM2SlicerLib.session.estimates import Extent, SpeedBook
from MedSAM2SlicerLib.session.history import History, Step
from MedSAM2SlicerLib.session.ports import Box, EngineChoice, EngineFactory, Node, ReadyEngine, SceneParts, Ticker
from MedSAM2SlicerLib.session.state import Message, SessionError, SessionState
from MedSAM2SlicerLib.session.stepper import Stepper, Task
from MedSAM2SlicerLib.session.worker import Worker

Observer = Callable[[SessionState], None]


@dataclass(eq=False)
class Open:
    """What is open: nodes, scene objects, the engine's side, and what is known of the segment at hand.

    ``previews`` are masks that are shown and not committed; ``to_preview`` slices that wait for the engine, and
    ``to_remember`` the history's tokens that it shall keep first; with ``to_forget`` it then forgets the segment.
    ``known_prompts`` and ``snapshot`` are what the prompt store held when the session last looked. ``released`` slices
    were drawn by hand and shall be the engine's again, ``kept`` are voxels from before that nothing takes away, and
    ``unsaved`` tries a commit again that the scene refused.
    """

    volume_node: Node
    segmentation_node: Node
    parts: SceneParts
    side: EngineSide
    segment_id: str
    history: History = field(default_factory=History)
    previews: dict[SliceKey, BoolArray] = field(default_factory=dict)
    to_preview: list[SliceKey] = field(default_factory=list)
    to_remember: list[int] = field(default_factory=list)
    known_prompts: dict[str, Prompt] = field(default_factory=dict)
    snapshot: Any = None
    extent: Extent = field(default_factory=lambda: Extent({}))
    ready: ReadyEngine | None = None
    gathered: Gathered | None = None
    edited: bool = False
    released: set[SliceKey] = field(default_factory=set)
    kept: Kept | None = None
    to_forget: bool = False
    seconds: float = 0.0
    unsaved: Callable[[], None] | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along k, j, i."""
        k, j, i = self.parts.volume.array.shape
        return k, j, i

    def count(self, axis: Axis) -> int:
        """Slices along an axis."""
        return self.shape[array_dimension(axis)]

    def prompts(self) -> dict[str, Prompt]:
        """Points and boxes of the segment at hand, by id."""
        return dict(self.parts.prompts.prompts(self.segment_id))

    def hand_drawn(self) -> tuple[SliceKey, ...]:
        """Slices of the segment at hand that the user drew."""
        return tuple(self.parts.prompts.mask_keyframes(self.segment_id))

    def keyframes(self) -> tuple[SliceKey, ...]:
        """Slices that the user prompted or drew, by axis and index."""
        keys = {*self.hand_drawn(), *(prompt.slice for prompt in self.prompts().values())}
        return tuple(sorted(keys, key=lambda key: (key.axis, key.index)))

    def slice_mask(self, key: SliceKey) -> BoolArray:
        """The segment's voxels on a slice, [rows, columns]."""
        found = self.parts.segments.mask(self.segment_id, slice_box(key, self.shape))
        return found.squeeze(axis=array_dimension(key.axis))

    def wanted(self) -> Wanted:
        """What the engine shall know of the segment at hand: drawn slices as they are now, then points and boxes."""
        drawn = [MaskPrompt(key, self.slice_mask(key)) for key in self.hand_drawn()]
        prompts = (*drawn, *self.prompts().values())
        return Wanted(self.segment_id, self.parts.segments.name(self.segment_id), prompts)

    def next_telling(self) -> Telling:
        """What the engine shall hear next; asked once for each time."""
        tokens, self.to_remember = tuple(self.to_remember), []
        forget, self.to_forget = self.to_forget, False
        return Telling(self.wanted(), tokens, forget, frozenset(self.history.tokens))


def slice_box(key: SliceKey, shape: tuple[int, int, int], last: int | None = None) -> Box:
    """The part of a [k, j, i] array that a slice is, or the slices up to ``last`` are."""
    box = [slice(0, size) for size in shape]
    box[array_dimension(key.axis)] = slice(key.index, (key.index if last is None else last) + 1)
    return box[0], box[1], box[2]


class Core:
    """Shared by all parts of a session; main thread only.

    Args:
        factory: makes engines, on the worker.
        worker: the one thread for the engine.
        ticker: polls while something is pending.
        observer: gets every new state.
        model: name of the model that the factory is asked for.
        speed: seconds per slice.
    """

    def __init__(
        self,
        factory: EngineFactory,
        worker: Worker,
        ticker: Ticker,
        observer: Observer,
        model: str,
        speed: SpeedBook,
    ) -> None:
        self.factory = factory
        self.stepper = Stepper(worker, ticker)
        self.state = SessionState(model=model, seconds_per_slice=speed.seconds_per_slice)
        self.speed = speed
        self.open: Open | None = None
        self._observer = observer

    def say(self, **changes: Any) -> None:
        """Changes the state and shows it; what depends on history and prompts is kept right."""
        if self.open is not None:
            history = self.open.history
            changes = {"can_undo": history.can_undo, "can_redo": history.can_redo, **changes}
            changes["previewed"] = tuple(self.open.previews)
        self.state = replace(self.state, **changes)
        self._observer(self.state)

    def say_prompts(self, **changes: Any) -> None:
        """The same after prompts or keyframes have changed."""
        opened = self.opened()
        opened.snapshot = opened.parts.prompts.snapshot()
        opened.known_prompts = opened.prompts()
        self.say(keyframes=opened.keyframes(), hand_drawn=opened.hand_drawn(), **changes)

    def judge(self) -> None:
        """The segment at hand is flagged where the engine doubts too much of it, and its flag goes where it does not.

        Where nothing was propagated there is nothing to judge.
        """
        opened = self.opened()
        if self.state.slices:
            opened.parts.segments.flag(opened.segment_id, self.state.in_doubt)

    def fail(self, error: BaseException, **changes: Any) -> None:
        """Shows what went wrong."""
        self.say(error=SessionError.of(error), message=None, **changes)

    def lose_engine(self, error: BaseException) -> None:
        """After a failure that nobody foresaw the engine's knowledge is not to be trusted: it begins anew."""
        if self.open is not None and not isinstance(error, MedSAM2Error):
            side = self.open.side
            self.stepper.add(Task("close", lambda: side.close))

    def opened(self) -> Open:
        """What is open. Raises InputError ``E_NOTHING_OPEN``."""
        if self.open is None:
            raise InputError("E_NOTHING_OPEN", "Nothing is open: choose a volume and a segment first.")
        return self.open

    def choice(self) -> EngineChoice:
        """What the engine is made for now."""
        return EngineChoice(self.state.window, self.state.memory, self.state.model)

    def step(self, label: str, prompts: Any = None) -> Step:
        """The moment before a step of the history; ``prompts`` is the snapshot where it has been changed already."""
        opened = self.opened()
        before = opened.parts.prompts.snapshot() if prompts is None else prompts
        previews = (*opened.previews, *opened.to_preview)
        token = opened.history.new_token()
        flagged = opened.parts.segments.flagged(opened.segment_id)
        return Step(label, opened.segment_id, before, tuple(dict.fromkeys(previews)), token, flagged=flagged)

    def rest_phase(self) -> str:
        """The phase where nothing runs."""
        if self.open is None:
            return "idle"
        return "reviewing" if self.state.slices and not self.open.previews else "ready"


def text(template: str, **fields: object) -> Message:
    """A sentence for the user."""
    return Message(template, fields)

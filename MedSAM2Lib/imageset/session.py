"""A set of unordered images: prompts on one or a few of them in, one result for each image out.

Nothing depends on names or on the order in which images or prompts were given: images are counted by the order of
their digests.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from MedSAM2Lib.errors import InputError, PromptError
from MedSAM2Lib.imageset.images import SetImage, pixel_mask
from MedSAM2Lib.imageset.looking import Looker, given_mask
from MedSAM2Lib.imageset.memory import CANDIDATES_FOR_EACH_PLACE, SetBank, SetMemory, most_confident
from MedSAM2Lib.imageset.options import ImageSetOptions
from MedSAM2Lib.imageset.order import Descriptors
from MedSAM2Lib.imageset.prompts import check_on_image
from MedSAM2Lib.imageset.search import Look, without_memory
from MedSAM2Lib.memory.bank import MemoryEntry
from MedSAM2Lib.tracking.checks import check_positive
from MedSAM2Lib.tracking.conflicts import replaced_by, without
from MedSAM2Lib.tracking.features import FeatureCache
from MedSAM2Lib.tracking.runner import NetworkRunner
from MedSAM2Lib.tracking.tracks import numpy_logits
from MedSAM2Lib.types import BoolArray, FloatArray, Prompt, SliceFrame


@dataclass(frozen=True, eq=False)
class ImageResult:
    """What holds of one image; ``place`` counts the session's images.

    ``logits`` are float32 [h, w], low-resolution and spread over ``frame``. ``predicted_iou`` is the network's own
    estimate (0 to 1), ``object_score`` a logit. ``present`` says whether the object was found; without it the mask is
    empty. ``shown`` are places of the images whose memory the network was shown.
    """

    place: int
    frame: SliceFrame
    logits: FloatArray
    predicted_iou: float
    object_score: float
    prompted: bool
    present: bool
    shown: tuple[int, ...]


class ImageSetSession:
    """One object in one set.

    Args:
        images: at least one, with different identities.
        runner: calls the network.
        features: image features within a budget of bytes.
        options: what is remembered, and in which order images come.

    Raises InputError for no images, and for SAM 2's temporal memory without an order.
    """

    def __init__(
        self, images: Sequence[SetImage], runner: NetworkRunner, features: FeatureCache, options: ImageSetOptions
    ) -> None:
        if not images:
            raise InputError("E_SET_EMPTY", "The set has no images: give at least one.")
        if options.memory == "temporal" and options.order == "free":
            raise InputError(
                "E_SET_ORDER", "The temporal memory goes by the order of images: use it with the order by content."
            )
        self.images = tuple(sorted(images, key=lambda image: image.identity))
        self.options = options
        self._config = runner.config
        self._looker = Looker(self.images, runner, features, options)
        self._descriptors = Descriptors(len(self.images))
        self._prompts: dict[int, list[Prompt]] = {}
        self._prompted: dict[int, Look] = {}
        self._found: dict[int, Look] = {}
        self._corrected: dict[int, Look] = {}
        self._memory: SetMemory | None = None
        self._pending: set[int] = set(range(len(self.images)))
        self._candidates: dict[int, MemoryEntry | None] = {}
        self._outdated = True
        self._filled = False

    def place_of(self, identity: str) -> int:
        """Where an image is counted. Raises KeyError for one that is not in the set."""
        for place, image in enumerate(self.images):
            if image.identity == identity:
                return place
        raise KeyError(identity)

    def add_prompt(self, place: int, prompt: Prompt) -> tuple[Prompt, ...]:
        """Adds a prompt and returns the image's earlier ones that it replaces; all results but its own are outdated.

        On an image that has a result already, clicks correct what was found there. Raises PromptError where the
        prompt does not fit the image.
        """
        image = self.images[place]
        check_on_image(prompt, image.shape, image.names[0])
        earlier = self._prompts.get(place, [])
        replaced = replaced_by(prompt, earlier)
        self._prompts[place] = [*without(earlier, replaced), prompt]
        if place in self._found and place not in self._pending:
            self._corrected[place] = self._found[place]
        self._outdate(place)
        return replaced

    def clear_prompts(self, place: int) -> None:
        """Makes a prompted image one like the others."""
        self._prompts.pop(place, None)
        self._corrected.pop(place, None)
        self._outdate(place)

    def preview(self, place: int) -> ImageResult:
        """A prompted image at once. Raises PromptError where it has no prompt."""
        if place not in self._prompts:
            raise PromptError("E_NO_PROMPT", "{name} has no prompt: add one first.", name=self.images[place].names[0])
        self._decode()
        return self._result(place)

    def describe(self) -> Iterator[int]:
        """Encodes every whole image that was not yet, one a step, and yields its place; ``run`` needs them all."""
        for place in range(len(self.images)):
            if place not in self._descriptors:
                self._descriptors.put(place, self._looker.describe(place))
                yield place

    def run(self) -> Iterator[ImageResult]:
        """One result for each image that has none or an outdated one, prompted images first.

        Not asking for the next one cancels; another run goes on from there with the same results. Raises PromptError
        without a positive prompt, a box or a mask.
        """
        if not self._prompts:
            raise PromptError("E_NO_PROMPT", "Nothing to segment: prompt at least one image of the set.")
        check_positive([prompt for prompts in self._prompts.values() for prompt in prompts])
        for _ in self.describe():
            pass
        self._decode()
        memory = self._remembered()
        for place in sorted(self._pending & set(self._prompts)):
            self._pending.discard(place)
            yield self._result(place)
        yield from self._by_content(memory) if self.options.order == "content" else self._at_once(memory)

    def results(self) -> list[ImageResult]:
        """What holds now, by place; outdated results are not among them."""
        return [self._result(place) for place in range(len(self.images)) if place not in self._pending]

    def mask(self, result: ImageResult) -> BoolArray:
        """A result's mask on the image's pixels [rows, columns]; a mask prompt as it was drawn."""
        given = given_mask(self._prompts.get(result.place, []))
        if given is not None and result.prompted:
            return given.mask
        if not result.present:
            return np.zeros(self.images[result.place].shape, dtype=bool)
        return pixel_mask(result.frame, result.logits)

    def members(self) -> list[int]:
        """Places of the images that the memory holds now."""
        return [] if self._memory is None else self._memory.members()

    def bank(self) -> SetBank | None:
        """The memory as it is now; None before the first run."""
        return None if self._memory is None else self._memory.contents()

    def _by_content(self, memory: SetMemory) -> Iterator[ImageResult]:
        while self._pending:
            place = self._descriptors.most_similar(sorted(self._pending), memory.members())
            look = self._look_at(place, memory)
            self._found[place] = without_memory(look)
            if look.entry is not None and (self.options.memory == "temporal" or self._present(look)):
                memory.add(place, look.entry)
            self._pending.discard(place)
            yield self._result(place)

    def _at_once(self, memory: SetMemory) -> Iterator[ImageResult]:
        """Two rounds: with the prompted images alone, then with the bank chosen from all confident results."""
        if self.options.memory == "self-sorting" and not self._filled:
            for place in sorted(self._pending - set(self._candidates)):
                self._consider(place, self._look_at(place, memory))
            memory.fill([entry for entry in self._candidates.values() if entry is not None])
            self._filled = True
        for place in sorted(self._pending):
            own = memory.take_out(place)
            self._found[place] = without_memory(self._look_at(place, memory))
            if own is not None:
                memory.add(place, own)
            self._pending.discard(place)
            yield self._result(place)

    def _look_at(self, place: int, memory: SetMemory) -> Look:
        frames = [self._prompted[other].frame for other in sorted(self._prompted)]
        return self._looker.found(place, memory, frames)

    def _consider(self, place: int, look: Look) -> None:
        """Keeps a first result as a candidate, as long as it is among the most confident ones."""
        entry = look.entry
        confident = self._present(look) and look.record.predicted_iou > self.options.bank.least_iou
        self._candidates[place] = entry if confident else None
        entries = [entry for entry in self._candidates.values() if entry is not None]
        kept = most_confident(entries, CANDIDATES_FOR_EACH_PLACE * self.options.bank.capacity)
        for dropped in {entry.slice_index for entry in entries} - {entry.slice_index for entry in kept}:
            self._candidates[dropped] = None

    def _decode(self) -> None:
        """Decodes prompted images whose prompts changed, in the light of the memory as it was before."""
        for place in sorted(set(self._prompts) - set(self._prompted)):
            if self._memory is not None:
                self._memory.forget(place)
            base = self._corrected.get(place)
            self._prompted[place] = self._looker.prompted(place, self._prompts[place], base, self._memory)

    def _remembered(self) -> SetMemory:
        """The memory to go on with; one of prompted images alone after a change."""
        if self._memory is None or self._outdated:
            config = self._config
            sizes = (config.memory_map_count, config.max_object_pointers)
            self._memory = SetMemory(self.options, *sizes, len(self.images))
            for place in sorted(self._prompted):
                entry = self._prompted[place].entry
                if entry is not None:
                    self._memory.add(place, entry)
            self._outdated = self._filled = False
            self._candidates = {}
        return self._memory

    def _outdate(self, place: int) -> None:
        self._prompted.pop(place, None)
        self._pending = set(range(len(self.images)))
        self._outdated = True

    def _present(self, look: Look) -> bool:
        record = look.record
        found = record.object_score > 0 and bool((record.low_res_logits > 0).any())
        return found and (record.prompted or record.predicted_iou > self.options.least_confidence)

    def _result(self, place: int) -> ImageResult:
        look = self._prompted[place] if place in self._prompted else self._found[place]
        return ImageResult(
            place,
            look.frame,
            numpy_logits(look.record),
            look.record.predicted_iou,
            look.record.object_score,
            place in self._prompted,
            given_mask(self._prompts.get(place, [])) is not None or self._present(look),
            look.shown,
        )

"""The network on one image of a set: its features, its prompted result, and the search for the object in it."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from MedSAM2Lib.imageset.images import KEY, ImageView, SetImage, pixel_mask
from MedSAM2Lib.imageset.memory import SetMemory
from MedSAM2Lib.imageset.options import ImageSetOptions
from MedSAM2Lib.imageset.search import Look, first_regions, refitted_regions, worth
from MedSAM2Lib.memory.bank import Direction, MemoryEntry, MemorySelection
from MedSAM2Lib.tracking.features import FeatureCache, SliceFeatures
from MedSAM2Lib.tracking.region import Trial, choose_region, holds
from MedSAM2Lib.tracking.runner import NetworkRunner, SliceRecord, TrackStep
from MedSAM2Lib.tracking.tracks import numpy_logits
from MedSAM2Lib.types import MaskPrompt, PointPrompt, Prompt, SliceFrame
from MedSAM2Lib.volume.region import Region


class Looker:
    """Looks at the images of a set; the pixels of the latest one are kept.

    Args:
        images: the set, in the order in which places count them.
        runner: calls the network.
        features: image features within a budget of bytes.
        options: how images are shown.
    """

    def __init__(
        self, images: Sequence[SetImage], runner: NetworkRunner, features: FeatureCache, options: ImageSetOptions
    ) -> None:
        self._images = images
        self._runner = runner
        self._features = features
        self._options = options
        self._latest: tuple[int, ImageView] | None = None

    def describe(self, place: int) -> Tensor:
        """The top feature map [1, C, H, W] of the whole image."""
        view = self._view(place)
        return self._features_of(place, view, view.frame(None)).top

    def prompted(
        self, place: int, prompts: Sequence[Prompt], earlier: Look | None = None, memory: SetMemory | None = None
    ) -> Look:
        """An image from its prompts; clicks on what was found ``earlier`` correct it in the light of ``memory``."""
        view = self._view(place)
        clicks = all(isinstance(prompt, PointPrompt) for prompt in prompts)
        lit = memory is not None and memory.has_prompted
        if earlier is not None and memory is not None and lit and clicks and holds(earlier.frame.region, prompts):
            frame = earlier.frame
            features = self._features_of(place, view, frame)
            selection = memory.select(place, features.top)
            previous = earlier.record.low_res_logits.to(self._runner.context.device)
            record = self._decoded(view, frame, features, prompts, previous, selection)
            shown = memory.shown(selection)
        else:
            frame = view.frame(self._prompted_region(place, view, prompts))
            features = self._features_of(place, view, frame)
            record, shown = self._decoded(view, frame, features, prompts), ()
        memory_map = self._runner.encode_prompted_memory(features, record)
        return Look(frame, record, self._entry(place, 0, memory_map, record, features), shown)

    def found(self, place: int, memory: SetMemory, prompted: Sequence[SliceFrame]) -> Look:
        """An image in the light of a memory: the best of all looks at it; ``prompted`` are frames of other images."""
        view = self._view(place)
        if self._options.zoom is None:
            return self._looks(place, view, [None], memory)[0]
        looks = self._looks(place, view, first_regions(view.grid, prompted), memory)
        looks += self._looks(place, view, refitted_regions(view.grid, looks, self._options.zoom), memory)
        return max(looks, key=worth)

    def _looks(self, place: int, view: ImageView, regions: Sequence[Region | None], memory: SetMemory) -> list[Look]:
        frames = [view.frame(region) for region in regions]
        features = [self._features_of(place, view, frame) for frame in frames]
        selections = [memory.select(place, one.top) for one in features]
        steps = [TrackStep(place, 1, one, selection) for one, selection in zip(features, selections)]
        outcomes = self._runner.track(steps)
        return [
            Look(
                frame,
                outcome.record,
                self._entry(place, 1, outcome.memory_map, outcome.record, step.features),
                memory.shown(step.selection),
                memory.likeness(step.features.top),
            )
            for frame, step, outcome in zip(frames, steps, outcomes)
        ]

    def _decoded(
        self,
        view: ImageView,
        frame: SliceFrame,
        features: SliceFeatures,
        prompts: Sequence[Prompt],
        previous: Tensor | None = None,
        memory: MemorySelection | None = None,
    ) -> SliceRecord:
        network_prompts = view.slices.network_prompts(frame, prompts)
        return self._runner.decode_prompts(KEY.index, features, network_prompts, previous, memory)

    def _prompted_region(self, place: int, view: ImageView, prompts: Sequence[Prompt]) -> Region | None:
        if self._options.zoom is None:
            return None

        def try_region(on_image: Sequence[Prompt], region: Region) -> Trial:
            frame = view.frame(region)
            record = self._decoded(view, frame, self._features_of(place, view, frame), on_image)
            logits = numpy_logits(record)
            return Trial(region, logits, pixel_mask(frame, logits), record.predicted_iou, record.object_score > 0)

        return choose_region(view.grid, prompts, self._options.zoom, try_region)

    def _features_of(self, place: int, view: ImageView, frame: SliceFrame) -> SliceFeatures:
        config, context = self._runner.config, self._runner.context
        key = (KEY.axis, place, frame.region, view.slices.window, config.image_size, str(context.dtype))

        def encode() -> SliceFeatures:
            return self._runner.encode(view.image(frame))

        return self._runner.guarded(lambda: self._features.get(key, encode))

    def _view(self, place: int) -> ImageView:
        if self._latest is None or self._latest[0] != place:
            config = self._runner.config
            pixels = self._images[place].load()
            channels = config.image_encoder.in_channels
            self._latest = (place, ImageView(pixels, self._options.fit, config.image_size, channels))
        return self._latest[1]

    @staticmethod
    def _entry(
        place: int, direction: Direction, memory_map: Tensor, record: SliceRecord, features: SliceFeatures
    ) -> MemoryEntry:
        return MemoryEntry(
            slice_index=place,
            direction=direction,
            map=memory_map,
            pointer=record.pointer,
            predicted_iou=record.predicted_iou,
            object_score=record.object_score,
            embedding=features.top.clone(),  # else a cached slice would stay as a whole
        )


def given_mask(prompts: Sequence[Prompt]) -> MaskPrompt | None:
    """The mask among an image's prompts: it holds as it was drawn."""
    return next((prompt for prompt in prompts if isinstance(prompt, MaskPrompt)), None)

"""Checkpoints that are not SAM 2, recognised so that the refusal can say what they are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from torch import Tensor

# Each by a beginning that its tensors' names have and SAM 2's have not; the first that fits wins.
_FAMILIES = (
    ("EdgeTAM", ("spatial_perceiver.", "image_encoder.trunk.body.")),
    ("SAM 3", ("detector.", "tracker.", "detector_model.", "tracker_model.", "image_encoder.neck.fpn_layers.")),
    ("MobileSAM", ("image_encoder.layers.",)),
    (
        "SAM 1 (or MedSAM, its medical version)",
        ("image_encoder.blocks.", "image_encoder.patch_embed.", "vision_encoder.layers.", "mask_decoder.transformer."),
    ),
    ("an nnU-Net", ("encoder.stages.", "decoder.stages.", "conv_blocks_context.")),
)


def foreign_family(tensors: Mapping[str, Tensor]) -> str | None:
    """Name of the architecture these tensors (official names) belong to; None if they look like SAM 2, or unknown."""
    position = tensors.get("image_encoder.trunk.pos_embed")
    if position is not None and position.ndim == 3:
        return "EfficientTAM"
    for family, beginnings in _FAMILIES:
        if _any_begins(tensors, beginnings):
            return family
    return None


def _any_begins(names: Iterable[str], beginnings: tuple[str, ...]) -> bool:
    return any(name.startswith(beginnings) for name in names)

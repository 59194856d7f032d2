"""From the Hugging Face names of SAM 2's tensors (transformers' Sam2VideoModel) to the official ones."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Literal

import torch
from torch import Tensor

Naming = Literal["official", "huggingface"]

_POSITIONAL_MATRIX = "sam_prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"
_THREE_LAYERS = {"proj_in": "0", "layers.0": "1", "proj_out": "2"}


def naming_of(names: Iterable[str]) -> Naming | None:
    """Whose names these are, told by the image encoder's; None if neither's."""
    for name in names:
        if name.startswith("image_encoder.trunk."):
            return "official"
        if name.startswith("vision_encoder.backbone."):
            return "huggingface"
    return None


def to_official(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same tensors under the official names; values are not copied, unknown names are left as they are.

    Besides renaming, the table of four point embeddings is split into its rows, and of the positional matrix, which
    may be stored twice, one copy is kept.
    """
    if naming_of(tensors) != "huggingface":
        return tensors
    official: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if name == "prompt_encoder.point_embed.weight":
            for row, embedding in enumerate(torch.split(tensor, 1)):
                official[f"sam_prompt_encoder.point_embeddings.{row}.weight"] = embedding
        elif name == "shared_image_embedding.positional_embedding":
            official.setdefault(_POSITIONAL_MATRIX, tensor)
        else:
            official[_official_name(name)] = tensor
    return official


def _official_name(name: str) -> str:
    for section, (official, rules) in _SECTIONS.items():
        if name == section or name.startswith(section + "."):
            rest = name[len(section) :]
            for pattern, replacement in rules:
                rest = re.sub(pattern, replacement, rest)
            return official + rest
    return name


def _three_layer(match: re.Match[str]) -> str:
    return f"{match['head']}.layers.{_THREE_LAYERS[match['layer']]}."


def _downsampler_layer(match: re.Match[str]) -> str:
    # The official encoder is one sequence of (convolution, norm, activation) four times, and a last convolution.
    return f"mask_downsampler.encoder.{3 * int(match[1]) + (match[2] == 'layer_norm')}."


_Rule = tuple[str, str | Callable[[re.Match[str]], str]]
_HEADS: _Rule = (
    r"(?P<head>\.output_hypernetworks_mlps\.\d+|\.iou_prediction_head|\.pred_obj_score_head)"
    r"\.(?P<layer>proj_in|layers\.0|proj_out)\.",
    _three_layer,
)
_TWO_LAYERS: tuple[_Rule, ...] = ((r"mlp\.proj_in\.", "mlp.layers.0."), (r"mlp\.proj_out\.", "mlp.layers.1."))
_NUMBERED_NORMS: _Rule = (r"\.layer_norm(\d)\.", r".norm\1.")
_OUTPUT: _Rule = (r"\.o_proj\.", ".out_proj.")
_POINTER_LAYERS: _Rule = (r"^(?P<head>)\.(?P<layer>proj_in|layers\.0|proj_out)\.", _three_layer)

_SECTIONS: dict[str, tuple[str, tuple[_Rule, ...]]] = {
    "vision_encoder.backbone": (
        "image_encoder.trunk",
        ((r"^\.patch_embed\.projection\.", ".patch_embed.proj."), _NUMBERED_NORMS, *_TWO_LAYERS),
    ),
    "vision_encoder.neck": ("image_encoder.neck", ((r"^\.convs\.(\d+)\.", r".convs.\1.conv."),)),
    "prompt_encoder": (
        "sam_prompt_encoder",
        (
            (r"^\.mask_embed\.conv1\.", ".mask_downscaling.0."),
            (r"^\.mask_embed\.layer_norm1\.", ".mask_downscaling.1."),
            (r"^\.mask_embed\.conv2\.", ".mask_downscaling.3."),
            (r"^\.mask_embed\.layer_norm2\.", ".mask_downscaling.4."),
            (r"^\.mask_embed\.conv3\.", ".mask_downscaling.6."),
            (r"^\.shared_embedding\.positional_embedding$", ".pe_layer.positional_encoding_gaussian_matrix"),
        ),
    ),
    "mask_decoder": (
        "sam_mask_decoder",
        (
            _HEADS,
            (r"^\.upscale_conv1\.", ".output_upscaling.0."),
            (r"^\.upscale_layer_norm\.", ".output_upscaling.1."),
            (r"^\.upscale_conv2\.", ".output_upscaling.3."),
            (r"\.layer_norm_final_attn\.", ".norm_final_attn."),
            _NUMBERED_NORMS,
            _OUTPUT,
            *_TWO_LAYERS,
        ),
    ),
    "memory_encoder": (
        "memory_encoder",
        (
            (r"mask_downsampler\.layers\.(\d+)\.(conv|layer_norm)\.", _downsampler_layer),
            (r"mask_downsampler\.final_conv\.", "mask_downsampler.encoder.12."),
            (r"^\.feature_projection\.", ".pix_feat_proj."),
            (r"^\.memory_fuser\.", ".fuser."),
            (r"\.depthwise_conv\.", ".dwconv."),
            (r"\.pointwise_conv(\d)\.", r".pwconv\1."),
            (r"\.layer_norm\.", ".norm."),
            (r"\.scale$", ".gamma"),
            (r"^\.projection\.", ".out_proj."),
        ),
    ),
    "memory_attention": ("memory_attention", (_NUMBERED_NORMS, (r"^\.layer_norm\.", ".norm."), _OUTPUT)),
    "object_pointer_proj": ("obj_ptr_proj", (_POINTER_LAYERS,)),
    "temporal_positional_encoding_projection_layer": ("obj_ptr_tpos_proj", ()),
    "memory_temporal_positional_encoding": ("maskmem_tpos_enc", ()),
    "no_memory_embedding": ("no_mem_embed", ()),
    "no_memory_positional_encoding": ("no_mem_pos_enc", ()),
    "no_object_pointer": ("no_obj_ptr", ()),
    "occlusion_spatial_embedding_parameter": ("no_obj_embed_spatial", ()),
}

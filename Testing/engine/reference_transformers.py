"""A second published SAM 2 for video, transformers' ``Sam2VideoModel``, of the size of ``reference_sam2.SMALL``.

It has random weights, and the nudges that ``reference_sam2`` explains. Nothing is downloaded.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

SIDE = 128
GRID = SIDE // 16
OBJECT = 1


def build_video_model(sam_version: str = "2.1", seed: int = 0) -> Any:
    """A ``Sam2VideoModel`` in eval mode, with seeded random weights; skips the test without ``transformers``."""
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(seed)
    model = transformers.Sam2VideoModel(_config(sam_version)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    return _nudged(model)


def _config(sam_version: str) -> Any:
    from transformers import Sam2VideoConfig
    from transformers.models.sam2.configuration_sam2 import Sam2HieraDetConfig, Sam2VisionConfig

    backbone = Sam2HieraDetConfig(
        image_size=[SIDE, SIDE],
        hidden_size=16,
        blocks_per_stage=[1, 1, 2, 1],
        embed_dim_per_stage=[16, 32, 64, 128],
        global_attention_blocks=[3],
    )
    vision = Sam2VisionConfig(
        backbone_config=backbone,
        backbone_channel_list=[128, 64, 32, 16],
        backbone_feature_sizes=[[SIDE // 4] * 2, [SIDE // 8] * 2, [GRID] * 2],
    )
    return Sam2VideoConfig(
        vision_config=vision,
        prompt_encoder_config={"image_size": SIDE},
        image_size=SIDE,
        memory_attention_num_layers=2,
        memory_attention_rope_feat_sizes=[GRID, GRID],
        enable_occlusion_spatial_embedding=sam_version == "2.1",
        enable_temporal_pos_encoding_for_object_pointers=sam_version == "2.1",
    )


@torch.no_grad()
def listen_to_memory(model: Any, factor: float = 3.0) -> Any:
    """Gives a model other random weights, under which every part of the memory is felt in the masks.

    As it is built, a pointer's distance moves the logits by less than any tolerance that rounding allows.
    """
    for module in model.modules():
        if hasattr(module, "reset_parameters"):
            module.reset_parameters()
    for own in ("memory_temporal_positional_encoding", "no_memory_embedding", "no_object_pointer"):
        getattr(model, own).normal_()
    for layer in model.memory_attention.layers:
        layer.cross_attn_image.q_proj.weight *= factor
        layer.cross_attn_image.k_proj.weight *= factor
    if model.config.enable_temporal_pos_encoding_for_object_pointers:
        model.temporal_positional_encoding_projection_layer.weight *= factor
    return _nudged(model)


@torch.no_grad()
def _nudged(model: Any) -> Any:
    # One matrix, stored twice in every released checkpoint.
    model.shared_image_embedding.load_state_dict(model.prompt_encoder.shared_embedding.state_dict())
    model.mask_decoder.pred_obj_score_head.proj_out.bias += 5
    model.mask_decoder.iou_prediction_head.proj_out.bias[1] += 2
    return model


def propagate_points(
    model: Any, pixels: Tensor, start: int, coordinates: Tensor, labels: Tensor, reverse: bool
) -> dict[int, Tensor]:
    """Low-resolution logits ``[1, 1, S/4, S/4]`` by slice, from ``start`` to one end of ``pixels [T, 3, S, S]``.

    Args:
        coordinates: points ``[P, 2]``, (x, y) in network pixels.
        labels: ``[P]``; 1 and 0 for clicks, 2 and 3 for a box's corners.
        reverse: towards slice 0. Always in a session of its own: what another direction left must not be remembered.
    """
    from transformers import Sam2VideoInferenceSession

    session = Sam2VideoInferenceSession(video=pixels, video_height=SIDE, video_width=SIDE, dtype=pixels.dtype)
    points = {"point_coords": coordinates[None, None], "point_labels": labels[None, None].to(torch.int32)}
    session.add_point_inputs(session.obj_id_to_idx(OBJECT), start, points)
    session.obj_with_new_inputs = [OBJECT]
    steps = model.propagate_in_video_iterator(session, start_frame_idx=start, reverse=reverse)
    return {step.frame_idx: step.pred_masks.clone() for step in steps}

"""SAM 2 (Ravi et al. 2024, arXiv 2408.00714) as a set of functions of tensors.

Which slice is remembered when is not its business. The attributes are named so that this module's ``state_dict`` has
the keys of the released checkpoints.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from MedSAM2Lib.network.config import NetworkConfig
from MedSAM2Lib.network.config_checks import check_config
from MedSAM2Lib.network.feature_pyramid import ImageEncoder
from MedSAM2Lib.network.features import SliceFeatures
from MedSAM2Lib.network.heads import NO_OBJECT_LOGIT, MaskDecoding, best_of_three, gate, stable_or_best, take
from MedSAM2Lib.network.layers import MLP
from MedSAM2Lib.network.mask_decoder import MaskDecoder
from MedSAM2Lib.network.memory_attention import MemoryAttention, MemorySequence
from MedSAM2Lib.network.memory_encoder import MemoryEncoder
from MedSAM2Lib.network.positions import SineGrid, sine_distance
from MedSAM2Lib.network.prompt_encoder import PromptEncoder
from MedSAM2Lib.network.prompts import PromptTensors

MASK_SCALE, MASK_OFFSET = 20.0, -10.0
"""A mask of 0 to 1 becomes -10 to 10: as logits of a given mask, and as the memory encoder's input."""


class Sam2Network(nn.Module):
    """The whole network. S is ``config.image_size``, H = W = S / 16, C ``config.model_dim``, Cm ``config.memory_dim``.

    Batches are images for ``encode_image`` and objects everywhere else; an image's features are expanded by the caller.
    Inputs may be of any float dtype; the network computes in its own. Raises ValueError for a configuration that does
    not fit together.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        check_config(config)
        self.config = config
        channels, memory = config.model_dim, config.memory_dim
        self.image_encoder = ImageEncoder(config)
        self.sam_prompt_encoder = PromptEncoder(config)
        self.sam_mask_decoder = MaskDecoder(config)
        self.obj_ptr_proj = MLP(channels, channels, channels, depth=3)
        self.mask_downsample = nn.Conv2d(1, 1, kernel_size=4, stride=4)
        self.memory_encoder = MemoryEncoder(config)
        self.memory_attention = MemoryAttention(config)
        self.maskmem_tpos_enc = nn.Parameter(torch.zeros(config.memory_map_count, 1, 1, memory))
        self.no_mem_embed = nn.Parameter(torch.zeros(1, 1, channels))
        self.no_obj_ptr = nn.Parameter(torch.zeros(1, channels))
        # In every released checkpoint, and read by no released network.
        self.register_buffer("no_mem_pos_enc", torch.zeros(1, 1, channels))
        if self.tells_pointer_distance:
            self.obj_ptr_tpos_proj = nn.Linear(channels, memory)
            self.no_obj_embed_spatial = nn.Parameter(torch.zeros(1, memory))
        self._map_positions = SineGrid(memory)
        initialise(self)

    @property
    def tells_pointer_distance(self) -> bool:
        """SAM 2.1: pointers carry their distance, and maps of slices without the object are marked."""
        return self.config.sam_version == "2.1"

    @property
    def dtype(self) -> torch.dtype:
        return self.no_mem_embed.dtype

    @property
    def device(self) -> torch.device:
        return self.no_mem_embed.device

    def encode_image(self, pixels: Tensor) -> SliceFeatures:
        """Features of normalised pixels ``[B, in_channels, S, S]``; raises ValueError for another size."""
        size = (self.config.image_size, self.config.image_size)
        if pixels.shape[-2:] != size:
            raise ValueError(f"pixels must be {size[0]} x {size[1]}, not {pixels.shape[-2]} x {pixels.shape[-1]}")
        decoder = self.sam_mask_decoder
        s0, s1, top = self.image_encoder(pixels.to(self.dtype), (decoder.conv_s0, decoder.conv_s1))
        return SliceFeatures(top, (s0, s1))

    def without_memory(self, top: Tensor) -> Tensor:
        """Features ``[B, C, H, W]`` of a slice that is segmented from its prompt alone."""
        return top.to(self.dtype) + self.no_mem_embed.view(1, -1, 1, 1)

    def attend_memory(self, top: Tensor, memory: MemorySequence) -> Tensor:
        """Features ``[B, C, H, W]`` conditioned on what is remembered of B objects."""
        return self.memory_attention(top.to(self.dtype), memory)

    def decode(
        self, conditioned: Tensor, high_res: tuple[Tensor, Tensor], prompts: PromptTensors, multimask: bool
    ) -> MaskDecoding:
        """The mask of each object on one slice.

        ``conditioned`` is ``[B, C, H, W]``, ``high_res`` as in ``SliceFeatures``. ``multimask`` takes the best of
        candidates 1 to 3 (for tracking, or one click); else candidate 0, unless it is unstable and the network is not
        training.
        """
        dense = self.sam_prompt_encoder.encode_mask(prompts)
        return self._decode(conditioned, high_res, self.sam_prompt_encoder.encode_points(prompts), dense, multimask)

    def decode_mask_prompt(self, features: SliceFeatures, mask: Tensor) -> MaskDecoding:
        """A given mask ``[B, 1, S, S]`` (0 or 1) as a result: it is kept as it is, only the pointer is computed.

        The object is present where its mask is not empty; predicted IoU is 1. Candidates are the decoder's own.
        """
        mask = mask.to(self.dtype)
        encoder = self.sam_prompt_encoder
        sparse = encoder.encode_points(PromptTensors.none(len(mask), mask.device, mask.dtype))
        dense = encoder.downscale(self.mask_downsample(mask))
        decoding = self._decode(features.top, features.high_res, sparse, dense, multimask=False)
        present = mask.flatten(1).any(dim=1, keepdim=True)
        logits = MASK_SCALE * mask.float() + MASK_OFFSET
        side = self.config.image_size // 4
        return MaskDecoding(
            low_res_logits=functional.interpolate(logits, size=(side, side), mode="bilinear", antialias=True),
            predicted_iou=torch.ones_like(decoding.predicted_iou),
            object_score=MASK_SCALE * present.to(self.dtype) + MASK_OFFSET,
            pointer=gate(present, decoding.pointer, self.no_obj_ptr),
            candidates=decoding.candidates,
            candidate_ious=decoding.candidate_ious,
        )

    def _decode(
        self, conditioned: Tensor, high_res: tuple[Tensor, Tensor], sparse: Tensor, dense: Tensor, multimask: bool
    ) -> MaskDecoding:
        s0, s1 = (skip.to(self.dtype) for skip in high_res)
        decoder, positions = self.sam_mask_decoder, self.sam_prompt_encoder.grid_positions()
        decoded = decoder(conditioned.to(self.dtype) + dense, positions, sparse, (s0, s1))
        if multimask:
            chosen = pointing = best_of_three(decoded.ious)
        else:
            pointing = torch.zeros(len(sparse), dtype=torch.long, device=sparse.device)
            chosen = pointing if self.training else stable_or_best(decoded)
        present = decoded.object_score > 0  # [B, 1]
        logits = take(decoded.logits, chosen)[:, None].float()
        return MaskDecoding(
            low_res_logits=torch.where(present[..., None, None], logits, NO_OBJECT_LOGIT),
            predicted_iou=take(decoded.ious, chosen),
            object_score=decoded.object_score,
            pointer=gate(present, self.obj_ptr_proj(take(decoded.tokens, pointing)), self.no_obj_ptr),
            candidates=decoded.logits,
            candidate_ious=decoded.ious,
        )

    def encode_memory(self, top: Tensor, mask_logits: Tensor, object_score: Tensor, binarize: bool) -> Tensor:
        """The memory map ``[B, Cm, H, W]`` of a slice's features ``[B, C, H, W]`` and its mask.

        ``mask_logits`` are ``[B, 1, S, S]``, or ``[B, 1, S/4, S/4]`` and then upsampled bilinearly; ``object_score`` is
        ``[B, 1]``. ``binarize`` thresholds the logits (prompted slices) instead of taking their sigmoid.
        """
        size = (self.config.image_size, self.config.image_size)
        logits = mask_logits.float()
        if logits.shape[-2:] != size:
            logits = functional.interpolate(logits, size=size, mode="bilinear", align_corners=False)
        mask = (logits > 0).float() if binarize else logits.sigmoid()
        memory = self.memory_encoder(top.to(self.dtype), (MASK_SCALE * mask + MASK_OFFSET).to(self.dtype))
        if self.tells_pointer_distance:
            absent = (object_score <= 0).to(memory.dtype)[..., None, None]  # [B, 1, 1, 1]
            memory = memory + absent * self.no_obj_embed_spatial[..., None, None]
        return memory

    def map_positions(self, temporal_row: int) -> Tensor:
        """Positions ``[H * W, Cm]`` of a memory map: place in the image, and in time (row of maskmem_tpos_enc)."""
        plane = self._map_positions.tokens(self.config.grid_size, self.device, self.dtype)
        return plane + self.maskmem_tpos_enc[temporal_row, 0]

    def pointer_tokens(self, pointers: Tensor, distances: Tensor, limit: int) -> tuple[Tensor, Tensor]:
        """Object pointers ``[B, n, C]`` as memory tokens and positions, each ``[B, n * C / Cm, Cm]``.

        ``distances [n]`` are signed, in slices along the direction of travel; ``limit`` is the number of slices, at
        most ``config.max_object_pointers``, and scales them. SAM 2.0 tells no distance: its positions are zero.
        """
        batch, _, channels = pointers.shape
        pieces = channels // self.config.memory_dim
        tokens = pointers.to(self.dtype).reshape(batch, -1, self.config.memory_dim)
        if not self.tells_pointer_distance:
            return tokens, torch.zeros_like(tokens)
        distances = distances.to(self.device, torch.float32) / max(limit - 1, 1)
        position = self.obj_ptr_tpos_proj(sine_distance(distances, channels).to(self.dtype))  # [n, Cm]
        return tokens, position.repeat_interleave(pieces, dim=0).expand(batch, -1, -1)


@torch.no_grad()
def initialise(network: Sam2Network) -> None:
    """Weights to train from: truncated normals of 0.02 for learned tokens and positions, torch's defaults elsewhere."""
    trunk = network.image_encoder.trunk
    learned: list[Tensor] = [trunk.pos_embed, trunk.pos_embed_window, network.maskmem_tpos_enc, network.no_mem_embed]
    learned += [network.no_obj_ptr, cast(Tensor, network.no_mem_pos_enc)]
    if network.tells_pointer_distance:
        learned.append(network.no_obj_embed_spatial)
    learned += [module.weight for module in network.modules() if isinstance(module, nn.Embedding)]
    for weight in learned:
        nn.init.trunc_normal_(weight, std=0.02)

"""How fast our network is beside the published one: Hiera-tiny with equal weights, one thread, runs interleaved.

    python -m Testing.benchmarks.network_speed [--image-size 512] [--repeats 5] [--dtype float32] [--device cpu]

Prints milliseconds (the best of the repeats) and their ratio for the parts that every slice needs. A full bank is
7 memory maps and 16 object pointers.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from torch import Tensor

from MedSAM2Lib.network.memory_attention import MemorySequence
from MedSAM2Lib.network.prompts import PromptTensors
from Testing.engine.reference_sam2 import ReferenceSize, build_both

MAPS, POINTERS = 7, 16
Step = Callable[[], object]


def steps(image_size: int, device: torch.device, dtype: torch.dtype) -> dict[str, tuple[Step, Step]]:
    """The published and our own way of each part, on the same inputs. Ours is cast to ``dtype``."""
    published, network = build_both(ReferenceSize(), image_size=image_size)
    published.to(device)
    network.to(device, dtype)
    side = image_size // 16
    pixels = torch.randn(1, 3, image_size, image_size, device=device)
    top = torch.randn(1, 256, side, side, device=device)
    s0 = torch.randn(1, 32, 4 * side, 4 * side, device=device)
    s1 = torch.randn(1, 64, 2 * side, 2 * side, device=device)
    memory = torch.randn(1, MAPS * side**2 + 4 * POINTERS, 64, device=device)
    positions = torch.randn_like(memory)
    logits = torch.randn(1, 1, image_size, image_size, device=device)
    score = torch.ones(1, 1, device=device)

    top_tokens = top.flatten(2).permute(2, 0, 1)
    sine = published.image_encoder.neck.position_encoding(top).flatten(2).permute(2, 0, 1)
    own_top, own_skips = top.to(dtype), (s0.to(dtype), s1.to(dtype))
    sequence = MemorySequence(memory.to(dtype), positions.to(dtype), 4 * POINTERS)
    prompts = PromptTensors.none(1, device, dtype)

    def published_attention() -> Tensor:
        return published.memory_attention(
            [top_tokens], memory.transpose(0, 1), [sine], positions.transpose(0, 1), 4 * POINTERS
        )

    return {
        "image encoder": (lambda: published.forward_image(pixels), lambda: network.encode_image(pixels)),
        "memory attention": (published_attention, lambda: network.attend_memory(own_top, sequence)),
        "heads": (
            lambda: published._forward_sam_heads(top, high_res_features=[s0, s1], multimask_output=True),
            lambda: network.decode(own_top, own_skips, prompts, multimask=True),
        ),
        "memory encoder": (
            lambda: published._encode_new_memory([top_tokens], [(side, side)], logits, score, False),
            lambda: network.encode_memory(own_top, logits, score, binarize=False),
        ),
    }


def interleaved(pair: tuple[Step, Step], repeats: int, device: torch.device) -> tuple[float, float]:
    """The best time of each of two steps in milliseconds, taken in turns so that both meet the same disturbances."""
    best = [float("inf"), float("inf")]
    for round_index in range(repeats + 1):
        for place, step in enumerate(pair):
            _settle(device)
            # Process time leaves out what other programs take of a shared CPU; a GPU is only seen on the clock.
            clock = time.process_time if device.type == "cpu" else time.perf_counter
            start = clock()
            step()
            _settle(device)
            if round_index:
                best[place] = min(best[place], clock() - start)
    return 1000 * best[0], 1000 * best[1]


def autocast(step: Step, device: torch.device, dtype: torch.dtype) -> Step:
    """The step in autocast, which is how the published network runs below fp32."""

    def run() -> object:
        with torch.autocast(device.type, torch.bfloat16, enabled=dtype == torch.bfloat16):
            return step()

    return run


def _settle(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--image-size", type=int, default=512)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--part", help="only this part, such as 'heads'")
    options = parser.parse_args()
    torch.set_num_threads(1)
    device, dtype = torch.device(options.device), getattr(torch, options.dtype)

    print(
        f"{options.image_size} pixels, {options.dtype}, {device}\n{'part':<18}{'published':>12}{'ours':>12}{'ratio':>8}"
    )
    total = [0.0, 0.0]
    with torch.inference_mode():
        for name, pair in steps(options.image_size, device, dtype).items():
            if options.part not in (None, name):
                continue
            published, own = pair
            times = interleaved((autocast(published, device, dtype), own), options.repeats, device)
            total = [sum(both) for both in zip(total, times)]
            print(f"{name:<18}{times[0]:>9.1f} ms{times[1]:>9.1f} ms{times[0] / times[1]:>8.2f}", flush=True)
    print(f"{'sum':<18}{total[0]:>9.1f} ms{total[1]:>9.1f} ms{total[0] / total[1]:>8.2f}")


if __name__ == "__main__":
    main()

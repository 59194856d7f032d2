"""Image features, made once for each slice as the network sees it and kept within a budget of bytes."""

from __future__ import annotations

import mmap
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from weakref import WeakValueDictionary

import torch
from torch import Tensor

from MedSAM2Lib.network.features import SliceFeatures as SliceFeatures
from MedSAM2Lib.types import SliceFrame
from MedSAM2Lib.volume.intensity import Window

FeatureKey = tuple[str, int, tuple[float, float, float, float], Window, int, str]

DEFAULT_HOST_BYTES = 1 << 30
_DEVICE_SHARE = 0.25


def feature_key(frame: SliceFrame, window: Window, image_size: int, dtype: torch.dtype) -> FeatureKey:
    """What makes two encodings of a volume the same: axis, index, region, window, size, precision."""
    return (frame.key.axis, frame.key.index, frame.region, window, image_size, str(dtype))


def default_device_bytes(device: torch.device) -> int:
    """A quarter of a GPU's free memory; nothing on a CPU, where device and host are the same."""
    if device.type != "cuda":
        return 0
    free, _ = torch.cuda.mem_get_info(device)
    return int(free * _DEVICE_SHARE)


@dataclass
class CacheCounts:
    """How often the image encoder ran, and how often the cache answered."""

    encoded: int = 0
    reused: int = 0


class FeatureCache:
    """Least recently used features leave first: from the device to the host, from the host for good.

    Args:
        device: where the network runs.
        host_bytes: budget in host memory.
        device_bytes: budget in device memory; 0 on a CPU.
    """

    def __init__(
        self, device: torch.device, host_bytes: int = DEFAULT_HOST_BYTES, device_bytes: int | None = None
    ) -> None:
        self.device = device
        self.host_bytes = host_bytes
        self.device_bytes = default_device_bytes(device) if device_bytes is None else device_bytes
        self.counts = CacheCounts()
        self._on_device: OrderedDict[FeatureKey, SliceFeatures] = OrderedDict()
        self._on_host: OrderedDict[FeatureKey, SliceFeatures] = OrderedDict()
        self._device_used = 0
        self._host_used = 0

    def get(self, key: FeatureKey, encode: Callable[[], SliceFeatures]) -> SliceFeatures:
        """The features of ``key`` on the device: remembered, or encoded now and remembered."""
        found = self._on_device.get(key)
        if found is not None:
            self._on_device.move_to_end(key)
            self.counts.reused += 1
            return found
        found = self._on_host.get(key)
        if found is not None:
            self._on_host.move_to_end(key)
            self.counts.reused += 1
            return moved(found, self.device)
        features = encode()
        self.counts.encoded += 1
        self._keep(key, features)
        return features

    def __contains__(self, key: FeatureKey) -> bool:
        return key in self._on_device or key in self._on_host

    @property
    def bytes_used(self) -> int:
        """Memory held now, on the device and on the host together."""
        return self._device_used + self._host_used

    def move_to_host(self) -> bool:
        """Frees the device: everything goes to the host's budget, for good. Says whether there was anything."""
        had_any = bool(self._on_device)
        self.device_bytes = 0
        self._shrink_device()
        return had_any

    def clear(self) -> None:
        """Forgets everything."""
        self._on_device.clear()
        self._on_host.clear()
        self._device_used = self._host_used = 0

    def _keep(self, key: FeatureKey, features: SliceFeatures) -> None:
        if self.device_bytes:
            self._on_device[key] = features
            self._device_used += size_in_bytes(features)
            self._shrink_device()
        else:
            self._keep_on_host(key, features)

    def _shrink_device(self) -> None:
        while self._device_used > self.device_bytes and self._on_device:
            key, features = self._on_device.popitem(last=False)
            self._device_used -= size_in_bytes(features)
            self._keep_on_host(key, features)

    def _keep_on_host(self, key: FeatureKey, features: SliceFeatures) -> None:
        size = size_in_bytes(features)
        if size > self.host_bytes:
            return
        self._on_host[key] = in_own_pages(features)
        self._host_used += size
        while self._host_used > self.host_bytes:
            _, dropped = self._on_host.popitem(last=False)
            self._host_used -= size_in_bytes(dropped)


class SharedEmbeddings:
    """What banks keep of slices to compare them by: one copy a slice, for as long as any bank holds it."""

    def __init__(self) -> None:
        self._held: WeakValueDictionary[FeatureKey, Tensor] = WeakValueDictionary()

    def get(self, key: FeatureKey, features: SliceFeatures) -> Tensor:
        """The top feature map of ``key``, as ``own_embedding`` makes it: one that is held, or a new one."""
        held = self._held.get(key)
        if held is None:
            held = self._held[key] = own_embedding(features)
        return held


def own_embedding(features: SliceFeatures) -> Tensor:
    """In bf16, as maps are kept: a view of the cached features would hold all of the slice's, beyond their budget."""
    return features.top.to(torch.bfloat16, copy=True)


def tensors_of(features: SliceFeatures) -> tuple[Tensor, ...]:
    """All tensors of a slice's features."""
    return (features.top, *features.high_res)


def size_in_bytes(features: SliceFeatures) -> int:
    """Memory that a slice's features take."""
    return sum(tensor.element_size() * tensor.nelement() for tensor in tensors_of(features))


def moved(features: SliceFeatures, device: torch.device, dtype: torch.dtype | None = None) -> SliceFeatures:
    """The features on another device, and in another precision if one is given."""
    top, s0, s1 = (tensor.to(device=device, dtype=dtype or tensor.dtype) for tensor in tensors_of(features))
    return SliceFeatures(top, (s0, s1))


def in_own_pages(features: SliceFeatures) -> SliceFeatures:
    """A copy on the host, strides kept, in pages of its own, which go back to the system with it.

    Among the short-lived tensors of a network the C library's heap would keep almost twice the features' size.
    """
    pages = mmap.mmap(-1, size_in_bytes(features))
    copies, start = [], 0
    for tensor in tensors_of(features):
        flat = torch.frombuffer(pages, dtype=tensor.dtype, count=tensor.nelement(), offset=start)
        strides = torch.empty_like(tensor, device="meta").stride()
        copies.append(flat.as_strided(tensor.shape, strides).copy_(tensor))
        start += tensor.element_size() * tensor.nelement()
    return SliceFeatures(copies[0], (copies[1], copies[2]))

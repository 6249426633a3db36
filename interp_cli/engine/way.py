"""How frames are made on a device: arithmetic, batches, tiles, scale; and what to do with less when memory runs out."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from interp_cli.engine import tiles
from interp_cli.model.seam import Limits
from interp_cli.options import Precision, Scale

_AUTO_SCALE_PIXELS = 2_100_000  # up to 1920 x 1080 the network sees whole frames
_CUDA_BYTES_PER_PIXEL = 800  # of one made frame, generously: features, cost volumes and planes in float32
_SCALES = {1: Scale.FULL, 2: Scale.HALF, 4: Scale.QUARTER}
_PARTS = (2, 4)  # tiles along either side, one after the other
_SIGNS = ("out of memory", "can't allocate memory", "not enough memory", "status_alloc_failed")  # CUDA, mps, CPU; cuDNN


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How frames are made at one time."""

    device: torch.device
    dtype: torch.dtype  # of the network's arithmetic
    scale: Scale  # at which the network sees frames
    workers: int = 1  # threads that make one batch each
    batch: int | None = None  # frames per network call; None: not chosen yet
    tiles: int = 1  # along either side of the network's input

    @property
    def at_once(self) -> int:
        """Frames that are made side by side."""
        return (self.batch or 1) * self.workers

    def shrink(self, size: tuple[int, int]) -> int:
        """1, 2 or 4: how many times smaller than a frame of `size` (H, W) the network's input is."""
        return working_scale(self.scale, size[1], size[0])


def out_of_memory(error: Exception) -> bool:
    """Whether `error` says that memory ran out, of whatever device."""
    text = str(error).lower()
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or any(sign in text for sign in _SIGNS)


def thriftier(way: Way, *, asked: Scale, count: int, size: tuple[int, int], limits: Limits) -> tuple[Way, str] | None:
    """What to try after memory ran out for `count` frames of `size` (H, W), and in words; None if nothing is left.

    In order: one worker, smaller batches, tiles, a smaller scale, the CPU with the scale that was `asked` for.
    """
    if way.at_once > 1:
        smaller = max(1, min(way.batch or 1, count) // 2)
        new = replace(way, workers=1) if way.workers > 1 else replace(way, batch=smaller)
        return new, f"with {new.at_once} frame{'s' * (new.at_once != 1)} at a time"
    shrink = way.shrink(size)
    for parts in _PARTS:
        if parts > way.tiles and _tiles(size, shrink, parts, limits) > _tiles(size, shrink, way.tiles, limits):
            return replace(way, tiles=parts), "in tiles"
    if shrink < 4:
        words = {1: "half", 2: "a quarter of"}[shrink]
        return replace(way, scale=_SCALES[2 * shrink]), f"looking for motion at {words} the size"
    if way.device.type != "cpu":
        dtype = network_dtype(Precision.AUTO, "cpu")
        return replace(way, device=torch.device("cpu"), dtype=dtype, scale=asked, tiles=1), "on the CPU"
    return None


def _tiles(size: tuple[int, int], shrink: int, parts: int, limits: Limits) -> int:
    sides = [-(-side // (shrink * limits.multiple_of)) * limits.multiple_of for side in size]
    return len(tiles.spans(sides[0], parts, limits)) * len(tiles.spans(sides[1], parts, limits))


def network_dtype(precision: Precision, device: str) -> torch.dtype:
    """The network's arithmetic on `device`. AUTO: fp16 on CUDA, bf16 on a CPU made for it, fp32 elsewhere.

    Flows, alignment and composing are float32 always, so bf16 costs no quality (docs/log.md).
    """
    if precision is Precision.AUTO:
        precision = Precision.FP32
        if device.startswith("cuda"):
            precision = Precision.FP16
        elif device == "cpu" and _has_bf16():
            precision = Precision.BF16
    return {Precision.FP32: torch.float32, Precision.FP16: torch.float16, Precision.BF16: torch.bfloat16}[precision]


def _has_bf16() -> bool:
    """Whether this processor multiplies bfloat16 matrices itself. Older versions of torch cannot tell: no."""
    can: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(can.get("avx512_bf16") or can.get("amx_bf16"))


def working_scale(scale: Scale, width: int, height: int) -> int:
    """1, 2 or 4: how many times smaller than the frame (px) the network's input is."""
    if scale is Scale.AUTO:
        return 1 if width * height <= _AUTO_SCALE_PIXELS else 2
    return {Scale.FULL: 1, Scale.HALF: 2, Scale.QUARTER: 4}[scale]


def auto_batch(pixels: int, device: torch.device) -> int:
    """Frames per network call that suit `device`, for a network input of `pixels`."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return int(max(1, min(16, free // 2 // (pixels * _CUDA_BYTES_PER_PIXEL))))
    return 1  # a CPU sums over channels in another order for a batch, which bf16 turns into other pixels

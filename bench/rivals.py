"""The methods that vfi is compared with: blending, ffmpeg's minterpolate, and OpenCV's DIS flow with backward warping.

Each takes the planes that the engine takes and gives planes back, so no rival pays for a colour conversion.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from interp_cli.media.types import PixelFormat, Planes
from interp_cli.quality.evaluate import Rebuild, pairwise
from interp_cli.quality.frames import Sample, luma

MINTERPOLATE = "mi_mode=mci:mc_mode=aobmc:me_mode=bidir:vsbmc=1"
VERSION = 1  # part of the cache key: raise it when a rival's output changes


def blend(first: Planes, second: Planes, t: Fraction) -> Planes:
    """Each value is the weighted mean of the two frames."""
    weight = float(t)
    pairs = zip(first.data, second.data, strict=True)
    data = tuple(_to_codes((1 - weight) * a.astype(np.float32) + weight * b, first.format) for a, b in pairs)
    return Planes(first.pts, data, first.format)


def dis_warp(first: Planes, second: Planes, t: Fraction) -> Planes:
    """Flow in both directions by DIS (medium preset), carried to time t; both frames warped backward and mixed by t.

    Chosen on seven validation clips as the best of seven variants: cubic against linear warps (+0.1 dB), medium against
    fast preset (+0.2 dB), mixing by t against mixing by a forward-backward check (+0.1 dB).
    """
    time = float(t)
    gray0, gray1 = _gray8(first), _gray8(second)
    dis = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    flow_01, flow_10 = dis.calc(gray0, gray1, None), dis.calc(gray1, gray0, None)
    to_0 = -(1 - time) * time * flow_01 + time * time * flow_10
    to_1 = (1 - time) * (1 - time) * flow_01 - time * (1 - time) * flow_10
    data = []
    for a, b in zip(first.data, second.data, strict=True):
        rows, columns = a.shape
        scale = np.float32((columns / first.width, rows / first.height))
        warped_0, warped_1 = (
            _warp(plane.astype(np.float32), cv2.resize(flow, (columns, rows), interpolation=cv2.INTER_AREA) * scale)
            for plane, flow in ((a, to_0), (b, to_1))
        )
        data.append(_to_codes((1 - time) * warped_0 + time * warped_1, first.format))
    return Planes(first.pts, tuple(data), first.format)


def minterpolate(ffmpeg: str, options: str = MINTERPOLATE) -> Rebuild:
    """ffmpeg's motion-compensated interpolation of the kept frames, at `gap` times their rate."""

    def rebuild(sample: Sample) -> Iterator[Planes]:
        kept = sample.kept
        # The filter looks one frame further on both sides and starts late: hold the ends a little longer.
        padded = [kept[0]] * 2 + list(kept) + [kept[-1]] * 3
        frames = _run_filter(ffmpeg, padded, f"minterpolate=fps={sample.gap}:{options}")
        offset = _offset(frames, sample)
        for target in sample.targets:
            k = int(target.t * sample.gap)
            yield frames[offset + target.left * sample.gap + k]

    return rebuild


def rivals(ffmpeg: str) -> dict[str, Rebuild]:
    """Every rival by name."""
    return {"blend": pairwise(blend), "minterpolate": minterpolate(ffmpeg), "dis": pairwise(dis_warp)}


def _run_filter(ffmpeg: str, frames: list[Planes], filter_text: str) -> list[Planes]:
    """`frames` at one frame a second through an ffmpeg filter, all in memory."""
    like = frames[0]
    raw = ["-f", "rawvideo", "-pix_fmt", like.format.name]
    argv = [ffmpeg, "-v", "error", "-nostdin", *raw, "-video_size", f"{like.width}x{like.height}", "-framerate", "1"]
    argv += ["-i", "pipe:0", "-vf", filter_text, "-fps_mode", "passthrough", *raw, "pipe:1"]
    stream = b"".join(plane.tobytes() for planes in frames for plane in planes.data)
    child = subprocess.run(argv, input=stream, capture_output=True, check=False)
    if child.returncode:
        raise RuntimeError(f"ffmpeg failed: {child.stderr.decode(errors='replace').strip()}")
    size = like.format.frame_bytes(like.width, like.height)
    return [_unpack(child.stdout[at : at + size], like) for at in range(0, len(child.stdout), size)]


def _unpack(raw: bytes, like: Planes) -> Planes:
    data, at = [], 0
    for shape in like.format.plane_shapes(like.width, like.height):
        count = shape[0] * shape[1]
        data.append(np.frombuffer(raw, like.format.dtype, count, at).reshape(shape))
        at += count * like.format.dtype.itemsize
    return Planes(0, tuple(data), like.format)


def _offset(frames: list[Planes], sample: Sample) -> int:
    """Where the first kept frame stands in the filter's output, found by comparing: kept frames pass through it.

    The filter works in 8 bits, so deeper frames come back rounded. Of several places (a still clip) the last is taken.
    """
    span = (len(sample.kept) - 1) * sample.gap
    found = [
        at
        for at in range(len(frames) - span)
        if all(_same(frames[at + n * sample.gap], planes) for n, planes in enumerate(sample.kept))
    ]
    if not found:
        raise RuntimeError(f"{sample.name}: the kept frames were not found in minterpolate's output")
    return found[-1]


def _same(a: Planes, b: Planes) -> bool:
    rounding = (1 << (a.format.depth - 8)) if a.format.depth > 8 else 0
    return all(np.abs(x.astype(np.int32) - y).max() <= rounding for x, y in zip(a.data, b.data, strict=True))


def _gray8(planes: Planes) -> NDArray[np.uint8]:
    values = luma(planes).astype(np.float32) * (255 / planes.format.peak)
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def _warp(image: NDArray[Any], flow: NDArray[Any]) -> NDArray[Any]:
    rows, columns = flow.shape[:2]
    x, y = np.meshgrid(np.arange(columns, dtype=np.float32), np.arange(rows, dtype=np.float32))
    return cv2.remap(image, x + flow[..., 0], y + flow[..., 1], cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)


def _to_codes(values: NDArray[Any], like: PixelFormat) -> NDArray[Any]:
    return np.clip(np.rint(values), 0, like.peak).astype(like.dtype)

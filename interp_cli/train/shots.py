"""What training looks at: videos, decoded once into memory and cut into shots, and shots that were packed before.

A packed shot is a .npy file of (T, H, W, 3) RGB uint8.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from interp_cli.engine.planes import network_input, upload
from interp_cli.engine.scenes import CutDetector, thumbnail
from interp_cli.errors import FfmpegError, InputError
from interp_cli.media.decode import decode
from interp_cli.media.ffmpeg import Ffmpeg, find_ffmpeg
from interp_cli.media.formats import working_format
from interp_cli.media.probe import probe, scan
from interp_cli.media.types import Color, Planes
from interp_cli.options import EngineOptions, InputLimits
from interp_cli.quality.frames import VIDEO_SUFFIXES

FEWEST = 3  # frames: a triplet
COARSE = 4  # px: pitch of the copy that motion is looked up in
_MOST_AT_ONCE = 8  # videos

Note = Callable[[str], None]
Frames = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Shot:
    """Consecutive frames (T, H, W, 3), RGB uint8, with the mean absolute difference of each to its successor."""

    frames: Tensor
    steps: tuple[float, ...]  # T - 1 values, code values
    coarse: NDArray[np.int16]  # every COARSE-th pixel of the frames, always in the main memory
    source: str  # the file's name

    @classmethod
    def of(cls, frames: Frames, source: str) -> Shot:
        """The shot that `frames` (T, H, W, 3) are."""
        coarse = frames[:, ::COARSE, ::COARSE].astype(np.int16)
        steps = tuple(float(np.abs(b - a)[::2, ::2].mean()) for a, b in pairwise(coarse))
        return cls(torch.from_numpy(frames), steps, coarse, source)

    def usable(self, first: int, last: int) -> bool:
        """No cut and no repeated frame between frames `first` and `last`."""
        steps = self.steps[first:last]
        usual = sorted(self.steps)[len(self.steps) // 2]
        cut = max(steps) > max(20.0, 5 * usual)
        return not cut and (usual < 0.3 or min(steps) > 0.1 * usual)


def load_shots(paths: tuple[str, ...], *, short_side: int, frames: int, note: Note) -> list[Shot]:
    """The shots of every video and packed shot that `paths`, files and folders, name; in order of their names.

    Videos give their first `frames` frames (0: all), with a short side of at most `short_side` px. Packed shots are
    mapped and taken as they are, but for cuts. What cannot be read is noted and left out. Raises InputError when
    nothing is left.
    """
    files = [file for path in paths for file in _files(Path(path))]
    ffmpeg = find_ffmpeg() if any(file.suffix != ".npy" for file in files) else None

    def read(file: Path) -> list[Shot] | str:
        try:
            whole = _packed(file) if ffmpeg is None or file.suffix == ".npy" else _decoded(
                file, ffmpeg=ffmpeg, short_side=short_side, frames=frames
            )  # fmt: skip
        except (InputError, FfmpegError) as error:
            return str(error)
        shots = [Shot.of(whole[part.start : part.stop], file.name) for part in cut(whole) if len(part) >= FEWEST]
        return shots or f"{file} has no {FEWEST} frames without a cut"

    shots: list[Shot] = []
    pool = ThreadPoolExecutor(min(_MOST_AT_ONCE, os.cpu_count() or 1))
    try:
        for found in pool.map(read, files):
            if isinstance(found, str):
                note(f"left out: {found}")
            else:
                shots += found
    finally:
        pool.shutdown(cancel_futures=True)
    if not shots:
        raise InputError(f"nothing to train on in {', '.join(paths)}: give videos of moving pictures, or .npy shots")
    return shots


def digest(shots: list[Shot]) -> str:
    """A name for these shots in this order: another one means other training."""
    facts = [(shot.source, tuple(shot.frames.shape), shot.steps) for shot in shots]
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:16]


def on_device(shots: list[Shot], device: torch.device) -> list[Shot]:
    """The shots with their frames on `device`, where all of them fit into half of what is free there."""
    if device.type != "cuda" or sum(s.frames.numel() for s in shots) > torch.cuda.mem_get_info(device)[0] // 2:
        return shots
    return [replace(shot, frames=shot.frames.to(device)) for shot in shots]


def cut(frames: Frames) -> Iterator[range]:
    """Runs of frame numbers between the cuts, as the converter finds them."""
    detector, begin, gray = CutDetector(EngineOptions().scene_threshold), 0, working_format("gray")
    left = 0
    for n in range(len(frames) + 1):
        if n < len(frames):
            detector.add(thumbnail(Planes(n, (np.ascontiguousarray(frames[n, ..., 1]),), gray)))
        else:
            detector.end()
        while left + 1 < len(frames) and (answer := detector.is_cut(left)) is not None:
            left += 1
            if answer:
                yield range(begin, left)
                begin = left
    yield range(begin, len(frames))


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        kinds = VIDEO_SUFFIXES | {".npy"}
        return sorted(p for p in path.iterdir() if p.suffix.lower() in kinds and p.is_file())
    if not path.exists():
        raise InputError(f"{path} does not exist: give videos, packed shots (.npy) or folders of them")
    return [path]


def _packed(file: Path) -> Frames:
    try:
        frames = np.load(file, mmap_mode="c", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"{file} is not a packed shot ({error})") from error
    if frames.ndim != 4 or frames.shape[3] != 3 or frames.dtype != np.uint8:
        raise InputError(f"{file} is not a packed shot: an array of (frames, height, width, 3) uint8, RGB")
    return np.asarray(frames)


def _decoded(file: Path, *, ffmpeg: Ffmpeg, short_side: int, frames: int) -> Frames:
    info = probe(str(file), ffmpeg=ffmpeg, limits=InputLimits())
    timeline = scan(info, ffmpeg=ffmpeg)
    with torch.inference_mode(), decode(info, timeline, ffmpeg=ffmpeg) as decoded:
        taken = [to_rgb(planes, info.video.color, short_side) for planes in islice(decoded, frames or None)]
    return np.stack(taken)


def to_rgb(planes: Planes, color: Color, short_side: int) -> NDArray[Any]:
    """(H, W, 3) uint8 with a short side of at most `short_side` px, both sides even."""
    rgb = network_input(upload([planes], "cpu"), color)
    height, width = rgb.shape[-2:]
    factor = min(1.0, short_side / min(height, width))
    size = (round(height * factor / 2) * 2, round(width * factor / 2) * 2)
    if size != (height, width):
        rgb = F.interpolate(rgb, size=size, mode="bilinear", antialias=True)
    codes: NDArray[np.uint8] = (rgb[0].permute(1, 2, 0) * 255).round().clamp(0, 255).byte().numpy()
    return codes

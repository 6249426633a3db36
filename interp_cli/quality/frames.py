"""Frames for scoring: read from clips and triplets, made smaller, seen as luma and as RGB."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from interp_cli.errors import InputError
from interp_cli.media.decode import decode
from interp_cli.media.images import read_image
from interp_cli.media.picture_size import SUFFIXES
from interp_cli.media.probe import probe, scan
from interp_cli.media.types import Color, Family, Planes
from interp_cli.options import InputLimits
from interp_cli.timeline import Target

if TYPE_CHECKING:
    from interp_cli.media.ffmpeg import Ffmpeg

VIDEO_SUFFIXES: Final = frozenset({".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpg", ".nut", ".ts", ".webm"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Consecutive pairs of one clip: kept frames `first`, `first + gap`, ... (`kept` of them), `scored` left frames."""

    first: int  # source frame number of the first kept frame
    kept: int
    scored: range  # numbers among the kept frames: pairs (left, left + 1) whose frames between are rebuilt


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What a method gets, `kept` frames and `targets` between them, and what it is compared with, `true` frames."""

    name: str
    kept: tuple[Planes, ...]
    targets: tuple[Target, ...]  # `left` counts kept frames
    true: tuple[Planes, ...]  # one per target
    color: Color
    gap: int


def choose_runs(count: int, *, gap: int, frames: int | None = None, run: int = 4, context: int = 1) -> tuple[Run, ...]:
    """Runs of at most `run` pairs spread evenly over a clip of `count` frames, with about `frames` frames to rebuild.

    None rebuilds all. Up to `context` kept frames stand on either side of a run for methods that look further than one
    pair. A clip too short for one pair gives no run.
    """
    total = (count - 1) // gap
    wanted = total if frames is None else min(total, -(-frames // (gap - 1)))
    if wanted < 1:
        return ()
    blocks = -(-wanted // run)
    runs = []
    for k in range(blocks):
        low, high = total * k // blocks, total * (k + 1) // blocks
        take = wanted * (k + 1) // blocks - wanted * k // blocks
        left = low + (high - low - take) // 2
        begin, end = max(0, left - context), min(total, left + take + context)  # pairs, end excluded
        runs.append(Run(first=begin * gap, kept=end - begin + 1, scored=range(left - begin, left - begin + take)))
    return tuple(runs)


def clip_samples(
    path: Path,
    *,
    ffmpeg: Ffmpeg,
    gap: int = 2,
    frames: int | None = None,
    short_side: int | None = None,
    limits: InputLimits | None = None,
) -> Iterator[Sample]:
    """Samples of one video file; every frame but each `gap`-th is taken out, t = k / gap (equal spacing is assumed).

    `short_side` (px) makes larger frames smaller, by area averaging on each plane. Raises InputError when the clip
    has too few frames.
    """
    info = probe(str(path), ffmpeg=ffmpeg, limits=limits or InputLimits())
    timeline = scan(info, ffmpeg=ffmpeg)
    runs = choose_runs(len(timeline), gap=gap, frames=frames)
    if not runs:
        raise InputError(f"{path} has {len(timeline)} frames; scoring with gap {gap} needs at least {gap + 1}")
    for run in runs:
        wanted = range(run.first, run.first + (run.kept - 1) * gap + 1)
        with decode(info, timeline, ffmpeg=ffmpeg, frames=wanted) as decoded:
            window = [limit_size(planes, short_side) for planes in decoded]
        yield _sample(path.name, window, run, gap, info.video.color)


def triplet_sample(folder: Path, *, limits: InputLimits | None = None) -> Sample:
    """The sample of a folder with three images, the middle one by name being the truth."""
    most = (limits or InputLimits()).max_pixels
    first, middle, last = (read_image(str(path), max_pixels=most) for path in images_in(folder))
    run = Run(first=0, kept=2, scored=range(1))
    return _sample(folder.name, [first, middle, last], run, 2, Color())


def images_in(folder: Path) -> list[Path]:
    """The image files directly in `folder`, by name."""
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and path.is_file())


def find_material(path: Path) -> tuple[list[Path], list[Path]]:
    """(video files, triplet folders) under `path`, which is a video, a triplet folder, or a folder of either.

    Raises InputError when there is nothing to score.
    """
    if path.is_file():
        return [path], []
    if not path.is_dir():
        raise InputError(f"{path} does not exist; give a video, a folder of videos, or a folder of image triplets")
    if len(images_in(path)) == 3:
        return [], [path]
    clips = sorted(p for p in path.iterdir() if p.suffix.lower() in VIDEO_SUFFIXES and p.is_file())
    triplets = sorted(p for p in path.rglob("*") if p.is_dir() and len(images_in(p)) == 3)
    if not clips and not triplets:
        raise InputError(f"{path} holds no video and no folder with three images; there is nothing to score")
    return clips, triplets


def limit_size(planes: Planes, short_side: int | None) -> Planes:
    """`planes` with the shorter side at most `short_side` px, both sides even; smaller frames come back unchanged."""
    if short_side is None or min(planes.width, planes.height) <= short_side:
        return planes
    scale = Fraction(short_side, min(planes.width, planes.height))
    width, height = (max(2, round(side * scale / 2) * 2) for side in (planes.width, planes.height))
    shapes = planes.format.plane_shapes(width, height)
    data = tuple(
        np.ascontiguousarray(cv2.resize(plane, (columns, rows), interpolation=cv2.INTER_AREA))
        for plane, (rows, columns) in zip(planes.data, shapes, strict=True)
    )
    return Planes(planes.pts, data, planes.format)


def luma(planes: Planes) -> NDArray[Any]:
    """The luma plane in code values, (H, W); for RGB frames the weighted sum of bt601, full range, float32."""
    if planes.format.family is not Family.RGB:
        return planes.data[0]
    green, blue, red = (plane.astype(np.float32) for plane in planes.data[:3])
    weighted: NDArray[np.float32] = 0.299 * red + 0.587 * green + 0.114 * blue
    return weighted


def _sample(name: str, window: list[Planes], run: Run, gap: int, color: Color) -> Sample:
    if len(window) != (run.kept - 1) * gap + 1:
        raise InputError(f"{name}: {len(window)} frames decoded where its packets promise {(run.kept - 1) * gap + 1}")
    targets, true = [], []
    for left in run.scored:
        for k in range(1, gap):
            n = left * gap + k
            targets.append(Target(n=n, pts=n, left=left, t=Fraction(k, gap)))
            true.append(window[n])
    return Sample(name=name, kept=tuple(window[::gap]), targets=tuple(targets), true=tuple(true), color=color, gap=gap)

"""Scores of a method: take frames out of a clip, let the method rebuild them, compare with the frames taken out."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

from interp_cli.media.rgb import rgb
from interp_cli.media.types import Color, Planes
from interp_cli.quality.frames import Sample, luma
from interp_cli.quality.metrics import psnr, ssim

if TYPE_CHECKING:
    from interp_cli.engine.interpolate import Interpolator

Rebuild = Callable[[Sample], Iterable[Planes]]
"""A method: the frames of `sample.targets`, in order, from `sample.kept`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """How close made frames are to the true ones, means over `frames` frames. PSNR in dB."""

    frames: int
    luma_psnr: float
    luma_ssim: float
    rgb_psnr: float
    rgb_ssim: float


def score_frame(made: Planes, true: Planes, color: Color) -> Score:
    """The score of one made frame. Raises ValueError when size or format differ."""
    if made.format != true.format:
        raise ValueError(f"frames of different formats cannot be compared: {made.format.name} and {true.format.name}")
    peak = true.format.peak
    made_rgb, true_rgb = rgb(made, color), rgb(true, color)
    return Score(
        frames=1,
        luma_psnr=psnr(luma(made), luma(true), peak=peak),
        luma_ssim=ssim(luma(made), luma(true), peak=peak),
        rgb_psnr=psnr(made_rgb, true_rgb, peak=1.0),
        rgb_ssim=ssim(made_rgb, true_rgb, peak=1.0),
    )


def score_sample(rebuild: Rebuild, sample: Sample) -> list[Score]:
    """The scores of the frames that `rebuild` makes of one sample, in order of its targets."""
    made = rebuild(sample)
    return [score_frame(m, true, sample.color) for m, true in zip(made, sample.true, strict=True)]


def mean_score(scores: Iterable[Score]) -> Score:
    """The mean of scores, each weighted alike; `frames` is their sum. Raises ValueError when there are none."""
    items = list(scores)
    if not items:
        raise ValueError("no frames were scored")

    def mean(name: str) -> float:
        return statistics.fmean(getattr(item, name) for item in items)

    return Score(
        frames=sum(item.frames for item in items),
        luma_psnr=mean("luma_psnr"),
        luma_ssim=mean("luma_ssim"),
        rgb_psnr=mean("rgb_psnr"),
        rgb_ssim=mean("rgb_ssim"),
    )


def pairwise(synthesise: Callable[[Planes, Planes, Fraction], Planes]) -> Rebuild:
    """The method that makes I_t from (I0, I1, t) alone, pair by pair."""

    def rebuild(sample: Sample) -> Iterator[Planes]:
        for target in sample.targets:
            yield synthesise(sample.kept[target.left], sample.kept[target.left + 1], target.t)

    return rebuild


def engine(interpolator: Interpolator) -> Rebuild:
    """The method that ships: composed planes of the engine."""

    def rebuild(sample: Sample) -> Iterator[Planes]:
        return interpolator.run(iter(sample.kept), sample.targets, color=sample.color)

    return rebuild


def table(rows: Sequence[tuple[str, Score]]) -> str:
    """Scores as aligned text, one row per name, with the mean over rows last; every row counts alike."""
    width = max([len("mean"), *(len(name) for name, _ in rows)])
    lines = [f"{'':{width}}  frames  luma PSNR    SSIM   RGB PSNR    SSIM"]
    everything = [*rows, ("mean", mean_score(score for _, score in rows))] if len(rows) > 1 else rows
    for name, s in everything:
        in_luma = f"{s.luma_psnr:6.2f} dB  {s.luma_ssim:.4f}"
        in_rgb = f"{s.rgb_psnr:5.2f} dB  {s.rgb_ssim:.4f}"
        lines.append(f"{name:{width}}  {s.frames:6}  {in_luma}  {in_rgb}")
    return "\n".join(lines)

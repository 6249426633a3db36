"""`vfi eval`: how well frames that were taken out of clips are rebuilt."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from interp_cli.cli import shared
from interp_cli.cli.grammar import VfiCommand
from interp_cli.errors import printable

if TYPE_CHECKING:
    from interp_cli.options import InputLimits
    from interp_cli.quality.evaluate import Rebuild, Score


@click.command("eval", cls=VfiCommand)
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="PATH...")
@click.option(
    "--gap", default=2, show_default=True, type=click.IntRange(2, 32), help="Keep every N-th frame of a clip."
)
@click.option(
    "--frames",
    default=8,
    show_default=True,
    type=click.IntRange(0),
    help="Frames to rebuild per clip; 0 = all of them.",
)
@click.option(
    "--short-side",
    default=0,
    show_default=True,
    type=click.IntRange(0),
    help="Make larger clips smaller (px); 0 = never.",
)
@shared.limit_options
@shared.engine_options
@shared.ffmpeg_option
@shared.json_option
@shared.verbose_option
def eval_command(paths: tuple[Path, ...], *, gap: int, frames: int, short_side: int, **values: Any) -> None:
    """Score rebuilt frames against those taken out.

    PATH is a video, a folder of videos, or a folder of triplets (folders with three images, the middle one being the
    truth). Frames are taken out of each clip, rebuilt from those left, and compared: PSNR and SSIM of luma and of RGB.

    \b
    Examples:
      vfi eval clips/
      vfi eval clip.mp4 --gap 8 --frames 0
      vfi eval triplets/ -m new.safetensors --json
    """
    from interp_cli.job.network import make_interpolator
    from interp_cli.quality.evaluate import engine, table

    options = shared.engine_of(values)
    interpolator, entry, _ = make_interpolator(options, note=lambda text: click.echo(f"vfi: {text}", err=True))
    wanted = {"gap": gap, "frames": frames or None, "short_side": short_side or None}
    limits = shared.limits_of(values)
    rows = [row for path in paths for row in _scores(path, engine(interpolator), values["ffmpeg"], wanted, limits)]
    if values["as_json"]:
        clips = [{"clip": clip, **asdict(score)} for clip, score in rows]
        click.echo(
            json.dumps({"weights": entry.name, "sha256": entry.sha256, **wanted, "clips": clips, "mean": _mean(rows)})
        )
    else:
        click.echo("\n".join(map(printable, table(rows).splitlines())))


def _scores(
    path: Path, rebuild: Rebuild, ffmpeg_path: str | None, wanted: dict[str, int | None], limits: InputLimits
) -> list[tuple[str, Score]]:
    """The mean score of every clip and triplet under `path`."""
    from interp_cli.media.ffmpeg import find_ffmpeg
    from interp_cli.quality.evaluate import mean_score, score_sample
    from interp_cli.quality.frames import clip_samples, find_material, triplet_sample

    clips, triplets = find_material(path)
    rows = []
    for clip in clips:
        samples = clip_samples(
            clip,
            ffmpeg=find_ffmpeg(ffmpeg_path),
            gap=wanted["gap"] or 2,
            frames=wanted["frames"],
            short_side=wanted["short_side"],
            limits=limits,
        )
        rows.append((clip.name, mean_score(score for sample in samples for score in score_sample(rebuild, sample))))
        click.echo(f"{printable(clip.name)}: {rows[-1][1].luma_psnr:.2f} dB", err=True)
    for folder in triplets:
        rows.append((folder.name, mean_score(score_sample(rebuild, triplet_sample(folder, limits=limits)))))
    return rows


def _mean(rows: list[tuple[str, Score]]) -> dict[str, float]:
    from interp_cli.quality.evaluate import mean_score

    return asdict(mean_score(score for _, score in rows))

"""`vfi bench`: how fast this machine is, part by part and as a whole."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from interp_cli.cli import shared
from interp_cli.cli.grammar import FACTOR, LENGTH, SIZES, Session, VfiCommand, option
from interp_cli.errors import printable
from interp_cli.options import Dedup, Hwaccel

_WHAT = "What is measured"


@click.command("bench", cls=VfiCommand)
@click.argument("clip", required=False, type=click.Path(), metavar="[CLIP]")
@option(
    "--size",
    "sizes",
    section=_WHAT,
    type=SIZES,
    default="480p",
    show_default=True,
    metavar="LINES[,LINES...]",
    help="Rows of pixels that the clip is scaled to, such as 480p,720p,1080p.",
)
@option(
    "--seconds",
    section=_WHAT,
    type=LENGTH,
    default="5",
    show_default=True,
    metavar="TIME",
    help="Length that the clip is cut or repeated to.",
)
@option(
    "-x",
    "--factor",
    section=_WHAT,
    type=FACTOR,
    default="2",
    show_default=True,
    metavar="N",
    help="So many times the source's rate.",
)
@option(
    "--runs",
    section=_WHAT,
    type=click.IntRange(1, 100),
    default=3,
    show_default=True,
    metavar="N",
    help="How often everything is timed, all in turns.",
)
@option(
    "--no-minterpolate",
    section=_WHAT,
    is_flag=True,
    help="Leave ffmpeg's minterpolate out, which takes minutes at large sizes.",
)
@shared.max_pixels_option
@shared.engine_options
@shared.encode_options
@shared.hwaccel_option
@shared.ffmpeg_option
@shared.json_option
@shared.quiet_option
@shared.verbose_option
@click.pass_context
def bench_command(ctx: click.Context, /, **values: Any) -> None:
    """Measure how fast frames are decoded, made and encoded, each alone and all together.

    In turns with ffmpeg's minterpolate from the same file and with the same encoder, and with an engine that makes
    one frame at a time. Told are the middle, lowest and highest of all runs, ratios within each run, the part that
    holds the others up, and memory. CLIP should be a real one, for noise and drawings move and encode differently;
    without it, examples/clip.mp4 is taken, if it is there.

    \b
      vfi bench holiday.mp4
      vfi bench holiday.mp4 --size 480p,720p,1080p --json > speed.json
      vfi bench holiday.mp4 --device cuda --precision bf16 --batch 4 --size 2160p
    """
    from interp_cli.job.facts import exact
    from interp_cli.media.ffmpeg import find_ffmpeg
    from interp_cli.speed.material import Asked, default_clip, look_at
    from interp_cli.speed.measure import measure
    from interp_cli.speed.surroundings import surroundings

    asked = Asked(
        clip=values["clip"] or default_clip(),
        seconds=values["seconds"],
        factor=values["factor"],
        engine=shared.engine_of({**values, "dedup": Dedup.AUTO}),
        encode=shared.encode_of(values),
        limits=shared.limits_of(values),
        hwaccel=Hwaccel(values["hwaccel"]),
        ffmpeg=find_ffmpeg(values["ffmpeg"]),
    )
    info = look_at(asked)

    def say(text: str) -> None:
        if not values["quiet"]:
            click.echo(f"vfi: {printable(text)}", err=True)

    sizes: list[dict[str, Any]] = []
    for lines in values["sizes"]:
        measured = measure(
            asked,
            info,
            lines=lines,
            runs=values["runs"],
            rival=not values["no_minterpolate"],
            told=say,
            stop=ctx.ensure_object(Session).stop,
        )
        sizes.append(measured.facts())
        for line in measured.lines():
            if values["as_json"]:
                say(line)
            else:
                click.echo(printable(line))
    if values["as_json"]:
        asked_for = {
            "seconds": exact(asked.seconds),
            "factor": exact(asked.factor),
            "runs": values["runs"],
            "engine": asdict(asked.engine),
            "encode": asdict(asked.encode),
            "hwaccel": asked.hwaccel,
        }
        around = surroundings(asked.ffmpeg)
        click.echo(json.dumps({**around, "clip": Path(asked.clip).name, "settings": asked_for, "sizes": sizes}))

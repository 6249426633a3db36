"""`vfi frames`: two pictures in, the pictures between them out."""

from __future__ import annotations

import json
import sys
from fractions import Fraction
from typing import Any

import click

from interp_cli.cli import shared
from interp_cli.cli.grammar import BETWEEN, Session, VfiCommand, option
from interp_cli.errors import UsageError
from interp_cli.options import ProgressStyle
from interp_cli.progress import make_progress


@click.command(cls=VfiCommand)
@click.argument("first", metavar="A", type=click.Path())
@click.argument("second", metavar="B", type=click.Path())
@option(
    "--time",
    "times",
    section="Times (one of the two)",
    type=BETWEEN,
    multiple=True,
    metavar="T",
    help="Time between A (0) and B (1): 0.5 or 1/3; may be repeated.  [default: 0.5]",
)
@option(
    "-n",
    "--number",
    section="Times (one of the two)",
    type=click.IntRange(1, 10_000),
    metavar="N",
    help="So many pictures at equal steps.",
)
@option(
    "-o",
    "--output",
    section="Result",
    type=click.Path(),
    metavar="OUT",
    help="A file; for several a pattern (f_%03d.png) or a folder/.  [default: beside A, named after both]",
)
@option("-y", "--overwrite", section="Result", is_flag=True, help="Replace files that exist already.")
@shared.max_pixels_option
@shared.engine_options
@shared.progress_option
@shared.json_option
@shared.quiet_option
@shared.verbose_option
@click.pass_obj
def frames(session: Session, /, first: str, second: str, **values: Any) -> int:
    """Make the pictures between two pictures: png, jpg, webp or tiff, of 8 or 16 bits, or exr.

    \b
      vfi frames a.png b.png --time 0.5
      vfi frames a.png b.png -n 7 -o between/
      vfi frames a.tiff b.tiff --time 1/4 --time 3/4 -o f_%02d.tiff
    """  # fmt: skip
    from interp_cli.job.stills import even_times, make_stills

    times: tuple[Fraction, ...] = values["times"]
    if times and values["number"] is not None:
        raise UsageError("say which pictures: either --time, such as --time 0.5, or -n, such as -n 7, not both")
    progress = make_progress(ProgressStyle(values["progress"]), stream=sys.stderr, quiet=values["quiet"])
    times = times or even_times(values["number"] or 1)
    written = make_stills(
        first,
        second,
        times,
        values["output"],
        engine=shared.engine_of(values, scene_detect=False),
        limits=shared.limits_of(values),
        overwrite=values["overwrite"],
        progress=progress,
        stop=session.stop,
    )
    if values["as_json"]:
        rows = [
            {"time": f"{t.numerator}/{t.denominator}", "output": str(p)} for t, p in zip(times, written, strict=True)
        ]
        click.echo(json.dumps({"inputs": [first, second], "frames": rows}))
    else:
        progress.note(
            f"{len(written)} made: "
            + ", ".join(click.format_filename(str(place)) for place in written[:4])
            + (", ..." if len(written) > 4 else "")
        )
    return 0

"""`vfi upsample` and `vfi slowmo`: videos in, videos out; `vfi resume` goes on with either."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from interp_cli.cli import shared
from interp_cli.cli.grammar import FACTOR, PLAIN_RATE, RATE, Session, VfiCommand, one_of, option, together
from interp_cli.cli.piped import Piped, piped
from interp_cli.errors import (
    DownstreamClosed,
    ExistsError,
    InterruptedBySignal,
    OutputError,
    UsageError,
    VfiError,
    printable,
)
from interp_cli.options import AudioInSlowMotion, Deinterlace, Hwaccel, ProgressStyle, Rhythm
from interp_cli.progress import Progress, make_progress

if TYPE_CHECKING:
    from interp_cli.job.prepare import Job

_INPUTS = [
    click.argument("inputs", nargs=-1, type=click.Path(), metavar="IN..."),
    option(
        "-i", "--input", "more_inputs", section="Result", multiple=True, type=click.Path(), metavar="IN",
        help="Same as IN.",
    ),
    option(
        "-o", "--output", section="Result", type=click.Path(), metavar="OUT",
        help="Name of the result, a folder, a pattern for pictures (out/%05d.png; jpg, webp, tiff, exr), or - for"
        " standard output.  [default: beside the input, with the rate or the factor in its name]",
    ),
    option(
        "-f", "--format", section="Result", metavar="NAME",
        help="Container of the result, by ffmpeg's name, such as nut or matroska.  [default: what -o ends in]",
    ),
    option(
        "--input-fps", "picture_rate", section="Result", type=PLAIN_RATE, metavar="R",
        help="Frames per second of an input of pictures.  [default: 24]",
    ),
]  # fmt: skip
_COMMON = [
    shared.overwrite_option,
    shared.skip_option,
    shared.fresh_option,
    shared.verify_option,
    shared.dry_run_option,
    shared.range_options,
    shared.limit_options,
    shared.engine_options,
    shared.scene_options,
    shared.deinterlace_option,
    shared.encode_options,
    shared.hwaccel_option,
    shared.ffmpeg_option,
    shared.stall_option,
]
_SAID = [shared.progress_option, shared.json_option, shared.quiet_option, shared.verbose_option]


@click.command(cls=VfiCommand)
@together(
    *_INPUTS,
    option(
        "--fps", section="Rate (one of the two)", type=RATE, metavar="R",
        help="Frames per second: 60, 59.94, 60000/1001, 2x, ntsc. Speed and duration stay.",
    ),
    option(
        "-x", "--factor", "--multi", "factor", section="Rate (one of the two)", type=FACTOR, metavar="N",
        help="So many times the source's rate.",
    ),
    shared.rhythm_option,
    *_COMMON,
    shared.no_audio_option,
    shared.map_option,
    *_SAID,
)  # fmt: skip
@click.pass_context
def upsample(ctx: click.Context, /, **values: Any) -> int:
    """Give videos more frames per second.

    The result lasts as long as the source, with its sound, subtitles and tags.

    \b
      vfi upsample clip.mp4 --fps 60
      vfi upsample clip.mov --factor 2 -c ffv1 -o lossless.mkv
      vfi upsample *.mp4 --fps 60 -o smooth/ --dry-run
      vfi upsample shots/ --input-fps 24 --fps 60 -o new/%05d.png
      ffmpeg -i IN -f nut - | vfi upsample - --fps 60 -o - -f nut | ffplay -
    """
    fps, factor = one_of(ctx, "fps", "factor")
    if fps is not None and factor is not None:
        raise UsageError("--fps and --factor both say how many frames: give one of them")
    if fps is None and factor is None:
        raise UsageError(
            "say how many frames per second: either --fps, such as --fps 60, or --factor, such as --factor 2"
        )
    return _convert(ctx.ensure_object(Session), values, rate=fps if factor is None else f"{factor}x")


@click.command(cls=VfiCommand)
@together(
    *_INPUTS,
    option(
        "-x", "--factor", "--multi", "factor", section="Speed", type=FACTOR, required=True, metavar="N",
        help="How many times as long the result lasts.",
    ),
    option("--fps", section="Speed", type=RATE, metavar="R", help="Frames per second.  [default: the source's]"),
    shared.rhythm_option,
    *_COMMON,
    shared.slow_audio_option,
    shared.no_audio_option,
    shared.map_option,
    *_SAID,
)  # fmt: skip
@click.pass_obj
def slowmo(session: Session, /, **values: Any) -> int:
    """Make videos slower, with made frames in between.

    The result lasts --factor times as long; sound is stretched and keeps its pitch.

    \b
      vfi slowmo jump.mp4 --factor 8
      vfi slowmo jump.mp4 --factor 4 --start 1:30 --end 1:33 --audio drop
    """
    if values["factor"] <= 1:
        raise UsageError(f"slow motion needs a --factor above 1, such as 4; {values['factor']} would not be slower")
    return _convert(session, values, rate=values["fps"], slow=values["factor"])


def _convert(session: Session, values: dict[str, Any], *, rate: str | None, slow: Fraction = Fraction(1)) -> int:
    inputs = (*values["inputs"], *values["more_inputs"])
    if not inputs:
        raise UsageError("no input: give the name of a video, such as vfi upsample clip.mp4 --fps 60")
    if values["skip_existing"] and values["overwrite"]:
        raise UsageError("-y replaces results that are there, and --skip-existing leaves them: give one of the two")
    with piped(session, inputs, values) as pipes:
        jobs = _jobs(pipes, values, rate=rate, slow=slow)
        code = _run_all(jobs, session, values, shown=pipes.shown)
        pipes.send()
        return code


def _jobs(pipes: Piped, values: dict[str, Any], *, rate: str | None, slow: Fraction) -> list[Job]:
    from interp_cli.job.output import is_folder, make_folder
    from interp_cli.job.prepare import Job
    from interp_cli.media.picture_size import SUFFIXES

    inputs, output = pipes.inputs, pipes.output
    if len(inputs) > 1 and output is not None and not is_folder(output):
        advice = f"give a folder with -o, such as {output}/"
        if all(Path(path).suffix.lower() in SUFFIXES for path in inputs):
            advice = "for one video of many pictures give their folder, or a pattern in quotes, such as 'f_*.png'"
        raise UsageError(f"{len(inputs)} inputs cannot all become {output}: {advice}")
    for name in ("scenes-in", "scenes-out"):
        if len(inputs) > 1 and values[name.replace("-", "_")] is not None:
            raise UsageError(f"--{name} is about one video, and {len(inputs)} are given: do them one by one")
    if output is not None and is_folder(output) and not values["dry_run"]:
        make_folder(output)
    template = Job(
        input="",
        output=output,
        format=values["format"],
        picture_rate=values["picture_rate"],
        temporary=pipes.temporary,
        rate=rate,
        slow=slow,
        vfr=Rhythm(values["vfr"]),
        start=values["start"],
        end=values["end"],
        audio=not values["no_audio"],
        map=values["map"],
        slow_audio=AudioInSlowMotion(values.get("audio", "stretch")),
        deinterlace=Deinterlace(values["deinterlace"]),
        overwrite=values["overwrite"],
        fresh=values["fresh"],
        verify=not values["no_verify"],
        engine=shared.engine_of(values),
        encode=shared.encode_of(values),
        scenes_in=values["scenes_in"],
        scenes_out=values["scenes_out"],
        limits=shared.limits_of(values),
        hwaccel=Hwaccel(values["hwaccel"]),
        ffmpeg=values["ffmpeg"],
    )
    return [replace(template, input=path, protected=inputs) for path in inputs]


@click.command(cls=VfiCommand)
@click.argument("folders", nargs=-1, type=click.Path(), metavar="DIR...", required=True)
@together(shared.stall_option, *_SAID)
@click.pass_obj
def resume(session: Session, /, **values: Any) -> int:
    """Go on with jobs that were ended before they were done.

    DIR is the work directory that the ended job named. Giving the job's own command again does the same.

    \b
      vfi resume .holiday_60fps.mp4.vfi
    """
    from interp_cli.job.key import restored
    from interp_cli.job.workdir import recorded_job

    jobs = [restored(recorded_job(Path(folder))) for folder in values["folders"]]
    return _run_all(jobs, session, {**values, "dry_run": False})


def _run_all(jobs: list[Job], session: Session, values: dict[str, Any], *, shown: Callable[[str], str] = str) -> int:
    """One job ends as it ends; of several, each is tried, and the first failure gives the exit code."""
    from interp_cli.media.children import be_patient

    be_patient(values["stall_timeout"] or None)
    progress = make_progress(ProgressStyle(values["progress"]), stream=sys.stderr, quiet=values["quiet"])
    dry_run, as_json = values["dry_run"], values["as_json"]
    how: dict[str, Any] = {"dry_run": dry_run, "as_text": not as_json, "skip": values.get("skip_existing", False)}
    if len(jobs) == 1:
        try:
            facts = _run_one(jobs[0], session, progress, **how, taken=set(), shown=shown)
        except VfiError as error:
            if as_json and not isinstance(error, DownstreamClosed):
                click.echo(shown(json.dumps(_failed(jobs[0], error, int(error.exit_code)))))
            raise
        if as_json:
            click.echo(shown(json.dumps(facts)))
        return 0
    outcomes: list[dict[str, Any]] = []
    taken: set[str] = set()
    code = 0
    for job in jobs:
        session.stop.check()
        try:
            outcomes.append(_run_one(job, session, progress, **how, taken=taken))
        except (InterruptedBySignal, DownstreamClosed):
            raise
        except Exception as error:  # a bug that one file meets must not cost the others
            from interp_cli.cli.entry import tell

            ended = tell(error, session)
            code = code or ended
            outcomes.append(_failed(job, error, ended))
    if as_json:
        click.echo(json.dumps({"results": outcomes}))
    progress.note(_summary(outcomes))
    return code


def _failed(job: Job, error: Exception, code: int) -> dict[str, Any]:
    return {"input": job.input, "error": str(error), "exit_code": code}


def _summary(outcomes: Sequence[dict[str, Any]]) -> str:
    failed = [outcome["input"] for outcome in outcomes if "error" in outcome]
    there = sum("skipped" in outcome for outcome in outcomes)
    done = f"{len(outcomes) - len(failed) - there} done" + (f", {there} there already" if there else "")
    return f"{done}, {len(failed)} failed" + (f" ({', '.join(map(click.format_filename, failed))})" if failed else "")


def _run_one(
    job: Job,
    session: Session,
    progress: Progress,
    *,
    dry_run: bool,
    as_text: bool,
    skip: bool,
    taken: set[str],
    shown: Callable[[str], str] = str,
) -> dict[str, Any]:
    from interp_cli.cli import text
    from interp_cli.job.facts import plan_facts
    from interp_cli.job.job import execute
    from interp_cli.job.network import load_early
    from interp_cli.job.prepare import prepare

    if not dry_run:
        load_early()
    try:
        work = prepare(job)
    except ExistsError as error:
        if not skip:
            raise
        progress.note(shown(f"{error.output} is there already: {job.input} is left out"))
        return {"input": job.input, "output": error.output, "skipped": True}
    if str(work.output) in taken:
        raise OutputError(f"{work.output} is the result of an earlier input already: do {job.input} by itself")
    taken.add(str(work.output))
    if dry_run:
        if as_text:
            click.echo("\n".join(printable(shown(line)) for line in text.plan_lines(work)))
        return plan_facts(work)
    result = execute(work, progress=progress, stop=session.stop)
    if told := text.streams_line(result.fates):
        progress.note(shown(told))
    progress.note(shown(text.result_line(result)))
    return result.facts()

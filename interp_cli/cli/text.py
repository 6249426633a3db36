"""Plans, probes and results as lines for people. Floats and rounding are allowed here and nowhere below."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import TYPE_CHECKING

import click

from interp_cli.timeline import decimal

if TYPE_CHECKING:
    from interp_cli.job.job import Result
    from interp_cli.job.prepare import Prepared
    from interp_cli.job.scenes import Cut
    from interp_cli.media.mux import Fate
    from interp_cli.media.types import MediaInfo
    from interp_cli.timeline import Timeline


def rate_text(rate: Fraction) -> str:
    """ "59.94 fps (60000/1001)", or "60 fps"."""
    return f"{decimal(rate)} fps" + ("" if rate.denominator == 1 else f" ({rate})")


def source_lines(info: MediaInfo, timeline: Timeline) -> Iterator[str]:
    """What a file holds."""
    video = info.video
    shape = f"{video.width} x {video.height}"
    if video.sar != 1:
        shape += f", pixels {video.sar.numerator}:{video.sar.denominator}"
    if video.turned:
        shape += f", shown {video.turned}"
    color = video.color
    named = [part for part in (color.matrix, color.primaries, color.transfer, color.range) if part]
    kind = "constant" if timeline.is_cfr else "variable, mean"
    yield f"input     {click.format_filename(info.path)} ({info.container})"
    yield f"video     {video.codec}, {shape}, {video.pix_fmt} ({video.bit_depth} bits), {video.field_order}"
    yield f"colour    {', '.join(dict.fromkeys(named)) if named else 'not said by the file'}"
    yield f"rate      {rate_text(timeline.rate)}, {kind}"
    if video.rate_from_header is not None and video.rate_from_header != timeline.rate:
        yield f"          (its header claims {rate_text(video.rate_from_header)})"
    yield f"length    {len(timeline)} frames, {decimal(timeline.duration)} s"
    if timeline.mended:
        yield f"          (the times of {timeline.mended} were missing or did not rise)"
    for stream in info.others:
        facts = [stream.codec]
        facts += [f"{stream.sample_rate} Hz"] if stream.sample_rate else []
        facts += [f"{stream.channels} channel{'s' * (stream.channels != 1)}"] if stream.channels else []
        facts += [text for text in (stream.language, stream.title) if text]
        yield f"{stream.kind:9} {', '.join(facts)} (stream {stream.index})"
    if info.chapters:
        yield f"chapters  {info.chapters}"


def cut_lines(cuts: tuple[Cut, ...]) -> Iterator[str]:
    """The cuts of a video, a line each."""
    yield f"cuts      {len(cuts) or 'none'}"
    for cut in cuts:
        score = "" if cut.score is None else f" (differs by {cut.score:.2f})"
        yield f"          before frame {cut.frame} at {decimal(cut.time)} s{score}"


def plan_lines(work: Prepared) -> Iterator[str]:
    """What `--dry-run` prints."""
    from interp_cli.job.notes import notes_of, size_text
    from interp_cli.media.streams import chapters_lost

    plan = work.plan
    yield from source_lines(work.info, work.stored)
    if work.trim is not None:
        begin, end = (decimal(t - work.timeline.start) for t in (work.part.start, work.part.end))
        yield f"part      {begin} s to {end} s (whole frames: {work.numbers.start} to {work.numbers.stop - 1})"
    if work.job.slow != 1:
        yield f"speed     {decimal(work.job.slow)} times slower"
    yield f"output    {click.format_filename(str(work.output))} ({work.container})"
    rhythm = " in the source's rhythm" if plan.factor else ""
    yield f"result    {rate_text(plan.rate)}{rhythm}, {plan.frames} frames, {decimal(plan.duration)} s"
    yield f"frames    {plan.copied} copied, {plan.made} made (fewer where the picture cuts, more where frames repeat)"
    yield f"encoder   {work.encoding.description}"
    for fate in work.fates:
        yield f"{fate.kind:9} {fate_text(fate)}"
    if work.info.chapters:
        lost = chapters_lost(work.info, work.container)
        yield f"chapters  {work.info.chapters} {f'left out: {lost}' if lost else 'kept'}"
    yield f"disk      about {size_text(work.disk_bytes)} while it runs (an estimate)"
    yield f"weights   {work.weights.name} (sha256 {work.weights.sha256[:12]})"
    yield f"ffmpeg    {click.format_filename(work.ffmpeg.path)} {'.'.join(map(str, work.ffmpeg.version))}"
    for note in notes_of(work):
        yield f"note      {note}"


def fate_text(fate: Fate) -> str:
    """What becomes of a stream, and why."""
    return _short_fate(fate) + (f": {fate.reason}" if fate.reason else "") + f" (stream {fate.index})"


def streams_line(fates: tuple[Fate, ...]) -> str:
    """What became of each stream; "" if there was none."""
    told = ", ".join(f"{fate.kind} {_short_fate(fate)}" for fate in fates)
    return f"streams: {told}" if told else ""


def _short_fate(fate: Fate) -> str:
    named = ", ".join(text for text in (fate.language, fate.title) if text)
    what = {"copy": "kept", "convert": f"becomes {fate.to_codec}", "drop": "left out"}[fate.action]
    return fate.codec + (f" ({named})" if named else "") + f" {what}"


def result_line(result: Result) -> str:
    """One line about what was done."""
    cuts = f", {len(result.cuts)} cut{'s' * (len(result.cuts) != 1)}" if result.cuts else ""
    repeats = f", {result.repeated} repeated frame{'s' * (result.repeated != 1)} replaced" if result.repeated else ""
    kinds = f"{result.copied} copied, {result.made} made{cuts}{repeats}"
    speed = f"in {result.seconds:.1f} s, {result.frames_per_s:.1f} frames/s"
    name = click.format_filename(str(result.output))
    return f"{name}: {result.frames} frames at {decimal(result.rate)} fps ({kinds}) {speed}"

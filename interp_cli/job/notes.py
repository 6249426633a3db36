"""What the user should know of a job before the work begins."""

from __future__ import annotations

import shutil
from fractions import Fraction

from interp_cli.job.prepare import Prepared
from interp_cli.job.sequence import existing_frames, frame_path
from interp_cli.media.fields import cannot_deinterlace, is_interlaced
from interp_cli.media.light import CLIPPED
from interp_cli.media.pictures import missing_numbers
from interp_cli.media.streams import chapters_lost
from interp_cli.options import Deinterlace, Rhythm
from interp_cli.timeline import decimal, make_plan

_NTSC = Fraction(1000, 1001)  # by which rates that sound alike differ
_FAR_MORE = 4  # times as many


def notes_of(work: Prepared) -> list[str]:
    """Sentences, in order."""
    said = [*_of_pictures(work), *_of_times(work), *work.encoding.notes]
    if work.rate.snapped_from is not None:
        said.append(f"--fps {work.rate.snapped_from} is taken as {work.rate.value} frames per second")
    source = work.source_rate
    if work.job.slow == 1 and work.rate.value <= source:
        fewer = "no more" if work.rate.value == source else "fewer"
        said.append(f"{decimal(work.rate.value)} frames per second is {fewer} than the source's {decimal(source)}")
    said += _of_kept(work)
    if work.job.vfr is Rhythm.KEEP:
        kept = f"the source's own rhythm is kept, with {work.plan.factor} frames for each of its"
        said.append(kept if work.plan.factor else "the source's rate is constant, so --vfr keep changes nothing")
    elif not work.part.is_cfr:
        said.append("the source's frames are not equally spaced; those of the result are (--vfr keep: neither are)")
    for fate in work.fates:
        if fate.action == "convert":
            said.append(f"{fate.kind} stream {fate.index} ({fate.codec}) becomes {fate.to_codec}: {fate.reason}")
        elif fate.action == "drop":
            said.append(f"{fate.kind} stream {fate.index} ({fate.codec}) is left out: {fate.reason}")
    if lost := chapters_lost(work.info, work.container):
        said.append(f"the chapters are left out: {lost}")
    said += [*_of_timecode(work), *_of_fields(work)]
    place = work.output.parent if work.output.parent.is_dir() else work.output.parent.parent
    free = shutil.disk_usage(place).free
    if free < work.disk_bytes:
        need, have = size_text(work.disk_bytes), size_text(free)
        said.append(f"the work may need about {need} of disk space (an estimate), and {have} are free")
    return said


def _of_kept(work: Prepared) -> list[str]:
    """Another rate close by, if far more of the source's frames would stand as they are."""
    if work.job.slow != 1 or work.job.vfr is Rhythm.KEEP or not work.part.is_cfr:
        return []
    for near in (work.rate.value * _NTSC, work.rate.value / _NTSC):
        kept = make_plan(work.part, near).copied
        if kept > _FAR_MORE * work.plan.copied:
            asked, few = decimal(work.rate.value), work.plan.copied
            some = f"{few} of the source's {len(work.part)} frames stay as they are"
            fps = str(near) if near.denominator == 1 else f"{near} ({decimal(near)})"
            return [f"at {asked} frames per second {some}; --fps {fps} would keep {kept}"]
    return []


def _of_pictures(work: Prepared) -> list[str]:
    """What pictures leave unsaid, and what stays beside new ones."""
    said = []
    if work.info.pictures and work.job.picture_rate is None:
        shown = decimal(work.timeline.rate)
        said.append(f"pictures have no rate: {shown} frames per second are assumed; give --input-fps if it is not")
    if work.info.pictures and work.info.video.codec == "exr":
        said.append(CLIPPED)
    if gaps := missing_numbers(work.info.pictures):
        are = "1 number is" if gaps == 1 else f"{gaps} numbers are"
        said.append(f"{are} missing between the pictures of {work.job.input}: they are taken as one after the other")
    if work.container == "image2":
        ours = {frame_path(work.output, n) for n in range(work.plan.frames)}
        if stale := [path for path in existing_frames(work.output) if path not in ours]:
            said.append(f"{len(stale)} older pictures, such as {stale[0]}, are not replaced and stay beside the new")
    return said


def _of_timecode(work: Prepared) -> list[str]:
    """Of one that is a tag; a timecode track has a fate of its own."""
    tags = {key.lower(): value for key, value in (*work.info.tags, *work.info.video.tags)}
    if "timecode" not in tags or any(fate.codec == "tmcd" for fate in work.fates):
        return []
    return [f"the timecode {tags['timecode']} is left out: it counts the source's frames, not the new ones"]


def _of_times(work: Prepared) -> list[str]:
    if not (count := work.stored.mended):
        return []
    have = "1 frame has no time of its own" if count == 1 else f"{count} frames have no times of their own"
    return [f"{have} in {work.job.input}, or one that is not after the frame before: it is shown right after that"]


def _of_fields(work: Prepared) -> list[str]:
    if not is_interlaced(work.info.video):
        return []
    if work.fields:
        become = f"its fields become {decimal(work.timeline.rate)} whole frames per second (bwdif)"
        return [f"{work.info.path} is interlaced: {become}, from which all else is made; --deinterlace off keeps it"]
    reason = cannot_deinterlace(work.info.video) if work.job.deinterlace is Deinterlace.AUTO else None
    why = f" ({reason})" if reason else ""
    return [f"{work.info.path} is interlaced: its frames are used as they are{why}, which may show combs"]


def size_text(count: int) -> str:
    """A number of bytes for people: "1.5 GB"."""
    value = float(count)
    for unit in ("bytes", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "bytes" or value >= 100 else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"

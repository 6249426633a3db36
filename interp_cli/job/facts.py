"""What is known of a file, a plan and a result, as plain values for JSON: rates and times are strings, never floats."""

from __future__ import annotations

from dataclasses import asdict
from fractions import Fraction
from typing import Any

import interp_cli
from interp_cli.job.notes import notes_of
from interp_cli.job.prepare import Prepared
from interp_cli.job.scenes import Cut
from interp_cli.media.mux import Fate
from interp_cli.media.types import MediaInfo
from interp_cli.timeline import Timeline


def exact(value: Fraction) -> str:
    """A fraction as "60000/1001", an integer as "60/1"."""
    return f"{value.numerator}/{value.denominator}"


def source_facts(info: MediaInfo, timeline: Timeline) -> dict[str, Any]:
    """What a file holds; rate, frames and duration are from its packets."""
    video = info.video
    return {
        "path": info.path,
        "container": info.container,
        "video": {
            "index": video.index,
            "codec": video.codec,
            "width": video.width,
            "height": video.height,
            "sample_aspect_ratio": exact(video.sar),
            "rotation": video.rotation,
            "mirrored": video.mirrored,
            "pix_fmt": video.pix_fmt,
            "bit_depth": video.bit_depth,
            "color": asdict(video.color),
            "field_order": video.field_order,
            "time_base": exact(video.time_base),
        },
        "rate": exact(timeline.rate),
        "constant_rate": timeline.is_cfr,
        "rate_from_header": None if video.rate_from_header is None else exact(video.rate_from_header),
        "frames": len(timeline),
        "mended_times": timeline.mended,
        "start": exact(timeline.start),
        "duration": exact(timeline.duration),
        "streams": [
            {
                "index": stream.index,
                "kind": stream.kind,
                "codec": stream.codec,
                "language": stream.language,
                "title": stream.title,
                "sample_rate": stream.sample_rate,
                "channels": stream.channels,
            }
            for stream in info.others
        ],
        "chapters": info.chapters,
        "tags": dict(info.tags),
    }


def cut_facts(cuts: tuple[Cut, ...]) -> list[dict[str, Any]]:
    """Each cut: the first frame after it, its time (s), and how different the frames on either side are."""
    return [{"frame": cut.frame, "time": exact(cut.time), "score": cut.score} for cut in cuts]


def stream_facts(fates: tuple[Fate, ...]) -> list[dict[str, Any]]:
    """What becomes of each stream."""
    return [asdict(fate) for fate in fates]


def plan_facts(work: Prepared) -> dict[str, Any]:
    """Everything that `--dry-run` tells."""
    plan = work.plan
    return {
        "input": work.job.input,
        "output": str(work.output),
        "source": source_facts(work.info, work.stored),
        "deinterlaced": work.fields,
        "source_frames": [work.numbers.start, work.numbers.stop],
        "slow": exact(work.job.slow),
        "rate": exact(plan.rate),
        "frames_per_source_frame": plan.factor,
        "frames": plan.frames,
        "copied": plan.copied,
        "made": plan.made,
        "duration": exact(plan.duration),
        "segments": len(plan.segments),
        "streams": stream_facts(work.fates),
        "container": work.container,
        "encoder": {
            "name": work.encoding.encoder,
            "codec": str(work.encoding.codec),
            "pix_fmt": work.encoding.pix_fmt,
            "description": work.encoding.description,
        },
        "disk_bytes_estimate": work.disk_bytes,
        "notes": notes_of(work),
        "weights": {"name": work.weights.name, "sha256": work.weights.sha256},
        "ffmpeg": {"path": work.ffmpeg.path, "version": work.ffmpeg.version_text, "origin": work.ffmpeg.origin},
        "vfi": interp_cli.__version__,
    }

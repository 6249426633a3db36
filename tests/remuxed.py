"""The muxing step alone: a file whose video is replaced by gray frames, and what PyAV sees of the streams."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from interp_cli.media.encode import Encoder, choose_encoding
from interp_cli.media.ffmpeg import Ffmpeg
from interp_cli.media.formats import working_format
from interp_cli.media.mux import Fate, container_for, mux, stream_fates
from interp_cli.media.probe import probe, scan
from interp_cli.media.types import MediaInfo, Planes
from interp_cli.options import EncodeOptions
from interp_cli.timeline import make_plan

QUICK = EncodeOptions(preset="ultrafast", ffmpeg_args=(("bf", "2"),))


@dataclass
class Track:
    kind: str
    times: list[Fraction] = field(default_factory=list)  # s, of packets
    end: Fraction = Fraction(0)
    tags: dict[str, str] = field(default_factory=dict)


def tracks(path: Path) -> list[Track]:
    """Every stream with its packets' times as PyAV sees them."""
    with av.open(str(path)) as container:
        found = [Track(s.type, tags=dict(s.metadata)) for s in container.streams]
        for packet in container.demux():
            if packet.pts is not None and packet.size:
                track = found[packet.stream.index]
                track.times.append(packet.pts * packet.time_base)
                track.end = max(track.end, (packet.pts + (packet.duration or 0)) * packet.time_base)
    for track in found:
        track.times.sort()
    return found


def remade(
    path: Path,
    out: Path,
    ffmpeg: Ffmpeg,
    *,
    rate: Fraction = Fraction(60),
    slow: Fraction = Fraction(1),
    part: tuple[Fraction | None, Fraction | None] | None = None,
    options: EncodeOptions = QUICK,
) -> tuple[MediaInfo, Any, Sequence[Fate]]:
    """`path` with its video replaced by gray frames at `rate` in two segments; (info, plan, fates)."""
    info = probe(str(path), ffmpeg=ffmpeg)
    timeline = scan(info, ffmpeg=ffmpeg)
    if part:
        timeline, _ = timeline.between(*part)
    plan, container, video = make_plan(timeline.stretched(slow), rate), container_for(out), info.video
    fates = stream_fates(info, container=container, slow=slow)
    encoding = choose_encoding(info, options, container=container, ffmpeg=ffmpeg)
    pixels = working_format(video.pix_fmt)
    gray = Planes(
        0, tuple(np.full(s, 128, pixels.dtype) for s in pixels.plane_shapes(video.width, video.height)), pixels
    )
    folder, half = out.parent / "it's #1?%d\n.work", plan.frames // 2
    folder.mkdir(exist_ok=True)
    segments = [(folder / f"segment-{k}.nut", count) for k, count in enumerate((half, plan.frames - half))]
    size = {"width": video.width, "height": video.height, "color": video.color, "format": pixels, "sar": video.sar}
    for segment, count in segments:
        with Encoder(segment, encoding, ffmpeg=ffmpeg, rate=rate, **size) as encoder:
            for _ in range(count):
                encoder.write(gray)
    span = (timeline.start, timeline.end) if part else None
    mux(
        segments, info, out, ffmpeg=ffmpeg, container=container, fates=fates, rate=rate, video_start=timeline.start,
        slow=slow, trim=span,
    )  # fmt: skip
    assert sorted(p.name for p in folder.iterdir()) == ["segment-0.nut", "segment-1.nut"]
    return info, plan, fates

"""A job does what was planned, with a network whose answers are known, and leaves nothing else behind."""

import itertools
import os
import threading
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
import small_clips

from interp_cli.engine.scenes import thumbnail
from interp_cli.errors import FfmpegError, InterruptedBySignal, OutputError, StoppedError, VfiError, WeightsError
from interp_cli.job import job as room
from interp_cli.job.job import Job, prepare, run
from interp_cli.job.stills import even_times, make_stills, names_for
from interp_cli.job.stop import Stop
from interp_cli.media.children import log_children, stop_children
from interp_cli.media.ffmpeg import Ffmpeg
from interp_cli.media.mux import mux
from interp_cli.media.types import Planes
from interp_cli.options import AudioInSlowMotion, Codec, EncodeOptions, EngineOptions
from interp_cli.progress import Silent
from interp_cli.timeline import Timeline, make_plan
from interp_cli.weights import find

pytestmark = pytest.mark.usefixtures("blending")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sources")


@pytest.fixture(scope="module")
def source(folder: Path) -> Path:
    return small_clips.clip(folder / "source.mp4", rate="25", seconds="1", size="160x90")  # smaller ones repeat frames


@pytest.fixture
def to(tmp_path: Path) -> Iterator[Path]:
    """Where results go: a folder that at the end holds nothing that begins with a dot."""
    yield tmp_path
    assert not list(tmp_path.rglob(".*"))


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """Where results go of jobs that fail when segments are finished: the work directory may stay."""
    return tmp_path


def times_of(path: Path, kind: str = "video") -> list[Fraction]:
    """The presentation times of a stream's packets, s, read by PyAV; those that are never shown left out."""
    with av.open(str(path)) as container:
        stream = getattr(container.streams, kind)[0]
        pts = sorted(p.pts for p in container.demux(stream) if p.pts is not None and not p.is_discard)
        return [t * stream.time_base for t in pts]


def steps(times: list[Fraction]) -> set[Fraction]:
    return {b - a for a, b in itertools.pairwise(times)}


def test_twice_the_rate_keeps_every_source_frame_bit_for_bit(source: Path, to: Path) -> None:
    out = to / "out.mkv"
    result = run(Job(input=str(source), output=str(out), rate="2x", encode=EncodeOptions(codec=Codec.FFV1)))
    before, after = small_clips.frame_sums(source), small_clips.frame_sums(out)
    assert len(after) == 2 * len(before)
    assert after[::2] == before
    assert result.frames == result.copied + result.made == 50
    assert result.copied >= 26  # the last frame is held; frames that repeat are not made anew
    assert list(to.iterdir()) == [out]


def test_the_result_has_the_rate_the_duration_and_the_untouched_sound(source: Path, to: Path) -> None:
    out = to / "out.mp4"
    result = run(Job(input=str(source), output=str(out), rate="59.94"))
    times = times_of(out)
    assert steps(times) == {Fraction(1001, 60000)}
    assert len(times) == result.frames == 60  # ceil(59.94)
    assert small_clips.packet_sum(out, "a") == small_clips.packet_sum(source, "a")
    assert abs(times[0] - times_of(source)[0]) <= Fraction(1, 1000)
    assert abs(times_of(out, "audio")[-1] - times_of(source, "audio")[-1]) <= Fraction(1, 1000)


def test_the_file_has_the_usual_permissions(source: Path, to: Path) -> None:
    mask = os.umask(0)
    os.umask(mask)
    run(Job(input=str(source), output=str(to / "out.mp4"), rate="50"))
    assert (to / "out.mp4").stat().st_mode & 0o777 == 0o666 & ~mask


def test_segments_join_without_a_seam(source: Path, to: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def short(timeline: Timeline, rate: Fraction) -> Any:
        return make_plan(timeline, rate, segment_seconds=Fraction(1, 4))

    whole = to / "whole.mkv"
    job = Job(input=str(source), output=str(whole), rate="60", encode=EncodeOptions(codec=Codec.FFV1))
    run(job)
    monkeypatch.setattr("interp_cli.job.prepare.make_plan", short)
    parts = to / "parts.mkv"
    split = Job(input=str(source), output=str(parts), rate="60", encode=EncodeOptions(codec=Codec.FFV1))
    assert len(prepare(split).plan.segments) == 4
    run(split)
    assert small_clips.frame_sums(parts) == small_clips.frame_sums(whole)
    assert times_of(parts) == times_of(whole)


def test_slow_motion_lasts_so_many_times_as_long_at_the_sources_rate(source: Path, to: Path) -> None:
    out = to / "slow.mp4"
    result = run(Job(input=str(source), output=str(out), slow=Fraction(4)))
    times, sound = times_of(out), times_of(out, "audio")
    assert steps(times) == {Fraction(1, 25)}
    assert len(times) == 100
    assert result.duration == 4
    assert 3.8 < sound[-1] - sound[0] < 4.2


def test_slow_motion_can_drop_the_sound(source: Path, to: Path) -> None:
    out = to / "slow.mp4"
    run(Job(input=str(source), output=str(out), slow=Fraction(2), slow_audio=AudioInSlowMotion.DROP))
    with av.open(str(out)) as container:
        assert not container.streams.audio


def test_a_part_begins_and_ends_where_asked(source: Path, to: Path) -> None:
    out = to / "part.mkv"
    job = Job(
        input=str(source),
        output=str(out),
        rate="50",
        start=Fraction(1, 5),
        end=Fraction(3, 5),
        encode=EncodeOptions(codec=Codec.FFV1),
    )
    result = run(job)
    assert small_clips.frame_sums(out)[::2] == small_clips.frame_sums(source)[5:15]
    assert (result.source_frames, result.frames) == (10, 20)
    assert times_of(out)[0] <= Fraction(1, 1000)


def test_a_part_looks_as_it_does_in_the_whole(folder: Path, to: Path) -> None:
    """Its last frame does not stand still, and motion beside it counts: with the network that ships."""
    moving = folder / "moving.mkv"
    picture = "testsrc2=size=160x90:rate=25:duration=1,crop=128:72:x=t*24:y=8"
    small_clips.ffmpeg("-f", "lavfi", "-i", picture, "-pix_fmt", "yuv420p", "-c:v", "ffv1", moving)
    job: dict[str, Any] = {"input": str(moving), "slow": Fraction(4), "encode": EncodeOptions(codec=Codec.FFV1)}
    engine = EngineOptions(model=find("fast").name, device="cpu")
    whole = run(Job(**job, output=str(to / "whole.mkv"), engine=engine))
    part = run(Job(**job, output=str(to / "part.mkv"), engine=engine, start=Fraction(1, 5), end=Fraction(2, 5)))
    assert (whole.frames, part.frames, part.source_frames, part.copied, part.made) == (100, 20, 5, 5, 15)
    assert small_clips.frame_sums(to / "part.mkv") == small_clips.frame_sums(to / "whole.mkv")[20:40]


def test_of_a_part_on_twos_only_its_own_repeats_are_told(folder: Path, to: Path) -> None:
    """It begins within a drawing, whose first frame lies before it, and ends within another."""
    twos = folder / "twos.mkv"
    picture = "testsrc2=size=160x90:rate=25/2:duration=2,fps=25"
    small_clips.ffmpeg("-f", "lavfi", "-i", picture, "-pix_fmt", "yuv420p", "-c:v", "ffv1", twos)
    job: dict[str, Any] = {"input": str(twos), "rate": "2x", "encode": EncodeOptions(codec=Codec.FFV1)}
    run(Job(**job, output=str(to / "whole.mkv")))
    part = run(Job(**job, output=str(to / "part.mkv"), start=Fraction(17, 25), end=Fraction(27, 25)))
    assert (part.source_frames, part.repeated) == (10, 5)
    assert small_clips.frame_sums(to / "part.mkv") == small_clips.frame_sums(to / "whole.mkv")[34:54]


def test_one_frame_becomes_a_still_of_its_duration(folder: Path, to: Path) -> None:
    single = small_clips.clip(folder / "single.mp4", rate="5", seconds="0.2", sound=False)
    result = run(Job(input=str(single), output=str(to / "out.mp4"), rate="50"))
    assert (result.frames, result.copied, result.made) == (10, 10, 0)


def test_a_variable_rate_becomes_constant_and_lasts_as_long(folder: Path, to: Path) -> None:
    source = folder / "vfr.mkv"
    shown = "between(mod(n,7),0,2)+eq(mod(n,7),5)"
    picture = f"testsrc2=size=160x90:rate=50:duration=1,select='{shown}'"
    small_clips.ffmpeg("-f", "lavfi", "-i", picture, "-fps_mode", "passthrough", "-c:v", "ffv1", source)
    out = to / "out.mkv"
    result = run(Job(input=str(source), output=str(out), rate="50", encode=EncodeOptions(codec=Codec.FFV1)))
    sums = small_clips.frame_sums(out)
    slots = [round((t - times_of(source)[0]) * 50) for t in times_of(source)]
    assert [sums[slot] for slot in slots] == small_clips.frame_sums(source)
    assert abs(result.duration - prepare(Job(input=str(source), rate="50")).timeline.duration) < Fraction(1, 50)


def test_a_cut_is_told_by_its_source_frame(folder: Path, to: Path) -> None:
    source = folder / "cut.mp4"
    pictures = ["-f", "lavfi", "-i", "testsrc2=s=64x48:r=25:d=0.4", "-f", "lavfi", "-i", "mandelbrot=s=64x48:r=25"]
    joined = "[1:v]trim=duration=0.4,setpts=PTS-STARTPTS,format=yuv420p[b];[0:v]format=yuv420p[a];[a][b]concat"
    small_clips.ffmpeg(*pictures, "-filter_complex", joined, "-c:v", "libx264", "-qp", "10", source)
    result = run(Job(input=str(source), output=str(to / "out.mp4"), rate="50"))
    assert result.cuts == (9,)
    assert result.facts()["cuts"] == [9]


def test_an_existing_result_is_replaced_only_when_asked(source: Path, to: Path) -> None:
    out = to / "out.mp4"
    out.write_text("precious")
    with pytest.raises(OutputError, match="-y"):
        run(Job(input=str(source), output=str(out), rate="50"))
    assert out.read_text() == "precious"
    run(Job(input=str(source), output=str(out), rate="50", overwrite=True))
    assert len(times_of(out)) == 50


def test_each_fact_is_asked_of_ffmpeg_once(ffmpeg: Ffmpeg, folder: Path, to: Path) -> None:
    spoken = small_clips.clip(folder / "spoken.mp4", rate="25", seconds="0.4", size="64x48", sound=True)
    lines: list[str] = []
    log_children(commands=lines.append)
    try:
        run(Job(input=str(spoken), output=str(to / "out.mp4"), rate="2x", ffmpeg=ffmpeg.path))
    finally:
        log_children()
    of_source = [line for line in lines if str(spoken) in line]
    assert len([line for line in of_source if "showinfo" in line]) == 2  # what it is; whether it is interlaced
    assert len([line for line in of_source if "framecrc" in line and "showinfo" not in line]) == 2  # video; sound
    assert len([line for line in of_source if "rawvideo" in line]) == 1  # decoded once
    assert len([line for line in lines if "result.mp4" in line]) == 3  # written, opened, its packets read
    assert len(lines) == 10


def test_frames_are_looked_at_where_they_are_decoded_and_nobody_waits_for_that(
    source: Path, to: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    where: list[str] = []

    def slow(planes: Planes, seen: Any) -> Any:
        where.append(threading.current_thread().name)
        return thumbnail(planes, seen)

    monkeypatch.setattr("interp_cli.engine.look.thumbnail", slow)
    run(Job(input=str(source), output=str(to / "out.mp4"), rate="2x"))
    assert where == ["vfi-decode"] * 25


def test_a_file_that_appears_meanwhile_is_not_replaced(
    source: Path, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = kept / "out.mp4"

    def slow_mux(*arguments: Any, **named: Any) -> None:
        mux(*arguments, **named)
        out.write_text("precious")

    monkeypatch.setattr(room, "mux", slow_mux)
    with pytest.raises(OutputError, match="appeared"):
        run(Job(input=str(source), output=str(out), rate="50"))
    assert out.read_text() == "precious"


def test_a_result_that_is_not_as_planned_is_thrown_away(
    source: Path, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forgetful(segments: Any, *arguments: Any, **named: Any) -> None:
        mux(segments[:-1], *arguments, **named)

    monkeypatch.setattr(room, "mux", forgetful)
    monkeypatch.setattr(
        "interp_cli.job.prepare.make_plan", lambda t, r: make_plan(t, r, segment_seconds=Fraction(1, 2))
    )
    with pytest.raises(VfiError, match="not as planned") as caught:
        run(Job(input=str(source), output=str(kept / "out.mp4"), rate="60"))
    assert caught.value.exit_code == 1
    assert [path.name for path in kept.iterdir()] == [".out.mp4.vfi"]


def test_a_full_disk_is_told_as_such(source: Path, kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise FfmpegError(
            "ffmpeg could not write", last_lines=("av_interleaved_write_frame(): No space left on device",)
        )

    monkeypatch.setattr(room, "mux", full)
    with pytest.raises(StoppedError, match="full") as caught:
        run(Job(input=str(source), output=str(kept / "out.mp4"), rate="50"))
    assert caught.value.exit_code == 9
    assert [path.name for path in kept.iterdir()] == [".out.mp4.vfi"]


def test_an_error_while_frames_are_made_leaves_nothing(source: Path, to: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise WeightsError("broken")

    monkeypatch.setattr(room, "make_interpolator", broken)
    with pytest.raises(WeightsError):
        run(Job(input=str(source), output=str(to / "out.mp4"), rate="50"))
    assert not list(to.iterdir())


def test_a_stop_before_a_segment_is_finished_leaves_nothing(source: Path, to: Path) -> None:
    stop = Stop()

    class Impatient(Silent):
        def advance(self) -> None:
            stop.signum = stop.signum or 15
            stop_children()

    with pytest.raises(InterruptedBySignal) as caught:
        run(Job(input=str(source), output=str(to / "out.mp4"), rate="50"), progress=Impatient(), stop=stop)
    assert caught.value.exit_code == 143
    assert not list(to.iterdir())


def test_facts_are_plain_values_with_exact_rates(source: Path, to: Path) -> None:
    facts = run(Job(input=str(source), output=str(to / "out.mp4"), rate="59.94")).facts()
    assert facts["rate"] == "60000/1001"
    assert facts["source_rate"] == "25/1"
    assert facts["frames"] == facts["copied"] + facts["made"]
    assert facts["weights"] == {"name": "fast", "sha256": find("fast").sha256}
    assert facts["streams"][0]["action"] == "copy"


def test_stills_stand_at_their_times_whatever_their_order(to: Path) -> None:
    for name, value in (("a", 40), ("b", 240)):
        cv2.imwrite(str(to / f"{name}.png"), np.full((40, 50), value, np.uint8))
    times = (Fraction(3, 4), Fraction(1, 5))
    named: Any = {"engine": EngineOptions(scene_detect=False), "overwrite": False}
    where = f"{to}/new/"
    written = make_stills(str(to / "a.png"), str(to / "b.png"), times, where, **named, progress=Silent(), stop=Stop())
    values = [cv2.imread(str(path), cv2.IMREAD_UNCHANGED) for path in written]
    assert [np.unique(value).tolist() for value in values if value is not None] == [[190], [80]]
    assert all(path.parent == to / "new" for path in written)


def test_names_of_stills(tmp_path: Path) -> None:
    half, three = (Fraction(1, 2),), even_times(3)
    assert three == (Fraction(1, 4), Fraction(1, 2), Fraction(3, 4))
    assert names_for("x/a.png", "x/b.png", half, None) == [Path("x/a_b_0.5.png")]
    assert names_for("a.png", "b.png", half, "out.tiff") == [Path("out.tiff")]
    assert names_for("a.png", "b.png", three, "f_%02d.png")[-1] == Path("f_03.png")
    assert names_for("a.png", "b.png", three, "f_%d.png")[-1] == Path("f_3.png")
    assert names_for("a.png", "b.png", three, f"{tmp_path}/") == [tmp_path / f"a_b_00{k}.png" for k in (1, 2, 3)]
    assert names_for("a.png", "b.png", three, None)[0] == Path("a_b_001.png")
    with pytest.raises(VfiError, match="pattern"):
        names_for("a.png", "b.png", three, "out.png")

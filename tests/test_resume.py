"""A job that was ended goes on where it was, to the same bytes; it refuses what is no longer the same job."""

import errno
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import small_clips
from conftest import chosen
from fakes import FakeNetwork, Lively

from interp_cli.engine.interpolate import Interpolator
from interp_cli.errors import FfmpegError, InputError, InterruptedBySignal, OutputError, StoppedError, VfiError
from interp_cli.job import job as room
from interp_cli.job.job import Job, prepare, run
from interp_cli.job.key import restored, stored
from interp_cli.job.stop import Stop
from interp_cli.job.workdir import DONE, JOB, LOCK, WorkDirectory, own_folder, place_of, recorded_job
from interp_cli.media.children import be_patient
from interp_cli.media.ffmpeg import Ffmpeg, find_ffmpeg
from interp_cli.media.mux import mux
from interp_cli.options import Codec, EncodeOptions, EngineOptions, InputLimits, Mode, ProgressStyle, Scale, Tta
from interp_cli.progress import Silent, make_progress
from interp_cli.timeline import Timeline, make_plan
from interp_cli.weights import find

SEGMENTS = 4


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sources")


@pytest.fixture(scope="module")
def source(folder: Path) -> Path:
    """50 frames with a cut after frame 24, where one segment ends and the next begins."""
    path = folder / "cut.mp4"
    pictures = ["-f", "lavfi", "-i", "testsrc2=s=64x48:r=25:d=1", "-f", "lavfi", "-i", "mandelbrot=s=64x48:r=25"]
    joined = "[1:v]trim=duration=1,setpts=PTS-STARTPTS,format=yuv420p[b];[0:v]format=yuv420p[a];[a][b]concat"
    tone = ["-f", "lavfi", "-i", "sine=d=2", "-c:a", "aac", "-shortest"]
    small_clips.ffmpeg(*pictures, *tone[:4], "-filter_complex", joined, *tone[4:], "-c:v", "libx264", path)
    return path


class Networks:
    """Every network that a job was given."""

    def __init__(self) -> None:
        self.made: list[FakeNetwork] = []

    def interpolator(self, options: EngineOptions, *, note: Callable[[str], None]) -> tuple[Interpolator, Any, str]:
        self.made.append(Lively())
        return Interpolator(self.made[-1], options=options), find("fast"), "cpu"


@pytest.fixture(autouse=True)
def networks(monkeypatch: pytest.MonkeyPatch, weights: Path) -> Networks:
    """Short segments, and a network whose answers depend on everything it sees."""
    monkeypatch.setenv("VFI_WEIGHTS", str(weights))
    networks = Networks()
    monkeypatch.setattr(room, "make_interpolator", networks.interpolator)

    def short(timeline: Timeline, rate: Fraction) -> Any:
        return make_plan(timeline, rate, segment_seconds=timeline.duration / SEGMENTS)

    monkeypatch.setattr("interp_cli.job.prepare.make_plan", short)
    return networks


class EndsAfter(Silent):
    """Does what Ctrl-C does when so many frames are written."""

    def __init__(self, frames: int) -> None:
        self.left = frames

    def advance(self) -> None:
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.5)  # this is the encoder's thread, and the signal is for the main one


def job(source: Path, out: Path, **named: Any) -> Job:
    named.setdefault("rate", "60")
    return Job(input=str(source), output=str(out), **named)


def interrupted(job: Job, *, after: int) -> InterruptedBySignal:
    stop = Stop()
    before = signal.signal(signal.SIGINT, lambda signum, _: stop.request(signum))
    try:
        with pytest.raises(InterruptedBySignal) as caught:
            run(job, progress=EndsAfter(after), stop=stop)
    finally:
        signal.signal(signal.SIGINT, before)
    return caught.value


@pytest.fixture(scope="module")
def unbroken(folder: Path) -> dict[tuple[str, str], bytes]:
    return {}


VARIANTS: dict[str, dict[str, Any]] = {
    "x264 in mp4, direct": {"out": "o.mp4"},
    "ffv1 in mkv, bisect": {"out": "o.mkv", "rate": "4x", "encode": EncodeOptions(codec=Codec.FFV1)},
    "slow motion of a part, in mov": {"out": "o.mov", "slow": Fraction(3), "rate": "25", "start": Fraction(1, 5)},
}


@pytest.mark.parametrize("variant", chosen(VARIANTS, always=("x264 in mp4, direct",), once=VARIANTS))
@pytest.mark.parametrize("share", [0.4, pytest.param(0.9, marks=pytest.mark.slow)])
def test_a_job_that_was_interrupted_ends_with_the_same_bytes(
    source: Path, tmp_path: Path, variant: str, share: float, unbroken: dict[tuple[str, str], bytes],
    networks: Networks, ffmpeg: Ffmpeg,
) -> None:  # fmt: skip
    options, name = dict(VARIANTS[variant]), (variant, ffmpeg.path)
    out = tmp_path / options.pop("out")
    this = job(source, out, ffmpeg=ffmpeg.path, **options)
    if name not in unbroken:
        first = run(this)
        assert first.cuts == (24,)
        unbroken[name] = out.read_bytes()
        out.unlink()
    plan = prepare(this).plan
    error = interrupted(this, after=round(share * plan.frames))
    finished = [line for line in (place_of(out) / "done.jsonl").read_text().splitlines() if line]
    assert 1 <= len(finished) < SEGMENTS
    assert f"{len(finished)} of {SEGMENTS} segments" in str(error) and str(place_of(out)) in str(error)
    assert not out.exists()
    before = len(networks.made)
    result = run(this)
    assert out.read_bytes() == unbroken[name]
    assert list(tmp_path.iterdir()) == [out]
    assert result.frames == result.copied + result.made == plan.frames
    assert result.cuts == (24,)
    made = sum(len(asked) for asked in networks.made[before].asked)
    assert 0 < made <= sum(len(s.targets) for s in plan.segments[len(finished) :])


def test_other_threads_and_limits_are_the_same_job(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    interrupted(job(source, out), after=100)
    limits = InputLimits(max_pixels=100_000)
    run(job(source, out, engine=EngineOptions(threads=1), limits=limits, overwrite=True))
    assert list(tmp_path.iterdir()) == [out]


def test_a_work_directory_alone_says_how_to_go_on(source: Path, tmp_path: Path) -> None:
    whole, out = tmp_path / "whole.mp4", tmp_path / "out.mp4"
    run(job(source, whole))
    interrupted(job(source, out), after=70)
    run(restored(recorded_job(place_of(out))))
    assert out.read_bytes() == whole.read_bytes()
    assert not place_of(out).exists()


def test_a_job_survives_being_written_down() -> None:
    rich = Job(
        input="/x/a\udcff b.mp4",
        output="/y/o.mkv",
        rate="60000/1001",
        slow=Fraction(8, 3),
        start=Fraction(1, 3),
        audio=False,
        limits=InputLimits(max_pixels=5, max_duration=Fraction(7, 2)),
        engine=EngineOptions(
            batch=3, threads=2, mode=Mode.DIRECT, tta=Tta.FLIP, scale=Scale.HALF, scene_threshold=0.25
        ),
        encode=EncodeOptions(codec=Codec.FFV1, crf=18.5, ffmpeg_args=(("tune", "grain"), ("g", "1"))),
        ffmpeg="/usr/bin/ffmpeg",
    )
    assert restored(json.loads(json.dumps(stored(rich)))) == rich


def test_a_segment_that_was_damaged_is_made_anew(source: Path, tmp_path: Path) -> None:
    whole, out = tmp_path / "whole.mp4", tmp_path / "out.mp4"
    run(job(source, whole))
    interrupted(job(source, out), after=100)
    segment = min(place_of(out).glob("segment-*"))
    content = bytearray(segment.read_bytes())
    content[len(content) // 2] ^= 1
    segment.write_bytes(content)
    run(job(source, out))
    assert out.read_bytes() == whole.read_bytes()


def test_a_torn_last_line_and_unfinished_parts_count_for_nothing(source: Path, tmp_path: Path) -> None:
    whole, out = tmp_path / "whole.mp4", tmp_path / "out.mp4"
    run(job(source, whole))
    interrupted(job(source, out), after=100)
    lines = place_of(out) / "done.jsonl"
    lines.write_text(lines.read_text() + '{"k": 3, "frames": 30, "by')
    (place_of(out) / "part-00003.nut").write_bytes(b"half")
    run(job(source, out))
    assert out.read_bytes() == whole.read_bytes()
    assert sorted(tmp_path.iterdir()) == [out, whole]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"rate": "50"}, "rate"),
        ({"encode": EncodeOptions(crf=30)}, "encode crf: then None, now 30"),
        pytest.param(
            {"engine": EngineOptions(tta=Tta.FLIP)}, "engine tta: then none, now flip", marks=pytest.mark.slow
        ),
        pytest.param({"audio": False}, "audio: then True, now False", marks=pytest.mark.slow),
        ({"map": ("-a",)}, "map: then [], now ['-a']"),
        pytest.param({"start": Fraction(1, 25)}, "start", marks=pytest.mark.slow),
    ],
)
def test_another_job_for_the_same_output_is_refused_and_says_what_differs(
    source: Path, tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    out = tmp_path / "out.mp4"
    interrupted(job(source, out), after=100)
    before = sorted((p.name, p.stat().st_size) for p in place_of(out).iterdir())
    with pytest.raises(OutputError, match="--fresh") as caught:
        run(job(source, out, **change))
    assert said in str(caught.value)
    assert sorted((p.name, p.stat().st_size) for p in place_of(out).iterdir()) == before
    run(job(source, out, fresh=True, **change))
    assert list(tmp_path.iterdir()) == [out]


def test_an_input_that_was_replaced_meanwhile_is_another_job(source: Path, tmp_path: Path) -> None:
    mine, out = tmp_path / "mine.mp4", tmp_path / "out.mp4"
    mine.write_bytes(source.read_bytes())
    interrupted(job(mine, out), after=100)
    os.utime(mine, (1, 1))
    with pytest.raises(OutputError, match="input time"):
        run(job(mine, out))


def test_other_weights_are_another_job(
    source: Path, tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out.mp4"
    interrupted(job(source, out), after=100)
    import torch

    from interp_cli.model.network import IFNet
    from interp_cli.weights import save

    torch.manual_seed(2)
    other = tmp_path / "weights"
    other.mkdir()
    network = IFNet(small_clips.TINY)
    save(other / "fast.safetensors", network, name="fast", licence="MIT", origin="random", scores={})
    monkeypatch.setenv("VFI_WEIGHTS", str(other))
    with pytest.raises(OutputError, match="weights: then"):
        run(job(source, out))


def test_an_input_that_changes_while_it_is_read_is_told(source: Path, tmp_path: Path) -> None:
    mine, out = tmp_path / "mine.mp4", tmp_path / "out.mp4"
    mine.write_bytes(source.read_bytes())

    class Meddler(Silent):
        def advance(self) -> None:
            os.utime(mine, (1, 1))

    with pytest.raises(InputError, match="changed while"):
        run(job(mine, out), progress=Meddler())
    assert not out.exists()


def test_two_runs_for_one_output_do_not_meet(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"

    class Second(Silent):
        said = ""

        def advance(self) -> None:
            if not self.said:
                with pytest.raises(OutputError) as caught:
                    run(job(source, out))
                self.said = str(caught.value)

    progress = Second()
    run(job(source, out), progress=progress)
    assert "another vfi" in progress.said
    assert list(tmp_path.iterdir()) == [out]


@pytest.mark.parametrize("when", ["before the final name", "after the final name"])
def test_a_run_that_was_killed_while_tidying_up_is_tidied_up(
    source: Path, tmp_path: Path, when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, out = tmp_path / "whole.mp4", tmp_path / "out.mp4"
    run(job(source, whole))

    def killed(finished: Path, output: Path, *, overwrite: bool) -> None:
        if when == "after the final name":
            finished.replace(output)
        raise StoppedError("killed")

    with monkeypatch.context() as patched:
        patched.setattr(room, "publish", killed)
        with pytest.raises(StoppedError):
            run(job(source, out))
    assert place_of(out).exists()
    result = run(job(source, out))
    assert out.read_bytes() == whole.read_bytes()
    assert sorted(tmp_path.iterdir()) == [out, whole]
    assert result.frames == result.copied + result.made == 120


def test_a_fresh_job_goes_on_like_any_other(source: Path, tmp_path: Path, networks: Networks) -> None:
    out = tmp_path / "out.mp4"
    error = interrupted(job(source, out, fresh=True), after=100)
    assert "without --fresh" in str(error)
    finished = len(list(place_of(out).glob("segment-*")))
    run(restored(recorded_job(place_of(out))))
    made = sum(len(asked) for asked in networks.made[-1].asked)
    assert made <= 120 - finished * 24
    assert list(tmp_path.iterdir()) == [out]


def test_a_disk_that_cannot_be_read_for_once_costs_nothing(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out.mp4"
    interrupted(job(source, out), after=100)
    before = sorted(p.name for p in place_of(out).iterdir())

    def broken(path: Path) -> str:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr("interp_cli.job.workdir.sha256_of", broken)
        with pytest.raises(StoppedError, match="Input/output error"):
            run(job(source, out))
    assert sorted(p.name for p in place_of(out).iterdir()) == before
    run(job(source, out))
    assert list(tmp_path.iterdir()) == [out]


def test_files_that_are_not_vfis_are_left_alone(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    place_of(out).mkdir()
    (place_of(out) / "thesis.txt").write_text("x")
    (place_of(out) / "@eaDir").mkdir()
    run(job(source, out))
    assert sorted(p.name for p in place_of(out).iterdir()) == ["@eaDir", "thesis.txt"]


def test_a_job_ended_between_a_torn_line_and_the_next_loses_neither_twice(
    source: Path, tmp_path: Path, networks: Networks
) -> None:
    out = tmp_path / "out.mp4"
    interrupted(job(source, out), after=40)
    lines = place_of(out) / "done.jsonl"
    lines.write_text(lines.read_text() + '{"k": 3, "by')
    interrupted(job(source, out), after=60)
    recorded = [json.loads(line)["k"] for line in lines.read_text().splitlines() if line.endswith("}")]
    assert len(recorded) >= 2 and recorded == list(range(len(recorded)))


@pytest.mark.parametrize("left", [("job.json",), ("job.json", "done.jsonl")])
def test_a_run_killed_in_the_midst_of_removing_is_seen_as_done(
    source: Path, tmp_path: Path, left: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What `remove` deletes last decides; here it is stopped, as kill -9 would, when only `left` and less are there."""
    out = tmp_path / "out.mp4"

    def stops(self: WorkDirectory) -> None:
        self._keep_only({"job.json", "done.jsonl", "lock"})

    with monkeypatch.context() as patched:
        patched.setattr(WorkDirectory, "remove", stops)
        run(job(source, out))
    content = out.read_bytes()
    if left == ("job.json",):
        result = run(job(source, out))
        assert result.frames == result.copied + result.made == 120
    else:
        with pytest.raises(OutputError, match="exists already"):
            run(job(source, out, rate="50"))
    assert out.read_bytes() == content
    assert list(tmp_path.iterdir()) == [out]


def test_a_terminal_that_closes_does_not_end_a_job(source: Path, tmp_path: Path) -> None:
    class Closed(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(errno.EIO, "Input/output error")

    for style in (ProgressStyle.ALWAYS, ProgressStyle.JSON, ProgressStyle.NEVER):
        run(job(source, tmp_path / f"{style}.mp4"), progress=make_progress(style, stream=Closed()))
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize("name", [JOB, DONE, LOCK])
def test_a_removal_that_is_asked_for_in_the_midst_of_one_is_brought_to_its_end(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "work"
    work = WorkDirectory(folder, own_folder(folder))
    for file in (JOB, DONE, "part-00000.nut"):
        (folder / file).write_text("{}")
    unlink = Path.unlink

    def interrupted(self: Path, *, missing_ok: bool = False) -> None:
        unlink(self, missing_ok=missing_ok)
        if self.name == name:  # as a second signal does here, after which the process is no more
            monkeypatch.setattr(Path, "unlink", unlink)
            work.remove()
            raise SystemExit

    monkeypatch.setattr(Path, "unlink", interrupted)
    with work.lock, pytest.raises(SystemExit):
        work.remove()
    assert not folder.exists()


def test_something_else_in_the_place_of_the_work_directory_is_left_alone(source: Path, tmp_path: Path) -> None:
    out, elsewhere = tmp_path / "out.mp4", tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "precious").write_text("x")
    place_of(out).symlink_to(elsewhere)
    with pytest.raises(OutputError, match="in the way"):
        run(job(source, out))
    assert (elsewhere / "precious").read_text() == "x"


def test_an_output_name_of_255_bytes_has_a_work_directory(source: Path, tmp_path: Path) -> None:
    out = tmp_path / ("ä" * 125 + "x.mp4")
    assert len(os.fsencode(out.name)) == 255
    interrupted(job(source, out), after=100)
    run(job(source, out))
    assert list(tmp_path.iterdir()) == [out]


def test_a_folder_that_is_removed_meanwhile_is_told(source: Path, tmp_path: Path) -> None:
    import shutil

    there = tmp_path / "there"
    there.mkdir()

    class Remover(EndsAfter):
        def advance(self) -> None:
            self.left -= 1
            if self.left == 0:
                while there.exists():  # others write into it meanwhile
                    shutil.rmtree(there, ignore_errors=True)

    with pytest.raises(StoppedError, match="was removed"):
        run(job(source, there / "out.mp4"), progress=Remover(40))


# ---- what befalls ffmpeg

_HANGS = """#!{python}
import os, sys, time
if {which!r} in " ".join(sys.argv):
    {prelude}
    time.sleep(600)
os.execv({real!r}, [{real!r}, *sys.argv[1:]])
"""


def hanging(folder: Path, which: str, prelude: str = "pass") -> str:
    """An ffmpeg that does nothing for ever when `which` is in its command line."""
    path = folder / "ffmpeg"
    path.write_text(_HANGS.format(python=sys.executable, which=which, prelude=prelude, real=find_ffmpeg().path))
    path.chmod(0o755)
    return str(path)


@pytest.fixture
def little_patience() -> Iterator[None]:
    be_patient(2)
    yield
    be_patient(300)


@pytest.mark.usefixtures("little_patience")
@pytest.mark.parametrize("which", ["-f nut", "result.mp4"], ids=["while it encodes", "while it joins"])
def test_an_ffmpeg_that_hangs_is_ended(source: Path, tmp_path: Path, which: str) -> None:
    bad = hanging(tmp_path, which)
    with pytest.raises(FfmpegError, match="no progress for 2 s"):
        run(job(source, tmp_path / "out.mp4", ffmpeg=bad))


@pytest.mark.usefixtures("little_patience")
def test_a_decoder_that_hangs_is_ended(source: Path, tmp_path: Path) -> None:
    bad = hanging(tmp_path, "-f rawvideo -fps_mode passthrough")
    with pytest.raises((InputError, FfmpegError), match="no progress for 2 s"):
        run(job(source, tmp_path / "out.mp4", ffmpeg=bad))


@pytest.mark.usefixtures("little_patience")
@pytest.mark.skipif(sys.platform == "win32", reason="a shell script")
def test_a_hung_ffmpeg_behind_a_wrapper_is_ended_with_it(source: Path, tmp_path: Path) -> None:
    wrapper = tmp_path / "ffmpeg"
    real = find_ffmpeg().path
    wrapper.write_text(f'#!/bin/sh\ncase "$*" in *"-f nut"*) sleep 100;; esac\n"{real}" "$@"\n')
    wrapper.chmod(0o755)
    begun = time.monotonic()
    with pytest.raises(FfmpegError, match="no progress for 2 s"):
        run(job(source, tmp_path / "out.mp4", ffmpeg=str(wrapper)))
    assert time.monotonic() - begun < 30


@pytest.mark.usefixtures("little_patience")
def test_a_network_that_is_slow_is_no_hanging_ffmpeg(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Slow(Silent):
        slept = False

        def note(self, text: str) -> None:
            pass

        def advance(self) -> None:  # in the encoder's thread: the encoder waits for us, not we for it
            if not self.slept:
                self.slept = True
                time.sleep(4)

    run(job(source, tmp_path / "out.mp4"), progress=Slow())


def test_a_segment_of_too_few_frames_is_not_taken_for_done(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("interp_cli.job.segments.count_frames", lambda path, **how: 7)
    with pytest.raises(FfmpegError, match="7 frames of segment 0 and not 24"):
        run(job(source, tmp_path / "out.mp4"))
    assert not list(tmp_path.iterdir())


def test_a_failed_join_goes_on_from_the_segments(
    source: Path, tmp_path: Path, networks: Networks, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, out = tmp_path / "whole.mp4", tmp_path / "out.mp4"
    run(job(source, whole))

    def failing(*arguments: Any, **named: Any) -> None:
        mux(*arguments, **named)
        raise VfiError("no")

    with monkeypatch.context() as patched:
        patched.setattr(room, "mux", failing)
        with pytest.raises(VfiError, match=f"{SEGMENTS} of {SEGMENTS} segments"):
            run(job(source, out))
    run(job(source, out))
    assert out.read_bytes() == whole.read_bytes()
    assert networks.made[-1].asked == []


def test_the_command_line_goes_on_with_the_directory_that_it_named(
    source: Path, tmp_path: Path, weights: Path, folder: Path
) -> None:
    """In processes of their own, with Ctrl-C as a terminal sends it."""
    long = small_clips.clip(folder / "long.mp4", rate="4", seconds="13")
    whole, out = tmp_path / "whole.mp4", tmp_path / "out.mp4"
    command = [sys.executable, "-m", "interp_cli", "upsample", str(long), "--fps", "8", "--preset", "ultrafast"]
    environment = {**os.environ, "VFI_WEIGHTS": str(weights)}
    subprocess.run([*command, "-o", whole], check=True, capture_output=True, env=environment)
    child = subprocess.Popen(
        [*command, "-o", out, "--progress", "json"], stderr=subprocess.PIPE, env=environment, text=True
    )
    assert child.stderr is not None
    seen: list[str] = []
    while not (place_of(out) / "segment-00000.nut").exists() and child.poll() is None:
        time.sleep(0.005)
    child.send_signal(signal.SIGINT)
    seen += child.stderr.read().splitlines()
    child.stderr.close()
    assert child.wait(60) == -signal.SIGINT
    assert f"vfi resume {place_of(out)}" in seen[-1]
    again = [sys.executable, "-m", "interp_cli", "resume", str(place_of(out)), "--json"]
    done = subprocess.run(again, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["output"] == str(out)
    assert "going on after" in done.stderr
    assert out.read_bytes() == whole.read_bytes()
    assert sorted(tmp_path.iterdir()) == [out, whole]


def test_resume_of_something_else_is_one_sentence(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "interp_cli", "resume", str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 4
    assert len(done.stderr.splitlines()) == 1 and "not the work directory" in done.stderr

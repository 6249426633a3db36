"""vfi bench: turns, rates and ratios are what they say; the bottleneck is named; nothing is left behind."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from contextlib import AbstractContextManager
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import small_clips
from fakes import LinearBlend

import interp_cli
from interp_cli.cli.convert import upsample
from interp_cli.cli.entry import run
from interp_cli.cli.grammar import Session
from interp_cli.cli.shared import encode_of, engine_of
from interp_cli.engine.interpolate import Interpolator
from interp_cli.errors import ExitCode, VfiError
from interp_cli.job.stop import Stop
from interp_cli.media.children import answer
from interp_cli.media.ffmpeg import Ffmpeg
from interp_cli.options import Codec, EncodeOptions, EngineOptions, InputLimits, Mode, Precision, Scale, Tta
from interp_cli.speed import stages
from interp_cli.speed.material import Asked, Material, default_clip, look_at, material
from interp_cli.speed.memory import peak_memory
from interp_cli.speed.timing import Spread, Stage, Timing, alternate, timed, times_as_fast
from interp_cli.speed.verdict import Balance, Need, Verdict
from interp_cli.weights import find

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """25 frames in one second, 64x48, with sound: a pattern that moves by 3 px a frame, so that none is a repeat."""
    path = tmp_path_factory.mktemp("speed") / "clip.mp4"
    moving = "nullsrc=size=64x48:rate=25:duration=1,geq=lum='128+60*sin((X+3*N)/6)+50*sin(Y/5)':cb=128:cr=128"
    sound = ("-f", "lavfi", "-i", "sine=duration=1", "-c:a", "aac")
    small_clips.ffmpeg("-f", "lavfi", "-i", moving, *sound, "-c:v", "libx264", "-pix_fmt", "yuv420p", path)
    return path


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, weights: Path) -> None:
    """No settings of this machine, small weights, and temporary files of this test alone."""
    for name in [name for name in os.environ if name.startswith("VFI_") and name != "VFI_FFMPEG"]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "no-config"))
    monkeypatch.setenv("VFI_WEIGHTS", str(weights))
    (tmp_path / "temporary").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    monkeypatch.setattr(tempfile, "tempdir", None)


def asked(clip: Path, ffmpeg: Ffmpeg, *, seconds: Fraction = Fraction(1), factor: int = 2, **more: object) -> Asked:
    settings = {"engine": EngineOptions(), "encode": EncodeOptions(), "limits": InputLimits(), **more}
    return Asked(clip=str(clip), seconds=seconds, factor=Fraction(factor), ffmpeg=ffmpeg, **settings)  # type: ignore[arg-type]


def held(wanted: Asked, lines: int) -> AbstractContextManager[Material]:
    return material(wanted, look_at(wanted), lines=lines, stop=Stop())


# ---- timing


def stage(name: str, frames: int = 1, work: object = None) -> Stage:
    return Stage(name=name, frames=frames, counts="made", run=work or (lambda: None))  # type: ignore[arg-type]


def test_stages_are_run_in_turns_and_every_timing_is_told() -> None:
    calls, told = [], []
    todo = [stage(name, work=lambda name=name: calls.append(name)) for name in ("a", "b")]
    timings = alternate(todo, 3, after=lambda seen, timing: told.append((seen.name, timing)))
    assert calls == ["a", "b"] * 3
    assert {name: len(row) for name, row in timings.items()} == {"a": 3, "b": 3}
    assert told == [(name, timings[name][n]) for n in range(3) for name in ("a", "b")]


def test_a_ratio_compares_frames_per_second_within_each_run() -> None:
    ours = [Timing(seconds=s, processor_seconds=0) for s in (1.0, 4.0, 2.0)]  # 100 frames
    theirs = [Timing(seconds=s, processor_seconds=0) for s in (1.0, 3.0, 1.0)]  # 50 frames
    ratio = times_as_fast(stage("ours", 100), ours, stage("theirs", 50), theirs)
    assert ratio == Spread(median=1.5, lowest=1.0, highest=2.0)


def test_processor_time_is_that_of_ended_children_too_and_not_of_waiting() -> None:
    burn = "import time\nwhile time.process_time() < 0.5: pass"
    assert timed(stage("burn", work=lambda: answer([sys.executable, "-c", burn]) and None)).processor_seconds > 0.45
    asleep = timed(stage("sleep", work=lambda: answer(["sleep", "0.5"]) and None))
    assert asleep.seconds > 0.5
    assert asleep.processor_seconds < 0.25


@pytest.mark.skipif(sys.platform != "linux", reason="memory is looked up in /proc")
def test_memory_at_its_height_is_that_of_a_process_and_of_what_it_started() -> None:
    hold = "import time; held = bytearray(80_000_000); time.sleep(0.5); del held; time.sleep(0.2)"
    code = f"import subprocess, sys; held = bytearray(50_000_000); subprocess.run([sys.executable, '-c', '{hold}'])"
    with subprocess.Popen([sys.executable, "-c", code]) as child, peak_memory(child.pid) as peak:
        child.wait()
    assert 130_000_000 < peak.bytes < 190_000_000


# ---- what timings mean


def balance(decode: float, engine: float, encode: float, *, busy: int = 1, processors: int = 2) -> Balance:
    """Parts that keep `busy` processors busy for so many seconds."""
    seconds = {"decode": decode, "engine": engine, "encode": encode}
    needs = {name: Need(seconds=s, processor_seconds=busy * s) for name, s in seconds.items()}
    return Balance(needs=needs, processors=processors, seconds=12.0)


def test_the_part_that_takes_longest_alone_is_the_bottleneck_while_processors_are_to_spare() -> None:
    slow = balance(1, 2, 8, processors=8)
    assert (slow.bottleneck, slow.least) == ("encode", 8)
    first, second = slow.lines()
    assert first == "bottleneck: encode, which alone takes 8.00 s (decode 1.00 s and engine 2.00 s)"
    assert second == "side by side: 12.00 s, 1.50 times the least that is possible"


def test_where_all_parts_want_the_same_processors_the_one_with_most_work_is_the_bottleneck() -> None:
    full = balance(1, 5, 2, busy=2)
    assert (full.bottleneck, full.least) == ("engine", 8)
    first, second = full.lines()
    assert first == "bottleneck: engine, with 62% of the work; all parts together keep 2 processors busy for 8.00 s"
    assert full.facts()["waits_for"] == "processors"
    assert "1.50 times" in second


def test_parts_are_reckoned_for_as_many_frames_as_the_whole_clip_has() -> None:
    todo = [stage(name, frames) for name, frames in zip(NAMES, (50, 10, 10, 20, 100, 100), strict=True)]
    timings = {name: [Timing(seconds=2.0, processor_seconds=3.0)] for name in NAMES}
    whole = {"working_seconds": 15.0, "made": 50, "peak_bytes": 1e9}
    timings["vfi upsample"] = [Timing(seconds=18.0, processor_seconds=30.0, facts=whole)]
    verdict = Verdict(stages=todo, timings=timings, processors=64)
    needs = {name: need.seconds for name, need in verdict.balance.needs.items()}
    assert needs == {"decode": 2.0, "engine": 10.0, "encode": 10.0}
    assert verdict.balance.needs["encode"].processor_seconds == 15.0
    assert verdict.start_up == 3.0
    assert verdict.facts()["peak_bytes"] == 1_000_000_000
    assert verdict.facts()["gpu_peak_bytes"] is None
    (mine,) = [row for row in verdict.facts()["times_as_fast"] if row["this"] == "vfi upsample"]
    assert (mine["than"], mine["median"]) == ("minterpolate", pytest.approx(2 / 18))


NAMES = ("decode", "engine", "frame by frame", "encode", "vfi upsample", "minterpolate")


# ---- what is measured on


def test_the_clip_is_scaled_and_repeated_to_the_asked_size_and_length(clip: Path, ffmpeg: Ffmpeg) -> None:
    with held(asked(clip, ffmpeg, seconds=Fraction(2)), 36) as ready:
        with av.open(ready.clip) as container:
            stream = container.streams.video[0]
            frames = [frame.to_ndarray(format="gray") for frame in container.decode(stream)]
            assert (len(frames), frames[0].shape, len(container.streams)) == (50, (36, 48), 1)
        assert np.abs(frames[30].astype(int) - frames[5]).mean() < 2  # the second time round
        assert len(ready.frames) == 50
        folder = ready.folder
    assert not folder.exists()


def test_no_more_frames_are_held_than_fit_into_memory(
    clip: Path, wheel: Ffmpeg, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = 64 * 48 * 3 // 2  # bytes
    monkeypatch.setattr("interp_cli.speed.material.HELD_BYTES", 20 * frame)
    with held(asked(clip, wheel), 48) as ready:
        assert len(ready.frames) == 10  # and as many between them
        assert [target.left for target in ready.targets] == [left for left in range(9) for _ in range(2)]


def test_the_engine_gives_the_frames_between_those_that_are_held(
    clip: Path, wheel: Ffmpeg, monkeypatch: pytest.MonkeyPatch
) -> None:
    def make(options: EngineOptions, **_: object) -> tuple[Interpolator, object, str]:
        return Interpolator(LinearBlend(), options=options), find("fast"), "cpu"

    monkeypatch.setattr("interp_cli.job.network.make_interpolator", make)
    with held(asked(clip, wheel), 48) as ready:
        engine = stages.Engine(ready, EngineOptions(), note=print, stop=Stop())
        out, made = engine.frames()
        assert (len(out), made) == (48, 24)
        for source, copy in zip(ready.frames, out[::2], strict=False):
            assert all(np.array_equal(a, b) for a, b in zip(source.data, copy.data, strict=True))
        assert engine.frames(3)[1] == 2


# ---- the command of the whole


def test_vfi_is_called_with_every_setting_of_the_measurement(clip: Path, wheel: Ffmpeg, tmp_path: Path) -> None:
    engine = EngineOptions(
        device="cpu", precision=Precision.FP32, batch=3, threads=2, mode=Mode.DIRECT, tta=Tta.FLIP, scale=Scale.HALF
    )
    encode = EncodeOptions(
        codec=Codec.HEVC, crf=20.5, preset="fast", pix_fmt="yuv420p10le", ffmpeg_args=(("tune", "grain"),)
    )
    with held(asked(clip, wheel, engine=engine, encode=encode, factor=3), 48) as ready:
        settings = tmp_path / "settings.toml"
        settings.touch()
        argv = stages.command(ready, settings)
    assert argv[:4] == [sys.executable, "-m", "interp_cli", "upsample"]
    read = upsample.make_context("vfi upsample", argv[4:]).params
    assert (engine_of(read), encode_of(read)) == (engine, encode)
    assert (read["inputs"], read["output"], read["factor"]) == ((ready.clip,), str(ready.work.output), 3)
    assert read["ffmpeg"] == wheel.path


def test_how_vfi_failed_is_how_the_measurement_fails(clip: Path, wheel: Ffmpeg, tmp_path: Path) -> None:
    wrong = tmp_path / "settings.toml"
    wrong.write_text("nonsense = 1\n", encoding="utf-8")
    with held(asked(clip, wheel), 48) as ready, pytest.raises(VfiError, match=r"code 2: .*nonsense") as caught:
        stages._whole(ready, wrong)
    assert caught.value.exit_code is ExitCode.USAGE


# ---- the command


def vfi_bench(*arguments: str | Path) -> int:
    return run(["bench", *map(str, arguments)], Session())


def test_bench_tells_rates_ratios_bottleneck_and_memory(
    clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert vfi_bench(clip, "--size", "48p", "--seconds", "1", "--runs", "1", "--json") == 0
    said = capsys.readouterr()
    told = json.loads(said.out)
    checkout = Path(interp_cli.__file__).parents[1]
    if (checkout / ".git").exists():
        commit = subprocess.run(
            ["git", "-C", checkout, "rev-parse", "HEAD"], capture_output=True, text=True, check=True
        )
        assert told["commit"].removesuffix(" with local changes") == commit.stdout.strip()
    else:
        assert told["commit"] is None
    assert told["machine"]["cores"] >= 1 and told["ffmpeg"].startswith("ffmpeg version")
    assert told["clip"] == "clip.mp4" and told["settings"]["runs"] == 1
    (size,) = told["sizes"]
    assert (size["width"], size["height"], size["source_frames"], size["rate"]) == (64, 48, 25, "50/1")
    assert {name: (row["counts"], row["frames"]) for name, row in size["stages"].items()} == {
        "decode": ("source", 25),
        "engine": ("made", 24),
        "frame by frame": ("made", 24),
        "encode": ("output", 48),
        "vfi upsample": ("output", 50),
        "minterpolate": ("output", 50),
    }
    (whole,) = size["stages"]["vfi upsample"]["runs"]
    assert whole["facts"]["made"] == 24
    assert 0 < whole["facts"]["working_seconds"] < whole["seconds"]
    assert size["start_up_seconds"] == pytest.approx(whole["seconds"] - whole["facts"]["working_seconds"])
    (rival,) = size["stages"]["minterpolate"]["runs"]
    assert size["times_as_fast"][1]["median"] == pytest.approx(rival["seconds"] / whole["seconds"])
    assert size["balance"]["bottleneck"] in ("decode", "engine", "encode")
    if sys.platform == "linux":
        assert size["peak_bytes"] > 100_000_000  # torch alone takes more
    assert "48p: minterpolate took" in said.err
    assert list((tmp_path / "temporary").iterdir()) == []


BAD = {  # (arguments, exit code, part of the sentence)
    "no such file": ("none.mp4", ExitCode.INPUT, "does not exist"),
    "a row of pictures": ("{folder}", ExitCode.INPUT, "row of pictures"),
    "a clip that stands still": ("{still}", ExitCode.INPUT, "moves"),
    "one frame": ("{clip} --seconds 0.03", ExitCode.INPUT, "--seconds"),
    "no clip, and no checkout": ("", ExitCode.USAGE, "vfi bench holiday.mp4"),
    "a size in words": ("{clip} --size large", ExitCode.USAGE, "480p"),
    "an odd size": ("{clip} --size 480p,481p", ExitCode.USAGE, "481p"),
    "a factor of one": ("{clip} --factor 1", ExitCode.USAGE, "above 1"),
    "no run": ("{clip} --runs 0", ExitCode.USAGE, "--runs"),
    "a device that is not there": ("{clip} --device cuda:99", ExitCode.DEVICE, "cuda:99"),
    "weights that are not there": ("{clip} -m none", ExitCode.WEIGHTS, "none"),
    "an ffmpeg that is not there": ("{clip} --ffmpeg none", ExitCode.MISSING_TOOL, "none"),
    "a codec with another's format": ("{clip} --codec ffv1 --crf 20", ExitCode.USAGE, "crf"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_measured_is_said_in_one_sentence(
    case: str, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments, code, part = BAD[case]
    monkeypatch.chdir(tmp_path)
    places = {"clip": clip, "folder": tmp_path / "pictures", "still": tmp_path / "still.mp4"}
    if "{folder}" in arguments:
        places["folder"].mkdir()
        small_clips.ffmpeg("-i", clip, "-frames:v", "3", places["folder"] / "%d.png")
    if "{still}" in arguments:
        small_clips.ffmpeg("-f", "lavfi", "-i", "color=gray:size=64x48:rate=25:duration=1", places["still"])
    words = [word.format(**places) for word in arguments.split()]
    assert vfi_bench(*words, *([] if "--size" in words else ["--size", "48p"]), "-q") == code
    said = capsys.readouterr()
    assert said.out == "" and len(said.err.splitlines()) == 1 and part in said.err, said.err
    assert list((tmp_path / "temporary").iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="Unix signals")
def test_ctrl_c_while_vfi_is_timed_leaves_nothing_behind(clip: Path, tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "interp_cli", "bench", str(clip), "--size", "48p", "--seconds", "1", "--runs", "50"]
    with subprocess.Popen(argv, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as child:
        assert child.stderr is not None
        for line in child.stderr:
            if "encode took" in line:  # vfi upsample is next
                break
        child.send_signal(signal.SIGINT)
        rest = child.stderr.read()
        assert child.wait(timeout=60) == -signal.SIGINT
    assert rest.splitlines() == ["vfi: interrupted by SIGINT"]
    assert list((tmp_path / "temporary").iterdir()) == []


def test_without_a_clip_the_example_of_the_checkout_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert Path(default_clip()).samefile(ROOT / "examples" / "clip.mp4")

"""The example clip shows what it claims to, and the batch script keeps its promises with a stand-in for vfi."""

import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
CLIP = EXAMPLES / "clip.mp4"
FLASHES = [15, 45, 75, 105]  # frames; the clicks come at 0.5, 1.5, 2.5 and 3.5 s
unix = pytest.mark.skipif(os.name == "nt", reason="shell scripts are for Unix")

FAKE_VFI = """#!/bin/sh
# a stand-in: notes its arguments, refuses what exists, fails on names that say so
printf '%s\\n' "$*" >> "$LOG"
case "$2" in *broken*) exit 3 ;; *interrupt*) exit 130 ;; *unwritable*) exit 4 ;; esac
[ -e "$4" ] && exit 4
echo made > "$4"
"""


def run_batch(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    programs = folder / "bin"
    programs.mkdir(exist_ok=True)
    (programs / "vfi").write_text(FAKE_VFI)
    (programs / "vfi").chmod(0o755)
    environment = {**os.environ, "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}", "LOG": str(folder / "log")}
    argv = ["bash", str(EXAMPLES / "batch.sh"), *arguments]
    return subprocess.run(argv, capture_output=True, text=True, env=environment, cwd=folder, check=False)


def put(folder: Path, *names: str) -> Path:
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).touch()
    return folder


@unix
def test_batch_does_every_video_whatever_its_name(tmp_path: Path) -> None:
    put(tmp_path / "in", "a b.mp4", "$(touch x).MOV", "quote'\".mkv", "-n.mp4", "old.avi", "notes.txt")
    done = run_batch(tmp_path, "in", "out dir", "--device", "cpu")
    assert done.returncode == 0, done.stderr
    results = sorted(p.name for p in (tmp_path / "out dir").iterdir())
    assert results == sorted(["a b.mp4", "$(touch x).MOV", "quote'\".mkv", "-n.mp4", "old.avi.mkv"])
    assert "5 made, 0 already there, 0 failed" in done.stderr
    assert "upsample in/a b.mp4 -o out dir/a b.mp4 --fps 60 -n --device cpu" in (tmp_path / "log").read_text()


@unix
def test_batch_run_again_leaves_results_alone(tmp_path: Path) -> None:
    put(tmp_path / "in", "a.mp4", "b.mp4")
    run_batch(tmp_path, "in", "out")
    (tmp_path / "out" / "a.mp4").write_text("mine")
    (tmp_path / "out" / "b.mp4").unlink()
    done = run_batch(tmp_path, "in", "out")
    assert (done.returncode, (tmp_path / "out" / "a.mp4").read_text()) == (0, "mine")
    assert "1 made, 1 already there, 0 failed, of 2" in done.stderr


@unix
def test_batch_goes_on_after_a_failure_and_says_so_at_the_end(tmp_path: Path) -> None:
    put(tmp_path / "in", "a.mp4", "broken.mp4", "unwritable.mp4", "z.mp4")
    done = run_batch(tmp_path, "in", "out")
    assert done.returncode == 1
    assert (tmp_path / "out" / "z.mp4").exists()
    assert "2 made, 0 already there, 2 failed, of 4" in done.stderr
    assert "failed: in/broken.mp4 (vfi ended with code 3)" in done.stderr
    assert "failed: in/unwritable.mp4 (vfi ended with code 4)" in done.stderr


@unix
def test_batch_stops_when_it_is_interrupted(tmp_path: Path) -> None:
    put(tmp_path / "in", "interrupt.mp4", "z.mp4")
    done = run_batch(tmp_path, "in", "out")
    assert done.returncode == 130
    assert not (tmp_path / "out" / "z.mp4").exists()


@unix
def test_batch_refuses_calls_that_cannot_be_meant(tmp_path: Path) -> None:
    put(tmp_path / "in", "a.mp4")
    put(tmp_path / "empty")
    codes = [
        run_batch(tmp_path, *call).returncode for call in (["in"], ["none", "out"], ["in", "in"], ["empty", "out"])
    ]
    assert codes == [2, 2, 2, 3]
    assert not (tmp_path / "log").exists()


def test_the_clip_is_small_and_tagged_and_four_seconds_long() -> None:
    assert CLIP.stat().st_size < 1_000_000
    with av.open(str(CLIP)) as file:
        video = file.streams.video[0]
        assert (video.width, video.height, video.average_rate, video.frames) == (640, 360, 30, 120)
        assert (video.codec_context.name, video.pix_fmt) == ("h264", "yuv420p")
        color = video.codec_context
        assert (color.colorspace, color.color_primaries, color.color_trc, color.color_range) == (1, 1, 1, 1)
        assert file.streams.audio[0].codec_context.name == "aac"


def test_every_click_comes_with_a_flash() -> None:
    with av.open(str(CLIP)) as file:
        lamp = np.array([frame.to_ndarray()[31:41, 599:609].mean() for frame in file.decode(video=0)])
    lit = lamp > 150
    assert list(np.flatnonzero(lit)) == [first + n for first in FLASHES for n in range(3)]
    with av.open(str(CLIP)) as file:
        rate = file.streams.audio[0].rate
        sound = np.concatenate([frame.to_ndarray()[0] for frame in file.decode(audio=0)])
    for flash in FLASHES:
        middle = int((flash / 30) * rate)
        second = np.abs(sound[middle - rate // 4 : middle + rate // 4])
        assert abs(int(second.argmax()) - rate // 4) < 0.002 * rate


def test_the_clip_is_what_the_script_beside_it_draws() -> None:
    code = "import make_clip, sys; sys.stdout.buffer.write(make_clip.Scene().frame(70).tobytes())"
    beside = {**os.environ, "PYTHONSAFEPATH": ""}
    child = subprocess.run([sys.executable, "-c", code], cwd=EXAMPLES, env=beside, capture_output=True, check=True)
    drawn = np.frombuffer(child.stdout, np.uint8).reshape(360, 640, 3).astype(float)
    with av.open(str(CLIP)) as file:
        stored = [frame.to_ndarray(format="bgr24") for _, frame in zip(range(71), file.decode(video=0), strict=False)][
            70
        ]
    assert 10 * np.log10(255**2 / np.mean((drawn - stored) ** 2)) > 32  # dB


def test_the_api_example_gives_back_its_pictures_and_makes_those_between(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    import api
    from fakes import LinearBlend

    pictures = api.first_pictures(CLIP, 3)
    made = list(api.interpolated(pictures, LinearBlend(), source=Fraction(30), rate=Fraction(60)))
    assert len(made) == 6
    for n, picture in enumerate(pictures):
        assert np.array_equal(made[2 * n], picture)
    middle = (pictures[0].astype(float) + pictures[1]) / 2
    assert np.abs(made[1] - middle).max() <= 1

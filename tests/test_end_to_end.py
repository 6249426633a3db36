"""The command as a person runs it: clips in, files out, signals, batches, stills. The weights are random.

A process of its own spends two seconds on importing torch, so only what needs one has one.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import small_clips

from interp_cli.cli.entry import run
from interp_cli.cli.grammar import Session

VFI = [sys.executable, "-m", "interp_cli"]


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("media")
    small_clips.clip(folder / "clip.mp4", rate="30", seconds="0.5")
    small_clips.clip(folder / "long.mp4", rate="30", seconds="20", size="320x180")
    small_clips.weights(folder / "weights")
    return folder


@pytest.fixture(scope="module")
def environment(media: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("VFI_") or name == "VFI_FFMPEG"}
    return {
        **kept,
        "VFI_WEIGHTS": str(media / "weights"),
        "XDG_CONFIG_HOME": str(media / "none"),
        "OMP_NUM_THREADS": "1",
    }


def vfi(environment: dict[str, str], *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [*VFI, *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def vfi_here(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Command:
    """The same without a process of its own; what ffmpeg or torch would print is captured too."""
    for name in {name for name in os.environ if name.startswith("VFI_")} - set(environment):
        monkeypatch.delenv(name)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    def call(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        capfd.readouterr()
        code = run([str(argument) for argument in arguments], Session())
        out, err = capfd.readouterr()
        return subprocess.CompletedProcess(arguments, code, out, err)

    return call


def test_a_clip_becomes_a_file_with_more_frames_and_its_sound(
    media: Path, tmp_path: Path, environment: dict[str, str]
) -> None:
    source = tmp_path / "clip with spaces: ü.mp4"
    source.write_bytes((media / "clip.mp4").read_bytes())
    own = {name: value for name, value in environment.items() if name != "VFI_FFMPEG"}  # the ffmpeg that vfi finds
    done = vfi(own, "upsample", source, "--fps", "60", "--json", "--progress", "json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    out = tmp_path / "clip with spaces: ü_60fps.mp4"
    assert result["output"] == str(out)
    assert (result["frames"], result["rate"], result["source_rate"]) == (30, "60/1", "30/1")
    assert len(small_clips.frame_sums(out)) == 30
    assert small_clips.packet_sum(out, "a") == small_clips.packet_sum(source, "a")
    events = [json.loads(line)["event"] for line in done.stderr.splitlines()]
    assert events[0] == "start"
    assert "end" in events
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([source.name, out.name])


def test_quiet_is_quiet_and_a_pipe_gets_no_bar(media: Path, tmp_path: Path, vfi_here: Command) -> None:
    done = vfi_here("upsample", media / "clip.mp4", "--factor", "2", "-o", tmp_path / "out.mp4", "-q")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    again = vfi_here("upsample", media / "clip.mp4", "--factor", "2", "-o", tmp_path / "out.mp4", "-y")
    assert again.returncode == 0
    assert again.stdout == ""
    assert "\r" not in again.stderr
    assert "30 frames at 60 fps" in again.stderr.splitlines()[-1]


def test_a_batch_does_every_file_and_ends_with_the_first_failures_code(
    media: Path, tmp_path: Path, vfi_here: Command
) -> None:
    first, second = tmp_path / "a.mp4", tmp_path / "b.mkv"
    first.write_bytes((media / "clip.mp4").read_bytes())
    small_clips.clip(second, rate="30", seconds="0.3")
    broken = tmp_path / "broken.mp4"
    broken.write_text("not a video")
    (tmp_path / "to").mkdir()
    done = vfi_here("upsample", first, broken, second, "--fps", "60", "-o", f"{tmp_path / 'to'}/", "--json")
    assert done.returncode == 3
    results = json.loads(done.stdout)["results"]
    assert [result.get("exit_code", 0) for result in results] == [0, 3, 0]
    assert sorted(path.name for path in (tmp_path / "to").iterdir()) == ["a_60fps.mp4", "b_60fps.mkv"]
    assert done.stderr.splitlines()[-1].startswith("vfi: 2 done, 1 failed")


@pytest.mark.skipif(os.name == "nt", reason="Unix signals")
@pytest.mark.parametrize(
    ("signum", "code"),
    [  # test_resume.py sends SIGINT in every run
        pytest.param(signal.SIGINT, -signal.SIGINT, marks=pytest.mark.slow),
        (signal.SIGTERM, 143),
        (signal.SIGHUP, 129),
    ],
)
def test_a_signal_in_mid_job_leaves_no_file_and_no_child(
    signum: signal.Signals, code: int, media: Path, tmp_path: Path, environment: dict[str, str]
) -> None:
    arguments = ["upsample", str(media / "long.mp4"), "--fps", "60", "-o", str(tmp_path / "out.mp4")]
    command = [*VFI, *arguments, "--progress", "json"]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as running:
        assert running.stderr is not None
        for line in running.stderr:
            if json.loads(line)["event"] == "frames":
                break
        children = children_of(running.pid)
        assert children, "ffmpeg runs while frames are made"
        assert list(tmp_path.iterdir()), "the work directory is there"
        running.send_signal(signum)
        rest = running.stderr.read()
        assert running.wait(30) == code
    assert f"interrupted by {signum.name}; nothing of it is kept" in rest
    assert "Traceback" not in rest
    assert not list(tmp_path.iterdir())
    deadline = time.monotonic() + 5
    while any(alive(pid) for pid in children) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(alive(pid) for pid in children)


@pytest.mark.skipif(sys.platform != "linux", reason="looks for children in /proc")
def test_a_second_signal_ends_at_once_and_still_leaves_nothing(
    media: Path, tmp_path: Path, environment: dict[str, str]
) -> None:
    arguments = ["upsample", str(media / "long.mp4"), "--fps", "60", "-o", str(tmp_path / "out.mp4")]
    command = [*VFI, *arguments, "--progress", "json"]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as running:
        assert running.stderr is not None
        for line in running.stderr:
            if json.loads(line)["event"] == "frames":
                break
        children = children_of(running.pid)
        running.send_signal(signal.SIGINT)
        running.send_signal(signal.SIGTERM)
        assert running.wait(30) in (-signal.SIGINT, 143)
    deadline = time.monotonic() + 5
    while any(alive(pid) for pid in children) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(alive(pid) for pid in children)
    assert not list(tmp_path.iterdir())


def children_of(pid: int) -> list[int]:
    if sys.platform != "linux":
        return [0]
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        found += [int(child) for child in (task / "children").read_text().split()]
    return found


def alive(pid: int) -> bool:
    """Whether a process runs; one that ended and was not yet collected does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize(("suffix", "depth"), [(".png", np.uint8), (".tiff", np.uint16)])
def test_stills_between_two_pictures(suffix: str, depth: type[np.generic], tmp_path: Path, vfi_here: Command) -> None:
    top = np.iinfo(depth).max  # type: ignore[type-var]
    for name, value in (("a", 0.2), ("b", 0.4)):
        cv2.imwrite(str(tmp_path / f"{name}{suffix}"), np.full((40, 50, 3), value * top, depth))
    done = vfi_here(
        "frames", tmp_path / f"a{suffix}", tmp_path / f"b{suffix}", "-n", "3", "-o",
        tmp_path / f"f_%02d{suffix}", "--json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)["frames"]
    assert [row["time"] for row in rows] == ["1/4", "1/2", "3/4"]
    for row in rows:
        picture = cv2.imread(row["output"], cv2.IMREAD_UNCHANGED)
        assert picture is not None
        assert (picture.shape, picture.dtype) == ((40, 50, 3), depth)
        assert 0.19 < float(picture.mean()) / top < 0.41


def test_pictures_that_do_not_match_are_an_input_error(tmp_path: Path, vfi_here: Command) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((40, 50, 3), np.uint8))
    cv2.imwrite(str(tmp_path / "b.png"), np.zeros((40, 60, 3), np.uint8))
    cv2.imwrite(str(tmp_path / "c.png"), np.zeros((40, 50, 3), np.uint16))
    before = sorted(tmp_path.iterdir())
    for other, part in (("b.png", "60 x 40"), ("c.png", "16-bit")):
        done = vfi_here("frames", tmp_path / "a.png", tmp_path / other, "--time", "0.5")
        assert done.returncode == 3
        assert part in done.stderr
        assert len(done.stderr.splitlines()) == 1
    assert sorted(tmp_path.iterdir()) == before

"""Real runs of the command line, killed or starved at random moments, end in the same bytes. Slow: `pytest -m slow`."""

import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import small_clips

from interp_cli.job.workdir import place_of

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc"),
]

KILLS, KILLS_WHILE_JOINING, FULL_DISKS = 30, 10, 10


class Runs:
    """Runs of one job in processes of their own, and what an unbroken one gives."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "results"
        self.folder.mkdir()
        self.out = self.folder / "out.mp4"
        self.environment = {**os.environ, "VFI_WEIGHTS": str(small_clips.weights(folder / "weights"))}
        self.clip = small_clips.clip(folder / "clip.mp4", rate="25", seconds="22", size="96x64")
        begun = time.monotonic()
        self.to_the_end()
        self.seconds = time.monotonic() - begun
        self.expected = self.out.read_bytes()
        self.out.unlink()

    def start(self, *, limit: int | None = None) -> subprocess.Popen[str]:
        """One that writes no file larger than `limit` bytes."""

        def limited() -> None:
            if limit is not None:
                resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

        command = [sys.executable, "-m", "interp_cli", "upsample", str(self.clip), "--factor", "2", "-o", str(self.out)]
        return subprocess.Popen(
            [*command, "--preset", "ultrafast"],
            stderr=subprocess.PIPE,
            text=True,
            env=self.environment,
            preexec_fn=limited,
        )

    def to_the_end(self) -> None:
        """The same command, left alone."""
        child = self.start()
        _, said = child.communicate()
        assert child.returncode == 0, said

    def check_and_forget(self) -> None:
        """The result is what an unbroken run gives, and nothing else is there."""
        assert self.out.read_bytes() == self.expected
        assert list(self.folder.iterdir()) == [self.out]
        self.out.unlink()


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    return Runs(tmp_path_factory.mktemp("chaos"))


def at_work_in(folder: Path) -> list[str]:
    """The command lines of processes that know `folder`, by name or as their directory."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            line = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            inside = str(folder) in str((process / "cwd").readlink())
        except OSError:
            continue
        if (str(folder) in line or inside) and int(process.name) != os.getpid():
            found.append(line)
    return found


def no_one_is_left(folder: Path) -> bool:
    until = time.monotonic() + 10
    while at_work_in(folder):
        if time.monotonic() > until:
            return False
        time.sleep(0.05)
    return True


def killed(runs: Runs, moment: Callable[[subprocess.Popen[str]], None]) -> bool:
    """Whether a run was killed at `moment`, and had not ended before."""
    child = runs.start()
    moment(child)
    child.send_signal(signal.SIGKILL)
    child.communicate()
    assert no_one_is_left(runs.folder), at_work_in(runs.folder)
    return child.returncode == -signal.SIGKILL


def test_a_run_killed_at_any_moment_ends_with_the_same_bytes(runs: Runs) -> None:
    random.seed(6)
    done = kept = 0
    while done < KILLS:
        seconds = random.uniform(0, runs.seconds)
        if killed(runs, lambda child, seconds=seconds: time.sleep(seconds)):  # type: ignore[misc]
            done += 1
            kept += place_of(runs.out).exists()
        runs.out.unlink() if runs.out.exists() and not place_of(runs.out).exists() else None
        runs.to_the_end()
        runs.check_and_forget()
    assert kept > KILLS / 3  # most of them were killed when there was something to lose


def test_a_run_killed_while_it_joins_ends_with_the_same_bytes(runs: Runs) -> None:
    random.seed(7)
    listing = place_of(runs.out) / "segments.ffconcat"

    def while_joining(child: subprocess.Popen[str]) -> None:
        while child.poll() is None and not listing.exists():
            time.sleep(0.002)
        time.sleep(random.uniform(0, 0.25))

    done = 0
    while done < KILLS_WHILE_JOINING:
        done += killed(runs, while_joining)
        runs.to_the_end() if place_of(runs.out).exists() else None
        runs.check_and_forget()


def test_a_run_killed_again_and_again_still_ends(runs: Runs) -> None:
    random.seed(8)
    for _ in range(5):
        killed(runs, lambda _: time.sleep(random.uniform(runs.seconds / 3, runs.seconds / 1.5)))
        if runs.out.exists():
            break
    if not runs.out.exists() or place_of(runs.out).exists():
        runs.to_the_end()
    runs.check_and_forget()


@pytest.mark.parametrize("point", range(FULL_DISKS))
def test_a_full_disk_at_any_point_is_code_9_and_the_same_command_goes_on(runs: Runs, point: int) -> None:
    limit = round(len(runs.expected) * (point + 0.5) / FULL_DISKS)
    child = runs.start(limit=limit)
    _, said = child.communicate()
    assert child.returncode == 9, said
    assert "full" in said and len(said.strip().splitlines()) == 1
    assert no_one_is_left(runs.folder)
    assert [path.name for path in runs.folder.iterdir()] in ([], [place_of(runs.out).name])
    runs.to_the_end()
    runs.check_and_forget()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small disk")
@pytest.mark.parametrize("point", range(FULL_DISKS))
def test_a_small_disk_that_is_full_is_code_9_and_goes_on_when_it_has_grown(runs: Runs, point: int) -> None:
    kib = len(runs.expected) * (point + 1) * 2 // FULL_DISKS // 1024  # up to the space of segments and result together
    options = ["mount", "-t", "tmpfs", "-o"]
    if subprocess.run([*options, f"size={kib}k", "tmpfs", runs.folder], check=False).returncode:
        pytest.skip("this root may not mount")
    try:
        child = runs.start()
        _, said = child.communicate()
        if child.returncode:  # at the last point all fits
            assert child.returncode == 9 and "full" in said.splitlines()[-1] and "Traceback" not in said, said
            subprocess.run([*options, "remount,size=64m", runs.folder], check=True)
            runs.to_the_end()
        assert child.returncode or point == FULL_DISKS - 1
        runs.check_and_forget()
    finally:
        assert no_one_is_left(runs.folder)
        subprocess.run(["umount", runs.folder], check=True)


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("twice", [False, True], ids=["once", "twice"])
def test_a_signal_at_any_moment_leaves_no_process_and_the_job_goes_on(
    runs: Runs, signum: signal.Signals, twice: bool
) -> None:
    random.seed(f"{signum}{twice}")
    for _ in range(2):
        child = runs.start()
        time.sleep(random.uniform(1, runs.seconds))  # in the first moments Python itself is what is interrupted
        child.send_signal(signum)
        if twice:
            child.send_signal(signum)
        _, said = child.communicate()
        assert child.returncode in (0, -signum if signum is signal.SIGINT else 128 + signum), said
        assert "Traceback" not in said
        assert no_one_is_left(runs.folder)
        if child.returncode:
            runs.to_the_end()
        runs.check_and_forget()


def test_a_suspended_run_goes_on_when_it_is_woken(runs: Runs) -> None:
    child = runs.start()
    time.sleep(runs.seconds / 2)
    child.send_signal(signal.SIGSTOP)
    time.sleep(5)
    child.send_signal(signal.SIGCONT)
    _, said = child.communicate()
    assert child.returncode == 0, said
    runs.check_and_forget()


def test_an_ffmpeg_killed_from_outside_is_code_7_or_3_and_the_job_goes_on(runs: Runs) -> None:
    random.seed(9)
    for _ in range(4):
        child = runs.start()
        time.sleep(random.uniform(runs.seconds / 3, runs.seconds / 1.3))
        for children in Path(f"/proc/{child.pid}/task").glob("*/children"):
            for pid in children.read_text().split():
                os.kill(int(pid), signal.SIGKILL)
        _, said = child.communicate()
        assert child.returncode in (0, 3, 7), said
        assert "Traceback" not in said
        if child.returncode:
            runs.to_the_end()
        runs.check_and_forget()

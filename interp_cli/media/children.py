"""Child processes: start, feed, drain, watch and end them. Nothing else in vfi starts a process.

A child never outlives the `with` that opened it. If vfi itself is killed, its pipes close and that ends the child; one
that has no pipe to vfi is ended by the system.
"""

import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from interp_cli.errors import MissingToolError

PIPE_BYTES = 1 << 20  # Linux: a frame takes fewer system calls than through the default 64 KiB (see docs/design.md)
LINES_KEPT = 50
_UNWRITTEN = ("Error writing trailer", "Error closing file")  # after which ffmpeg 5.1 says that all went well


@dataclass(slots=True)
class _Log:
    commands: Callable[[str], None] | None = None
    lines: Callable[[str], None] | None = None


_log = _Log()


@dataclass(slots=True)
class _Patience:
    seconds: int | None = 300  # of waiting for a child that does nothing; None: for ever


_patience = _Patience()


def be_patient(seconds: int | None) -> None:
    """From now on, a child that keeps vfi waiting for so long without any progress is ended. None: never."""
    _patience.seconds = seconds


def log_children(*, commands: Callable[[str], None] | None = None, lines: Callable[[str], None] | None = None) -> None:
    """From now on, `commands` gets each command line, quoted for a shell, and `lines` each line of ffmpeg's stderr."""
    _log.commands, _log.lines = commands, lines


class Child:
    """A running ffmpeg. Its pipes are used through this class, which notices when nothing moves any more.

    `grows` is a file that it writes: while that changes, it is at work, though no pipe moves. `patience` (s) is how
    long it may do nothing; None: as `be_patient` says, and time to work before its first byte and after its last is
    granted. `tied`: it may not touch a pipe for long, so the system is to end it if vfi is killed.
    """

    def __init__(
        self,
        argv: list[str],
        *,
        feed: bool,
        cwd: Path | None,
        keep: int | None,
        grows: Path | None = None,
        patience: int | None = None,
        tied: bool = False,
    ) -> None:
        if _log.commands:
            _log.commands(shlex.join(argv))
        self._lines: deque[str] = deque(maxlen=keep)
        try:
            self._process = subprocess.Popen(
                _ending_with_us(argv) if tied else argv,
                stdin=subprocess.PIPE if feed else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd=cwd,
                env=_environment(),
                start_new_session=True,  # so that Ctrl-C reaches only vfi, which then ends its children in order
                creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),  # the same on Windows
            )
        except OSError as error:
            raise MissingToolError(f"{argv[0]} cannot be started ({error}): check --ffmpeg") from None
        self._grows, self._own_patience = grows, patience
        self._waiting, self._finishing, self._moved = False, False, 0
        self._stalled: int | None = None  # s: how long it had done nothing when it was ended for that
        self._gone = threading.Event()
        self._threads = [
            threading.Thread(target=self._keep_lines, name="ffmpeg-stderr", daemon=True),
            threading.Thread(target=self._watch, name="ffmpeg-watch", daemon=True),
        ]
        for thread in self._threads:
            thread.start()
        for pipe in (self._process.stdin, self._process.stdout):
            _enlarge(pipe)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def write(self, data: memoryview | bytes) -> None:
        """All of `data` to what it reads. Raises OSError when it has gone. Only if opened with feed=True."""
        assert self._process.stdin is not None
        with self._wait():
            self._process.stdin.write(data)

    def fill(self, view: memoryview) -> int:
        """Bytes of pipe:1 read into `view`: all that fit, unless the pipe has ended."""
        assert self._process.stdout is not None
        done = 0
        while done < len(view):
            with self._wait():
                count = self._process.stdout.readinto(view[done:])  # type: ignore[attr-defined]
            if not count:
                break
            done += count
        return done

    def read(self) -> bytes:
        """All the rest of pipe:1."""
        return b"".join(self.lines())

    def lines(self) -> Iterator[bytes]:
        """The lines of pipe:1, as they come."""
        assert self._process.stdout is not None
        while True:
            with self._wait():
                line = self._process.stdout.readline()
            if not line:
                return
            yield line

    def stop(self) -> None:
        """End it at once. May be called from another thread, which wakes one that waits for its pipes."""
        with suppress(OSError):
            if sys.platform != "win32" and self._process.poll() is None:
                os.killpg(self.pid, signal.SIGKILL)  # with whatever a wrapper around ffmpeg has started
            else:
                self._process.kill()

    def finish(self) -> tuple[int, tuple[str, ...]]:
        """Close its input, wait for its own end, and return (exit status, last lines of its stderr)."""
        self._finishing = True
        with self._wait():
            if self._process.stdin is not None:
                with suppress(OSError):  # it may have gone already; its status and last lines say why
                    self._process.stdin.close()
            self._process.wait()
        self._join()
        status, lines = self._process.returncode, tuple(self._lines)
        if self._stalled is not None:
            lines = (f"it had made no progress for {self._stalled} s and was ended (see --stall-timeout)", *lines)
        if not status and any(text in line for line in lines for text in _UNWRITTEN):
            status = 1
        return status, lines

    def end(self) -> None:
        """Make sure that it is gone and nothing of it is left open."""
        if self._process.poll() is None:
            self.stop()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()
        self._join()

    def _join(self) -> None:
        self._gone.set()
        for thread in self._threads:
            thread.join()

    @contextmanager
    def _wait(self) -> Iterator[None]:
        """In this block vfi waits for the child."""
        self._moved += 1
        self._waiting = True
        try:
            yield
        finally:
            self._waiting = False

    def _watch(self) -> None:
        """End the child when vfi has waited for it too long. Seconds are counted, so a suspended vfi counts none."""
        idle, seen = 0, self._state()
        while not self._gone.wait(1):
            now = self._state()
            idle = idle + 1 if self._waiting and now == seen else 0
            seen = now
            most = _patience.seconds if self._own_patience is None else self._own_patience
            if most is not None and idle >= most:
                self._stalled = idle
                self.stop()
                return

    def _state(self) -> tuple[int, ...]:
        """What changes while the child is of use: pipes move, its file grows, or it works where no pipe can move."""
        file = (0, 0)
        if self._grows is not None:
            with suppress(OSError):
                facts = self._grows.stat()
                file = (facts.st_size, facts.st_mtime_ns)
        apart = (self._moved < 2 or self._finishing) and self._own_patience is None
        return (self._moved, *file, _busy(self.pid) if apart else 0)

    def _keep_lines(self) -> None:
        assert self._process.stderr is not None
        with self._process.stderr as stderr:
            for raw in stderr:
                line = raw.decode(errors="replace").rstrip()
                self._lines.append(line)
                if _log.lines:
                    _log.lines(line)


def _busy(pid: int) -> int:
    """Processor time that a child has used, in clock ticks, so far as the system tells; else a clock that runs on."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])
    except (OSError, IndexError, ValueError):
        return time.monotonic_ns()


# The system ends such a child when vfi is killed. Others have pipes to vfi, whose closing ends them.
_END_WITH_US = """
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGKILL)
for name in (signal.SIGPIPE, signal.SIGXFSZ): signal.signal(name, signal.SIG_DFL)
if os.getppid() == int(sys.argv[1]): os.execv(sys.argv[2], sys.argv[2:])
"""


def _ending_with_us(argv: list[str]) -> list[str]:
    if sys.platform != "linux" or not sys.executable:
        return argv
    return [sys.executable, "-I", "-S", "-c", _END_WITH_US, str(os.getpid()), *argv]


_living: set[Child] = set()
_living_lock = threading.RLock()  # a signal handler may interrupt the thread that holds it


def stop_children() -> None:
    """End every child at once. Called from another thread (when a signal arrives), it wakes all that wait for one."""
    with _living_lock:
        running = list(_living)
    for each in running:
        each.stop()


@contextmanager
def started(
    argv: list[str],
    *,
    feed: bool = False,
    cwd: Path | None = None,
    keep: int | None = LINES_KEPT,
    grows: Path | None = None,
    patience: int | None = None,
    tied: bool = False,
) -> Iterator[Child]:
    """A running child that is gone when the block is left, in whatever way.

    `feed`: the caller writes its stdin. `keep`: how many of the last lines of its stderr are kept; None for all.
    `grows`, `patience` and `tied`: see `Child`.
    """
    running = Child(argv, feed=feed, cwd=cwd, keep=keep, grows=grows, patience=patience, tied=tied)
    try:
        with _living_lock:
            _living.add(running)
        yield running
    finally:
        running.end()
        with _living_lock:
            _living.discard(running)


def answer(argv: list[str]) -> str:
    """What a program that answers at once writes to its stdout. Raises OSError, also after a minute in vain."""
    try:
        done = subprocess.run(argv, capture_output=True, timeout=60, env=_environment(), check=False)
    except subprocess.TimeoutExpired as error:
        raise OSError(f"it did not answer within {error.timeout:.0f} s") from error
    return done.stdout.decode(errors="replace")


def _environment() -> dict[str, str]:
    """Ours, but with messages in English, no colour codes, and no report files."""
    quiet = {k: v for k, v in os.environ.items() if k not in ("FFREPORT", "AV_LOG_FORCE_COLOR")}
    return {**quiet, "LC_ALL": "C", "AV_LOG_FORCE_NOCOLOR": "1"}


def _enlarge(pipe: IO[bytes] | None) -> None:
    if sys.platform == "linux" and pipe is not None:
        import fcntl

        with suppress(OSError):  # over the user's quota: the default size works too
            fcntl.fcntl(pipe.fileno(), fcntl.F_SETPIPE_SZ, PIPE_BYTES)

"""Every way vfi ends, as exceptions that carry their exit code.

VfiError                    1  a result that is not as planned, which is a bug
├── UsageError              2  an option, or a combination of options, that cannot be meant
├── InputError              3  the input is missing, unreadable or unsupported
├── OutputError             4  the output exists, is not writable, or is the input itself
├── MissingToolError        5  ffmpeg or an optional package is missing or too old
├── WeightsError            6  weights missing, corrupt or of another network
├── FfmpegError             7  an ffmpeg child failed; carries its last lines
├── DeviceError             8  no such device, or too little memory even for one frame in tiles
├── StoppedError            9  stopped part-way (disk full, for example)
├── InterruptedBySignal   129 / 130 / 143
└── DownstreamClosed      141  the reader of our stdout went away

A message is one sentence for the person at the keyboard: what happened, to which file, what to type next.
"""

import signal
import unicodedata
from enum import IntEnum


class ExitCode(IntEnum):
    """The documented exit codes of the `vfi` command."""

    DONE = 0
    BUG = 1
    USAGE = 2
    INPUT = 3
    OUTPUT = 4
    MISSING_TOOL = 5
    WEIGHTS = 6
    FFMPEG = 7
    DEVICE = 8
    STOPPED = 9
    SIGHUP = 129
    SIGINT = 130
    DOWNSTREAM_CLOSED = 141
    SIGTERM = 143


def printable(text: str) -> str:
    """`text` on one line, with what a terminal would obey or cannot show written as \\n, \\x1b, \\u202e, ...

    A file's name and its tags may hold anything.
    """
    return text if text.isprintable() else "".join(map(_shown, text))


def _shown(character: str) -> str:
    if character in "\u200c\u200d" or unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Zl", "Zp"):
        return character
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # how Python keeps a byte of a name that is not UTF-8
        return f"\\x{code - 0xDC00:02x}"
    return character.encode("unicode_escape").decode()


class VfiError(Exception):
    """Base of every error that vfi raises on purpose."""

    exit_code: ExitCode = ExitCode.BUG

    def add(self, sentence: str) -> None:
        """Let the message end with `sentence`, such as how to go on."""
        self.args = (f"{self}; {sentence}",)


class UsageError(VfiError):
    """An option, or a combination of options, that cannot be meant."""

    exit_code = ExitCode.USAGE


class InputError(VfiError):
    """The input is missing, unreadable or unsupported."""

    exit_code = ExitCode.INPUT


class OutputError(VfiError):
    """The output exists, is not writable, or is the input itself."""

    exit_code = ExitCode.OUTPUT


class ExistsError(OutputError):
    """The result is there already, and is not to be replaced."""

    def __init__(self, text: str, output: object) -> None:
        super().__init__(text)
        self.output = str(output)


class MissingToolError(VfiError):
    """A needed program or optional package is missing or too old."""

    exit_code = ExitCode.MISSING_TOOL


class WeightsError(VfiError):
    """Weights are missing, corrupt or belong to another network."""

    exit_code = ExitCode.WEIGHTS


class FfmpegError(VfiError):
    """An ffmpeg child failed. `last_lines` holds the end of its stderr, `returncode` its exit status."""

    exit_code = ExitCode.FFMPEG

    def __init__(self, message: str, *, returncode: int | None = None, last_lines: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.returncode = returncode
        self.last_lines = last_lines


class DeviceError(VfiError):
    """No such device, or too little memory even for one frame in tiles."""

    exit_code = ExitCode.DEVICE


class StoppedError(VfiError):
    """The job stopped part-way for a reason outside it, such as a full disk; it can go on later."""

    exit_code = ExitCode.STOPPED


class InterruptedBySignal(VfiError):  # noqa: N818 - named for what happened
    """SIGINT, SIGTERM or SIGHUP ended the job."""

    def __init__(self, signum: int) -> None:
        super().__init__(f"interrupted by {signal.Signals(signum).name}")
        self.exit_code = ExitCode(128 + signum)


class DownstreamClosed(VfiError):  # noqa: N818 - named for what happened
    """The reader of our standard output went away."""

    exit_code = ExitCode.DOWNSTREAM_CLOSED

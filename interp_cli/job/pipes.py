"""Standard input and output as files: the whole of the one is stored first, the other gets the finished result.

vfi reads an input more than once, and a result appears whole or not at all, so what is piped takes room on the disk.
"""

from __future__ import annotations

import errno
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from interp_cli.errors import DownstreamClosed, InputError, OutputError, StoppedError, UsageError
from interp_cli.job.stop import Stop

STDIN, STDOUT = "standard input", "standard output"  # what the stored files are called in messages
_BLOCK: Final = 1 << 20  # bytes


@contextmanager
def spool_folder(stop: Stop, beside: Path | None = None) -> Iterator[Path]:
    """A folder of our own, in `beside` or where temporary files go; gone afterwards, in whatever way that comes."""
    try:
        with stop.deferred():
            made = Path(tempfile.mkdtemp(prefix=".vfi-pipe-", dir=beside)).absolute()
    except OSError as error:
        raise OutputError(f"no folder for piped data can be made ({error.strerror}): set TMPDIR to another") from error

    def remove() -> None:
        shutil.rmtree(made, ignore_errors=True)

    stop.before_the_end.append(remove)
    try:
        stop.check()
        yield made
    finally:
        with stop.deferred():
            remove()
        stop.before_the_end.remove(remove)


def store_stdin(folder: Path) -> Path:
    """All of standard input as a file in `folder`. Raises UsageError, InputError, StoppedError."""
    if sys.stdin is None or sys.stdin.closed:
        raise InputError(f"{STDIN} is closed: pipe a video into vfi")
    if sys.stdin.isatty():
        raise UsageError(f"{STDIN} is a terminal: pipe a video into vfi, such as ffmpeg -i IN -f nut - | vfi ...")
    path = folder / "stdin"
    source = sys.stdin.fileno()
    try:
        with path.open("wb") as file:
            while block := os.read(source, _BLOCK):
                file.write(block)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise StoppedError(f"the disk is full: {STDIN} needs room in {folder.parent}; set TMPDIR") from error
        raise InputError(f"{STDIN} cannot be read ({error.strerror})") from error
    if not path.stat().st_size:
        raise InputError(f"{STDIN} is empty (0 bytes): the program before vfi may have failed")
    return path


@contextmanager
def video_stdout() -> Iterator[int]:
    """A descriptor of standard output for video alone: whatever else is written to it goes to standard error.

    Raises UsageError if it is a terminal.
    """
    try:
        if sys.stdout is None:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        number = sys.stdout.fileno()
        if os.isatty(number):
            raise UsageError(f"{STDOUT} is a terminal: pipe it into a program, or give the name of a file with -o")
        sys.stdout.flush()
        own = os.dup(number)
    except OSError as error:
        raise OutputError(f"{STDOUT} cannot be used ({error.strerror}): give the name of a file with -o") from error
    try:
        with suppress(OSError):
            os.dup2(2, number)
        yield own
    finally:
        with suppress(OSError, ValueError):
            sys.stdout.flush()
        with suppress(OSError):
            os.dup2(own, number)
        os.close(own)


def send(path: Path, descriptor: int) -> None:
    """All of the file into the pipe. Raises DownstreamClosed when nobody reads it any more."""
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            view = memoryview(block)
            while view:
                try:
                    view = view[os.write(descriptor, view) :]
                except BrokenPipeError as error:
                    raise DownstreamClosed(f"the reader of {STDOUT} went away") from error
                except OSError as error:
                    if error.errno == errno.ENOSPC:
                        raise StoppedError(f"nothing more can be written to {STDOUT}: the disk is full") from error
                    raise OutputError(f"{STDOUT} cannot be written to ({error.strerror})") from error

"""What befalls the disk while a job runs, in our hands or ffmpeg's, as one sentence and "go on later"."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from interp_cli.errors import FfmpegError, StoppedError, VfiError

_FULL = ("No space left on device", "File too large", "SIGXFSZ")
_CLOSED = ("Read-only file system", "Permission denied")


@contextmanager
def outside_faults(output: Path, folder: Path) -> Iterator[None]:
    """What befalls the disk in this block, in our hands or ffmpeg's, as StoppedError with a sentence."""
    try:
        yield
    except VfiError as error:
        said = [str(error), *error.last_lines] if isinstance(error, FfmpegError) else []
        if any(text in line for line in said for text in _FULL):
            raise _full(output) from error
        if any(text in line for line in said for text in _CLOSED) and not os.access(folder, os.W_OK):
            raise StoppedError(f"{folder} can no longer be written to: make it writable again") from error
        if not folder.is_dir():
            raise _gone(folder) from error
        raise
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise _full(output) from error
        if not folder.is_dir():
            raise _gone(folder) from error
        if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.ESTALE):
            raise StoppedError(f"{folder} can no longer be used ({error.strerror}): check the disk") from error
        raise


def _full(output: Path) -> StoppedError:
    return StoppedError(f"the disk that holds {output.parent.absolute()} is full: make room")


def _gone(folder: Path) -> StoppedError:
    return StoppedError(f"{folder} was removed while vfi was working in it: give the same command again")

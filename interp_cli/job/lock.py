"""A folder that one vfi works in at a time. The system lets go of its lock however that vfi ends."""

from __future__ import annotations

import errno
import os
import stat
import sys
from contextlib import suppress
from pathlib import Path
from typing import IO

from interp_cli.errors import OutputError, StoppedError

LOCK = "lock"
_TRIES = 50  # while other vfis come and go


def own_folder(folder: Path) -> IO[bytes]:
    """The held lock of `folder`, which is made if need be. Raises OutputError, StoppedError."""
    for _ in range(_TRIES):
        lock = _open_lock(folder)
        if lock is None:
            continue
        if not _lock(lock):
            lock.close()
            raise OutputError(f"another vfi is making that file, in {folder}: wait for it, or choose another with -o")
        with suppress(OSError):
            if os.path.samestat(os.fstat(lock.fileno()), (folder / LOCK).stat()):
                return lock
        lock.close()  # it was removed with the directory, by the vfi that held it until now
    raise OutputError(f"{folder} comes and goes: is another vfi making the same file again and again?")


def _open_lock(folder: Path) -> IO[bytes] | None:
    """The lock of `folder`, which is made if need be; None if another vfi removed it in between."""
    try:
        with suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        facts = folder.lstat()
        if not stat.S_ISDIR(facts.st_mode) or (hasattr(os, "getuid") and facts.st_uid != os.getuid()):
            raise OutputError(f"{folder} is in the way and not vfi's: remove it, or choose another name with -o")
        return (folder / LOCK).open("a+b")
    except OSError as error:
        if isinstance(error, FileNotFoundError) and folder.parent.is_dir() and os.access(folder.parent, os.W_OK):
            return None
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            with suppress(OSError):
                folder.rmdir()
            raise StoppedError(f"the disk that holds {folder.parent.absolute()} is full: make room") from error
        message = f"the folder {folder.parent} cannot be written to ({error.strerror}): choose another with -o"
        raise OutputError(message) from error


def _lock(file: IO[bytes]) -> bool:
    """Whether the lock is ours now. It is let go of when the file is closed, or its process ends."""
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks: better to work than to refuse
        return sys.platform != "win32"
    return True

"""By what an input is known again: an unfinished job goes on only with the file, or pictures, that it began with."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from interp_cli.errors import InputError
from interp_cli.media.pictures import find_pictures

_END = 1 << 20  # bytes
_END_OF_PICTURE = 1 << 12  # bytes: there may be very many


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """By what an input is known again."""

    size: int  # bytes
    mtime_ns: int
    ends_sha256: str  # of its first and last MiB; of pictures, their names and the first and last 4 KiB of each
    listing: str = ""  # of pictures: sha256 of all names, sizes and times

    @classmethod
    def of(cls, path: str, *, content: bool = True) -> Identity:
        """That of a file, or of pictures; without `content` only by sizes and times. Raises OSError."""
        if (pictures := find_pictures(path)) is not None:
            return cls._of_pictures(pictures, content=content)
        with Path(path).open("rb") as file:
            facts = os.fstat(file.fileno())
            digest = hashlib.sha256()
            if content:
                digest.update(file.read(_END))
                file.seek(max(0, facts.st_size - _END))
                digest.update(file.read(_END))
        return cls(size=facts.st_size, mtime_ns=facts.st_mtime_ns, ends_sha256=digest.hexdigest())

    @classmethod
    def _of_pictures(cls, pictures: tuple[str, ...], *, content: bool) -> Identity:
        digest, listing, size, latest = hashlib.sha256(), hashlib.sha256(), 0, 0
        for path in pictures:
            facts, name = os.stat(path), os.fsencode(os.path.basename(path))  # noqa: PTH116, PTH119 - many files
            listing.update(b"%s\0%d %d\0" % (name, facts.st_size, facts.st_mtime_ns))
            size, latest = size + facts.st_size, max(latest, facts.st_mtime_ns)
            if content:
                with Path(path).open("rb") as file:
                    digest.update(name + b"\0" + file.read(_END_OF_PICTURE))
                    file.seek(max(0, facts.st_size - _END_OF_PICTURE))
                    digest.update(file.read(_END_OF_PICTURE))
        return cls(size=size, mtime_ns=latest, ends_sha256=digest.hexdigest(), listing=listing.hexdigest())


def identity_of(path: str) -> Identity:
    """That of an input. Raises InputError."""
    try:
        return Identity.of(path)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}): check its permissions") from error

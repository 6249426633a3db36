"""Pictures of linear light in floating point other than EXR: what vfi says of them, and how ffmpeg makes EXR of them.

Measured with ffmpeg 5.1 and 9.0: its encoder takes their very samples, so nothing is lost on that way.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

FLOAT_SUFFIXES: Final = frozenset({".hdr", ".pfm"})


def is_float(path: Path | str) -> bool:
    """Whether `path` is named as such a picture."""
    return Path(path).suffix.lower() in FLOAT_SUFFIXES


def why_not_read(path: Path | str) -> str:
    """What is to be said of such a picture as an input, and the line that makes an EXR of it."""
    place = Path(path)
    line = f"ffmpeg -i {place.name} {place.stem}.exr"
    return f"{path} holds linear light as {place.suffix}, and vfi reads that as .exr: convert it first, with {line}"


def why_not_written(name: Path) -> str:
    """What is to be said of such a picture, or a pattern of them, as a result."""
    return f"vfi writes no {name.suffix}: name it {name.with_suffix('.exr')}, which holds linear light too"

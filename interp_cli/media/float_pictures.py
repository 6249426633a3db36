"""Pictures of linear light in floating point other than EXR, which vfi reads and writes: what it says of them.

No ffmpeg line is advised: 5.1 reads no .hdr, and .pfm otherwise than 9.0 does.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

FLOAT_SUFFIXES: Final = frozenset({".hdr", ".pfm"})


def is_float(path: Path | str) -> bool:
    """Whether `path` is named as such a picture."""
    return Path(path).suffix.lower() in FLOAT_SUFFIXES


def why_not_read(path: Path | str) -> str:
    """What is to be said of such a picture as an input."""
    suffix = Path(path).suffix
    return f"{path} holds linear light as {suffix}, which vfi reads as .exr alone: make an .exr of it first"


def why_not_written(name: Path) -> str:
    """What is to be said of such a picture, or a pattern of them, as a result."""
    return f"vfi writes no {name.suffix}: name it {name.with_suffix('.exr')}, which holds linear light too"

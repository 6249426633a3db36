"""Building the kernels by the C compiler of the machine; by hand, in a checkout: python interp_cli/kernels/build.py

Uses nothing of the package, nor torch: hatch.py runs it before they are there.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parent
# Sums may be taken in any order, and nothing is infinite; but a library must not change how others treat tiny numbers,
# as -ffast-math does.
_FLAGS = (
    *("-O3", "-funroll-loops", "-std=gnu11", "-fPIC", "-fno-math-errno", "-fno-trapping-math"),
    *("-fassociative-math", "-fno-signed-zeros", "-freciprocal-math", "-ffinite-math-only"),
)
_ENDINGS = {"darwin": "dylib", "win32": "dll"}


def library() -> str:
    """The library's file name."""
    return f"kernels.{_ENDINGS.get(sys.platform, 'so')}"


def sources_digest() -> str:
    """A name for the sources: a library made from others is not used."""
    parts = [path.name.encode() + path.read_bytes() for path in sorted((*HERE.glob("*.c"), *HERE.glob("*.h")))]
    return hashlib.sha256(b"".join(parts)).hexdigest()[:16]


def build(folder: Path) -> Path | None:
    """The library, made in `folder`; None without a C compiler that can make it."""
    compilers = [os.environ.get("CC", ""), "cc", "gcc", "clang"]
    for compiler in compilers:
        if (found := shutil.which(compiler)) and _built(found, folder / library()):
            return folder / library()
    return None


def _built(compiler: str, out: Path) -> bool:
    """Whether `compiler` could make the library: all sources side by side, then one of all."""
    define = f'-DVFI_SOURCES="{sources_digest()}"'
    with tempfile.TemporaryDirectory(prefix="vfi-") as work, ThreadPoolExecutor(os.cpu_count()) as pool:
        objects = {source: str(Path(work, f"{source.stem}.o")) for source in sorted(HERE.glob("*.c"))}
        commands = [[compiler, *_FLAGS, define, "-c", "-o", to, str(source)] for source, to in objects.items()]
        link = [compiler, "-shared", "-o", str(out), *objects.values(), "-lm"]
        return all(pool.map(_succeeds, commands)) and _succeeds(link)


def _succeeds(command: list[str]) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def main() -> None:
    """Build in place."""
    print(build(HERE) or "no C compiler could build the kernels: the program works without them, several times slower")


if __name__ == "__main__":
    main()

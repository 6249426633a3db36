"""What makes a benchmark comparable later: the commit, the machine and the versions it ran with."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


def surroundings(ffmpeg: str) -> dict[str, Any]:
    """Commit, machine and versions as JSON values."""
    return {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _commit(),
        "machine": {"cpu": _cpu(), "cores": len(os.sched_getaffinity(0)), "system": platform.platform()},
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in ("interp-cli", "torch", "numpy", "opencv-python")},
        "ffmpeg": _first_line([ffmpeg, "-version"]),
    }


def write(path: Path, record: dict[str, Any]) -> None:
    """The record as JSON, appearing whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.write_text(json.dumps(record, indent=1, sort_keys=False) + "\n", encoding="utf-8")
    beside.replace(path)


def _commit() -> str | None:
    line = _first_line(["git", "-C", str(ROOT), "rev-parse", "HEAD"])
    if line and _first_line(["git", "-C", str(ROOT), "status", "--porcelain", "--untracked-files=no"]):
        return f"{line} with local changes"
    return line


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _first_line(argv: list[str]) -> str | None:
    try:
        child = subprocess.run(argv, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return (child.stdout.splitlines() or [None])[0]

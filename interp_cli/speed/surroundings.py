"""What makes a measurement comparable later: the commit, the machine and the versions it ran with."""

from __future__ import annotations

import platform
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import interp_cli
from interp_cli.job.network import processors
from interp_cli.media.children import answer
from interp_cli.media.ffmpeg import Ffmpeg

CHECKOUT = Path(interp_cli.__file__).resolve().parents[1]  # if there is one


def surroundings(ffmpeg: Ffmpeg, *, checkout: Path = CHECKOUT) -> dict[str, Any]:
    """Commit, machine and versions as JSON values; what cannot be found out is None."""
    from interp_cli import kernels

    return {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _commit(checkout),
        "machine": {"cpu": _cpu(), "cores": processors(), "gpus": _gpus(), "system": platform.platform()},
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in ("interp-cli", "torch", "numpy", "opencv-python")},
        "kernels": kernels.available(),
        "ffmpeg": ffmpeg.version_text,
    }


def _commit(checkout: Path) -> str | None:
    """The commit of a checkout; None for an installed package."""
    if not (checkout / ".git").exists():
        return None
    git = ["git", "-C", str(checkout)]
    with suppress(OSError):
        commit = answer([*git, "rev-parse", "HEAD"]).strip()
        changed = answer([*git, "status", "--porcelain", "--untracked-files=no"]).strip()
        return f"{commit} with local changes" if commit and changed else commit or None
    return None


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _gpus() -> list[str]:
    import torch

    return [torch.cuda.get_device_name(k) for k in range(torch.cuda.device_count())]


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None

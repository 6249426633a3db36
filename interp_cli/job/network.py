"""The interpolator that engine options ask for: device, arithmetic, weights. torch is loaded here and not before."""

from __future__ import annotations

import ctypes
import gc
import os
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from interp_cli.errors import DeviceError
from interp_cli.options import EngineOptions, check_device_name
from interp_cli.weights import WeightsEntry

if TYPE_CHECKING:
    from interp_cli.engine.interpolate import Interpolator

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -2, -3, -8  # names and numbers of glibc's malloc.h
MOST_WORKERS = 8  # each holds the features and flows of one pair: about 300 MB at 1080p


def load_early() -> None:
    """Begin to load torch in a thread: that takes longer than to look at an input, most of which is waiting."""
    if "torch" not in sys.modules:
        threading.Thread(target=_load, name="vfi-load").start()


def _load() -> None:
    gc.disable()  # of the many objects that are made now none is to be let go
    with suppress(Exception):  # whoever needs it next meets the same error, and tells of it
        import interp_cli.engine.interpolate  # noqa: F401
    gc.freeze()
    gc.enable()


def choose_device(text: str) -> str:
    """A device that is there: `text`, or for "auto" the fastest kind. Raises UsageError, DeviceError."""
    import torch

    check_device_name(text)
    if text == "auto":
        if torch.cuda.is_available():
            return "cuda"
        return "mps" if torch.backends.mps.is_available() else "cpu"
    if text == "mps" and not torch.backends.mps.is_available():
        raise DeviceError("this machine has no mps device: use --device auto")
    if text.startswith("cuda"):
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if int(text.partition(":")[2] or 0) >= count:
            seen = f"{count} CUDA device{'s' * (count != 1)}" if count else "no CUDA device"
            raise DeviceError(f"--device {text} is not there (torch sees {seen}): use --device auto or cpu")
    return text


def device_text(options: EngineOptions) -> str:
    """Where and in what arithmetic the network will run: "cpu torch.bfloat16". Raises UsageError, DeviceError."""
    from interp_cli.engine.interpolate import network_dtype

    device = choose_device(options.device)
    return f"{device} {network_dtype(options.precision, device)}"


def make_interpolator(
    options: EngineOptions, *, note: Callable[[str], None], workers: int | None = None
) -> tuple[Interpolator, WeightsEntry, str]:
    """An interpolator with its weights loaded, their entry, and the device; `note` is told when memory runs short.

    `workers` threads make frames side by side; None: what suits the device. Raises WeightsError, DeviceError,
    UsageError.
    """
    import torch

    from interp_cli import kernels, weights
    from interp_cli.engine.interpolate import Interpolator, network_dtype
    from interp_cli.model.network import lowered

    device = choose_device(options.device)
    if device == "cpu":  # no pixel may depend on the batch; workers keep the cores busy (see `auto_batch`)
        options = replace(options, batch=1)
        if not kernels.available():
            note("frames would be made several times as fast had vfi been installed where there is a C compiler")
    cores = options.threads or _cores()
    if workers is None:
        workers = min(cores, MOST_WORKERS) if device == "cpu" else 1
    torch.set_num_threads(max(1, cores // workers))
    _keep_memory()
    network, entry = weights.load(options.model, device=device)
    dtype = network_dtype(options.precision, device)
    network = lowered(network, dtype)

    interpolator = Interpolator(
        network, device=device, dtype=dtype, options=options, workers=workers, on_less_memory=note
    )
    return interpolator, entry, device


def _keep_memory() -> None:
    """Ask glibc to keep what is freed: every frame needs the same again, and fresh pages cost a tenth of the time."""
    with suppress(OSError, AttributeError):  # another C library
        malloc = ctypes.CDLL(None).mallopt
        malloc(_M_MMAP_THRESHOLD, 32 << 20)
        malloc(_M_TRIM_THRESHOLD, 1 << 30)
        malloc(_M_TOP_PAD, 64 << 20)
        malloc(_M_ARENA_MAX, 1)  # other arenas give back what is free at their ends


def _cores() -> int:
    """Processors to make frames with: OMP_NUM_THREADS, else all that there are."""
    asked = os.environ.get("OMP_NUM_THREADS", "")
    return int(asked) if asked.isdecimal() and int(asked) else processors()


def processors() -> int:
    """Processors that this process may use: a container's share, not the whole machine."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

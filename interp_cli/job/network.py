"""The interpolator that engine options ask for: device, arithmetic, weights. torch is loaded here and not before."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from interp_cli.errors import DeviceError
from interp_cli.options import EngineOptions, check_device_name
from interp_cli.weights import WeightsEntry

if TYPE_CHECKING:
    from interp_cli.engine.interpolate import Interpolator


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


def make_interpolator(options: EngineOptions, *, note: Callable[[str], None]) -> tuple[Interpolator, WeightsEntry, str]:
    """An interpolator with its weights loaded, their entry, and the device; `note` is told when memory runs short.

    Raises WeightsError, DeviceError, UsageError.
    """
    import torch

    from interp_cli import weights
    from interp_cli.engine.interpolate import Interpolator, network_dtype

    if "OMP_NUM_THREADS" not in os.environ and hasattr(os, "sched_getaffinity"):
        torch.set_num_threads(len(os.sched_getaffinity(0)))  # a container's share, not the whole machine
    device = choose_device(options.device)
    network, entry = weights.load(options.model, device=device)
    dtype = network_dtype(options.precision, device)

    def smaller(batch: int) -> None:
        note(f"memory ran out: going on with {batch} frame{'s' * (batch != 1)} per network call")

    interpolator = Interpolator(network, device=device, dtype=dtype, options=options, on_smaller_batch=smaller)
    return interpolator, entry, device

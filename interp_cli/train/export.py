"""A checkpoint becomes shipped weights."""

from pathlib import Path
from typing import Any

import torch

from interp_cli import weights
from interp_cli.model.network import IFNet
from interp_cli.train.loop import sizes_of


def export(checkpoint: Path, out: Path, *, origin: str, scores: dict[str, Any]) -> weights.WeightsEntry:
    """Write the averaged weights of `checkpoint` as `out` (.safetensors, fp16), with its manifest row; name = stem."""
    state = torch.load(checkpoint, map_location="cpu", weights_only=True)
    network = IFNet(sizes_of(state))
    network.load_state_dict(state["ema"])
    return weights.save(out, network, name=out.stem, licence="MIT", origin=origin, scores=scores)

"""A checkpoint becomes shipped weights."""

from pathlib import Path
from typing import Any

from interp_cli import weights
from interp_cli.checkpoints import from_checkpoint


def export(checkpoint: Path, out: Path, *, origin: str, scores: dict[str, Any]) -> weights.WeightsEntry:
    """Write the averaged weights of `checkpoint` as `out` (.safetensors, fp16), with its manifest row; name = stem."""
    network = from_checkpoint(checkpoint)
    return weights.save(out, network, name=out.stem, licence="MIT", origin=origin, scores=scores)

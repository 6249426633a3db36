"""Everything that decides a training run, as a value that goes into checkpoint, log and card."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from interp_cli.errors import UsageError
from interp_cli.options import Precision

GAPS = ((2, 0.76), (3, 0.06), (4, 0.12), (6, 0.03), (8, 0.03))
CROPS = ((128, 16), (192, 7))
PARTS = ("flow", "blend")
_OF_THE_NETWORK = ("preset", "part", "teacher")  # what a checkpoint fits to


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What to train on, into what, for how long and how. Exactly one of `minutes` and `steps` is given."""

    data: tuple[str, ...]  # videos, packed shots (.npy), folders of either
    out: str  # NAME.safetensors; checkpoint, log and card stand beside it
    val: tuple[str, ...] = ()  # as `data`, for held-out scores
    preset: str = "fast"
    part: str = "flow"  # of PARTS: what learns; the blend learns from what the engine makes with the flow as it is
    minutes: float | None = None  # of the clock, reading the data not counted
    steps: int | None = None
    crops: tuple[tuple[int, int], ...] = CROPS  # (side in px, samples in a batch), in turn
    gaps: tuple[tuple[int, float], ...] = GAPS  # (frames from I0 to I1, how often)
    rate: float = 1e-3
    warm_up: int = 100  # steps
    weight_decay: float = 1e-4
    clip: float = 1.0
    ema: float = 0.999
    teacher: bool = True
    distil: float = 0.005
    flow: tuple[float, float] = (0.02, 0.0005)  # weight of known flow: at the start, falling to the end
    synthetic_share: float = 0.5
    short_side: int = 360  # px; larger videos are made smaller
    frames: int = 90  # most of a video; 0: all
    save_every: float = 5.0  # minutes
    seed: int = 1
    device: str = "cpu"
    precision: Precision = Precision.AUTO
    workers: int = 1  # processes of one thread each that share every batch: on a CPU faster than threads
    licence: str = "unknown"  # of the weights

    @property
    def checkpoint(self) -> Path:
        """Where the state of the run is kept."""
        return Path(self.out).with_suffix(".ckpt")

    @property
    def log(self) -> Path:
        """JSON lines."""
        return Path(self.out).with_suffix(".jsonl")

    @property
    def card(self) -> Path:
        """What the weights are, for people."""
        return Path(self.out).with_suffix(".md")

    def to_json(self) -> str:
        """Text that `from_json` reads."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Recipe:
        """The inverse of `to_json`. Raises ValueError, TypeError."""
        values: dict[str, Any] = {name: _tuples(value) for name, value in json.loads(text).items()}
        return cls(**{**values, "precision": Precision(values["precision"])})


def changes(before: Recipe, after: Recipe) -> tuple[str, ...]:
    """The names of what differs. Raises UsageError where a checkpoint of `before` cannot go on as `after`."""
    names = tuple(f.name for f in fields(Recipe) if getattr(before, f.name) != getattr(after, f.name))
    for name in set(names) & set(_OF_THE_NETWORK):
        was = f"with{'' if before.teacher else 'out'} teacher"
        was = was if name == "teacher" else f"with --{name} {getattr(before, name)}"
        raise UsageError(f"the checkpoint was made {was}: it cannot go on otherwise; take its weights with --init")
    return names


def _tuples(value: Any) -> Any:
    """JSON's lists as tuples, however deep."""
    return tuple(map(_tuples, value)) if isinstance(value, list) else value

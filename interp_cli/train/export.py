"""A run becomes weights that vfi can use: .safetensors with its manifest row, and a card that says what they are."""

from __future__ import annotations

import json
from pathlib import Path

import torch

import interp_cli
from interp_cli.checkpoints import from_checkpoint
from interp_cli.errors import StoppedError
from interp_cli.model.network import IFNet
from interp_cli.train.recipe import Recipe
from interp_cli.train.shots import Shot
from interp_cli.weights import WeightsEntry, replace_file, save

_NAMED = 20  # sources that a card lists


def export(
    recipe: Recipe, *, steps: int, samples: int, minutes: float, shots: list[Shot], score: float | None
) -> WeightsEntry:
    """Write the averaged weights of the run's checkpoint to `recipe.out`, with manifest row and card.

    `score` is the mean PSNR (dB, RGB) of held-out middle frames. Raises StoppedError where they cannot be written.
    """
    out = Path(recipe.out)
    spent = f"{steps} steps, {samples} samples, {minutes:.1f} minutes"
    origin = f"vfi {interp_cli.__version__} train, preset {recipe.preset}: {spent} on {len(shots)} shots"
    scores = {} if score is None else {"held_out_rgb_psnr_db": score}
    network = from_checkpoint(recipe.checkpoint)
    try:
        entry = save(out, network, name=out.stem, licence=recipe.licence, origin=origin, scores=scores)
        replace_file(recipe.card, _card(recipe, entry, network, spent=spent, shots=shots).encode())
    except OSError as error:
        raise StoppedError(
            f"{out} cannot be written ({error.strerror}): make room and give vfi train --resume {recipe.checkpoint}"
        ) from error
    return entry


def _card(recipe: Recipe, entry: WeightsEntry, network: IFNet, *, spent: str, shots: list[Shot]) -> str:
    sources = sorted({shot.source for shot in shots})
    more = f" and {len(sources) - _NAMED} more" if len(sources) > _NAMED else ""
    frames = sum(len(shot.frames) for shot in shots)
    score = entry.scores.get("held_out_rgb_psnr_db")
    options = {k: v for k, v in json.loads(recipe.to_json()).items() if k not in ("data", "val", "out")}
    told = (
        "none were held out (`--val`)"
        if score is None
        else f"{score} dB, mean RGB PSNR of middle frames held out by `--val`"
    )
    return f"""# {entry.name}

| | |
|---|---|
| network | `{entry.network}`, preset `{recipe.preset}`; {entry.params} parameters, fp16 |
| licence | {entry.licence} |
| made by | vfi {interp_cli.__version__}, torch {torch.__version__}, on {recipe.device} |
| input | RGB in [0, 1], any size (padded to a multiple of {network.limits.multiple_of}), any t in (0, 1) |
| sha256 | `{entry.sha256}` |

**Data.** {len(shots)} shots, {frames} frames, of {", ".join(sources[:_NAMED])}{more}.

**Training.** {spent}. Options:

```text
{json.dumps(options)}
```

**Scores.** {told[0].upper()}{told[1:]}. `vfi eval CLIPS -m {entry.file}` measures what ships.

**Known failures.** Not looked for yet.
"""

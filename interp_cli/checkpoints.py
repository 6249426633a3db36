"""Checkpoints of training become weights. The only reader of pickles, with weights_only: no code in one is ever run."""

from __future__ import annotations

import io
import os
import re
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interp_cli.errors import StoppedError, UsageError, WeightsError
from interp_cli.weights import (
    NETWORK,
    WeightsEntry,
    build,
    entries_in,
    load,
    replace_file,
    save,
    shipped_folders,
    users_folder,
)

if TYPE_CHECKING:
    from interp_cli.model.network import IFNet

_PARTS = {"student", "teacher", "ema", "optimiser", "sizes", "step", "samples", "minutes", "recipe", "shots"}


def read_checkpoint(path: Path) -> dict[str, Any]:
    """What training saved: tensors (on the CPU) and plain values.

    Raises WeightsError for anything but the archive that torch.save writes today, such as a bare pickle.
    """
    import torch

    try:
        with path.open("rb") as f:
            start = f.read(4)
        with zipfile.ZipFile(path) as archive:
            parts = archive.infolist()
        packed = any(part.compress_type != zipfile.ZIP_STORED for part in parts)
        if start != b"PK\3\4" or packed or sum(part.file_size for part in parts) > path.stat().st_size:
            raise ValueError("torch.save does not write such a file")
        state = torch.load(path, map_location="cpu", weights_only=True)
        if not isinstance(state, dict):
            raise ValueError("torch.save was given no dict")
    except OSError as error:
        raise WeightsError(f"the checkpoint {path} cannot be read: {error.strerror or error}") from error
    except Exception as error:  # whatever a hostile or broken file makes the readers raise
        raise WeightsError(
            f"{path} is refused: it is not a checkpoint of vfi's training, or holds more than tensors and plain values"
        ) from error
    return state


def write_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write what training saves, whole or not at all. Raises StoppedError."""
    import torch

    content = io.BytesIO()
    torch.save(state, content)
    try:
        replace_file(path, content.getvalue())
    except OSError as error:
        raise StoppedError(
            f"the checkpoint {path} cannot be written ({error.strerror}): the one before stands"
        ) from error


def from_checkpoint(path: Path) -> IFNet:
    """The averaged network of a checkpoint of ours, float32. Raises WeightsError."""
    state = read_checkpoint(path)
    odd = [f"no {part}" for part in ("ema", "sizes") if part not in state]
    odd += [f"an unknown {part!r:.80}" for part in state if part not in _PARTS]
    if odd:
        raise WeightsError(f"{path} is not a checkpoint of vfi's training: it has {', '.join(odd[:3])}")
    try:
        return build(path, state["sizes"], state["ema"])
    except (ValueError, TypeError, AttributeError, RecursionError, RuntimeError) as error:
        raise WeightsError(f"{path} does not hold the weights of a {NETWORK} network ({error})") from error


def bring_in(
    source: Path,
    *,
    name: str | None = None,
    folder: Path | None = None,
    licence: str | None = None,
    origin: str | None = None,
    overwrite: bool = False,
) -> WeightsEntry:
    """The new entry, after `source`, a checkpoint of ours or a .safetensors file, was written into `folder`.

    `name` is the file's own without its ending, `folder` $VFI_WEIGHTS or the user's, unless given.
    Raises UsageError for a name that cannot be one, WeightsError for everything else.
    """
    name = name or source.stem
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", name) or name.endswith(".safetensors"):
        raise UsageError(f"{name!r} cannot be the name of weights: give one of letters, digits and -_. with --name")
    named = os.environ.get("VFI_WEIGHTS")
    folder = folder or (Path(named) if named else users_folder())
    if folder is None:
        raise UsageError("there is no home folder to write weights to: say where with --out")
    target = folder / f"{name}.safetensors"
    _check_free(name, target, overwrite=overwrite)
    if source.suffix == ".safetensors":
        network, entry = load(str(source))
        licence, origin = licence or entry.licence, origin or entry.origin
    else:
        network = from_checkpoint(source)
    facts: dict[str, Any] = {"licence": licence or "unknown", "origin": origin or f"imported from {source.name}"}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return save(target, network, name=name, **facts, scores={})
    except OSError as error:
        raise WeightsError(f"cannot write {target} ({error.strerror}): choose another folder with --out") from error


def _check_free(name: str, target: Path, *, overwrite: bool) -> None:
    """Raises WeightsError when weights of this name, in capitals or not, come with vfi or stand at `target` already."""
    for folder in shipped_folders():
        known = {entry.name.lower() for entry in entries_in(folder)}
        if folder.resolve() != target.parent.resolve() and name.lower() in known:
            raise WeightsError(f"weights called {name} come with vfi: choose another name with --name")
    known = {entry.name.lower() for entry in entries_in(target.parent)}
    if not overwrite and (target.exists() or name.lower() in known):
        raise WeightsError(f"there are weights called {name} in {target.parent}: use -y, or another name with --name")

"""The only loader of weights: find, verify, load, save. Weights are safetensors; nothing here can run foreign code.

Listing and verifying need no torch; `load` and `save` import it.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interp_cli.errors import WeightsError

if TYPE_CHECKING:
    import torch

    from interp_cli.model.network import IFNet

MANIFEST = "manifest.json"
NETWORK = "ifnet-3"  # changes whenever a file of the old network no longer fits


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightsEntry:
    """One row of the manifest. `folder` is where the file lies."""

    name: str
    file: str
    sha256: str
    bytes: int
    network: str
    params: int
    licence: str
    origin: str
    scores: dict[str, Any] = field(default_factory=dict)
    folder: Path = Path()

    @property
    def path(self) -> Path:
        """The .safetensors file."""
        return self.folder / self.file


def folders() -> list[Path]:
    """Where weights are looked for: $VFI_WEIGHTS if set, inside the package (wheel), beside it (checkout).

    Raises WeightsError when $VFI_WEIGHTS names no folder of weights.
    """
    here = Path(__file__).parent
    own = os.environ.get("VFI_WEIGHTS")
    if own and not (Path(own) / MANIFEST).is_file():
        raise WeightsError(f"VFI_WEIGHTS names {own}, which is not a folder with a {MANIFEST}: correct or unset it")
    candidates = [Path(own)] if own else []
    candidates += [here / "weights", here.parent / "weights"]
    return [c for c in candidates if (c / MANIFEST).is_file()]


def entries() -> tuple[WeightsEntry, ...]:
    """Every row of every manifest, the first of each name. Raises WeightsError when a manifest cannot be read."""
    found: dict[str, WeightsEntry] = {}
    for folder in folders():
        try:
            rows = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["weights"]
            for row in rows:
                entry = WeightsEntry(**row, folder=folder)
                found.setdefault(entry.name, entry)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise WeightsError(f"cannot read {folder / MANIFEST} ({error}): reinstall vfi") from error
    return tuple(found.values())


def find(name: str) -> WeightsEntry:
    """The entry called `name`, or one made up for a .safetensors path. Raises WeightsError when there is neither."""
    if name.endswith(".safetensors"):
        return _entry_of_file(Path(name))
    known = {e.name: e for e in entries()}
    if name in known:
        return known[name]
    names = ", ".join(sorted(known)) or "none are installed"
    raise WeightsError(
        f"no weights are called {name!r} (there are: {names}); give a name or a .safetensors file with -m"
    )


def verify(entry: WeightsEntry) -> list[str]:
    """What is wrong with the file of `entry`, as sentences; empty when size, sha256, header and values are right."""
    problems: list[str] = []
    if not entry.path.is_file():
        return [f"{entry.path} is missing"]
    size = entry.path.stat().st_size
    if size != entry.bytes:
        problems.append(f"{entry.path} has {size} bytes, the manifest says {entry.bytes}")
    digest = sha256_of(entry.path)
    if digest != entry.sha256:
        problems.append(f"{entry.path} has sha256 {digest}, the manifest says {entry.sha256}")
    if problems:
        return problems
    import numpy as np
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(entry.path, framework="np") as f:
            problems += [f"{entry.path}: {k} is not finite" for k in f.keys() if not np.isfinite(f.get_tensor(k)).all()]  # noqa: SIM118
            if (f.metadata() or {}).get("network") != entry.network:
                problems.append(f"{entry.path} does not say that it belongs to network {entry.network}")
    except SafetensorError as error:
        problems.append(f"{entry.path} is not a safetensors file ({error})")
    return problems


def sha256_of(path: Path) -> str:
    """Hex digest of a file."""
    with path.open("rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def load(name: str, *, device: str | torch.device = "cpu") -> tuple[IFNet, WeightsEntry]:
    """The network called `name` with its weights, float32, ready for inference on `device`.

    The sha256 is checked at every load. Raises WeightsError when the file is missing, changed, or of another network.
    """
    entry = find(name)
    if not entry.path.is_file():
        raise WeightsError(f"the weights file {entry.path} is missing: reinstall vfi, or choose others with -m")
    try:
        content = entry.path.read_bytes()
    except OSError as error:
        raise WeightsError(f"the weights file {entry.path} cannot be read ({error.strerror})") from error
    if hashlib.sha256(content).hexdigest() != entry.sha256:
        raise WeightsError(f"the weights file {entry.path} was changed (its sha256 is wrong): reinstall vfi")
    if entry.network != NETWORK:
        raise WeightsError(f"{entry.path} is for network {entry.network!r}; this vfi has {NETWORK!r}")
    from safetensors import SafetensorError
    from safetensors.torch import load as read

    from interp_cli.model.network import IFNet, Sizes, placed

    try:
        network = IFNet(Sizes.from_dict(json.loads(_header(content)["sizes"])))
        network.load_state_dict({k: v.float() for k, v in read(content).items()})
    except (SafetensorError, KeyError, ValueError, TypeError, AttributeError, RuntimeError) as error:
        raise WeightsError(f"{entry.path} does not hold the weights of a {NETWORK} network ({error})") from error
    return placed(network.eval().requires_grad_(False), device), entry


def save(path: Path, network: IFNet, *, name: str, licence: str, origin: str, scores: dict[str, Any]) -> WeightsEntry:
    """Write `network` as fp16 safetensors, whole or not at all, and put its row into the manifest beside it."""
    import torch
    from safetensors.torch import save as write

    tensors = {k: v.detach().to("cpu", torch.float16).contiguous() for k, v in network.state_dict().items()}
    facts = {"network": NETWORK, "sizes": json.dumps(network.sizes.to_dict()), "licence": licence, "origin": origin}
    content = write(tensors, metadata=facts)
    _replace(path, content)
    entry = WeightsEntry(
        name=name,
        file=path.name,
        sha256=hashlib.sha256(content).hexdigest(),
        bytes=len(content),
        network=NETWORK,
        params=sum(v.numel() for v in tensors.values()),
        licence=licence,
        origin=origin,
        scores=scores,
        folder=path.parent,
    )
    row = {k: v for k, v in asdict(entry).items() if k != "folder"}
    manifest = path.parent / MANIFEST
    rows = json.loads(manifest.read_text(encoding="utf-8"))["weights"] if manifest.exists() else []
    rows = [r for r in rows if r["name"] != name] + [row]
    _replace(manifest, (json.dumps({"weights": rows}, indent=2) + "\n").encode())
    return entry


def _replace(path: Path, content: bytes) -> None:
    # beside, then renamed: the old file may be mapped into memory by a running vfi
    beside = path.with_name(path.name + ".tmp")
    beside.write_bytes(content)
    beside.replace(path)


def _header(content: bytes) -> dict[str, str]:
    """The str -> str metadata of a safetensors file: 8 bytes of length, then JSON."""
    length = int.from_bytes(content[:8], "little")
    metadata: dict[str, str] = json.loads(content[8 : 8 + length]).get("__metadata__", {})
    return metadata


def _entry_of_file(path: Path) -> WeightsEntry:
    """An entry for a file that no manifest lists; what it says of itself is taken from its header."""
    if not path.is_file():
        raise WeightsError(f"no weights file {path}: give a name from `vfi weights list` or a .safetensors file")
    try:
        facts = _header(path.read_bytes())
        network = facts["network"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise WeightsError(f"{path} is not a weights file of vfi: {error}") from error
    return WeightsEntry(
        name=path.stem,
        file=path.name,
        sha256=sha256_of(path),
        bytes=path.stat().st_size,
        network=network,
        params=0,
        licence=facts.get("licence", "unknown"),
        origin=facts.get("origin", "unknown"),
        folder=path.parent,
    )

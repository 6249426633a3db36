"""The only loader of weights: find, verify, load, save. Weights are safetensors; nothing here can run foreign code.

Listing and verifying need no torch; `load` and `save` import it.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interp_cli.errors import WeightsError

if TYPE_CHECKING:
    import torch

    from interp_cli.model.network import IFNet

MANIFEST = "manifest.json"
NETWORK = "ifnet-4"  # changes whenever a file of the old network no longer fits
_MOST_BYTES = 1 << 30  # of a weights file
_MOST_HEADER = 1 << 20  # bytes of its header: ours has 20 000
_MOST_CHANNELS = 1024  # and blocks and steps that sizes may ask for, at no more than eight levels


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
    """Where weights are looked for: $VFI_WEIGHTS if set, then those that come with vfi, then the user's own.

    The user's come last, so that no imported file takes the place of a shipped name; only $VFI_WEIGHTS can.
    Raises WeightsError when $VFI_WEIGHTS names no folder of weights.
    """
    named = os.environ.get("VFI_WEIGHTS")
    if named and not (Path(named) / MANIFEST).is_file():
        raise WeightsError(f"VFI_WEIGHTS names {named}, which is not a folder with a {MANIFEST}: correct or unset it")
    own = users_folder()
    candidates = [*([Path(named)] if named else []), *shipped_folders(), *([own] if own else [])]
    return [c for c in candidates if (c / MANIFEST).is_file()]


def shipped_folders() -> tuple[Path, Path]:
    """Inside the package (wheel) and beside it (checkout)."""
    here = Path(__file__).parent
    return here / "weights", here.parent / "weights"


def users_folder() -> Path | None:
    """vfi/weights in $XDG_DATA_HOME or ~/.local/share; on Windows in %LOCALAPPDATA%. None for a user without a home."""
    root = os.environ.get("LOCALAPPDATA" if os.name == "nt" else "XDG_DATA_HOME", "")
    if Path(root).is_absolute():
        return Path(root) / "vfi" / "weights"
    try:
        return Path.home() / ".local" / "share" / "vfi" / "weights"
    except RuntimeError:
        return None


def entries() -> tuple[WeightsEntry, ...]:
    """Every row of every manifest, the first of each name. Raises WeightsError when a manifest cannot be read."""
    found: dict[str, WeightsEntry] = {}
    for folder in folders():
        for entry in entries_in(folder):
            found.setdefault(entry.name, entry)
    return tuple(found.values())


def entries_in(folder: Path) -> list[WeightsEntry]:
    """The rows of the manifest in `folder`; none without one. Raises WeightsError when it cannot be read."""
    if not (folder / MANIFEST).is_file():
        return []
    try:
        rows = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["weights"]
        entries = [WeightsEntry(**row, folder=folder) for row in rows]
        strays = [entry.file for entry in entries if Path(entry.file).name != entry.file]
        if strays:
            raise ValueError(f"{strays[0]} is not in that folder")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        advice = "reinstall vfi" if folder in shipped_folders() else "mend or remove it"
        raise WeightsError(f"cannot read {folder / MANIFEST} ({error}): {advice}") from error
    return entries


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
    except (SafetensorError, TypeError) as error:
        problems.append(f"{entry.path} is not a safetensors file of vfi ({error})")
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
    if entry.network != NETWORK:
        raise WeightsError(
            f"{entry.path} is for network {entry.network!r}; this vfi has {NETWORK!r}: choose others with -m"
        )
    from interp_cli.model.network import placed

    network = _read(entry)
    return placed(network.eval().requires_grad_(False), device), entry


def tensors_of(entry: WeightsEntry) -> dict[str, torch.Tensor]:
    """All tensors in the file of `entry`, of whatever network, on the CPU. Raises WeightsError."""
    from safetensors import SafetensorError
    from safetensors.torch import load as read

    content = _content(entry)
    try:
        _header(content)
        return dict(read(content))
    except (SafetensorError, ValueError) as error:
        raise WeightsError(f"{entry.path} is not a weights file of vfi: {error}") from error


def _content(entry: WeightsEntry) -> bytes:
    """The bytes of the file of `entry`, once its size and sha256 are right."""
    try:
        content = entry.path.read_bytes() if entry.path.stat().st_size == entry.bytes else b""
    except OSError as error:
        raise WeightsError(f"the weights file {entry.path} cannot be read ({error.strerror})") from error
    if hashlib.sha256(content).hexdigest() != entry.sha256:
        raise WeightsError(f"the weights file {entry.path} was changed (its sha256 is wrong): reinstall vfi")
    return content


def _read(entry: WeightsEntry) -> IFNet:
    """The network in the file of `entry`."""
    from safetensors import SafetensorError
    from safetensors.torch import load as read

    content = _content(entry)
    try:
        return build(entry.path, _header(content)["sizes"], read(content))
    except (SafetensorError, KeyError, ValueError, TypeError, AttributeError, RuntimeError) as error:
        raise WeightsError(f"{entry.path} does not hold the weights of a {NETWORK} network ({error})") from error


def build(path: Path, sizes: str, tensors: Mapping[str, torch.Tensor]) -> IFNet:
    """The network of `sizes` (JSON) with exactly `tensors`, in float32. Memory is taken only for tensors that fit."""
    import torch

    from interp_cli.model.network import IFNet, Sizes

    with torch.device("meta"):  # sizes can ask for anything: look before memory is taken
        network = IFNet(Sizes.from_dict(_of_a_network(json.loads(sizes))))
    wanted = network.state_dict()
    wrong = [f"{name!r:.80} is unknown" for name in tensors if name not in wanted]
    wrong += [f"{name} is missing" for name in wanted if name not in tensors]
    for name in wanted.keys() & tensors.keys():
        tensor, shape = tensors[name], tuple(wanted[name].shape)
        if not isinstance(tensor, torch.Tensor) or tensor.layout != torch.strided or not tensor.is_floating_point():
            wrong.append(f"{name} is not an array of numbers")
        elif tuple(tensor.shape) != shape:
            wrong.append(f"{name} is {tuple(tensor.shape)} instead of {shape}")
        elif not tensor.half().isfinite().all():  # as it will be stored
            wrong.append(f"{name} is not finite")
    if wrong:
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise WeightsError(f"{path} does not hold the weights of a {NETWORK} network: {', '.join(wrong[:3])}{more}")
    network.load_state_dict({k: v.detach().float().clone() for k, v in tensors.items()}, assign=True)
    return network


def _of_a_network(sizes: Any) -> dict[str, Any]:
    """`sizes` itself. Raises ValueError when no network of ours could have them."""

    def fits(value: Any) -> bool:
        if isinstance(value, list):
            return len(value) <= 8 and all(map(fits, value))
        return isinstance(value, str) or (isinstance(value, int) and 0 <= value <= _MOST_CHANNELS)

    if not (isinstance(sizes, dict) and all(map(fits, sizes.values()))):
        raise ValueError("its sizes cannot be those of a network")
    return sizes


def save(path: Path, network: IFNet, *, name: str, licence: str, origin: str, scores: dict[str, Any]) -> WeightsEntry:
    """Write `network` as fp16 safetensors, whole or not at all, and put its row into the manifest beside it."""
    import torch
    from safetensors.torch import save as write

    tensors = {k: v.detach().to("cpu", torch.float16).contiguous() for k, v in network.state_dict().items()}
    facts = {"network": NETWORK, "sizes": json.dumps(network.sizes.to_dict()), "licence": licence, "origin": origin}
    content = write(tensors, metadata=facts)
    replace_file(path, content)
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
    replace_file(manifest, (json.dumps({"weights": rows}, indent=2) + "\n").encode())
    return entry


def replace_file(path: Path, content: bytes) -> None:
    """Write `content` to `path`, whole or not at all."""
    # beside, then renamed: the old file may be mapped into memory by a running vfi
    beside = path.with_name(path.name + ".tmp")
    try:
        beside.write_bytes(content)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def _header(content: bytes) -> dict[str, str]:
    """The str -> str metadata of a safetensors file: 8 bytes of length, then JSON. Raises ValueError."""
    length = int.from_bytes(content[:8], "little")
    if length > min(len(content) - 8, _MOST_HEADER):
        raise ValueError(f"it promises a header of {length} bytes")
    try:
        metadata = json.loads(content[8 : 8 + length]).get("__metadata__", {})
    except (AttributeError, RecursionError) as error:
        raise ValueError("its header is not that of a safetensors file") from error
    if not (isinstance(metadata, dict) and all(isinstance(value, str) for value in metadata.values())):
        raise ValueError("its header is not that of a safetensors file")
    return metadata


def _entry_of_file(path: Path) -> WeightsEntry:
    """An entry for a file that no manifest lists; what it says of itself is taken from its header."""
    if not path.is_file():
        raise WeightsError(f"no weights file {path}: give a name from `vfi weights list` or a .safetensors file")
    try:
        size = path.stat().st_size
        if size > _MOST_BYTES:
            raise ValueError(f"weights are never as large as {size} bytes")
        with path.open("rb") as f:
            facts = _header(f.read(8 + _MOST_HEADER))
        network = facts["network"]
        digest = sha256_of(path)
    except (OSError, ValueError, KeyError) as error:
        raise WeightsError(f"{path} is not a weights file of vfi: {error}") from error
    return WeightsEntry(
        name=path.stem,
        file=path.name,
        sha256=digest,
        bytes=size,
        network=network,
        params=0,
        licence=facts.get("licence", "unknown"),
        origin=facts.get("origin", "unknown"),
        folder=path.parent,
    )

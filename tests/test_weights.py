"""Weights are found where they lie, checked at every load, and refused in one sentence."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from small_clips import TINY

from interp_cli import weights
from interp_cli.errors import WeightsError
from interp_cli.model.network import IFNet


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A weights folder with one tiny network called tiny."""
    torch.manual_seed(3)
    weights.save(tmp_path / "tiny.safetensors", IFNet(TINY), name="tiny", licence="MIT", origin="made here", scores={})
    monkeypatch.setenv("VFI_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "no-data"))
    return tmp_path


def test_saved_weights_come_back_to_half_precision(folder: Path) -> None:
    torch.manual_seed(3)
    original = IFNet(TINY).state_dict()
    network, entry = weights.load("tiny")
    assert entry.params == sum(p.numel() for p in network.parameters())
    for name, value in network.state_dict().items():
        torch.testing.assert_close(value, original[name].half().float(), rtol=0, atol=0)


def test_one_changed_byte_is_refused_at_load_and_named_by_verify(folder: Path) -> None:
    path = folder / "tiny.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(WeightsError, match="sha256"):
        weights.load("tiny")
    assert any("sha256" in p for p in weights.verify(weights.find("tiny")))


def test_a_truncated_or_missing_file_is_named_by_verify(folder: Path) -> None:
    entry, path = weights.find("tiny"), folder / "tiny.safetensors"
    path.write_bytes(path.read_bytes()[:-10])
    assert any("bytes" in p for p in weights.verify(entry))
    path.unlink()
    assert weights.verify(entry) == [f"{path} is missing"]
    with pytest.raises(WeightsError, match="missing"):
        weights.load("tiny")


def test_values_that_are_not_finite_are_named_by_verify(folder: Path) -> None:
    network, _ = weights.load("tiny")
    with torch.no_grad():
        network.encoder[0][0].bias[0] = float("nan")
    entry = weights.save(folder / "bad.safetensors", network, name="bad", licence="MIT", origin="", scores={})
    assert weights.verify(entry) == [f"{entry.path}: encoder.0.0.bias is not finite"]


def test_a_pickle_is_refused_and_never_opened_as_one(folder: Path) -> None:
    path = folder / "evil.safetensors"
    torch.save({"x": torch.zeros(1)}, path)
    with pytest.raises(WeightsError, match="not a weights file"):
        weights.load(str(path))


def test_a_file_of_another_network_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "NETWORK", "ifnet-99")
    with pytest.raises(WeightsError, match="ifnet-99"):
        weights.load("tiny")


def test_unknown_names_are_answered_with_the_known_ones(folder: Path) -> None:
    with pytest.raises(WeightsError, match="tiny"):
        weights.find("nosuch")


def test_a_broken_manifest_is_one_sentence(folder: Path) -> None:
    (folder / weights.MANIFEST).write_text("{}")
    with pytest.raises(WeightsError, match="manifest"):
        weights.entries()


def test_weights_are_found_inside_an_installed_package_and_beside_a_checkout(tmp_path: Path) -> None:
    source = Path(weights.__file__)
    row = {"name": "x", "file": "x.safetensors", "sha256": "0", "bytes": 1, "network": "n", "params": 1}
    manifest = json.dumps({"weights": [{**row, "licence": "MIT", "origin": "o"}]})
    for layout in ("interp_cli/weights", "weights"):
        root = tmp_path / layout.replace("/", "-")
        package = root / "interp_cli"
        package.mkdir(parents=True)
        (package / "__init__.py").touch()
        for name in ("weights.py", "errors.py"):
            (package / name).write_text((source.parent / name).read_text())
        (root / layout).mkdir()
        (root / layout / weights.MANIFEST).write_text(manifest)
        code = (
            f"import sys; sys.path.insert(0, {str(root)!r}); from interp_cli import weights as w;"
            "assert [e.name for e in w.entries()] == ['x']; assert 'torch' not in sys.modules"
        )
        subprocess.run([sys.executable, "-I", "-c", code], check=True)


def test_every_shipped_weights_file_is_whole_and_loads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    shipped = weights.entries()
    assert "fast" in {e.name for e in shipped}
    for entry in shipped:
        assert weights.verify(entry) == []
        network, _ = weights.load(entry.name)
        assert sum(p.numel() for p in network.parameters()) == entry.params


def header(**facts: object) -> bytes:
    """The beginning of a safetensors file with this header."""
    text = json.dumps(facts).encode()
    return len(text).to_bytes(8, "little") + text


ABOUT = {"network": weights.NETWORK, "sizes": json.dumps(TINY.to_dict())}
BOMBS = {
    "a length beyond all memory": (2**63).to_bytes(8, "little") + b"{}",
    "a length beyond the file": (5000).to_bytes(8, "little") + b"{}",
    "no header": b"",
    "a list": header().replace(b"{}", b"[]"),
    "deep nesting": (200_000).to_bytes(8, "little") + b"[" * 200_000,
    "text where a table belongs": header(__metadata__="x"),
    "a huge tensor": header(__metadata__=ABOUT, x={"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}),
    "overlapping tensors": header(
        __metadata__=ABOUT,
        x={"dtype": "F16", "shape": [2], "data_offsets": [0, 4]},
        y={"dtype": "F16", "shape": [2], "data_offsets": [0, 4]},
    )
    + bytes(4),
    "sizes of a huge network": header(__metadata__={**ABOUT, "sizes": ABOUT["sizes"].replace("[4, 6, 8]", "[1e9]")}),
    "channels beyond reason": header(__metadata__={**ABOUT, "sizes": ABOUT["sizes"].replace("4, 6", "4, 999999")}),
}


@pytest.mark.parametrize("case", BOMBS)
def test_a_header_that_lies_is_one_sentence_and_takes_no_memory(case: str, folder: Path) -> None:
    resource = pytest.importorskip("resource", reason="Unix")
    path = folder / "bomb.safetensors"
    path.write_bytes(BOMBS[case])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(WeightsError, match=r"bomb\.safetensors"):
        weights.load(str(path))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # KiB on Linux


def test_a_manifest_cannot_point_out_of_its_folder(folder: Path) -> None:
    manifest = folder / weights.MANIFEST
    manifest.write_text(manifest.read_text().replace("tiny.safetensors", "../tiny.safetensors"))
    with pytest.raises(WeightsError, match="not in that folder"):
        weights.entries()


def test_nothing_in_a_weights_folder_is_imported_or_run(folder: Path, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    evil = f"open({str(canary)!r}, 'w').close()"
    for name in ("evil.py", "sitecustomize.py", "usercustomize.py", "__init__.py", "json.py", "network.py", "tiny.py"):
        (folder / name).write_text(evil)
    (folder / "evil.pth").write_text(f"import os; {evil}\n")
    (folder / "evil.pkl").write_bytes(b"cos\nsystem\n(S'touch " + os.fsencode(canary) + b"'\ntR.")
    environment = {**os.environ, "PYTHONPATH": str(Path(weights.__file__).parents[1])}
    for words in (["list"], ["verify"], ["verify", "tiny"]):
        argv = [sys.executable, "-P", "-m", "interp_cli", "weights", *words]
        subprocess.run(argv, cwd=folder, env=environment, check=True, capture_output=True)
    code = "from interp_cli import weights; weights.load('tiny')"
    subprocess.run([sys.executable, "-P", "-c", code], cwd=folder, env=environment, check=True, capture_output=True)
    assert not canary.exists()


def test_the_users_weights_come_after_those_that_are_shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VFI_WEIGHTS", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path))
    place = tmp_path / "vfi" / "weights"
    place.mkdir(parents=True)
    for name in ("fast", "own"):
        weights.save(place / f"{name}.safetensors", IFNet(TINY), name=name, licence="MIT", origin="o", scores={})
    assert weights.find("fast").folder != place
    assert weights.find("own").folder == place


def test_loading_leaves_the_compilers_of_torch_alone(folder: Path) -> None:
    """They take a second to import and make a folder for their cache."""
    code = "import sys; from interp_cli import weights; weights.load('tiny'); sys.exit('torch._dynamo' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

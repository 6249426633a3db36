"""Checkpoints become weights exactly as they are, or are refused in one sentence; none of them runs code."""

import json
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_clips import TINY

from interp_cli import weights
from interp_cli.checkpoints import bring_in
from interp_cli.cli.entry import run
from interp_cli.cli.grammar import Session
from interp_cli.errors import ExitCode, UsageError, WeightsError
from interp_cli.model.network import IFNet

State = dict[str, Any]


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's folder of weights, which is not there yet."""
    monkeypatch.delenv("VFI_WEIGHTS", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "data"))
    return tmp_path / "data" / "vfi" / "weights"


@pytest.fixture
def state() -> State:
    """What training saves, shortened."""
    torch.manual_seed(5)
    return {"ema": dict(IFNet(TINY).state_dict()), "sizes": json.dumps(TINY.to_dict()), "step": 3}


def saved(tmp_path: Path, state: object, name: str = "run.pt") -> Path:
    torch.save(state, tmp_path / name)
    return tmp_path / name


def test_a_checkpoint_becomes_weights_that_m_can_name(tmp_path: Path, state: State, place: Path) -> None:
    entry = bring_in(saved(tmp_path, state), name="mine", licence="MIT")
    assert entry.path == place / "mine.safetensors"
    assert weights.verify(entry) == []
    network, found = weights.load("mine")
    assert found == entry and entry.licence == "MIT" and "run.pt" in entry.origin
    for name, value in network.state_dict().items():
        torch.testing.assert_close(value, state["ema"][name].half().float(), rtol=0, atol=0)


def test_a_safetensors_file_keeps_its_licence_and_origin(tmp_path: Path, place: Path) -> None:
    weights.save(tmp_path / "other.safetensors", IFNet(TINY), name="x", licence="CC0-1.0", origin="there", scores={})
    entry = bring_in(tmp_path / "other.safetensors")
    assert (entry.name, entry.licence, entry.origin) == ("other", "CC0-1.0", "there")


def test_an_existing_name_is_kept_unless_told_and_a_shipped_one_always(tmp_path: Path, state: State) -> None:
    source = saved(tmp_path, state)
    bring_in(source, name="mine")
    for name in ("mine", "MINE"):
        with pytest.raises(WeightsError, match="-y"):
            bring_in(source, name=name)
    assert bring_in(source, name="mine", overwrite=True, licence="MIT") == weights.find("mine")
    with pytest.raises(WeightsError, match="come with vfi"):
        bring_in(source, name="fast", overwrite=True)


@pytest.mark.parametrize("name", ["../up", "a/b", ".hidden", "-m", "a b", "ü", "a.safetensors", "x" * 65])
def test_a_name_is_letters_digits_and_a_few_marks(name: str, tmp_path: Path, state: State) -> None:
    with pytest.raises(UsageError, match="--name"):
        bring_in(saved(tmp_path, state), name=name)


def changed(**parts: object) -> Callable[[State], State]:
    return lambda state: {**state, "ema": {**state["ema"], **parts}}


FIRST = "encoder.0.0.bias"
UNFIT: dict[str, tuple[Callable[[State], object], str]] = {
    "an unknown tensor": (changed(**{"module.x": torch.zeros(1)}), "'module.x' is unknown"),
    "a missing one": (lambda s: {**s, "ema": {k: v for k, v in s["ema"].items() if k != FIRST}}, f"{FIRST} is missing"),
    "a wrong shape": (changed(**{FIRST: torch.zeros(3)}), rf"{FIRST} is \(3,\) instead of \(4,\)"),
    "a shape beyond memory": (changed(**{FIRST: torch.zeros(1).expand(2**40)}), "instead of"),
    "a value that is not finite": (changed(**{FIRST: torch.full((4,), torch.inf)}), f"{FIRST} is not finite"),
    "a value that fp16 cannot hold": (changed(**{FIRST: torch.full((4,), 1e6)}), f"{FIRST} is not finite"),
    "whole numbers": (changed(**{FIRST: torch.zeros(4, dtype=torch.int64)}), "not an array of numbers"),
    "text for a tensor": (changed(**{FIRST: "four"}), "not an array of numbers"),
    "no averaged weights": (lambda s: {"sizes": s["sizes"]}, "no ema"),
    "an unknown part": (lambda s: {**s, "plugin": 1}, "unknown 'plugin'"),
    "sizes beyond reason": (lambda s: {**s, "sizes": s["sizes"].replace("[8, 8]", "[8, 999999]")}, "sizes"),
    "sizes that are none": (lambda s: {**s, "sizes": 7}, "does not hold"),
    "weights that are none": (lambda s: {**s, "ema": 7}, "does not hold"),
    "a list": (lambda s: [s], "refused"),
}


@pytest.mark.parametrize("case", UNFIT)
def test_what_does_not_fit_is_named_and_nothing_is_written(
    case: str, tmp_path: Path, state: State, place: Path
) -> None:
    change, words = UNFIT[case]
    with pytest.raises(WeightsError, match=words):
        bring_in(saved(tmp_path, change(state)))
    assert not place.exists()


class Evil:
    """Runs a command when an ordinary reader of pickles meets it."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.system, (f"touch {self.canary}",))


def packed(path: Path, state: State) -> None:
    torch.save(state, path.with_suffix(".tmp"))
    with zipfile.ZipFile(path.with_suffix(".tmp")) as old, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        for part in old.namelist():
            new.writestr(part, old.read(part))


HOSTILE: dict[str, Callable[[Path, State, Path], object]] = {
    "code in an archive": lambda path, state, canary: torch.save({**state, "step": Evil(canary)}, path),
    "code in the old format": lambda path, state, canary: torch.save(
        {**state, "step": Evil(canary)}, path, _use_new_zipfile_serialization=False
    ),
    "a bare pickle": lambda path, state, canary: path.write_bytes(pickle.dumps(Evil(canary))),
    "a pickle of numpy": lambda path, state, canary: np.save(
        path.open("wb"), np.array([Evil(canary)], dtype=object), allow_pickle=True
    ),
    "a packed archive": lambda path, state, canary: packed(path, state),
    "zeros": lambda path, state, canary: path.write_bytes(bytes(1000)),
    "nothing": lambda path, state, canary: path.write_bytes(b""),
    "half a file": lambda path, state, canary: (
        torch.save(state, path),
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    ),
}


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_file_is_refused_in_one_sentence_and_does_not_run(
    case: str, tmp_path: Path, state: State, place: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    canary, path = tmp_path / "canary", tmp_path / "evil.pt"
    HOSTILE[case](path, state, canary)
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    assert run(["weights", "import", str(path)], Session()) == ExitCode.WEIGHTS
    (line,) = capsys.readouterr().err.splitlines()
    assert "evil.pt is refused" in line
    assert not canary.exists()
    assert not place.exists()


def test_the_command_says_what_was_made_and_refuses_a_second_time(
    tmp_path: Path, state: State, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["weights", "import", str(saved(tmp_path, state)), "--name", "mine", "--out", str(tmp_path / "to")]
    assert run([*words, "--json"], Session()) == 0
    assert json.loads(capsys.readouterr().out)["path"] == str(tmp_path / "to" / "mine.safetensors")
    assert run(words, Session()) == ExitCode.WEIGHTS
    assert run([*words, "-y"], Session()) == 0
    assert run(["weights", "import", str(tmp_path / "none.pt")], Session()) == ExitCode.WEIGHTS
    assert run([*words[:3], "--name", "a/b"], Session()) == ExitCode.USAGE

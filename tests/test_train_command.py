"""`vfi train` end to end: runs go on exactly, end on time and by signals, and give weights that the commands take."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import small_clips
import torch
from safetensors.torch import load_file
from small_clips import TINY

from interp_cli import weights
from interp_cli.cli.entry import run
from interp_cli.cli.grammar import Session
from interp_cli.cli.train import train
from interp_cli.errors import ExitCode
from interp_cli.model.network import PRESETS, IFNet

SHORT = ["--preset", "tiny", "--crops", "32x3", "--device", "cpu", "--precision", "fp32", "--short-side", "48"]


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """Presets that take milliseconds."""
    monkeypatch.setitem(PRESETS, "tiny", TINY)
    monkeypatch.setitem(PRESETS, "tiny-blend", replace(TINY, detail=0, refine=0, blend=(8, 0)))


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one small video and one packed shot."""
    folder = tmp_path_factory.mktemp("clips")
    small_clips.clip(folder / "a.mp4", size="96x64", sound=False)
    wide = np.random.default_rng(0).integers(0, 255, (64, 100, 3), dtype=np.uint8)
    np.save(folder / "b.npy", np.stack([wide[:, n : n + 80] for n in range(12)]))
    return folder


def vfi_train(*words: str | Path | int) -> int:
    return run(["train", *map(str, words)], Session())


def weights_of(checkpoint: Path) -> dict[str, torch.Tensor]:
    state = torch.load(checkpoint, weights_only=True)
    parts = ("student", "ema", "teacher")
    return {f"{part}.{name}": value for part in parts if part in state for name, value in state[part].items()}


def test_a_run_that_was_broken_off_ends_with_the_same_numbers_as_one_that_was_not(clips: Path, tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole.safetensors", tmp_path / "broken.safetensors"
    assert vfi_train("--data", clips, "--out", whole, "--steps", "6", *SHORT) == 0
    assert vfi_train("--data", clips, "--out", broken, "--steps", "6", *SHORT, "--seed", "2") == 0
    assert broken.read_bytes() != whole.read_bytes()  # so chance has a say
    first, asked = Session(), iter([False, False, True])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("interp_cli.train.loop.share_gradients", lambda *_: next(asked))  # asked once in a step
        first.stop.signum = signal.SIGINT
        words = ["train", "--data", clips, "--out", broken, "-y", "--steps", "6", *SHORT]
        assert run(list(map(str, words)), first) == ExitCode.SIGINT
    assert torch.load(tmp_path / "broken.ckpt", weights_only=True)["step"] == 3
    assert vfi_train("--resume", tmp_path / "broken.ckpt", "-y") == 0
    ours, theirs = weights_of(tmp_path / "broken.ckpt"), weights_of(tmp_path / "whole.ckpt")
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_weights_come_with_manifest_card_and_log_and_the_commands_take_them(
    clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "own" / "mine.safetensors"
    assert (
        vfi_train(
            "--data", clips, "--val", clips, "--out", out, "--steps", "2", "--licence", "CC0-1.0", *SHORT, "--json"
        )
        == 0
    )
    out_and_err = capsys.readouterr()
    told = json.loads(out_and_err.out)
    (row,) = json.loads((out.parent / "manifest.json").read_text())["weights"]
    assert weights.verify(weights.entries_in(out.parent)[0]) == []
    assert row["sha256"] == told["sha256"] and row["licence"] == "CC0-1.0" and "2 steps" in row["origin"]
    lines = [json.loads(line) for line in (out.parent / "mine.jsonl").read_text().splitlines()]
    assert "trained on too" in out_and_err.err
    scores = [line["val_psnr"] for line in lines if "val_psnr" in line]
    assert len(scores) == 2 and row["scores"] == {"held_out_rgb_psnr_db": scores[-1]}
    assert lines[0]["recipe"]["data"] == [str(clips)] and lines[-1]["samples"] == 6
    card = (out.parent / "mine.md").read_text()
    assert str(tmp_path) not in card and str(clips) not in card
    assert row["sha256"] in card and "a.mp4, b.npy" in card and str(scores[-1]) in card
    assert run(["eval", str(clips / "a.mp4"), "-m", str(out), "--frames", "1", "--json"], Session()) == 0
    assert json.loads(capsys.readouterr().out)["sha256"] == row["sha256"]
    made = tmp_path / "made.mp4"
    words = ["upsample", str(clips / "a.mp4"), "--fps", "50", "--end", "0.1", "-m", str(out), "-o", str(made), "-q"]
    assert run(words, Session()) == 0 and made.exists()


def test_a_blend_learns_on_what_a_flow_makes_and_leaves_the_flow_as_it_is(clips: Path, tmp_path: Path) -> None:
    flow, whole, broken = (tmp_path / name for name in ("flow.safetensors", "whole.safetensors", "broken.safetensors"))
    preset = [*SHORT[2:], "--preset", "tiny-blend"]
    assert vfi_train("--data", clips, "--out", flow, "--steps", "2", *preset) == 0
    how = ["--data", clips, "--val", clips / "a.mp4", "--part", "blend", "--gaps", "2", "4", "--init", flow, *preset]
    assert vfi_train(*how, "--out", whole, "--steps", "6") == 0
    given, last = (load_file(path) for path in (flow, whole))
    assert all(torch.equal(given[k], last[k]) == (not k.startswith("blending.")) for k in given)
    lines = [json.loads(line) for line in whole.with_suffix(".jsonl").read_text().splitlines()]
    assert {"rms", "laplacian", "structure", "val_psnr"} <= set(lines[-1])
    first, asked = Session(), iter([False, False, True])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("interp_cli.train.loop.share_gradients", lambda *_: next(asked))
        first.stop.signum = signal.SIGINT
        assert run(["train", *map(str, how), "--out", str(broken), "--steps", "6"], first) == ExitCode.SIGINT
    assert vfi_train("--resume", broken.with_suffix(".ckpt")) == 0
    ours = load_file(broken)  # broken off and gone on with, it ends with the same numbers
    assert ours.keys() == last.keys() and all(torch.equal(ours[k], last[k]) for k in last)


def test_a_blend_needs_a_flow_and_a_preset_that_has_one(
    clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--data", clips, "--out", tmp_path / "x.safetensors", "--steps", "1", *SHORT, "--part", "blend"]
    assert vfi_train(*words) == ExitCode.USAGE
    assert "--init fast" in capsys.readouterr().err
    assert vfi_train(*words, "--init", "fast") == ExitCode.USAGE
    assert "preset tiny has no learned blend" in capsys.readouterr().err


def test_a_run_ends_when_its_minutes_are_over(clips: Path, tmp_path: Path) -> None:
    begun = time.monotonic()
    out = tmp_path / "timed.safetensors"
    assert vfi_train("--data", clips, "--out", out, "--minutes", "0.03", *SHORT) == 0
    state = torch.load(tmp_path / "timed.ckpt", weights_only=True)
    assert state["step"] > 1 and 0.03 <= state["minutes"] < (time.monotonic() - begun) / 60
    rates = state["optimiser"]["param_groups"][0]["lr"]
    assert rates < 1e-3 * 0.02 + 1e-9 or state["step"] < 100  # the cosine is at its end


def test_init_takes_what_fits_and_says_what_does_not(
    clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    other = TINY.from_dict({**TINY.to_dict(), "refine": 6})
    torch.manual_seed(3)
    start = IFNet(other)
    with monkeypatch.context() as patch:
        patch.setattr(weights, "NETWORK", "ifnet-0")  # of an older vfi, whose weights -m refuses
        weights.save(tmp_path / "start.safetensors", start, name="start", licence="x", origin="x", scores={})
    out = tmp_path / "next.safetensors"
    words = ["--init", str(tmp_path / "start.safetensors"), "--rate", "1e-9", "--steps", "1"]
    assert vfi_train("--data", clips, "--out", out, *words, *SHORT, "--no-teacher") == 0
    err = capsys.readouterr().err
    assert re.search(r"\d+ of the network's \d+ tensors begin as in", err)
    assert "begin anew: refinement.body" in err and "no place: refinement.body" in err
    ours = weights_of(tmp_path / "next.ckpt")
    assert not any(name.startswith("teacher") for name in ours)
    kept = start.state_dict()["encoder.0.0.weight"]
    torch.testing.assert_close(ours["student.encoder.0.0.weight"], kept.half().float(), rtol=0, atol=1e-6)


def test_other_shots_and_other_options_are_said_when_a_run_goes_on(
    clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, less = tmp_path / "x.safetensors", clips / "b.npy"
    assert vfi_train("--data", clips, "--out", out, "--steps", "1", *SHORT) == 0
    again = ["--resume", tmp_path / "x.ckpt", "-y", "--data", less, "--steps", "2", "--gaps", "2", "3:0.5"]
    assert vfi_train(*again) == 0
    err = capsys.readouterr().err
    assert "other than before: data, steps, gaps" in err and "other shots" in err
    assert torch.load(tmp_path / "x.ckpt", weights_only=True)["step"] == 2
    assert json.loads(torch.load(tmp_path / "x.ckpt", weights_only=True)["recipe"])["gaps"] == [[2, 1.0], [3, 0.5]]


BAD: dict[str, tuple[list[str], ExitCode, str]] = {
    "no data": (["--out", "x.safetensors", "--steps", "1"], ExitCode.USAGE, "--data must be given"),
    "no end": (["--data", "DATA", "--out", "x.safetensors"], ExitCode.USAGE, "--minutes or --steps"),
    "two ends": (
        ["--data", "DATA", "--out", "x.safetensors", "--steps", "1", "--minutes", "1"],
        ExitCode.USAGE,
        "either",
    ),
    "another name": (["--data", "DATA", "--out", "x.pt", "--steps", "1"], ExitCode.USAGE, ".safetensors"),
    "a preset of nobody": (["--preset", "huge"], ExitCode.USAGE, "fast"),
    "a crop that is none": (["--crops", "100x4"], ExitCode.USAGE, "192x7"),
    "a gap that is none": (["--gaps", "1"], ExitCode.USAGE, "4:0.2"),
    "data that is not there": (["--data", "nowhere"], ExitCode.INPUT, "nowhere does not exist"),
    "crops beyond the shots": (["--crops", "256x1"], ExitCode.INPUT, "--crops"),
    "weights that are not there": (["--init", "nobody"], ExitCode.WEIGHTS, "nobody"),
    "a checkpoint that is none": (["--resume", "DATA/b.npy"], ExitCode.WEIGHTS, "is refused"),
    "init and resume": (["--resume", "x.ckpt", "--init", "fast"], ExitCode.USAGE, "--init"),
    "workers on another device": (["--device", "cuda"], ExitCode.DEVICE, "--device"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_is_one_sentence_with_its_code(
    case: str, clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    words, code, sentence = BAD[case]
    whole = ["--data", "DATA", "--out", "x.safetensors", "--steps", "1", "--device", "cpu"]
    if case not in ("no data", "no end", "two ends", "another name"):
        words = [*whole, *words]
    assert vfi_train(*(word.replace("DATA", str(clips)) for word in words), "-q") == code
    (line,) = capsys.readouterr().err.splitlines()
    assert sentence in line
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("taken", ["x.safetensors", "x.ckpt", "x.md"])
def test_nothing_is_replaced_unless_told(
    taken: str, clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / taken).write_text("mine")
    words = ["--data", clips, "--out", tmp_path / "x.safetensors", "--steps", "1", *SHORT]
    assert vfi_train(*words) == ExitCode.OUTPUT
    assert "-y" in capsys.readouterr().err
    assert (tmp_path / taken).read_text() == "mine"


def test_a_checkpoint_that_cannot_be_written_leaves_the_one_before(
    clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "x.safetensors"
    assert vfi_train("--data", clips, "--out", out, "--steps", "1", *SHORT) == 0
    before = (tmp_path / "x.ckpt").read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("interp_cli.checkpoints.replace_file", full)
    assert vfi_train("--resume", tmp_path / "x.ckpt", "-y", "--steps", "2") == ExitCode.STOPPED
    assert "No space left" in capsys.readouterr().err.splitlines()[-1]
    assert (tmp_path / "x.ckpt").read_bytes() == before


def test_a_run_that_diverges_stops_and_its_checkpoint_stays_sound(
    clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("interp_cli.train.run.laplacian", lambda a, b: (a - b).mean((1, 2, 3)) * float("nan"))
    out = tmp_path / "x.safetensors"
    assert vfi_train("--data", clips, "--out", out, "--steps", "2", *SHORT) == ExitCode.STOPPED
    assert "--rate" in capsys.readouterr().err.splitlines()[-1]
    assert not out.exists() and not (tmp_path / "x.ckpt").exists()


CHILD = """
import sys
sys.path.insert(0, {tests!r})
from small_clips import TINY
from interp_cli.model import network
network.PRESETS["tiny"] = TINY
if __name__ == "__main__":
    from interp_cli.cli import main
    main(sys.argv[1:])
"""


@pytest.mark.skipif(os.name == "nt", reason="signals of Unix")
@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_ctrl_c_writes_the_checkpoint_and_the_run_goes_on_from_it(workers: int, clips: Path, tmp_path: Path) -> None:
    script, out = tmp_path / "vfi.py", tmp_path / "x.safetensors"
    script.write_text(CHILD.format(tests=str(Path(__file__).parent)))
    words = ["train", "--data", clips, "--out", out, *SHORT, "--workers", str(workers)]
    child = subprocess.Popen(
        [sys.executable, script, *map(str, words), "--minutes", "5"],
        stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    assert child.stderr is not None
    for line in child.stderr:
        if "steps 0," in line:
            break
    os.killpg(child.pid, signal.SIGINT)  # as a terminal does: every process of the group
    rest = child.stderr.read()
    child.stderr.close()
    assert child.wait(60) == -signal.SIGINT, rest
    assert "Traceback" not in rest and "vfi train --resume" in rest.splitlines()[-1]
    assert not out.exists() and not list(tmp_path.glob("*.tmp"))
    step = torch.load(tmp_path / "x.ckpt", weights_only=True)["step"]
    assert step >= 1
    assert run(["weights", "import", str(tmp_path / "x.ckpt"), "--out", str(tmp_path / "so-far")], Session()) == 0
    assert vfi_train("--resume", tmp_path / "x.ckpt", "--steps", step + 1, "--workers", "1") == 0
    assert torch.load(tmp_path / "x.ckpt", weights_only=True)["step"] == step + 1 and out.exists()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_run_on_cuda_goes_on_there_and_on_a_cpu(clips: Path, tmp_path: Path) -> None:
    out = tmp_path / "x.safetensors"
    words = ["--data", clips, "--val", clips, "--out", out, *SHORT[:4], "--short-side", "48", "--steps", "40"]
    assert vfi_train(*words, "--device", "cuda") == 0
    lines = [json.loads(line) for line in (tmp_path / "x.jsonl").read_text().splitlines()]
    assert lines[0]["bf16"] is True and lines[-1]["steps"] == 40
    assert vfi_train("--resume", tmp_path / "x.ckpt", "-y", "--steps", "60") == 0
    assert vfi_train("--resume", tmp_path / "x.ckpt", "-y", "--steps", "61", "--device", "cpu") == 0
    assert torch.load(tmp_path / "x.ckpt", weights_only=True)["step"] == 61


def test_the_help_names_every_preset_and_gap() -> None:
    from interp_cli.train.recipe import CROPS, GAPS

    texts = {param.name: f"{getattr(param, 'help', '')} {param.metavar}" for param in train.params}
    assert set(PRESETS) - {"tiny", "tiny-blend"} == set(str(texts["preset"].split()[-1]).split("|"))
    assert " ".join(f"{gap}:{often}" for gap, often in GAPS) in texts["gaps"]
    assert " ".join(f"{side}x{count}" for side, count in CROPS) in texts["crops"]


def test_options_of_several_values_take_the_words_up_to_the_next_option() -> None:
    words = ["--data", "a", "b", "-y", "--crops", "64x2", "96x1", "--out", "x.safetensors", "--steps", "3"]
    context = train.make_context("train", list(words))
    assert context.params["data"] == ("a", "b") and context.params["crops"] == ("64x2", "96x1")
    assert context.params["overwrite"] is True and context.params["out"] == "x.safetensors"

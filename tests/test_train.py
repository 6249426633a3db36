"""Training parts against analytic cases, and one short run end to end."""

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from small_clips import TINY

from interp_cli import weights
from interp_cli.errors import InputError
from interp_cli.model import network as network_module
from interp_cli.model.network import PRESETS, Synthesis
from interp_cli.model.warp import warp
from interp_cli.train.data import Sampler, load_shots
from interp_cli.train.export import export
from interp_cli.train.loop import Recipe, train
from interp_cli.train.losses import distillation, known_flow, laplacian, relative
from interp_cli.train.synthetic import moving_layers


def smooth_textures(count: int, layers: int, side: int) -> torch.Tensor:
    coarse = torch.rand(count * layers, 3, side // 8, side // 8)
    fine = torch.nn.functional.interpolate(coarse, size=(side, side), mode="bicubic").clamp(0, 1)
    return fine.view(count, layers, 3, side, side)


@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("end", [0, 1])
def test_synthetic_flow_leads_from_the_middle_frame_to_the_same_surface(layers: int, end: int) -> None:
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(5)
    t = torch.full((6,), 0.4)
    made = moving_layers(smooth_textures(6, layers, 64), t, layers=layers, generator=generator)
    flow, valid = made.flow[:, 2 * end : 2 * end + 2], made.valid[:, 2 * end : 2 * end + 1]
    rebuilt = warp(made.I1 if end else made.I0, flow)
    away = ((rebuilt - made.I_t).abs().mean(1, keepdim=True) * valid).sum() / valid.sum()
    still = ((made.I0 - made.I_t).abs().mean(1, keepdim=True) * valid).sum() / valid.sum()
    assert valid.mean() > 0.5
    assert away < 0.01 < still


def test_synthetic_layers_hide_one_another_and_the_hidden_is_marked() -> None:
    torch.manual_seed(0)
    made = moving_layers(
        smooth_textures(8, 3, 64), torch.full((8,), 0.5), layers=3, generator=torch.Generator().manual_seed(1)
    )
    assert (made.valid == 0).any()


def test_laplacian_of_equal_frames_is_zero_and_a_shade_counts_once_per_frame() -> None:
    a = torch.rand(2, 3, 64, 64)
    assert torch.equal(laplacian(a, a), torch.zeros(2))
    # A constant difference lives in the last level alone.
    torch.testing.assert_close(laplacian(a + 0.25, a), torch.full((2,), 0.25), rtol=0, atol=1e-5)


def test_relative_errors_pull_alike_on_easy_and_hard_samples() -> None:
    error = torch.tensor([0.5, 0.05], requires_grad=True)
    relative(error, floor=0.0).backward()
    assert error.grad is not None
    torch.testing.assert_close(error.grad * error.detach(), torch.full((2,), 0.1375))  # half the mean of 0.275


def test_distillation_counts_only_where_the_teacher_is_better() -> None:
    I_t = torch.zeros(1, 3, 4, 4)
    student, teacher = torch.full_like(I_t, 0.5), torch.full_like(I_t, 0.5)
    teacher[..., :2] = 0.1
    better = Synthesis(torch.full((1, 2, 4, 4), 3.0), torch.zeros(1, 2, 4, 4), torch.ones(1, 1, 4, 4), None)
    flow = torch.zeros(1, 4, 4, 4)
    loss = distillation([flow], I_t, student, teacher, better)
    torch.testing.assert_close(loss, torch.tensor((18**0.5 * 8) / 16), rtol=1e-4, atol=1e-3)
    assert distillation([flow], I_t, teacher, student, better) == 0


def test_known_flow_ignores_hidden_pixels() -> None:
    truth, valid = torch.full((1, 4, 2, 2), 2.0), torch.ones(1, 4, 2, 2)
    valid[..., 0] = 0
    flow = truth.clone()
    flow[..., 0] = 99
    assert known_flow([flow], truth, valid) == 0


@pytest.fixture
def shots(tmp_path: Path) -> Path:
    """Two shots: one that slides, and one that slides, cuts at frame 6 and repeats frame 9."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "shots"
    folder.mkdir()
    for name in ("slide", "cut"):
        # soft texture: its change per frame is the same in every frame, as in a pan over a real scene
        noise = [cv2.GaussianBlur(rng.random((96, 128, 3)), (0, 0), 4) for _ in range(2)]
        worlds = [((n - n.min()) / np.ptp(n) * 255).astype(np.uint8) for n in noise]
        frames = [worlds[name == "cut" and i >= 6][8:88, i : i + 80] for i in range(12)]
        if name == "cut":
            frames[10] = frames[9]
        np.save(folder / f"{name}.npy", np.stack(frames))
    return folder


def test_no_triplet_spans_a_cut_or_a_repeated_frame(shots: Path) -> None:
    cut, slide = load_shots([shots], device=torch.device("cpu"))
    assert slide.usable(0, 11)
    assert cut.usable(0, 5) and cut.usable(6, 9)
    assert not cut.usable(4, 7) and not cut.usable(8, 11)


def test_triplets_hold_the_true_middle_frame_between_their_ends(shots: Path) -> None:
    sampler = Sampler(load_shots([shots], device=torch.device("cpu")), seed=1, still_share=0.0)
    drawn = sampler.triplets(8, 48)
    assert drawn.I0.shape == drawn.I_t.shape == (8, 3, 48, 48)
    assert ((drawn.t > 0) & (drawn.t < 1)).all()
    assert ((drawn.I_t >= 0) & (drawn.I_t <= 1)).all()


def test_an_empty_folder_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no \.npy shots"):
        load_shots([tmp_path], device=torch.device("cpu"))


def test_a_run_stops_on_time_resumes_where_it_was_and_exports_weights_that_load(
    shots: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(PRESETS, "tiny", TINY)
    assert network_module.PRESETS is PRESETS
    out = tmp_path / "run.pt"
    recipe = Recipe(
        data=(str(shots),), out=str(out), val=str(shots), preset="tiny", minutes=0.02, crops=((32, 4),), autocast=False
    )
    train(recipe)
    first = torch.load(out, weights_only=True)
    assert first["step"] > 0 and first["minutes"] >= 0.02
    train(replace(recipe, minutes=0.03), resume=True)
    second = torch.load(out, weights_only=True)
    assert second["step"] > first["step"] and second["samples"] == 4 * second["step"]
    lines = [json.loads(line) for line in (tmp_path / "run.jsonl").read_text().splitlines()]
    assert [line for line in lines if "val_psnr" in line]
    entry = export(out, tmp_path / "tiny.safetensors", origin="test", scores={"psnr": 1.0})
    monkeypatch.setenv("VFI_WEIGHTS", str(tmp_path))
    network, loaded = weights.load("tiny")
    assert loaded == entry and network.sizes == TINY

"""Parts of training against analytic cases: losses, shots, crops and what is done to them."""

import random
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import small_clips
import torch
from skimage.metrics import structural_similarity

from interp_cli import weights
from interp_cli.errors import InputError
from interp_cli.model.blend import Blend
from interp_cli.model.seam import Synthesis
from interp_cli.train import data
from interp_cli.train.augment import compressed, scale_of
from interp_cli.train.blending import Crops, blend_losses, blended
from interp_cli.train.data import Sampler
from interp_cli.train.examples import examples_of
from interp_cli.train.losses import distillation, known_flow, laplacian, relative, structure
from interp_cli.train.recipe import GAPS
from interp_cli.train.shots import Shot, load_shots


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


def loaded(folder: Path) -> list[Shot]:
    return load_shots((str(folder),), short_side=360, frames=0, note=print)


def sampler_of(shots: list[Shot], *, seed: str = "1", **more: Any) -> Sampler:
    sampler = Sampler(shots, **{"gaps": GAPS, "device": torch.device("cpu"), **more})
    sampler.begin(seed)
    return sampler


def test_no_triplet_spans_a_cut_or_a_repeated_frame(shots: Path) -> None:
    cut, slide = (Shot.of(np.load(shots / f"{name}.npy"), name) for name in ("cut", "slide"))
    assert slide.usable(0, 11)
    assert cut.usable(0, 5) and cut.usable(6, 9)
    assert not cut.usable(4, 7) and not cut.usable(8, 11)


def test_shots_end_where_the_picture_cuts(shots: Path) -> None:
    assert [(shot.source, len(shot.frames)) for shot in loaded(shots)] == [
        ("cut.npy", 6),
        ("cut.npy", 6),
        ("slide.npy", 12),
    ]


def test_videos_and_packed_shots_are_found_in_folders_and_what_is_neither_is_said(
    shots: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small_clips.clip(shots / "moving.mp4", size="160x96", sound=False)
    (shots / "empty.mp4").write_bytes(b"")
    (shots / "list.npy").write_bytes(b"no array")
    np.save(shots / "flat.npy", np.zeros((4, 8, 8), np.uint8))
    np.save(shots / "small.npy", np.zeros((4, 24, 48, 3), np.uint8))
    found = load_shots((str(shots), str(shots / "slide.npy")), short_side=48, frames=7, note=print)
    assert [s.source for s in found] == ["cut.npy", "cut.npy", "moving.mp4", "slide.npy", "slide.npy"]
    assert found[2].frames.shape == (7, 48, 80, 3)
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 4 and all(line.startswith("left out: ") for line in said)


def test_decoded_shots_are_the_frames_that_ffmpeg_shows(tmp_path: Path) -> None:
    whole_chroma = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv444p")
    path = small_clips.clip(tmp_path / "a.mp4", size="64x48", codec=whole_chroma, sound=False)
    (shot,) = load_shots((str(path),), short_side=48, frames=3, note=print)
    raw = tmp_path / "a.rgb"
    exact = "scale=in_range=tv:in_color_matrix=bt601:flags=bilinear+accurate_rnd+full_chroma_int"
    small_clips.ffmpeg("-i", path, "-frames:v", "3", "-vf", exact, "-pix_fmt", "rgb24", "-f", "rawvideo", raw)
    away = np.fromfile(raw, np.uint8).reshape(3, 48, 64, 3).astype(int) - shot.frames.numpy()
    assert np.abs(away).mean() < 1


def test_triplets_hold_the_true_middle_frame_between_their_ends(shots: Path) -> None:
    sampler = sampler_of(loaded(shots), still_share=0.0)
    drawn = sampler.triplets(8, 48)
    assert drawn.I0.shape == drawn.I_t.shape == (8, 3, 48, 48)
    assert ((drawn.t > 0) & (drawn.t < 1)).all()
    assert ((drawn.I_t >= 0) & (drawn.I_t <= 1)).all()


def numbered(count: int, repeated: int | None = None) -> Shot:
    """Flat frames, each ten code values brighter than the one before, but for the one that repeats it."""
    values = np.cumsum([10 * (n not in (0, repeated)) for n in range(count)])
    return Shot.of(np.tile(values.astype(np.uint8)[:, None, None, None], (1, 40, 40, 3)), "numbered")


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """No change of brightness, no noise: a value says which frame it is from."""
    monkeypatch.setattr(data, "photometry", lambda frames, generator: frames)
    monkeypatch.setattr(data, "spoilt", lambda I, draw, generator: I)


@pytest.mark.usefixtures("plain")
def test_t_is_where_the_middle_frame_lies_also_backwards_and_gaps_are_those_asked_for() -> None:
    sampler = sampler_of([numbered(20)], gaps=((4, 1.0), (7, 1.0)))
    drawn = sampler.triplets(64, 32)
    I0, I_t, I1 = ((I * 25.5).round().mean((1, 2, 3)) for I in (drawn.I0, drawn.I_t, drawn.I1))
    torch.testing.assert_close(I0 + drawn.t * (I1 - I0), I_t, rtol=0, atol=1e-4)
    assert {round(gap) for gap in (I1 - I0).tolist()} == {-7, -4, 4, 7}


@pytest.mark.usefixtures("plain")
def test_no_triplet_is_drawn_over_a_repeated_frame() -> None:
    drawn = sampler_of([numbered(20, repeated=10)], gaps=((3, 1.0),)).triplets(64, 32)
    steps = ((drawn.I1 - drawn.I0) * 25.5).round().mean((1, 2, 3)).abs()
    assert (steps == 3).all()


def test_about_a_fifth_of_the_crops_are_still(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    moving = rng.integers(0, 255, (12, 64, 192, 3), dtype=np.uint8)
    moving[:, :, 96:] = moving[:1, :, 96:]  # its right half stands still
    monkeypatch.setattr(Shot, "usable", lambda *_: True)
    monkeypatch.setattr(data, "scale_of", lambda draw: 1.0)
    drawn = sampler_of([Shot.of(moving, "half")]).triplets(300, 32)
    alike = ((drawn.I0 - drawn.I1).abs().mean((1, 2, 3)) < 0.03).float().mean().item()
    assert 0.1 < alike < 0.3


def test_what_is_drawn_depends_on_the_seed_alone(shots: Path) -> None:
    sampler = sampler_of(loaded(shots))
    first = sampler.triplets(4, 48).I0
    other = sampler.triplets(4, 48).I0
    sampler.begin("1")
    assert torch.equal(sampler.triplets(4, 48).I0, first)
    assert not torch.equal(other, first)


@pytest.mark.parametrize("content", ["nothing", "one cut frame after another"])
def test_a_folder_with_nothing_to_train_on_is_one_sentence(content: str, tmp_path: Path) -> None:
    if content != "nothing":
        np.save(tmp_path / "short.npy", np.zeros((2, 64, 64, 3), np.uint8))
    with pytest.raises(InputError, match="nothing to train on"):
        loaded(tmp_path)


def test_crops_that_fit_no_shot_and_gaps_that_none_has_are_one_sentence(shots: Path) -> None:
    with pytest.raises(InputError, match="--crops"):
        sampler_of(loaded(shots)).check(((48, 4), (96, 4)))
    with pytest.raises(InputError, match="--gaps"):
        sampler_of(loaded(shots), gaps=((12, 1.0),))


def test_compression_rounds_what_it_leaves_and_leaves_flat_areas() -> None:
    torch.manual_seed(0)
    I = 0.3 + 0.4 * torch.rand(2, 1, 40, 44).expand(-1, 3, -1, -1)
    once = compressed(I, 2.0)
    steps = [2 / 255 * (1 + (u + v) / 2) for u in range(8) for v in range(8)]
    expected = (sum(step**2 for step in steps) / 64 / 12) ** 0.5  # rounding to a step is off by step / sqrt(12)
    assert (once - I)[..., :40].square().mean().sqrt().item() == pytest.approx(expected, rel=0.05)
    torch.testing.assert_close(compressed(once[..., :40], 2.0), once[..., :40], rtol=0, atol=1e-5)  # whole blocks
    torch.testing.assert_close(compressed(I, 1e-4), I, rtol=0, atol=1e-5)
    flat = torch.full((1, 3, 16, 16), 0.4)
    assert (compressed(flat, 16.0) - flat).abs().max() < 0.01


def test_inputs_are_spoilt_now_and_then_and_the_true_frame_never(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data, "photometry", lambda frames, generator: frames)
    sampler = sampler_of([numbered(12)])
    spoilt = 0
    for n in range(60):
        sampler.begin(str(n))
        drawn = sampler.triplets(2, 32)
        assert drawn.I_t.std((1, 2, 3)).max() < 1e-6
        spoilt += bool(drawn.I0.std((1, 2, 3)).max() > 1e-4)
    assert 2 <= spoilt <= 20


def test_scales_reach_from_half_to_double() -> None:
    scales = [scale_of(random.Random(n)) for n in range(400)]
    assert 0.5 <= min(scales) < 0.6 and 1.8 < max(scales) <= 2
    assert 0.6 < sum(scale == 1 for scale in scales) / 400 < 0.9


def test_a_blend_learns_to_take_the_frame_that_is_right() -> None:
    torch.manual_seed(3)
    blend = Blend(8, 0)
    optimiser = torch.optim.AdamW(blend.parameters(), 3e-3)
    lost = []
    for step in range(120):
        g = torch.Generator().manual_seed(step)
        true = torch.nn.functional.avg_pool2d(torch.rand(4, 1, 36, 36, generator=g), 5, 1)
        wrong = (true + 0.2).clamp(0, 1)  # what only one of the two frames shows, and not the frame beyond it
        swapped = torch.rand(4, 1, 1, 1, generator=g) < 0.5
        warped = torch.where(swapped, torch.cat((wrong, true), 1), torch.cat((true, wrong), 1))
        beyond = torch.nn.functional.avg_pool2d(warped - true, 2)
        terms = blend_losses(blend, Crops(warped, beyond, true, torch.full((4,), 0.5)), bf16=False)
        optimiser.zero_grad()
        sum(terms.values()).backward()  # type: ignore[union-attr]
        optimiser.step()
        lost.append((blended(blend, warped, beyond, torch.full((4,), 0.5)) - true).square().mean().sqrt().item())
    assert lost[0] > 0.09
    assert sum(lost[-10:]) / 10 < 0.03


def test_structure_is_what_the_library_of_pictures_measures() -> None:
    g = torch.Generator().manual_seed(4)
    a, b = (torch.nn.functional.avg_pool2d(torch.rand(1, 1, 44, 44, generator=g), 5, 1) for _ in range(2))
    a, b = a.double(), (0.7 * a + 0.3 * b).double()
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1.0}
    _, whole = structural_similarity(a[0, 0].numpy(), b[0, 0].numpy(), full=True, **options)
    assert structure(a, b).item() == pytest.approx(float(whole[5:-5, 5:-5].mean()), abs=1e-6)


def test_examples_are_what_the_engine_makes_with_the_true_frames() -> None:
    noise = np.random.default_rng(0).uniform(0, 255, (64, 192, 1)).repeat(3, 2)
    wide = (128 + 4 * (cv2.GaussianBlur(noise, (0, 0), 2.0) - 128)).clip(20, 230).astype(np.uint8)
    shot = Shot.of(np.stack([wide[:, 2 * n : 2 * n + 128] for n in range(9)]), "pan")
    network, _ = weights.load("fast")
    (made,) = examples_of(shot, network, gap=2)
    assert made.t.tolist() == [0.5] * 4
    assert made.true.shape == (4, 1, 64, 128)
    green = shot.frames[3, ..., 1].numpy().astype(float)  # most of luma
    assert np.corrcoef(made.true[1, 0].numpy().ravel(), green.ravel())[0, 1] > 0.8
    inside = np.s_[:, :, 8:-8, 16:-16]
    for k in range(2):
        assert (made.warped[:, k : k + 1].float() - made.true.float())[inside].abs().median() < 2  # a pan is followed
    assert made.beyond[0].abs().max() == 0  # there is no frame before the first
    assert made.beyond[1].abs().max() > 0

"""The learned blend: what its shares mean on all planes, what the frames beyond say, and what it is good for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from interp_cli import kernels, weights
from interp_cli.engine import blend as engine_blend
from interp_cli.engine.blend import blended
from interp_cli.engine.composing import Apart
from interp_cli.engine.interpolate import Interpolator
from interp_cli.engine.planes import Frames
from interp_cli.engine.source import Pair, Source
from interp_cli.media.formats import working_format
from interp_cli.media.types import Color, Planes, pixel_format
from interp_cli.model.blend import BANDS, PITCH, SEEN, SHARES, Blend, blurred, mask_and_residual, seen
from interp_cli.model.network import IFNet
from interp_cli.model.seam import Synthesis
from interp_cli.options import Dedup, EngineOptions
from interp_cli.quality.metrics import psnr
from interp_cli.timeline import Target

COLOR = Color(range="tv", matrix="bt709")
OPTIONS = EngineOptions(batch=1, scene_detect=False, overlay_hold=False, dedup=Dedup.OFF)
SURE = 30.0  # of a logit: the mask is 0 or 1


class Answers:
    """A network whose blend always says the same, SHARES numbers."""

    def __init__(self, *shares: float) -> None:
        self.shares = torch.tensor(shares).repeat_interleave(4).view(1, 4 * SHARES, 1, 1)

    def blend(self, x: Tensor) -> Tensor:
        assert x.shape[1] == SEEN
        return self.shares.expand(len(x), -1, *x.shape[-2:])


def frames(name: str, height: int, width: int, *, seed: int, count: int = 2) -> Frames:
    """Noise in the format `name`, with values that leave room on either side."""
    g = torch.Generator().manual_seed(seed)
    format = working_format(name)
    noise = [
        torch.rand(count, 1, h, w, generator=g) * format.peak / 2 + format.peak / 4
        for h, w in format.plane_shapes(width, height)
    ]
    if format.chroma_shift == (0, 0):
        return Frames(torch.cat(noise, 1), None, format)
    return Frames(torch.cat([noise[0], *noise[3:]], 1), torch.cat(noise[1:3], 1), format)


def half_of_both(name: str, *, count: int, size: tuple[int, int] = (23, 38)) -> tuple[Frames, Frames, Frames, Apart]:
    """Two frames A and B, their mean, and A - B."""
    A, B = (frames(name, *size, seed=seed, count=count) for seed in (1, 2))

    def mean(a: Tensor | None, b: Tensor | None) -> Tensor | None:
        return None if a is None or b is None else (a + b) / 2

    apart = Apart(A.full - B.full, None if A.chroma is None or B.chroma is None else A.chroma - B.chroma)
    whole = mean(A.full, B.full)
    assert whole is not None
    return A, B, Frames(whole, mean(A.chroma, B.chroma), A.format), apart


def asked(network: Answers, made: Frames, apart: Apart) -> Frames:
    count, (height, width) = len(made), made.size
    flow = torch.zeros(count, 2, -(-height // 2), -(-width // 2))
    s = Synthesis(flow, flow, torch.full((count, 1, 1, 1), 0.5), None, pitch=2)
    source = Source(None, made)
    pairs = [Pair(source, source, Fraction(1, 2), (0,))] * count
    return blended(network, made, apart, pairs, s, torch.full((count,), 0.5), scale=1)  # type: ignore[arg-type]


@pytest.fixture(params=["kernels", "tensors"])
def _way(request: pytest.FixtureRequest) -> Iterator[None]:
    with torch.inference_mode() if request.param == "kernels" else torch.no_grad():
        yield


FORMATS = ["yuv420p", "yuv444p10le", "yuv422p", "gray", "gbrp", "yuva420p", "gbrap"]


@pytest.mark.usefixtures("_way")
@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("name", FORMATS)
def test_shares_of_nothing_change_nothing(name: str, count: int) -> None:
    _, _, made, apart = half_of_both(name, count=count)
    out = asked(Answers(*[0.0] * SHARES), made, apart)
    torch.testing.assert_close(out.full, made.full, atol=2e-4 * made.format.peak, rtol=0)
    if made.chroma is not None and out.chroma is not None:
        torch.testing.assert_close(out.chroma, made.chroma, atol=2e-4 * made.format.peak, rtol=0)


@pytest.mark.usefixtures("_way")
@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("sure", [SURE, -SURE])
def test_a_sure_mask_gives_one_of_the_two_frames_on_every_plane(name: str, sure: float) -> None:
    A, B, made, apart = half_of_both(name, count=1)
    one, out = A if sure > 0 else B, asked(Answers(sure, *[0.0] * (SHARES - 1)), made, apart)
    torch.testing.assert_close(out.full, one.full, atol=1e-4 * made.format.peak, rtol=0)
    if one.chroma is not None and out.chroma is not None:
        torch.testing.assert_close(out.chroma, one.chroma, atol=1e-4 * made.format.peak, rtol=0)


@pytest.mark.usefixtures("_way")
@pytest.mark.parametrize("name", ["yuv420p", "gbrap"])
def test_both_bands_taken_away_leave_what_both_blurs_leave(name: str) -> None:
    A, _, made, apart = half_of_both(name, count=1)
    out = asked(Answers(SURE, *[-1.0] * BANDS, *[0.0] * BANDS), made, apart)
    rows = [1, 2, 1]
    kernel = np.outer(rows, rows) / 16  # the oracle: the same blurs as sums over shifted copies
    picture = A.full[0, 0].double().numpy()
    for step in (1, 2):
        wide = np.pad(picture, step, mode="edge")
        picture = sum(
            kernel[j, i] * wide[j * step : j * step + picture.shape[0], i * step : i * step + picture.shape[1]]
            for j in range(3)
            for i in range(3)
        )
    np.testing.assert_allclose(out.full[0, 0].numpy(), picture, atol=2e-4 * made.format.peak)
    if name == "gbrap":  # every colour gets the residual of the first; alpha gets none
        R = picture - A.full[0, 0].numpy()
        for plane, residual in ((1, R), (2, R), (3, 0)):
            expected = A.full[0, plane].numpy() + residual
            np.testing.assert_allclose(out.full[0, plane].numpy(), expected, atol=5e-4 * made.format.peak)


def test_what_is_seen_is_the_frames_px_by_px() -> None:
    warped, beyond = torch.rand(1, 2, 10, 14), torch.rand(1, 2, 5, 7)
    x = seen(warped, beyond, torch.tensor([0.25]))
    assert x.shape == (1, SEEN, 3, 4)
    mean = (warped[0, 0] + warped[0, 1]) / 2 - 0.5
    assert x[0, 6, 1, 2].item() == pytest.approx(mean[1 * PITCH + 1, 2 * PITCH + 2].item())  # row 1, column 2 of 4 x 4
    assert x[0, 0, 2, 3].item() == pytest.approx(mean[8, 12].item())
    assert x[0, 15, 2, 3].item() == pytest.approx(mean[9, 13].item())  # beyond the border it is repeated
    assert (x[0, -1] == 0.25).all()


@pytest.mark.parametrize("kernel", [True, False])
def test_where_the_frames_agree_nothing_is_said(*, kernel: bool) -> None:
    torch.manual_seed(0)
    x = torch.rand(1, SEEN, 20, 20)
    x[:, PITCH**2 : 2 * PITCH**2] = 0
    x[0, PITCH**2 + 3, 10, 10] = 1.0
    with torch.inference_mode() if kernel else torch.no_grad():
        told = Blend(8, 1)(x).abs().amax(1)[0] > 0
    assert told[10, 10]
    assert told.sum() == 1


def test_mask_and_residual_of_no_shares_are_those_without() -> None:
    warped = torch.rand(1, 2, 8, 12)
    M, R = mask_and_residual(torch.zeros(1, 4 * SHARES, 2, 3), warped, torch.full((1, 1, 1, 1), 0.3))
    torch.testing.assert_close(M, torch.full_like(M, 0.3))
    assert not R.any()
    torch.testing.assert_close(blurred(torch.full((1, 1, 5, 5), 0.7), 2), torch.full((1, 1, 5, 5), 0.7))


def texture(seed: int, height: int, width: int) -> NDArray[np.float64]:
    """A picture without an edge that is sharper than two px."""
    rough = np.random.default_rng(seed).uniform(40, 210, (height // 4 + 3, width // 4 + 3))
    large = np.kron(rough, np.ones((4, 4)))
    for axis in (0, 1):
        large = sum(np.roll(large, k, axis) for k in range(-2, 3)) / 5
    return large[4 : 4 + height, 4 : 4 + width]


def scene(n: int) -> NDArray[np.uint8]:
    """Frame `n`: a square of 40 px moves over a textured wall, 6 px a frame."""
    wall, square = texture(1, 128, 224), texture(2, 40, 40)
    wall[44:84, 20 + 6 * n : 60 + 6 * n] = square
    return wall.round().astype(np.uint8)


def planes(n: int, luma: NDArray[np.uint8]) -> Planes:
    grey = np.full((luma.shape[0] // 2, luma.shape[1] // 2), 128, np.uint8)
    return Planes(n, (luma, grey, grey), pixel_format("yuv420p"))


def middle(network: IFNet, kept: list[NDArray[np.uint8]], left: int) -> NDArray[np.uint8]:
    engine = Interpolator(network, options=OPTIONS)
    given = (planes(n, luma) for n, luma in enumerate(kept))
    (made,) = engine.run(given, [Target(n=0, pts=0, left=left, t=Fraction(1, 2))], color=COLOR)
    out: NDArray[np.uint8] = made.data[0]
    return out


def without_blend(network: IFNet) -> IFNet:
    plain = IFNet(replace(network.sizes, blend=()))
    plain.load_state_dict({k: v for k, v in network.state_dict().items() if not k.startswith("blending.")})
    return plain.eval().requires_grad_(False)


def test_the_shipped_blend_is_better_where_something_was_hidden() -> None:
    network, _ = weights.load("fast")
    kept, true = [scene(n) for n in range(0, 12, 2)], scene(5)
    with_it, plain = (middle(some, kept, 2) for some in (network, without_blend(network)))
    assert psnr(with_it, true, peak=255) > psnr(plain, true, peak=255) + 0.3


def test_the_frames_beyond_say_which_of_two_frames_is_right(monkeypatch: pytest.MonkeyPatch) -> None:
    # The wall stands still; in the right frame alone, and not in the one after it, a square hides part of it.
    wall = texture(1, 128, 224)
    hidden = wall.copy()
    hidden[44:84, 100:140] += 30
    kept = [x.round().astype(np.uint8) for x in (wall, wall, hidden, wall)]
    for n, frame in enumerate(kept):  # no two frames are the same
        frame[100:120, 10 + 4 * n : 30 + 4 * n] = 200
    told: list[Tensor] = []
    before = engine_blend._beyond
    monkeypatch.setattr(engine_blend, "_beyond", lambda *a: told.append(before(*a)) or told[-1])
    network, _ = weights.load("fast")
    middle(network, kept, 1)
    (early, late) = told[0][0, :, 32, 60], told[0][0, :, 5, 5]
    assert early[0].abs().item() < 0.01  # A is like the frame before it
    assert early[1].item() == pytest.approx(30 / 219, abs=0.03)  # B is brighter than the frame after it
    assert late.abs().max().item() < 0.01


@pytest.mark.parametrize("kept", [2, 3])
def test_without_both_frames_beyond_nothing_is_said_of_them(kept: int, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Tensor] = []
    before = engine_blend._beyond
    monkeypatch.setattr(engine_blend, "_beyond", lambda *a: told.append(before(*a)) or told[-1])
    network, _ = weights.load("fast")
    middle(network, [scene(2 * n) for n in range(kept)], 0)
    assert len(told) == 1
    assert not told[0].any()


@pytest.mark.parametrize("by_kernels", [False, True])
def test_what_only_one_frame_shows_at_the_border_is_told_to_be_right(
    by_kernels: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not by_kernels:
        monkeypatch.setattr(kernels, "usable", lambda *_: False)
    elif not kernels.available():
        pytest.skip("this installation has no kernels")
    told: list[Tensor] = []
    before = engine_blend._beyond
    monkeypatch.setattr(engine_blend, "_beyond", lambda *a: told.append(before(*a)) or told[-1])
    network, _ = weights.load("fast")
    moving = texture(1, 128, 272)  # to the right, by 12 px from frame to frame
    middle(network, [moving[:, 48 - 12 * n : 272 - 12 * n].round().astype(np.uint8) for n in range(4)], 1)
    left, inside, right = (
        told[0][0, :, 16:-16, columns].abs() for columns in (slice(0, 2), slice(8, -8), slice(-2, None))
    )
    assert (left[0] == wrong()).float().mean() > 0.95 and (left[1] == 0).float().mean() > 0.95
    assert (right[1] == wrong()).float().mean() > 0.95 and (right[0] == 0).float().mean() > 0.95
    assert not (inside == wrong()).any()


def wrong() -> Tensor:
    """How far off a frame is said to be that shows nothing."""
    return torch.tensor(engine_blend._OUTSIDE[1])

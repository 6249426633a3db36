"""What kernels compute in C is what model and engine compute in tensors, which work on a CPU as well."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from interp_cli import kernels
from interp_cli.engine import doubt, lasting, overlay, still
from interp_cli.engine.composing import Apart, compose, doubled
from interp_cli.engine.doubt import _looked_up
from interp_cli.engine.planes import FULL, Frames, download, network_input, regrid
from interp_cli.engine.source import Motion, Neighbour, Source
from interp_cli.kernels import build
from interp_cli.media.formats import working_format
from interp_cli.media.types import Color
from interp_cli.model.align import STILL, Alignment
from interp_cli.model.blend import CLOSER, LEAST_SHARE, PITCH, SEEN, SHARES, Blend, mask_and_residual, seen
from interp_cli.model.propagate import FAR, NEAR, around, likeliest, propagated
from interp_cli.model.seam import Synthesis
from interp_cli.model.warp import outside, warp

with_kernels = pytest.mark.skipif(not kernels.available(), reason="this installation has no kernels")
SIZES = [(1, 1), (1, 7), (6, 1), (2, 2), (5, 3), (33, 47), (48, 64)]  # rows, columns
COLOR = Color(range="tv", matrix="bt709", primaries=None, transfer=None, location=None)


def textures(height: int, width: int, *, count: int = 1, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Two smooth pictures (count, 1, height, width) in [0, 1], the second like the first."""
    g = torch.Generator().manual_seed(seed)
    a = torch.nn.functional.avg_pool2d(torch.rand(count, 1, height + 4, width + 4, generator=g), 5, 1)
    return a, torch.roll(a, 1, -1) * 0.9 + 0.1 * torch.rand(count, 1, height, width, generator=g)


def both(work: Callable[[], Tensor]) -> tuple[Tensor, Tensor]:
    """The result of `work` by kernels and by tensors."""
    with torch.inference_mode():
        fast = work()
    with torch.no_grad():
        return fast, work()


@pytest.mark.skipif(not any(map(shutil.which, ("cc", "gcc", "clang"))), reason="there is no C compiler")
def test_an_installation_on_a_machine_with_a_c_compiler_has_kernels(
    tmp_path: Path, quick_compiler: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert kernels.available()
    monkeypatch.setenv("CC", quick_compiler)
    assert build.build(tmp_path) == tmp_path / build.library()


@with_kernels
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    ("edges", "doubts", "medians", "bilateral", "window"),
    [(True, True, 2, False, 2), (True, True, 2, True, 1), (False, False, 0, False, 1)],
)
def test_alignment_is_that_of_tensors(
    size: tuple[int, int], *, edges: bool, doubts: bool, medians: int, bilateral: bool, window: int
) -> None:
    y0, y1 = textures(*size, count=2)
    flow = torch.randn(2, 4, *size, generator=torch.Generator().manual_seed(1)) * 2
    alignment = Alignment(2, 3, window, edges=edges, doubts=doubts, medians=medians, bilateral=bilateral)
    fast, slow = both(lambda: alignment(y0, y1, torch.tensor([0.25, 0.5]), flow))
    torch.testing.assert_close(fast, slow, atol=2e-4, rtol=1e-4)
    assert size == (1, 1) or (slow - flow).abs().max() > 0.1


@with_kernels
@pytest.mark.parametrize(("doubts", "bilateral"), [(True, True), (True, False), (False, False)])
@pytest.mark.parametrize("window", [1, 2])
def test_what_has_come_to_rest_stays_as_it_is_and_the_rest_goes_on_as_in_tensors(
    *, window: int, doubts: bool, bilateral: bool
) -> None:
    y0, _ = textures(61, 203)
    y1, flow = y0.clone(), torch.zeros(1, 4, 61, 203)
    y1[..., 20:44, 70:130] = torch.roll(y0, 1, -1)[..., 20:44, 70:130]  # something moves in still surroundings
    alignment = Alignment(6, 3, window, edges=True, doubts=doubts, bilateral=bilateral)
    fast, slow = both(lambda: alignment(y0, y1, torch.tensor([0.5]), flow))
    torch.testing.assert_close(fast, slow, atol=2e-4, rtol=1e-4)
    assert slow[..., 20:44, 70:130].abs().amax() > 0.2
    assert slow[..., :, 192:].abs().amax() <= STILL  # far from all that moves: one step, which moved next to nothing
    first = Alignment(1, 3, window, edges=True, doubts=doubts, bilateral=bilateral)
    first.load_state_dict(alignment.state_dict())
    one, _ = both(lambda: first(y0, y1, torch.tensor([0.5]), flow))
    assert torch.equal(fast[..., :, 192:], one[..., :, 192:])
    assert not torch.equal(fast[..., 24:40, 96:128], one[..., 24:40, 96:128])


@with_kernels
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("reach", "t"), [(FAR, torch.tensor([0.25, 0.5])), (NEAR, None)])
def test_the_flows_of_others_are_taken_where_tensors_take_them(
    size: tuple[int, int], *, reach: int, t: Tensor | None
) -> None:
    y0, y1 = textures(*size, count=2)
    flow = torch.randn(2, 4, *size, generator=torch.Generator().manual_seed(1)) * 2
    flow[:, 2] += 1.5  # what most of the frame does
    fast, slow = both(lambda: propagated(y0, y1, flow, reach=reach, t=t))
    differ = ((fast - slow).abs() > 1e-3).any(1)
    assert differ.float().mean() < 0.002  # where two flows are as good as each other but for roundings
    assert size == (1, 1) or (slow != flow).any()


@with_kernels
@torch.inference_mode()
def test_flows_that_nobody_else_needs_are_overwritten_with_the_same() -> None:
    y0, y1 = textures(33, 47, count=2)
    flow = torch.randn(2, 4, 33, 47, generator=torch.Generator().manual_seed(1)) * 2
    alignment, before = Alignment(2, 3, edges=True, doubts=True), flow.clone()
    for work in (
        lambda flow, own: propagated(y0, y1, flow, reach=FAR, t=torch.tensor([0.25, 0.5]), in_place=own),
        lambda flow, own: alignment(y0, y1, torch.tensor([0.25, 0.5]), flow, in_place=own),
    ):
        expected, given = work(flow, False), flow.clone()
        assert torch.equal(flow, before)
        assert torch.equal(work(given, True), expected)
        assert torch.equal(given, expected)


@with_kernels
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("count", [1, 2, 4])
def test_flows_that_are_tried_are_those_of_tensors(size: tuple[int, int], count: int) -> None:
    y0, y1 = textures(*size, count=2)
    flow, *others = torch.randn(1 + count, 2, 4, *size, generator=torch.Generator().manual_seed(1)) * 2
    fast, slow = both(lambda: likeliest(y0, y1, flow, others))
    assert (fast != slow).any(1).float().mean() < 0.002  # as above
    assert size == (1, 1) or (slow != flow).any()


@with_kernels
@pytest.mark.parametrize("size", SIZES)
def test_warps_and_sums_are_those_of_tensors(size: tuple[int, int]) -> None:
    image = torch.cat(textures(*size, count=2), 1)
    flow = torch.randn(2, 2, *size, generator=torch.Generator().manual_seed(4)) * 5
    fast, slow = both(lambda: warp(image, flow, unit=(0.5, -1.0)))
    torch.testing.assert_close(fast, slow, atol=1e-5, rtol=1e-4)
    for radius in (1, 2):
        fast, slow = both(lambda radius=radius: around(image, radius))  # type: ignore[misc]
        torch.testing.assert_close(fast, slow)


@with_kernels
@pytest.mark.parametrize("size", SIZES)
def test_a_doubled_frame_is_that_of_tensors(size: tuple[int, int]) -> None:
    full = 255 * torch.cat(textures(*size), 1)
    fast, slow = both(lambda: doubled(Frames(full, None, working_format("gray"))))
    bordered = F.pad(slow, (1, 2, 1, 2), mode="replicate")
    torch.testing.assert_close(fast * (255 / 16000), bordered, atol=0.009, rtol=0)


@with_kernels
def test_a_doubled_frame_is_looked_up_where_it_is_not_composed_from_too() -> None:
    height, width = 12, 17
    frames = Frames(1023 * textures(height, width)[0], None, working_format("gray10le"))
    g = torch.Generator().manual_seed(2)
    x, y = torch.rand(50, generator=g) * (width + 4) - 2, torch.rand(50, generator=g) * (height + 4) - 2
    fast, slow = both(lambda: _looked_up(doubled(frames), x, y, "bicubic", 2, 1023))
    torch.testing.assert_close(fast, slow, atol=0.2, rtol=0)


@with_kernels
@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p", "yuv444p", "gray"])
@pytest.mark.parametrize(("scale", "pitch"), [(1, 1), (1, 2), (2, 1), (2, 2), (4, 2)])
@pytest.mark.parametrize("fine", [False, True])
@pytest.mark.parametrize("masked", [False, True])
def test_composed_planes_are_those_of_tensors(
    pix_fmt: str, scale: int, pitch: int, *, fine: bool, masked: bool
) -> None:
    height, width, format = 37, 50, working_format(pix_fmt)
    g = torch.Generator().manual_seed(3)
    chroma = format.chroma_shift if pix_fmt not in ("gray", "yuv444p") else None
    frames = []
    for k in range(2):
        full = 255 * torch.cat(
            [textures(height, width, seed=3 * k + c)[0] for c in range(3 if "444" in pix_fmt else 1)], 1
        )
        small = None
        if chroma is not None:
            small = 255 * torch.rand(1, 2, -(-height // (1 << chroma[1])), -(-width // (1 << chroma[0])), generator=g)
        frames.append(Frames(full, small, format))
    h, w = -(-height // scale), -(-width // scale)
    flow = torch.randn(1, 4, -(-h // pitch), -(-w // pitch), generator=g) * 3
    M = torch.rand(1, 1, h, w, generator=g) if masked else torch.full((1, 1, 1, 1), 0.3)
    s = Synthesis(flow[:, :2], flow[:, 2:], M, None, pitch=pitch)

    def composed(part: str) -> Tensor:
        doubles = (doubled(frames[0]), doubled(frames[1])) if fine else None
        apart: list[Apart] = []
        made = compose(*frames, s, color=COLOR, scale=scale, sampling="bicubic", fine=doubles, apart=apart)
        found = {
            "full": made.full, "chroma": made.chroma, "full apart": apart[0].full, "chroma apart": apart[0].chroma
        }[part]  # fmt: skip
        assert found is not None
        return found

    for part in ("full", "full apart", *(["chroma", "chroma apart"] if chroma else [])):
        fast, slow = both(lambda part=part: composed(part))  # type: ignore[misc]
        # kernels round places in a doubled frame to 1/512 of its samples, half of that at most along each axis
        steepest = max(float(fine_frame.diff(dim=d).abs().max()) for fine_frame in map(doubled, frames) for d in (2, 3))
        moved = 2 * steepest / 512 / 2 if fine and part.startswith("full") else 0.0
        torch.testing.assert_close(fast, slow, atol=0.01 + moved, rtol=0)


@with_kernels
@pytest.mark.parametrize("size", [*SIZES, (37, 50), (64, 101)])
def test_what_the_blend_sees_and_what_becomes_of_its_shares_is_that_of_tensors(size: tuple[int, int]) -> None:
    (height, width), M, t, peak = size, 0.7, 0.3, 1023
    g = torch.Generator().manual_seed(5)
    made, apart = (torch.randn(1, 1, *size, generator=g) * k for k in (300, 100))
    far = torch.randn(1, 2, -(-height // 2), -(-width // 2), generator=g)
    late = (made - M * apart) / peak
    warped = torch.cat((late + apart / peak, late), 1)
    expected = seen(warped, far, torch.tensor([t]))
    found = kernels.blend_seen(made, apart, far, M, t, peak=peak, closer=CLOSER, channels=SEEN)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    for share, pitch in ((1.0, (1, 1)), (1.0, (2, 2)), (0.1, (1, 2)), (0.01, (2, 2))):
        places = -(-height // PITCH), -(-width // PITCH)
        shares = torch.randn(1, 4 * SHARES, *places, generator=g) * (torch.rand(*places, generator=g) < share) * 2
        mask, R = mask_and_residual(shares, warped, torch.full((1, 1, 1, 1), M))
        out = made.clone()
        change = kernels.blend(out, apart, shares, M, pitch, least_share=LEAST_SHARE)
        torch.testing.assert_close(change, regrid(mask - M, FULL, pitch), atol=5e-5, rtol=0)
        torch.testing.assert_close(out, made + (mask - M) * apart + R * peak, atol=0.05, rtol=0)


@with_kernels
@pytest.mark.parametrize("t", [1e-9, 1 - 1e-9])
def test_a_blend_hardly_any_time_from_a_frame_is_that_of_tensors(t: float) -> None:
    g, M = torch.Generator().manual_seed(3), float(torch.tensor(1 - t))
    warped, shares = torch.rand(1, 2, 16, 24, generator=g), torch.randn(1, 4 * SHARES, 4, 6, generator=g) * 2
    apart = warped[:, :1] - warped[:, 1:]
    made = warped[:, 1:] + M * apart
    mask, R = mask_and_residual(shares, warped, torch.full((1, 1, 1, 1), M))
    out = 255 * made
    kernels.blend(out, 255 * apart, shares, M, FULL, least_share=LEAST_SHARE)
    torch.testing.assert_close(out, 255 * (made + (mask - M) * apart + R), atol=0.05, rtol=0)


@with_kernels
@pytest.mark.parametrize("late", [False, True])
def test_how_far_a_frame_is_from_the_one_beyond_it_is_that_of_tensors(*, late: bool) -> None:
    g = torch.Generator().manual_seed(8)
    here, there = (x[:, :, :30, :41] for x in textures(33, 44))
    step = torch.randn(1, 2, 33, 44, generator=g)[..., :30, :41] * 3
    flow = torch.randn(1, 4, 32, 44, generator=g)[..., :30, :41] * 6
    half, sign = flow / 2, 1 if late else -1
    to = half[:, 2:] if late else half[:, :2]
    moved = warp(step, to + 0.5 * sign * 1.5 * (half[:, 2:] - half[:, :2]))
    expected = warp(here, to) - warp(there, to + sign * moved)
    own, other = (outside(f, 0.25) for f in (to, half[:, :2] if late else half[:, 2:]))
    found = kernels.beyond(here, there, step, flow, unit=0.5, span=1.5, late=late, outside=(0.25, 0.3))
    assert 20 < (own & ~other).sum() < 300 and 20 < (other & ~own).sum() < 300
    torch.testing.assert_close(found[own == other], expected[own == other], atol=1e-4, rtol=0)
    assert torch.allclose(found[own & ~other].abs(), torch.tensor(0.3)) and not found[other & ~own].any()


def test_what_lies_outside_of_a_frame_is_told_by_its_place() -> None:
    flow = torch.zeros(1, 2, 3, 4)
    flow[0, 0, 0], flow[0, 1, :, 3] = torch.tensor([-0.5, -2.0, 1.5, 0.75]), torch.tensor([-0.25, 0.0, 0.75])
    expected = [[False, True, False, True], [False] * 4, [False, False, False, True]]
    assert outside(flow, 0.5)[0, 0].tolist() == expected


@with_kernels
@pytest.mark.parametrize("size", [(1, 1), (24, 33)])
@pytest.mark.parametrize(("span", "sign"), [(1.0, -1), (2.0, 1)])
def test_motion_that_lasts_is_carried_as_tensors_carry_it(size: tuple[int, int], span: float, sign: int) -> None:
    left, right = Source(None), Source(None)
    left.motions[right] = Motion(torch.randn(1, 4, *size, generator=torch.Generator().manual_seed(5)) * 2)
    fast, slow = both(lambda: lasting._candidate(Neighbour(left, right, span), sign))
    torch.testing.assert_close(fast, slow, atol=1e-4, rtol=1e-4)


@with_kernels
@pytest.mark.parametrize("size", [(1, 1), (2, 3), (37, 50), (64, 101)])
@pytest.mark.parametrize("two", [False, True])
def test_what_doubt_looks_at_is_that_of_tensors(size: tuple[int, int], *, two: bool) -> None:
    a, b = (torch.rand(2, 1, *size, generator=torch.Generator().manual_seed(k)) * 255 for k in (1, 2))
    fast, slow = both(lambda: doubt._apart(a, b if two else None))
    torch.testing.assert_close(fast, slow, atol=1e-3, rtol=0)


@with_kernels
@pytest.mark.parametrize("pix_fmt", ["gray", "gray10le", "gray16le"])
def test_samples_become_the_code_values_that_tensors_give(pix_fmt: str) -> None:
    format = working_format(pix_fmt)
    x = torch.cat((torch.rand(40) * 1.2 - 0.1, torch.arange(8) / 16)).view(1, 1, 6, 8) * format.peak
    fast, slow = both(lambda: torch.from_numpy(download(Frames(x, None, format), [0])[0].data[0].astype(np.int64)))
    assert torch.equal(fast, slow)


@with_kernels
@pytest.mark.parametrize("motion", [(0.0, 0.0), (3.0, -1.0)])
@pytest.mark.parametrize("size", [(4, 6), (37, 50), (64, 101)])
def test_how_much_of_a_simpler_motion_is_shown_is_that_of_tensors(
    size: tuple[int, int], motion: tuple[float, float]
) -> None:
    left, right = (Frames(255 * x, None, working_format("gray")) for x in textures(*size, seed=3))
    own = 40 * textures(-(-size[0] // 2), -(-size[1] // 2), seed=4)[0]

    def weights(part: int) -> Tensor:
        ends = doubt._Ends(left, right, None)
        moved = ends.apart(motion, 0.3) if any(motion) else None
        found = doubt._weights(own, ends.apart((0.0, 0.0), 0.3), moved, ends, doubt.LEAST)[part]
        return torch.zeros_like(own) if found is None else found

    for part in (0, 1):
        fast, slow = both(lambda part=part: weights(part))  # type: ignore[misc]
        torch.testing.assert_close(fast, slow, atol=1e-3, rtol=0)


@with_kernels
@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p", "yuv444p", "yuv410p", "gray"])
@pytest.mark.parametrize(("scale", "pitch"), [(1, 1), (1, 2), (4, 2)])
def test_what_is_still_is_held_as_by_tensors(pix_fmt: str, scale: int, pitch: int) -> None:
    height, width, format = 61, 83, working_format(pix_fmt)
    g = torch.Generator().manual_seed(9)

    def frames() -> Frames:
        planes = [torch.rand(1, 1, *shape, generator=g) * 255 for shape in format.plane_shapes(width, height)]
        if format.chroma_shift == (0, 0):
            return Frames(torch.cat(planes, 1), None, format)
        return Frames(planes[0], torch.cat(planes[1:], 1), format)

    a, made = frames(), frames()
    b = Frames(a.full.clone(), None if a.chroma is None else a.chroma.clone(), format)
    b.full[..., 20:32, 30:60] += 9
    sides = (-(-height // scale), -(-width // scale))
    flow = torch.zeros(1, 4, *(-(-side // pitch) for side in sides))
    flow[..., flow.shape[-1] * 4 // 5 :] = 0.6 / scale
    s = Synthesis(flow[:, :2], flow[:, 2:], torch.full((1, 1, 1, 1), 0.5), None, pitch=pitch)

    def held(part: str) -> Tensor:
        own = Frames(made.full.clone(), None if made.chroma is None else made.chroma.clone(), format)
        found: Tensor = getattr(still.hold_still(own, a, b, s, t=torch.tensor([0.7]), scale=scale), part)
        return found

    for part in ("full", *(["chroma"] if made.chroma is not None else [])):
        fast, slow = both(lambda part=part: held(part))  # type: ignore[misc]
        torch.testing.assert_close(fast, slow, atol=1e-3, rtol=0)
        assert (slow != getattr(made, part)).any() and (slow == getattr(made, part)).any()


@with_kernels
def test_overlays_are_those_that_opencv_finds() -> None:
    rng, found = np.random.default_rng(1), 0
    for n in range(60):
        height, width = (int(side) for side in rng.integers(1, 90, 2))
        picture = rng.integers(0, 256, (height, width)) if n % 2 else 200 * _squares(rng, height, width, side=6)
        over = _squares(rng, height, width, side=8) > 0
        frames = []
        for k in range(10):
            behind = np.roll(picture, k, 1) if n % 3 else rng.integers(0, 256, (height, width))
            frame = np.where(over, picture + rng.integers(-1, 2, (height, width)), behind)
            frames.append(frame.clip(0, 255).astype(np.uint8))
        runs = frames[:5], frames[4:9], frames[8:]
        fast, slow = overlay._mask(*runs), overlay._mask_by_opencv(*runs)
        assert (fast is None) == (slow is None)
        if fast is not None and slow is not None:
            np.testing.assert_array_equal(fast, slow)
            found += 1
    assert 20 < found < 60


def _squares(rng: np.random.Generator, height: int, width: int, *, side: int) -> NDArray[np.int64]:
    """0 or 1, the same in every square."""
    some = rng.integers(0, 2, (height // side + 1, width // side + 1))
    return np.kron(some, np.ones((side, side), np.int64))[:height, :width]


@with_kernels
@pytest.mark.parametrize(("channels", "blocks"), [(8, 0), (24, 0), (16, 2), (40, 1)])
def test_the_convolutions_of_a_blend_are_those_of_tensors_where_they_are_asked_for(channels: int, blocks: int) -> None:
    torch.manual_seed(6)
    blend = Blend(channels, blocks).requires_grad_(False)
    x = torch.randn(2, SEEN, 11, 17) * 0.01
    x[:, :, 2:5, 3:12] *= 50
    fast, slow = both(lambda: blend(x))
    torch.testing.assert_close(fast, slow, atol=1e-4, rtol=1e-4)
    assert slow.any() and not slow.all()
    blend.enter[0].weight.mul_(2)  # weights that change are taken anew
    fast, slow = both(lambda: blend(x))
    torch.testing.assert_close(fast, slow, atol=1e-4, rtol=1e-4)


@with_kernels
@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p", "yuv444p10le"])
@pytest.mark.parametrize("range", ["tv", "pc"])
def test_rgb_and_what_differs_are_those_of_tensors(pix_fmt: str, range: str) -> None:
    height, width, format = 37, 51, working_format(pix_fmt)
    g = torch.Generator().manual_seed(7)
    planes = [torch.rand(2, 1, *shape, generator=g) * format.peak for shape in format.plane_shapes(width, height)]
    a = (
        Frames(torch.cat(planes, 1), None, format)
        if format.chroma_shift == (0, 0)
        else Frames(planes[0], torch.cat(planes[1:], 1), format)
    )
    color = Color(range=range, matrix="bt709")
    for colour in (True, False):
        fast, slow = both(lambda colour=colour: network_input(a, color, colour=colour))  # type: ignore[misc]
        torch.testing.assert_close(fast, slow, atol=1e-5, rtol=0)
    few = torch.rand(a.full.shape, generator=g) > 0.97
    b = Frames(a.full + 3 * (format.peak // 255) * few, a.chroma, format)
    fast, slow = both(lambda: still._differs(a, b))
    assert torch.equal(fast, slow) and slow.any() and not slow.all()


@with_kernels
def test_kernels_of_other_sources_are_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in build.HERE.glob("*.[ch]"):
        shutil.copy(path, tmp_path)
    shutil.copy(build.HERE / build.library(), tmp_path)
    monkeypatch.setattr(build, "HERE", tmp_path)
    monkeypatch.setattr(kernels, "_HERE", tmp_path)
    assert kernels._loaded() is not None
    with (tmp_path / "align.c").open("a") as source:
        source.write("\n")
    assert kernels._loaded() is None


def test_without_a_compiler_nothing_is_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    assert build.build(tmp_path) is None


@with_kernels
def test_memory_that_runs_out_in_a_kernel_is_told_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        def vfi_double(self, *_: object) -> int:
            return 1

    monkeypatch.setattr(kernels, "_library", Full())
    with torch.inference_mode(), pytest.raises(MemoryError):
        doubled(Frames(torch.zeros(1, 1, 4, 4), None, working_format("gray")))

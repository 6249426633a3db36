"""Composing on the source's own planes, against shifts that are known and arithmetic done by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from interp_cli.engine.composing import compose, doubled
from interp_cli.engine.planes import crop, download, network_input, pad, regrid, stack, upload
from interp_cli.engine.still import hold_still, same
from interp_cli.media.types import Color, Planes, pixel_format
from interp_cli.model.seam import Limits, Synthesis

FORMATS = ["yuv420p", "yuv444p", "yuv422p10le", "gray", "gray16le", "gbrp", "gbrp10le", "yuv420p10le", "yuva420p"]
CPU = "cpu"


def texture(name: str, width: int, height: int, *, seed: int = 0, lowest: int = 16) -> Planes:
    """A frame of independent random code values."""
    format = pixel_format(name)
    rng = np.random.default_rng(seed)
    shapes = format.plane_shapes(width, height)
    data = tuple(rng.integers(lowest, format.peak - 20, shape).astype(format.dtype) for shape in shapes)
    return Planes(0, data, format)


def moved(planes: Planes, x: int, y: int) -> Planes:
    """The frame shifted right by x and down by y (px of the first plane; whole pixels in every plane), wrapping."""
    shapes = [plane.shape for plane in planes.data]
    by = [(y * h // shapes[0][0], x * w // shapes[0][1]) for h, w in shapes]
    data = tuple(np.roll(plane, b, (0, 1)) for plane, b in zip(planes.data, by, strict=True))
    return Planes(planes.pts, data, planes.format)


def synthesis(
    size: tuple[int, int], F_t0: tuple[float, float], F_t1: tuple[float, float], M: float = 0.5, R: Any = None
) -> Synthesis:
    """The same everywhere: flows (x, y), mask and residual (R, G, B)."""

    def spread(values: tuple[float, ...]) -> torch.Tensor:
        return torch.tensor(values, dtype=torch.float32).view(1, -1, 1, 1).expand(1, len(values), *size).clone()

    return Synthesis(spread(F_t0), spread(F_t1), spread((M,)), None if R is None else spread(R))


def inner(plane: NDArray[Any], margin: int) -> NDArray[Any]:
    return plane[margin:-margin, margin:-margin].astype(int)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("size", [(64, 48), (33, 27), (2, 2), (1, 1)])
def test_a_frame_goes_to_the_device_and_back_unchanged(name: str, size: tuple[int, int]) -> None:
    planes = texture(name, *size)
    assert same(download(upload([planes], CPU), [0])[0], planes)


def test_read_only_arrays_are_taken() -> None:
    planes = texture("yuv420p", 8, 8)
    for plane in planes.data:
        plane.setflags(write=False)
    assert same(download(upload([planes, planes], CPU), [0, 1])[1], planes)


def test_16_bit_codes_survive_to_the_last() -> None:
    format = pixel_format("gray16le")
    planes = Planes(0, (np.arange(65536, dtype="<u2").reshape(256, 256),), format)
    assert same(download(upload([planes], CPU), [0])[0], planes)


@pytest.mark.parametrize("sampling", ["bilinear", "bicubic"])
@pytest.mark.parametrize("name", FORMATS)
def test_a_moving_texture_is_made_exactly_where_it_is_half_way(name: str, sampling: str) -> None:
    start = texture(name, 64, 48)
    middle, end = moved(start, 8, 4), moved(start, 16, 8)
    s = synthesis((48, 64), (-8, -4), (8, 4))
    frames = compose(upload([start], CPU), upload([end], CPU), s, color=Color(), sampling=sampling)
    for made, true in zip(download(frames, [0])[0].data, middle.data, strict=True):
        margin = 18 if made.shape == (48, 64) else 9
        np.testing.assert_array_equal(inner(made, margin), inner(true, margin))


def sine(shift: float) -> Planes:
    """A fine texture, 3.3 px and 4 px from crest to crest, moved by `shift` px."""
    y, x = np.mgrid[:48, :64].astype(float)
    values = 120 + 60 * np.sin(2 * np.pi * (x - shift) / 3.3) + 40 * np.sin(2 * np.pi * (y - shift) / 4)
    return Planes(0, (np.rint(values).astype(np.uint8),), pixel_format("gray"))


def test_a_doubled_frame_keeps_its_samples_and_finds_those_between() -> None:
    fine = doubled(upload([sine(0)], CPU))[0, 0].numpy()
    np.testing.assert_array_equal(fine[::2, ::2], sine(0).data[0])
    between = sine(-0.5).data[0].astype(float)
    assert np.abs(fine[1::2, 1::2] - between)[6:-6, 6:-6].max() < 6


@pytest.mark.parametrize("name", ["gray", "yuv444p", "yuv420p"])
def test_sampling_doubled_frames_is_exact_for_whole_pixels_too(name: str) -> None:
    start = upload([texture(name, 64, 48)], CPU)
    s = synthesis((48, 64), (-8, -4), (-8, -4))
    made = compose(start, start, s, color=Color(), sampling="bicubic", fine=(doubled(start), doubled(start)))
    true = moved(texture(name, 64, 48), 8, 4)
    for plane, wanted in zip(download(made, [0])[0].data, true.data, strict=True):
        np.testing.assert_array_equal(inner(plane, 10), inner(wanted, 10))


def test_doubled_frames_keep_fine_texture_that_bicubic_sampling_blurs() -> None:
    frames0, frames1 = upload([sine(0)], CPU), upload([sine(0.9)], CPU)
    s = synthesis((48, 64), (-0.45, -0.45), (0.45, 0.45))

    def error(**how: Any) -> float:
        made = compose(frames0, frames1, s, color=Color(), sampling="bicubic", **how)
        return float((made.full[0, 0].numpy() - sine(0.45).data[0].astype(float))[8:-8, 8:-8].std())

    assert error(fine=(doubled(frames0), doubled(frames1))) < 0.7 * error()


@pytest.mark.parametrize("scale", [2, 4])
@pytest.mark.parametrize("name", ["yuv420p", "yuv444p", "gray", "yuv410p"])
def test_flow_found_at_a_smaller_scale_is_scaled_up(name: str, scale: int) -> None:
    start = texture(name, 64, 64)
    s = synthesis((64 // scale, 64 // scale), (-8 / scale, -8 / scale), (8 / scale, 8 / scale))
    frames = compose(upload([start], CPU), upload([moved(start, 16, 16)], CPU), s, color=Color(), scale=scale)
    for made, true in zip(download(frames, [0])[0].data, moved(start, 8, 8).data, strict=True):
        margin = max(4, 20 * made.shape[0] // 64)
        np.testing.assert_array_equal(inner(made, margin), inner(true, margin))


@pytest.mark.parametrize("name", ["yuv420p", "yuv422p10le", "yuv411p"])
@pytest.mark.parametrize("size", [(33, 27), (5, 3), (2, 2), (1, 1)])
@pytest.mark.parametrize("scale", [1, 2, 4])
def test_odd_and_tiny_frames_keep_their_size_and_a_still_one_its_codes(
    name: str, size: tuple[int, int], scale: int
) -> None:
    width, height = size
    planes = texture(name, width, height)
    frames = upload([planes], CPU)
    I = network_input(frames, Color(), scale=scale)
    assert I.shape == (1, 3, -(-height // scale), -(-width // scale))
    s = synthesis(pad(I, Limits(multiple_of=16, min_size=32, any_t=True)).shape[-2:], (0, 0), (0, 0), M=0.3)
    made = compose(frames, frames, crop(s, tuple(I.shape[-2:])), color=Color(), scale=scale)
    assert same(download(made, [0])[0], planes)


def test_the_border_is_repeated() -> None:
    planes = texture("gray", 8, 8)
    frames = upload([planes], CPU)
    made = compose(frames, frames, synthesis((8, 8), (50, 0), (50, 0)), color=Color())
    np.testing.assert_array_equal(download(made, [0])[0].data[0], np.repeat(planes.data[0][:, -1:], 8, 1))


def test_the_mask_weighs_the_first_frame() -> None:
    a, b = (
        Planes(0, tuple(np.full(s, v, np.uint8) for s in ((8, 8), (4, 4), (4, 4))), pixel_format("yuv420p"))
        for v in (100, 200)
    )
    made = compose(upload([a], CPU), upload([b], CPU), synthesis((8, 8), (0, 0), (0, 0), M=0.25), color=Color())
    assert all((plane == 175).all() for plane in download(made, [0])[0].data)


@pytest.mark.parametrize(
    ("name", "color", "codes"),
    [  # white adds the whole span to luma and nothing to chroma; values of 0.2 x span from the standards' formulas
        ("yuv420p", Color(), (144, 128, 128)),
        ("yuv420p", Color(range="pc"), (151, 128, 128)),
        ("yuv420p10le", Color(matrix="bt2020nc"), (575, 512, 512)),
        ("gray", Color(), (151,)),
        ("gbrp", Color(), (151, 151, 151)),
    ],
)
def test_a_white_residual_brightens_and_colours_nothing(name: str, color: Color, codes: tuple[int, ...]) -> None:
    format = pixel_format(name)
    unit = 1 << format.depth - 8
    start = [100 if name in ("gray", "gbrp") or n == 0 else 128 for n in range(len(codes))]
    shapes = format.plane_shapes(16, 16)
    planes = Planes(0, tuple(np.full(s, v * unit, format.dtype) for s, v in zip(shapes, start, strict=True)), format)
    frames = upload([planes], CPU)
    made = compose(frames, frames, synthesis((16, 16), (0, 0), (0, 0), R=(0.2, 0.2, 0.2)), color=color)
    for plane, code in zip(download(made, [0])[0].data, codes, strict=True):
        np.testing.assert_array_equal(plane, np.full(plane.shape, code, format.dtype))


def test_a_red_residual_goes_through_the_matrix_of_the_source() -> None:
    planes = Planes(0, tuple(np.full(s, 128, np.uint8) for s in ((4, 4), (4, 4), (4, 4))), pixel_format("yuv444p"))
    frames = upload([planes], CPU)
    for matrix, red in (("bt709", 0.2126), ("smpte170m", 0.299)):
        s = synthesis((4, 4), (0, 0), (0, 0), R=(0.2, 0, 0))
        made = download(compose(frames, frames, s, color=Color(matrix=matrix)), [0])[0].data
        blue = 0.0722 if matrix == "bt709" else 0.114
        wanted = [0.2 * 219 * red, -0.2 * 224 * red / (2 * (1 - blue)), 0.2 * 224 * 0.5]
        assert [int(p[0, 0]) for p in made] == [128 + round(w) for w in wanted]


def test_results_are_clamped_to_the_codes_of_the_format() -> None:
    for name, R, code in (("gray", 2.0, 255), ("gray", -2.0, 0), ("gbrp10le", 2.0, 1023), ("gbrp10le", -2.0, 0)):
        frames = upload([texture(name, 8, 8)], CPU)
        made = download(compose(frames, frames, synthesis((8, 8), (0, 0), (0, 0), R=(R, R, R)), color=Color()), [0])[0]
        assert all((plane == code).all() for plane in made.data)


def test_alpha_moves_but_takes_no_residual() -> None:
    planes = texture("yuva420p", 16, 16, lowest=100)
    frames = upload([planes], CPU)
    made = download(compose(frames, frames, synthesis((16, 16), (0, 0), (0, 0), R=(0.1,) * 3), color=Color()), [0])[0]
    np.testing.assert_array_equal(made.data[3], planes.data[3])
    assert (made.data[0] >= planes.data[0]).all()
    assert (made.data[0] > planes.data[0]).any()


@pytest.mark.parametrize(
    ("color", "height", "codes", "rgb"),
    [  # code values of EBU and SMPTE colour bars
        (Color(matrix="bt709"), 8, (63, 102, 240), (1, 0, 0)),
        (Color(matrix="smpte170m"), 8, (81, 90, 240), (1, 0, 0)),
        (Color(matrix="bt470bg", range="pc"), 8, (76, 85, 255), (1, 0, 0)),
        (Color(matrix="bt2020nc"), 8, (74, 97, 240), (1, 0, 0)),
        (Color(), 720, (63, 102, 240), (1, 0, 0)),
        (Color(), 576, (81, 90, 240), (1, 0, 0)),
        (Color(matrix="bt709"), 8, (173, 42, 26), (0, 1, 0)),
        (Color(matrix="smpte170m"), 8, (41, 240, 110), (0, 0, 1)),
        (Color(), 8, (235, 128, 128), (1, 1, 1)),
        (Color(), 8, (16, 128, 128), (0, 0, 0)),
    ],
)
def test_colour_bars_become_the_rgb_they_stand_for(
    color: Color, height: int, codes: tuple[int, int, int], rgb: tuple[int, int, int]
) -> None:
    format = pixel_format("yuv420p")
    shapes = format.plane_shapes(8, height)
    planes = Planes(0, tuple(np.full(s, c, np.uint8) for s, c in zip(shapes, codes, strict=True)), format)
    I = network_input(upload([planes], CPU), color)
    wanted = torch.tensor(rgb, dtype=torch.float32).view(1, 3, 1, 1).expand_as(I)
    torch.testing.assert_close(I, wanted, atol=0.01, rtol=0)


def test_rgb_planes_come_in_the_order_green_blue_red() -> None:
    planes = Planes(0, tuple(np.full((4, 4), v, np.uint8) for v in (51, 102, 204)), pixel_format("gbrp"))
    I = network_input(upload([planes], CPU), Color(matrix="gbr"))
    torch.testing.assert_close(I[0, :, 0, 0], torch.tensor([0.8, 0.2, 0.4]))


def test_chroma_is_centred_on_the_luma_it_belongs_to() -> None:
    ramp = torch.arange(8.0).view(1, 1, 1, 8).expand(1, 1, 4, 8)  # at chroma pitch 2 its centres are at 0.5, 2.5, ...
    fine = regrid(ramp, (2, 2), (1, 1))[0, 0, 0]
    torch.testing.assert_close(fine[2:6], (torch.arange(2.0, 6.0) - 0.5) / 2)
    coarse = regrid(torch.arange(8.0).view(1, 1, 1, 8).expand(1, 1, 2, 8), (1, 1), (2, 2))
    torch.testing.assert_close(coarse[0, 0, 0], torch.tensor([0.5, 2.5, 4.5, 6.5]))


def test_padding_repeats_the_border_up_to_what_the_network_takes() -> None:
    I = torch.rand(1, 3, 5, 70)
    padded = pad(I, Limits(multiple_of=32, min_size=64, any_t=True))
    assert padded.shape == (1, 3, 64, 96)
    assert torch.equal(padded[..., :5, :70], I)
    assert torch.equal(padded[..., -1, -1], I[..., -1, -1])


@pytest.mark.parametrize("name", ["yuv420p", "yuv420p10le", "gray", "gbrp", "yuv444p", "yuva420p"])
@pytest.mark.parametrize("size", [(64, 48), (37, 29)])
def test_still_areas_come_back_untouched_and_moving_ones_do_not(name: str, size: tuple[int, int]) -> None:
    width, height = size
    a = texture(name, width, height)
    b = moved(a, 0, 0)
    for plane in b.data:
        plane[:, : plane.shape[1] // 2] += plane.dtype.type(17)
    frames0, frames1 = upload([a], CPU), upload([b], CPU)
    s = synthesis((height, width), (0, 0), (0, 0), R=(0.1, 0.1, 0.1))
    plain = compose(frames0, frames1, s, color=Color())
    held = hold_still(plain, frames0, frames1, s, t=torch.tensor([0.5]))
    for made, free, source in zip(download(held, [0])[0].data, download(plain, [0])[0].data, a.data, strict=True):
        right, left = made.shape[1] * 3 // 4, made.shape[1] * 3 // 8
        np.testing.assert_array_equal(made[:, right:], source[:, right:])
        np.testing.assert_array_equal(made[:, :left], free[:, :left])


def test_a_still_area_under_flow_is_not_held() -> None:
    frames = upload([texture("gray", 32, 32)], CPU)
    s = synthesis((32, 32), (0.8, 0), (-0.8, 0))
    plain = compose(frames, frames, s, color=Color())
    assert hold_still(plain, frames, frames, s, t=torch.tensor([0.5])) is plain


def test_one_code_value_of_noise_is_still_and_the_nearer_frame_is_kept() -> None:
    a = texture("yuv420p10le", 32, 32)
    b = Planes(0, tuple(plane + np.uint16(4) for plane in a.data), a.format)
    frames0, frames1 = upload([a], CPU), upload([b], CPU)
    s = synthesis((32, 32), (0, 0), (0, 0), R=(0.1, 0.1, 0.1))
    for t, source in ((0.25, a), (0.75, b)):
        made = hold_still(compose(frames0, frames1, s, color=Color()), frames0, frames1, s, t=torch.tensor([t]))
        assert same(download(made, [0])[0], source)


def test_a_change_of_colour_alone_is_not_still() -> None:
    a = texture("yuv420p", 32, 32)
    b = Planes(0, (a.data[0], a.data[1], a.data[2] + np.uint8(10)), a.format)
    frames0, frames1, s = upload([a], CPU), upload([b], CPU), synthesis((32, 32), (0, 0), (0, 0))
    plain = compose(frames0, frames1, s, color=Color())
    assert hold_still(plain, frames0, frames1, s, t=torch.tensor([0.5])) is plain


@pytest.mark.parametrize("name", ["yuv420p", "gbrp"])
def test_a_batch_is_its_frames_one_by_one(name: str) -> None:
    frames = [upload([texture(name, 24, 16, seed=n)], CPU) for n in range(4)]
    s = [synthesis((16, 24), (n, 1), (-1, n), M=n / 3, R=(0.1 * n,) * 3) for n in range(2)]
    batch = Synthesis(*(torch.cat([getattr(x, f) for x in s]) for f in ("F_t0", "F_t1", "M", "R")))
    together = compose(stack(frames[:2]), stack(frames[2:]), batch, color=Color(), sampling="bicubic")
    for n, made in enumerate(download(together, [0, 1])):
        alone = compose(frames[n], frames[n + 2], s[n], color=Color(), sampling="bicubic")
        assert same(made, download(alone, [n])[0])

"""The network's parts, against analytic cases."""

import cv2
import numpy as np
import pytest
import torch

from interp_cli.model.align import GUIDES, Alignment, bilateral
from interp_cli.model.flow import Estimate, cost_volume, resize
from interp_cli.model.network import PRESETS, IFNet, compose
from interp_cli.model.propagate import around, median, most_of, propagated
from interp_cli.model.seam import Synthesis
from interp_cli.model.teacher import Teacher
from interp_cli.model.warp import warp


def ramp(height: int, width: int) -> torch.Tensor:
    """x + 100 y at every pixel: bilinear sampling reads coordinates back exactly."""
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return (x + 100.0 * y)[None, None]


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
@pytest.mark.parametrize(("dx", "dy"), [(0.0, 0.0), (1.0, -2.0), (0.25, 0.5)])
def test_warp_reads_the_pixel_that_the_flow_points_to(mode: str, dx: float, dy: float) -> None:
    image = ramp(16, 20)
    flow = torch.tensor([dx, dy]).view(1, 2, 1, 1).expand(1, 2, 16, 20)
    inner = (slice(None), slice(None), slice(5, -5), slice(5, -5))
    torch.testing.assert_close(warp(image, flow, mode)[inner], (image + dx + 100 * dy)[inner], rtol=1e-4, atol=1e-2)


def test_warp_repeats_the_border() -> None:
    image = ramp(4, 4)
    away = torch.full((1, 2, 4, 4), 50.0)
    assert torch.equal(warp(image, away), image[..., -1:, -1:].expand_as(image))


def test_warp_places_pixels_exactly_even_for_bfloat16_images() -> None:
    image = torch.zeros(1, 1, 4, 600, dtype=torch.bfloat16)
    image[..., 501] = 1
    flow = torch.zeros(1, 2, 4, 600)
    flow[:, 0] = 1.0
    assert warp(image, flow)[0, 0, 0].argmax() == 500


def test_warp_takes_single_pixel_images() -> None:
    assert torch.equal(warp(torch.full((1, 1, 1, 1), 7.0), torch.ones(1, 2, 1, 1)), torch.full((1, 1, 1, 1), 7.0))


def test_cost_volume_peaks_at_the_true_shift() -> None:
    torch.manual_seed(0)
    a = torch.randn(1, 128, 12, 12)
    b = torch.roll(a, shifts=(1, -2), dims=(2, 3))  # b(y + 1, x - 2) = a(y, x)
    best = cost_volume(a, b, 3)[0, :, 4:-4, 4:-4].argmax(0)
    assert (best == (1 + 3) * 7 + (-2 + 3)).all()


@pytest.mark.parametrize("width", [5, 16, 37])
def test_cost_volume_is_the_mean_product_at_every_shift(width: int) -> None:
    torch.manual_seed(0)
    a, b = torch.randn(2, 6, 7, width), torch.randn(2, 6, 7, width)
    padded = torch.nn.functional.pad(b, (2, 2, 2, 2))
    shifts = [padded[:, :, y : y + 7, x : x + width] for y in range(5) for x in range(5)]
    wanted = torch.stack([(a * shifted).mean(1) for shifted in shifts], 1)
    torch.testing.assert_close(cost_volume(a, b, 2), wanted)


def test_cost_volume_gradient_is_that_of_its_formula() -> None:
    torch.manual_seed(0)
    a, b = (torch.randn(2, 3, 5, 6, dtype=torch.double, requires_grad=True) for _ in range(2))
    assert torch.autograd.gradcheck(lambda x, y: cost_volume(x, y, 2), (a, b))


def test_an_enlarged_estimate_keeps_its_flow_in_pixels_of_the_finer_grid() -> None:
    parts = (torch.zeros(1, channels, 3, 3) for channels in (1, GUIDES, 2))
    coarse = Estimate(torch.full((1, 4, 3, 3), 1.5), *parts)
    assert torch.equal(coarse.enlarged(2).flow, torch.full((1, 4, 6, 6), 3.0))
    assert resize(torch.ones(1, 1, 2, 2), 4).shape == (1, 1, 8, 8)


def waves(dx: float, dy: float) -> torch.Tensor:
    """(1, 1, 64, 96): a smooth texture moved by (dx, dy) px, known at every real place."""
    y, x = torch.meshgrid(torch.arange(64) - dy, torch.arange(96) - dx, indexing="ij")
    return (0.5 + 0.2 * torch.sin(x / 3) * torch.cos(y / 4) + 0.1 * torch.sin((x + 2 * y) / 5))[None, None]


@pytest.mark.parametrize("t", [0.25, 0.5, 0.8])
def test_alignment_finds_a_movement_of_a_fraction_of_a_pixel(t: float) -> None:
    dx, dy = 0.7, -0.45
    still, neutral = torch.zeros(1, 4, 64, 96), torch.zeros(1, GUIDES, 64, 96)
    with torch.inference_mode():
        flow = Alignment(4, 12)(waves(0, 0), waves(dx, dy), torch.tensor([t]), still, neutral)
    wanted = torch.tensor([-t * dx, -t * dy, (1 - t) * dx, (1 - t) * dy]).view(1, 4, 1, 1)
    assert (flow - wanted)[..., 8:-8, 8:-8].abs().max() < 0.05


def test_alignment_leaves_equal_frames_alone() -> None:
    neutral = torch.zeros(1, GUIDES, 64, 96)
    with torch.inference_mode():
        flow = Alignment(2, 4)(waves(0, 0), waves(0, 0), torch.tensor([0.5]), torch.zeros(1, 4, 64, 96), neutral)
    assert flow.abs().max() == 0


def test_what_only_one_frame_shows_moves_as_its_surroundings_do() -> None:
    alignment, flow = Alignment(8, 6, 2, edges=True, doubts=True), torch.zeros(1, 4, 64, 96)
    with torch.inference_mode():
        found = alignment(waves(0, 0), waves(9, 0), torch.tensor([0.5]), flow)
        for _ in range(3):
            found = alignment(waves(0, 0), waves(9, 0), torch.tensor([0.5]), found)
    v = (found[:, 2:] - found[:, :2])[0, :, 8:-8]
    assert (v[0] - 9).abs().max() < 0.5 and v[1].abs().max() < 0.5  # up to the very border


def test_alignment_by_gradients_does_not_mind_a_change_of_light() -> None:
    alignment, frames = Alignment(10, 12, edges=True), (waves(0, 0), waves(0.7, -0.45) + 0.08)
    assert alignment.edges is not None
    wanted, off = torch.tensor([-0.35, 0.225, 0.35, -0.225]).view(1, 4, 1, 1), []
    for weight in (-10.0, 4.0):  # next to none, and far above that of brightness
        with torch.inference_mode():
            alignment.edges.fill_(weight)
            flow = alignment(*frames, torch.tensor([0.5]), torch.zeros(1, 4, 64, 96))
        off.append((flow - wanted)[..., 8:-8, 8:-8].abs().mean())
    assert off[1] < 0.03 and off[0] > 0.2


def test_a_guide_of_zeros_changes_nothing() -> None:
    alignment, t = Alignment(2, 4, edges=True), torch.tensor([0.3])
    frames, still = (waves(0, 0), waves(0.5, 0.2)), torch.zeros(1, 4, 64, 96)
    with torch.inference_mode():
        steered = alignment(*frames, t, still, torch.zeros(1, GUIDES, 64, 96))
        torch.testing.assert_close(alignment(*frames, t, still), steered, rtol=0, atol=1e-5)


def test_medians_are_those_of_opencv() -> None:
    torch.manual_seed(0)
    x = torch.rand(2, 2, 9, 14)
    wanted = [[cv2.medianBlur(plane.numpy(), 3) for plane in image] for image in x]
    assert torch.equal(median(x), torch.tensor(np.array(wanted)))


def test_the_bilateral_filter_keeps_borders_and_even_changes_of_velocity_and_takes_noise_away() -> None:
    x = torch.arange(64.0).expand(1, 1, 32, 64)
    trust, generator = torch.ones(1, 1, 32, 64), torch.Generator().manual_seed(0)
    ramp, border = torch.cat((0.1 * x, -0.05 * x), 1), torch.cat((8.0 * (x >= 30), torch.zeros_like(x)), 1)
    torch.testing.assert_close(bilateral(ramp, trust)[..., 2:-2], ramp[..., 2:-2])
    assert (bilateral(border, trust) - border).abs().max() < 0.01
    noise = 0.1 * torch.randn(1, 2, 32, 64, generator=generator)
    assert bilateral(noise, trust).std() < 0.4 * noise.std()  # of nine independent ones a mean has a third


def test_a_velocity_that_is_not_trusted_follows_those_that_are() -> None:
    v, trust = torch.zeros(1, 2, 9, 9), torch.ones(1, 1, 9, 9)
    v[..., 4, 4], trust[..., 4, 4] = 0.5, 1e-3
    out = bilateral(v, trust)
    assert out[..., 4, 4].abs().max() < 0.001 and out[..., 4, 2].abs().max() < 0.001
    assert bilateral(v, torch.ones_like(trust))[..., 4, 4].abs().min() > 0.05


def test_a_flow_that_only_a_neighbour_knows_is_found_where_it_explains_the_frames() -> None:
    truth = torch.tensor([-2.0, 1.5, 2.0, -1.5]).view(1, 4, 1, 1).expand(1, 4, 64, 96)
    known = torch.where(torch.arange(96) % 8 < 4, truth, 0.0)
    with torch.inference_mode():
        found = propagated(waves(0, 0), waves(4, -3), known, reach=4)
        few = torch.where(torch.arange(96) % 12 < 4, truth, 0.0)
        still = propagated(waves(0, 0), waves(0, 0), few, reach=1, t=torch.tensor([0.5]))
    inner = (..., slice(12, -12), slice(12, -12))
    assert (found == truth)[inner].float().mean() > 0.9  # the rest has no texture to tell by
    assert (still == 0)[inner].float().mean() > 0.9


def test_what_most_of_a_frame_does_is_found_though_a_third_does_something_else() -> None:
    y, x = torch.meshgrid(torch.linspace(-1, 1, 72), torch.linspace(-1, 1, 128), indexing="ij")
    truth = torch.stack((3 + 0.8 * x - 0.3 * y, -1 + 0.5 * y))[None]
    v = torch.cat((truth, -truth))
    v[:, :, :, 40:82] = 9.0  # a thing that passes
    assert (most_of(v) - torch.cat((truth, -truth))).abs().max() < 0.05


def test_a_pixel_that_nobody_around_can_help_does_what_most_of_the_frame_does() -> None:
    truth = torch.tensor([-1.0, 0.75, 3.0, -2.25]).view(1, 4, 1, 1).expand(1, 4, 64, 96)
    known = torch.where((torch.arange(96) - 47.5).abs() < 12, 0.5, truth)
    with torch.inference_mode():
        found = propagated(waves(0, 0), waves(4, -3), known, reach=1, t=torch.tensor([0.25]))
    off = (found - truth).abs().amax(1)[..., 12:-12, 40:56]
    assert (off < 0.1).float().mean() > 0.9


def test_without_decoders_alignment_alone_finds_a_movement_of_many_pixels() -> None:
    torch.manual_seed(0)
    y, x = torch.meshgrid(torch.arange(128.0), torch.arange(192.0), indexing="ij")
    angle, phase, length = torch.rand(3, 60, 1, 1) * torch.tensor([6.28, 6.28, 4.0]).view(3, 1, 1, 1)

    def frame(dx: float, dy: float) -> torch.Tensor:  # waves of 2 to 100 px in all directions: nothing repeats
        along = ((x - dx) * angle.cos() + (y - dy) * angle.sin()) / length.exp()
        return (0.5 + (along + phase).sin().mean(0)).expand(1, 3, -1, -1)

    network = IFNet(PRESETS["fast"]).eval()
    with torch.inference_mode():
        s = network.synthesise(network.encode(frame(0, 0)), network.encode(frame(11, -6)), torch.tensor([0.25]))
    wanted = torch.tensor([-0.25 * 11, 0.25 * 6, 0.75 * 11, -0.75 * 6]).view(1, 4, 1, 1)
    assert (torch.cat((s.F_t0, s.F_t1), 1) - wanted)[..., 24:-24, 24:-24].abs().mean() < 0.1
    torch.testing.assert_close(s.M, torch.full_like(s.M, 0.75))


def test_sums_around_a_pixel_are_those_of_a_pooling_layer() -> None:
    x = torch.rand(2, 3, 9, 11)
    padded = torch.nn.functional.pad(x, (2, 2, 2, 2), mode="replicate")
    torch.testing.assert_close(around(x, 2), 25 * torch.nn.functional.avg_pool2d(padded, 5, 1))


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (8, 2)])
def test_enlarging_gives_the_same_with_and_without_gradients(size: tuple[int, int]) -> None:
    x = torch.rand(2, 3, *size, requires_grad=True)
    torch.testing.assert_close(resize(x.detach(), 2), resize(x, 2))


def test_compose_is_the_blend_of_both_warps_plus_the_residual() -> None:
    I0, I1 = torch.full((1, 3, 4, 4), 0.2), torch.full((1, 3, 4, 4), 0.6)
    zero = torch.zeros(1, 2, 4, 4)
    s = Synthesis(zero, zero, torch.full((1, 1, 4, 4), 0.75), torch.full((1, 3, 4, 4), 0.1))
    torch.testing.assert_close(compose(I0, I1, s), torch.full((1, 3, 4, 4), 0.75 * 0.2 + 0.25 * 0.6 + 0.1))


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_every_preset_gives_full_size_results_and_an_untrained_one_nearly_still_flow(preset: str) -> None:
    torch.manual_seed(0)
    network = IFNet(PRESETS[preset]).eval()
    side = 2 * network.limits.multiple_of
    I = torch.rand(2, 3, side, 2 * side)
    with torch.inference_mode():
        features = network.encode(I)
        s = network.synthesise(features, features, torch.tensor([0.25, 0.5])).enlarged()
    assert s.F_t0.shape == s.F_t1.shape == (2, 2, side, 2 * side)
    assert s.M.shape == (2, 1, side, 2 * side)
    assert (s.R is None) == (network.refinement is None)
    assert s.R is None or s.R.shape == (2, 3, side, 2 * side)
    assert s.M.min() >= 0 and s.M.max() <= 1
    assert s.F_t0.abs().max() < side / 8


def test_the_constants_of_alignment_can_be_learned() -> None:
    torch.manual_seed(0)
    network = IFNet(PRESETS["fast"])
    I0, I1 = (torch.nn.functional.avg_pool2d(torch.rand(1, 3, 64, 64), 5, 1, 2) for _ in range(2))
    (network(I0, I1, torch.tensor([0.5])) - I0).abs().mean().backward()
    gradients = {name: parameter.grad for name, parameter in network.alignments.named_parameters()}
    assert gradients and all(g is not None and g.isfinite() and g != 0 for g in gradients.values()), gradients


def test_a_batch_gives_what_its_members_give_alone() -> None:
    torch.manual_seed(0)
    network = IFNet(PRESETS["fast"]).eval()
    I0, I1, t = torch.rand(3, 3, 32, 32), torch.rand(3, 3, 32, 32), torch.tensor([0.2, 0.5, 0.7])
    with torch.inference_mode():
        together = network(I0, I1, t)
        alone = torch.cat([network(I0[k : k + 1], I1[k : k + 1], t[k : k + 1]) for k in range(3)])
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-4)


def test_the_teacher_sees_the_truth_and_returns_flows_of_full_size() -> None:
    torch.manual_seed(0)
    zero = torch.zeros(1, 2, 32, 32)
    student = Synthesis(zero, zero, torch.full((1, 1, 32, 32), 0.5), None)
    frames = [torch.rand(1, 3, 32, 32) for _ in range(3)]
    taught = Teacher()(*frames, student)
    assert taught.F_t0.shape == (1, 2, 32, 32) and taught.R is None
    other = Teacher()(frames[0], frames[1], torch.rand(1, 3, 32, 32), student)
    assert not torch.equal(taught.M, other.M)


def test_both_flows_are_one_whether_they_lie_side_by_side_or_not() -> None:
    flow, M = torch.randn(2, 4, 6, 5), torch.full((1, 1, 1, 1), 0.5)
    s = Synthesis(flow[:, :2], flow[:, 2:], M, None)
    assert torch.equal(s.flow, flow) and s.flow.data_ptr() == flow.data_ptr()
    part = Synthesis(s.F_t0[:, :, :3, :4], s.F_t1[:, :, :3, :4], M, None)
    assert torch.equal(part.flow, flow[:, :, :3, :4]) and part.flow.data_ptr() == flow.data_ptr()
    assert torch.equal(Synthesis(s.F_t1, s.F_t0, M, None).flow, torch.cat((flow[:, 2:], flow[:, :2]), 1))
    assert torch.equal(Synthesis(s.F_t0, s.F_t0, M, None).flow, torch.cat((flow[:, :2], flow[:, :2]), 1))

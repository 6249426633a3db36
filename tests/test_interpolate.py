"""The engine on arrays alone, with networks whose answers are known."""

from __future__ import annotations

import time
from collections.abc import Iterator
from fractions import Fraction
from threading import Event
from typing import Any

import numpy as np
import pytest
import torch
from fakes import FakeNetwork, LinearBlend, Lively

from interp_cli.engine.interpolate import Interpolator, check_mode, network_dtype
from interp_cli.engine.levels import levels
from interp_cli.engine.look import Sight
from interp_cli.engine.tasks import Tasks
from interp_cli.engine.way import working_scale
from interp_cli.errors import InputError, UsageError
from interp_cli.media.types import Color, Planes, pixel_format
from interp_cli.model.seam import Limits
from interp_cli.options import EngineOptions, Mode, Precision, Scale, Tta
from interp_cli.timeline import Target

COLOR = Color(range="tv", matrix="bt709")
HALF_ONLY = Limits(multiple_of=16, min_size=32, any_t=False)


def frame(n: int, name: str = "yuv420p", size: tuple[int, int] = (48, 32), *, shift: int = 0, seed: int = 0) -> Planes:
    """Random texture, shifted right by `shift` px, wrapping; pts n."""
    format = pixel_format(name)
    rng = np.random.default_rng(seed)
    full, data = size[0], []
    for h, w in format.plane_shapes(*size):
        plane = rng.integers(16, format.peak - 20, (h, w)).astype(format.dtype)
        data.append(np.roll(plane, shift * w // full, 1))
    return Planes(n, tuple(data), format)


def clip(count: int, **kw: Any) -> list[Planes]:
    """A texture that moves right by 4 px per frame."""
    return [frame(n, shift=4 * n, **kw) for n in range(count)]


def targets(count: int, factor: int, *, left: int = 0) -> list[Target]:
    """Every source frame and factor - 1 times between it and the next; the last is not followed."""
    times = [(left + n // factor, Fraction(n % factor, factor)) for n in range((count - 1) * factor + 1)]
    return [Target(n=n, pts=1000 + n, left=k, t=t) for n, (k, t) in enumerate(times)]


def engine(
    network: FakeNetwork, *, still: bool = True, workers: int = 1, say: Any = None, **options: Any
) -> Interpolator:
    options.setdefault("scene_detect", False)
    chosen = EngineOptions(**options)
    return Interpolator(network, options=chosen, hold_still=still, workers=workers, on_less_memory=say)


def run(e: Interpolator, frames: list[Planes], wanted: list[Target], **kw: Any) -> list[Planes]:
    return list(e.run(iter(frames), wanted, color=COLOR, **kw))


def most_difference(a: Planes, b: Planes) -> int:
    return max(int(np.abs(x.astype(int) - y.astype(int)).max()) for x, y in zip(a.data, b.data, strict=True))


@pytest.mark.parametrize("name", ["yuv420p", "yuv444p", "gray", "gbrp", "yuv420p10le", "yuv444p10le", "gbrp10le"])
@pytest.mark.parametrize("batch", [1, 3])
def test_a_translating_texture_comes_out_where_it_belongs(name: str, batch: int) -> None:
    size = (72, 40)
    frames = [frame(n, name, size, shift=16 * n) for n in range(3)]
    made = run(engine(FakeNetwork((16, 0)), batch=batch), frames, targets(3, 4))
    for target, out in zip(targets(3, 4), made, strict=True):
        true = frame(0, name, size, shift=int(16 * (target.left + target.t)))
        for plane, wanted in zip(out.data, true.data, strict=True):
            margin = 16 * plane.shape[1] // size[0] + 1
            np.testing.assert_array_equal(plane[:, margin:-margin], wanted[:, margin:-margin])


def test_one_output_per_target_in_order_with_its_pts() -> None:
    for batch in (1, 2, 5, 100):
        for mode in (Mode.DIRECT, Mode.BISECT):
            e = engine(Lively(), batch=batch, mode=mode)
            wanted = targets(5, 4)
            assert [p.pts for p in run(e, clip(5), wanted)] == [t.pts for t in wanted]
            assert (e.copied, e.made) == (5, 12)


def test_copies_are_the_source_frames_own_arrays() -> None:
    frames = clip(4)
    out = run(engine(Lively(), batch=8), frames, targets(4, 2))
    for n, source in enumerate(frames):
        assert all(a is b for a, b in zip(out[2 * n].data, source.data, strict=True))


@pytest.mark.parametrize("name", ["yuv420p", "yuv422p10le", "gray", "gbrp", "yuva444p10le"])
@pytest.mark.parametrize("size", [(48, 32), (37, 21), (2, 2), (1, 1)])
def test_a_still_clip_stays_still_bit_for_bit_without_asking_the_network(name: str, size: tuple[int, int]) -> None:
    network = Lively()
    frames = [frame(n, name, size) for n in range(3)]
    for out in run(engine(network), frames, targets(3, 4)):
        assert most_difference(out, frames[0]) == 0
    assert network.encoded == []


@pytest.mark.parametrize("name", ["yuv420p", "yuv422p10le", "gray", "gbrp", "yuva444p10le"])
@pytest.mark.parametrize("size", [(48, 32), (37, 21), (2, 2), (1, 1)])
@pytest.mark.parametrize("scale", [Scale.FULL, Scale.HALF, Scale.QUARTER])
def test_a_still_clip_stays_still_through_the_network_too(name: str, size: tuple[int, int], scale: Scale) -> None:
    network = LinearBlend()
    frames = [frame(n, name, size) for n in range(2)]
    for out in run(engine(network, still=False, scale=scale), frames, targets(2, 4)):
        assert most_difference(out, frames[0]) == 0
    assert network.encoded


def test_every_frame_is_encoded_once_whatever_the_times_and_batches() -> None:
    for batch in (1, 2, 3, 64):
        network = Lively()
        run(engine(network, batch=batch), clip(6), targets(6, 5))
        assert sum(network.encoded) == 6
        assert len(set(network.seen)) == 6


def test_frames_that_take_no_part_in_a_synthesis_are_never_encoded() -> None:
    network = Lively()
    wanted = [Target(n=n, pts=n, left=n, t=Fraction(n == 4, 2)) for n in range(8)]
    run(engine(network), clip(8), wanted)
    assert sum(network.encoded) == 2


def test_items_are_batched_across_pairs_and_times() -> None:
    network = Lively()
    run(engine(network, batch=4), clip(5), targets(5, 3))
    assert [len(asked) for asked in network.asked] == [4, 4]
    network = Lively()
    run(engine(network, batch=4), clip(5), targets(5, 2))
    assert network.asked == [[0.5] * 4]


@pytest.mark.parametrize("mode", [Mode.DIRECT, Mode.BISECT])
@pytest.mark.parametrize("tta", list(Tta))
def test_the_size_of_a_batch_changes_no_pixel_by_more_than_one_code_value(mode: Mode, tta: Tta) -> None:
    frames, wanted = clip(4, size=(50, 34)), targets(4, 4)
    alone = run(engine(Lively(), batch=1, mode=mode, tta=tta), frames, wanted)
    for batch in (2, 7):
        together = run(engine(Lively(), batch=batch, mode=mode, tta=tta), frames, wanted)
        assert max(most_difference(a, b) for a, b in zip(alone, together, strict=True)) <= 1


def mirrored(planes: Planes, *, x: bool, y: bool) -> Planes:
    data = tuple(np.ascontiguousarray(p[:: -1 if y else 1, :: -1 if x else 1]) for p in planes.data)
    return Planes(planes.pts, data, planes.format)


def interp(frames: list[Planes], t: Fraction, **flip: bool) -> list[np.ndarray[Any, Any]]:
    """flip(interp(flip(I0), flip(I1))) on plain passes, as float planes."""
    flipped = [mirrored(f, **flip) for f in frames]
    out = run(engine(Lively(), still=False), flipped, [Target(n=0, pts=0, left=0, t=t)])[0]
    return [p.astype(float) for p in mirrored(out, **flip).data]


@pytest.mark.parametrize("name", ["yuv420p", "gbrp10le"])
@pytest.mark.parametrize("size", [(48, 32), (50, 34)])
@pytest.mark.parametrize("t", [Fraction(1, 2), Fraction(1, 3)])
def test_flip_tta_is_its_formula(name: str, size: tuple[int, int], t: Fraction) -> None:
    """I_t_TTA = (I_t + flip(interp(flip(I_0), flip(I_1)))) / 2; the passes here are rounded, so within 1."""
    frames = [frame(0, name, size), frame(1, name, size, seed=1)]
    got = run(engine(Lively(), tta=Tta.FLIP, still=False), frames, [Target(n=0, pts=0, left=0, t=t)])[0]
    passes = [interp(frames, t, x=False, y=False), interp(frames, t, x=True, y=True)]
    for plane, *same in zip(got.data, *passes, strict=True):
        assert np.abs(plane - sum(same) / 2).max() <= 1
    assert np.abs(passes[0][0] - passes[1][0]).max() > 3


def test_full_tta_is_the_mean_of_all_flips_and_both_directions_of_time() -> None:
    frames, t = [frame(0), frame(1, seed=1)], Fraction(1, 3)
    network = Lively()
    got = run(engine(network, tta=Tta.FULL, still=False), frames, [Target(n=0, pts=0, left=0, t=t)])[0]
    assert len(network.asked) == 8
    assert sum(network.encoded) == 8
    flips = [{"x": x, "y": y} for x in (False, True) for y in (False, True)]
    passes = [interp(ends, u, **flip) for flip in flips for ends, u in ((frames, t), (frames[::-1], 1 - t))]
    for plane, *same in zip(got.data, *passes, strict=True):
        assert np.abs(plane - sum(same) / 8).max() <= 1


def test_bisection_goes_level_by_level_all_pairs_at_once() -> None:
    network = Lively(limits=HALF_ONLY)
    run(engine(network, batch=21), clip(4), targets(4, 8))
    assert network.asked == [[0.5] * 3, [0.5] * 6, [0.5] * 12]
    assert sum(network.encoded) == 4 + 3 + 6


def test_bisection_of_a_linear_motion_is_what_direct_makes() -> None:
    frames, wanted = [frame(n, size=(96, 32), shift=16 * n) for n in range(3)], targets(3, 4)
    direct = run(engine(FakeNetwork((16, 0)), mode=Mode.DIRECT), frames, wanted)

    class Halving(FakeNetwork):
        def synthesise(self, f0: Any, f1: Any, t: torch.Tensor, halfway: Any = None) -> Any:
            self.motion = (16.0, 0.0) if len(self.asked) < 1 else (8.0, 0.0)
            return super().synthesise(f0, f1, t)

    halved = run(engine(Halving(), mode=Mode.BISECT, batch=6), frames, wanted)
    for a, b in zip(direct, halved, strict=True):
        np.testing.assert_array_equal(a.data[0][:, 17:-17], b.data[0][:, 17:-17])


def test_levels_hold_each_time_once_after_the_times_that_it_needs() -> None:
    plan = levels([Fraction(3, 8), Fraction(1, 4), Fraction(0)])
    assert [[(s.before, s.t, s.after) for s in steps] for steps in plan] == [
        [(0, Fraction(1, 2), 1)],
        [(0, Fraction(1, 4), Fraction(1, 2))],
        [(Fraction(1, 4), Fraction(3, 8), Fraction(1, 2))],
    ]


def test_bisection_refuses_times_that_it_cannot_reach_before_any_work() -> None:
    with pytest.raises(UsageError, match="--mode direct"):
        check_mode(targets(2, 5), Mode.BISECT)
    with pytest.raises(UsageError, match="--mode direct"):
        check_mode([Target(n=0, pts=0, left=0, t=Fraction(1, 128))], Mode.AUTO, any_t=False)
    assert check_mode(targets(2, 64), Mode.BISECT) is Mode.BISECT
    assert check_mode(targets(2, 5), Mode.AUTO) is Mode.DIRECT
    with pytest.raises(UsageError, match="--mode bisect"):
        check_mode(targets(2, 2), Mode.DIRECT, any_t=False)
    with pytest.raises(UsageError):
        run(engine(Lively(), mode=Mode.BISECT), clip(2), targets(2, 3))


def cut_clip(first: int, second: int) -> list[Planes]:
    """Two shots of large patches that move right by 1 px per frame."""
    patches = [np.random.default_rng(seed).integers(0, 255, (4, 12)).astype(np.uint8) for seed in (1, 2)]
    wide = [np.kron(p, np.ones((12, 12), np.uint8)) for p in patches]
    shots = [wide[n >= first][:36, 40 - n : 104 - n].copy() for n in range(first + second)]
    return [Planes(n, (shot,), pixel_format("gray")) for n, shot in enumerate(shots)]


@pytest.mark.parametrize("first", [1, 4, 7])
def test_at_a_cut_the_left_frame_is_held_until_the_right_ones_own_time(first: int) -> None:
    network = FakeNetwork((1, 0))
    e = engine(network, scene_detect=True)
    frames = cut_clip(first, 8 - first)
    out = run(e, frames, targets(8, 4))
    assert e.cuts == [first - 1]
    assert (e.copied, e.made) == (8 + 3, 3 * 6)
    for n in range(4 * (first - 1), 4 * first):
        assert out[n].data is frames[first - 1].data
    assert out[4 * first].data is frames[first].data


def test_without_scene_detection_a_cut_is_made_like_any_pair() -> None:
    e = engine(LinearBlend(), scene_detect=False)
    run(e, cut_clip(4, 4), targets(8, 2))
    assert e.cuts == []
    assert e.made == 7


@pytest.mark.parametrize("batch", [1, 2, 4])
@pytest.mark.parametrize("detect", [False, True])
def test_few_frames_are_read_ahead_and_few_are_held(detect: bool, batch: int) -> None:
    """Those of the batch that is being made, of the one that waits for it, and what decides where cuts are."""
    read = []

    def source() -> Iterator[Planes]:
        for n in range(40):
            read.append(n)
            yield frame(n, shift=4 * n)

    e = engine(Lively(), scene_detect=detect, batch=batch)
    for n, _ in enumerate(e.run(source(), targets(40, 2), color=COLOR)):
        assert len(read) <= n // 2 + 1 + 2 * batch + 2 * detect


def test_frames_that_were_looked_at_before_give_the_same_frames_and_cuts() -> None:
    shown = [*clip(6), *(frame(n, shift=4 * n, seed=9) for n in range(6, 12))]
    plain, before = engine(Lively(), scene_detect=True), engine(Lively(), scene_detect=True)
    sight = Sight.of(before.options, given_cuts=False)
    expected = run(plain, shown, targets(12, 2))
    found = run(before, [sight.seen(planes) for planes in shown], targets(12, 2))
    assert plain.cuts == before.cuts == [5]
    for a, b in zip(expected, found, strict=True):
        assert a.pts == b.pts
        assert all(map(np.array_equal, a.data, b.data))


def test_source_frames_may_start_anywhere_and_be_skipped() -> None:
    frames = clip(20)
    wanted = [Target(n=n, pts=n, left=100 + 5 * n, t=Fraction(n % 2, 2)) for n in range(4)]
    out = run(engine(FakeNetwork((4, 0))), frames, wanted, first_source=100)
    assert out[0].data is frames[0].data
    assert out[2].data is frames[10].data
    np.testing.assert_array_equal(out[1].data[0][:, 6:-6], frame(0, shift=22).data[0][:, 6:-6])


def test_the_last_frame_is_held_and_a_missing_one_is_said() -> None:
    frames = clip(2)
    tail = [Target(n=n, pts=n, left=1, t=Fraction(n, 3)) for n in range(3)]
    assert all(out.data is frames[1].data for out in run(engine(Lively()), frames, tail))
    with pytest.raises(InputError, match="frame 2"):
        run(engine(Lively()), frames, [Target(n=0, pts=0, left=2, t=Fraction(0))])


@pytest.mark.parametrize(
    ("can", "wanted"),
    [({}, torch.float32), ({"avx512_bf16": True}, torch.bfloat16), ({"amx_bf16": True}, torch.bfloat16)],
)
def test_a_processor_made_for_bf16_uses_it(
    can: dict[str, bool], wanted: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: can, raising=False)
    assert network_dtype(Precision.AUTO, "cpu") is wanted


@pytest.mark.parametrize("mode", [Mode.DIRECT, Mode.BISECT])
@pytest.mark.parametrize("batch", [1, 2])
def test_workers_make_the_same_frames_as_one_alone_and_encode_no_frame_twice(mode: Mode, batch: int) -> None:
    frames, wanted = clip(6), targets(6, 4)
    alone = run(engine(Lively(), batch=batch, mode=mode), frames, wanted)
    network = Lively()
    out = run(engine(network, batch=batch, mode=mode, workers=3), frames, wanted)
    assert [p.pts for p in out] == [p.pts for p in alone]
    assert max(most_difference(a, b) for a, b in zip(out, alone, strict=True)) <= (0 if batch == 1 else 1)
    if mode is Mode.DIRECT:
        assert sum(network.encoded) == 6


def test_a_frame_that_takes_long_holds_up_nobody_but_itself() -> None:
    """The first frame is only done when the third one is begun: two workers, and no step at which they meet."""
    third = Event()

    class Slow(Lively):
        def synthesise(self, *given: Any) -> Any:
            out = super().synthesise(*given)
            if len(self.asked) == 3:
                third.set()
            elif len(self.asked) == 1 and not third.wait(20):
                raise AssertionError("the other worker waits")
            return out

    frames = clip(5)
    out = run(engine(Slow(), batch=1, workers=2), frames, targets(5, 2))
    assert [p.pts for p in out] == [p.pts for p in run(engine(Lively(), batch=1), frames, targets(5, 2))]


def test_pieces_of_work_wait_for_those_they_need_and_none_is_begun_after_a_failure() -> None:
    tasks, go, done = Tasks(2), Event(), list[str]()

    def slow() -> None:
        go.wait(20)
        done.append("slow")

    def fail() -> None:
        raise ValueError("first")

    first = tasks.begin(slow)
    second = tasks.begin(lambda: done.append("second"), [first])
    time.sleep(0.05)
    assert done == []
    go.set()
    second.result(20)
    assert done == ["slow", "second"]
    failed = tasks.begin(fail)
    later = tasks.begin(lambda: done.append("later"), [failed])
    for piece in (failed, later, tasks.begin(lambda: done.append("other"))):
        with pytest.raises(ValueError, match="first"):
            piece.result(20)
    tasks.end()
    assert done == ["slow", "second"]


def test_a_run_that_is_given_up_leaves_no_work_behind() -> None:
    network = Lively()
    e = engine(network, batch=1, workers=2)
    frames = e.run(iter(clip(8)), targets(8, 2), color=COLOR)
    next(frames), next(frames)
    frames.close()
    asked = len(network.asked)
    time.sleep(0.05)
    assert len(network.asked) == asked < 7
    assert len(run(e, clip(8), targets(8, 2))) == 15


def test_scale_is_halved_above_1080p_and_motion_keeps_its_size() -> None:
    assert [working_scale(Scale.AUTO, *s) for s in ((1920, 1080), (1080, 1920), (2560, 1440), (3840, 2160))] == [
        1,
        1,
        2,
        2,
    ]
    frames = [frame(n, size=(128, 64), shift=16 * n) for n in range(2)]
    out = run(engine(FakeNetwork((8, 0)), scale=Scale.HALF), frames, targets(2, 2))
    np.testing.assert_array_equal(out[1].data[0][:, 18:-18], frame(0, size=(128, 64), shift=8).data[0][:, 18:-18])


def test_reduced_precision_stays_in_the_network() -> None:
    frames = clip(2, name="yuv420p10le")
    e = Interpolator(FakeNetwork((4, 0)), dtype=torch.bfloat16, options=EngineOptions(scene_detect=False))
    out = run(e, frames, targets(2, 2))[1]
    np.testing.assert_array_equal(out.data[0][:, 6:-6], frame(0, "yuv420p10le", shift=2).data[0][:, 6:-6])


def test_precision_auto_is_full_on_a_cpu_and_half_on_cuda() -> None:
    assert network_dtype(Precision.AUTO, "mps") is torch.float32
    assert network_dtype(Precision.AUTO, "cuda:1") is torch.float16
    assert network_dtype(Precision.BF16, "cpu") is torch.bfloat16


def test_a_batch_of_none_is_refused() -> None:
    with pytest.raises(UsageError, match="--batch 0"):
        engine(Lively(), batch=0)


def test_results_may_be_used_outside_with_gradients_on() -> None:
    """Inference mode must not leak out between two frames of the generator."""
    it = engine(Lively()).run(iter(clip(3)), targets(3, 2), color=COLOR)
    next(it)
    next(it)
    assert not torch.is_inference_mode_enabled()
    assert torch.is_grad_enabled()


def test_a_long_still_passage_is_passed_on_and_not_held_until_the_next_made_frame() -> None:
    moving, still = frame(0), frame(1, shift=4)
    taken = 0

    def source() -> Iterator[Planes]:
        nonlocal taken
        for n in range(400):
            taken = n + 1
            yield moving if n == 0 else Planes(n, still.data, still.format)

    made = engine(LinearBlend(), batch=8).run(source(), targets(400, 2), color=COLOR)
    most_held = max(taken - n // 2 for n, _ in enumerate(made))
    assert most_held < 40


def test_a_time_that_is_asked_for_twice_is_made_twice() -> None:
    pair = clip(2)
    wanted = [Target(n=n, pts=n, left=0, t=Fraction(1, 2)) for n in range(2)]
    once, again = run(engine(LinearBlend(), mode=Mode.BISECT), pair, wanted)
    assert most_difference(once, again) == 0

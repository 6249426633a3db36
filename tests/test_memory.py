"""Out of memory at any step, the same frames come out by other ways, and each way is told once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from fakes import NO_MEMORY, FakeNetwork, LinearBlend, Lively, Placeless
from hypothesis import given, settings
from hypothesis import strategies as st
from test_interpolate import clip, engine, frame, most_difference, run, targets

from interp_cli.engine import composing
from interp_cli.engine import planes as on_device
from interp_cli.engine.interpolate import Interpolator
from interp_cli.engine.making import Maker
from interp_cli.engine.way import Way, out_of_memory, thriftier
from interp_cli.errors import DeviceError
from interp_cli.media.types import Planes
from interp_cli.model.seam import Features, Limits, Synthesis
from interp_cli.options import EngineOptions, Mode, Scale, Tta

SAID = "memory ran out: going on "
ONE = SAID + "with 1 frame at a time"
TILES = SAID + "in tiles"
HALF = SAID + "looking for motion at half the size"
QUARTER = SAID + "looking for motion at a quarter of the size"
CPU = SAID + "on the CPU"
WIDE = (640, 32)  # px: just enough for tiles


def agree(out: list[Planes], wanted: list[Planes], by: int = 1) -> bool:
    """Whether frames, order and times are the same, and no sample is further off than `by`."""
    same = [p.pts for p in out] == [p.pts for p in wanted]
    return same and max(most_difference(a, b) for a, b in zip(out, wanted, strict=True)) <= by


def faded(frames: list[Planes], factor: int) -> list[Planes]:
    """What a cross-fade is, by arithmetic."""
    out = []
    for target in targets(len(frames), factor):
        t, a = float(target.t), frames[target.left].data
        b = frames[target.left + (target.t > 0)].data
        planes = [(1 - t) * x.astype(float) + t * y.astype(float) for x, y in zip(a, b, strict=True)]
        out.append(Planes(target.pts, tuple(np.rint(x) for x in planes), frames[0].format))
    return out


def test_out_of_memory_halves_the_batch_and_loses_no_frame() -> None:
    said: list[str] = []
    network = Lively(memory=2)
    frames, wanted = clip(5), targets(5, 4)
    out = run(engine(network, batch=12, say=said.append), frames, wanted)
    assert said == [ONE]
    assert max(map(len, network.asked)) == 1
    assert sum(network.encoded) == 5
    assert agree(out, run(engine(Lively(), batch=1), frames, wanted))


def test_out_of_memory_sends_the_workers_home_before_batches_shrink() -> None:
    for memory, sentence in ((2, "with 2 frames at a time"), (1, "with 1 frame at a time")):
        said: list[str] = []
        fails = [] if memory == 1 else [False] * 3 + [True]
        frames, wanted = clip(5), targets(5, 3)
        out = run(engine(Lively(memory=memory, fails=fails), batch=2, workers=2, say=said.append), frames, wanted)
        assert said == [SAID + sentence]
        assert agree(out, run(engine(Lively(), batch=1), frames, wanted))


@pytest.mark.parametrize("mode", [Mode.DIRECT, Mode.BISECT])
@pytest.mark.parametrize("tta", list(Tta))
@pytest.mark.parametrize("pixels", [pytest.param(140_000, marks=pytest.mark.slow), 105_000])
def test_where_whole_frames_do_not_fit_tiles_make_the_same_frames(mode: Mode, tta: Tta, pixels: int) -> None:
    count, factor = (3, 4) if tta is Tta.NONE else (2, 2)
    frames, wanted = clip(count, size=(636, 330)), targets(count, factor)
    said: list[str] = []
    network = Placeless(pixels=pixels)
    out = run(engine(network, batch=1, mode=mode, tta=tta, say=said.append), frames, wanted)
    assert said == [TILES]
    assert 0.9 * pixels < max(network.sizes) <= pixels
    assert agree(out, run(engine(Placeless(), batch=1, mode=mode, tta=tta), frames, wanted))


def test_where_tiles_do_not_fit_motion_is_looked_for_at_a_smaller_size() -> None:
    frames = clip(3, size=(640, 336))
    for pixels, sentences in ((60_000, [ONE, TILES, HALF]), (16_000, [ONE, TILES, HALF, QUARTER])):
        said: list[str] = []
        out = run(engine(LinearBlend(pixels=pixels), batch=4, say=said.append), frames, targets(3, 3))
        assert said == sentences
        assert agree(out, faded(frames, 3))


class AllMoves(FakeNetwork):
    """Sees, at every size of its input, the motion of 16 px of a frame that is 128 px wide."""

    def synthesise(self, f0: Features, f1: Features, t: torch.Tensor, halfway: torch.Tensor | None = None) -> Synthesis:
        self.motion = (16 * f0[1].shape[-1] / 128, 0.0)
        return super().synthesise(f0, f1, t)


def test_motion_keeps_its_size_and_features_of_another_size_are_forgotten() -> None:
    said: list[str] = []
    frames = [frame(n, "gray", (128, 64), shift=16 * n) for n in range(3)]
    for fails, sentences in (([0, 0, 1], [HALF]), ([0, 0, 0, 0, 1], [HALF]), ([0, 0, 1, 0, 0, 1], [HALF, QUARTER])):
        said.clear()
        out = run(engine(AllMoves(fails=map(bool, fails)), batch=1, say=said.append), frames, targets(3, 2))
        assert said == sentences
        for made, shift in ((out[1], 8), (out[3], 24)):
            whole = frame(0, "gray", (128, 64), shift=shift).data[0]
            np.testing.assert_array_equal(made.data[0][:, 18:-18], whole[:, 18:-18])


class AllMovesHalfway(AllMoves):
    """The same, asked for the motion of pairs before; answers of another size would not fit."""

    def __init__(self, **how: Any) -> None:
        super().__init__(limits=Limits(multiple_of=16, min_size=32, any_t=True, halfway=True), **how)
        self.pairs = 0

    def halfway(self, f0: Features, f1: Features) -> torch.Tensor:
        self._take(f0[1])
        self.pairs += 1
        n, _, h, w = f0[1].shape
        if f1[1].shape != f0[1].shape:
            raise AssertionError("features of two sizes")
        v = torch.tensor([16 * w / 128 / 4, 0.0]).view(1, 2, 1, 1).expand(n, 2, h // 4, w // 4)
        return torch.cat((-v / 2, v / 2), 1)

    def likeliest(
        self, f0: Features, f1: Features, halfway: torch.Tensor, others: Sequence[torch.Tensor]
    ) -> torch.Tensor:
        self._take(f0[1])
        if any(other.shape != halfway.shape for other in others):
            raise AssertionError("motion of another size")
        return halfway

    def synthesise(self, f0: Features, f1: Features, t: torch.Tensor, halfway: torch.Tensor | None = None) -> Synthesis:
        if halfway is not None and halfway.shape[-1] * 4 != f0[1].shape[-1]:
            raise AssertionError("motion of another size")
        return super().synthesise(f0, f1, t)


@pytest.mark.parametrize("after", range(20))
def test_what_is_known_of_the_pairs_beside_is_forgotten_too(after: int) -> None:
    """Wherever memory runs out, and motion is then looked for at a smaller size."""
    frames = [frame(n, "gray", (128, 64), shift=16 * n) for n in range(5)]
    network = AllMovesHalfway(fails=[n == after for n in range(after + 1)])
    out = run(engine(network, batch=1), frames, targets(5, 2))
    for k in range(4):
        whole = frame(0, "gray", (128, 64), shift=16 * k + 8).data[0]
        np.testing.assert_array_equal(out[2 * k + 1].data[0][:, 18:-18], whole[:, 18:-18])


def test_the_motion_of_a_pair_is_asked_for_once() -> None:
    network = AllMovesHalfway()
    run(engine(network, batch=1), [frame(n, "gray", (128, 64), shift=16 * n) for n in range(5)], targets(5, 4))
    assert network.pairs == 4


def test_each_way_is_told_once_when_it_first_worked() -> None:
    frames, said = clip(12, size=WIDE), list[str]()
    fails = [calls == gap for gap in (3, 4, 6, 14, 14, 14) for calls in range(gap + 1)]
    network = LinearBlend(fails=fails)
    out = run(engine(network, batch=4, say=said.append), frames, targets(12, 4))
    assert next(network.fails, None) is None
    assert said == [SAID + "with 2 frames at a time", TILES, HALF, QUARTER]
    assert agree(out, faded(frames, 4))


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.booleans(), max_size=40).filter(lambda fails: sum(fails) <= 6),
    st.sampled_from([Mode.DIRECT, Mode.BISECT]),
    st.sampled_from([1, 2]),
)
def test_failures_at_any_call_lose_and_double_no_frame(fails: list[bool], mode: Mode, workers: int) -> None:
    frames, said = clip(3, size=WIDE), list[str]()
    way = engine(LinearBlend(fails=fails), batch=3 - workers, mode=mode, workers=workers, say=said.append)
    spent = sum(fails) > 5  # one worker or frame, tiles twice, scales twice
    try:
        out = run(way, frames, targets(3, 4))
    except DeviceError:
        assert spent
        return
    assert agree(out, faded(frames, 4), 2)
    assert len(said) == len(set(said))
    assert said == [s for s in (ONE, TILES, HALF, QUARTER) if s in said]


@pytest.mark.parametrize("step", ["upload", "network_input", "doubled", "compose", "download"])
@pytest.mark.parametrize("mode", [Mode.DIRECT, Mode.BISECT])
def test_a_failure_of_any_step_is_retried(step: str, mode: Mode, monkeypatch: pytest.MonkeyPatch) -> None:
    room = on_device if hasattr(on_device, step) else composing
    do: Callable[..., Any] = getattr(room, step)
    calls = 0

    def failing(*args: Any, **kw: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls in (2, 4):
            raise torch.OutOfMemoryError("Allocation on device")
        return do(*args, **kw)

    network = LinearBlend(limits=replace(FakeNetwork().limits, sampling="bicubic"))
    monkeypatch.setattr(room, step, failing)
    frames, said = clip(4, size=WIDE), list[str]()
    out = run(engine(network, batch=2, mode=mode, say=said.append), frames, targets(4, 4))
    assert calls > 4
    assert said == [ONE, TILES]
    assert agree(out, faded(frames, 4), 2)


@cache
def other_device() -> torch.device:
    """A device of torch that is not the CPU and needs no hardware; tensors of both do not mix."""
    import torch._lazy.ts_backend

    torch._lazy.ts_backend.init()
    return torch.device("lazy")


class Weighted(torch.nn.Module):
    """A cross-fade whose weight is a parameter; off the CPU memory runs out from call `last` of synthesise on."""

    def __init__(self, last: int, pixels: int) -> None:
        super().__init__()
        self.one = torch.nn.Parameter(torch.ones(()))
        self.last, self.away, self.pixels = last, LinearBlend(), pixels
        self.limits = self.away.limits
        self.calls: list[tuple[str, int]] = []

    def encode(self, I: torch.Tensor) -> Features:
        if I.device.type == "cpu" and I[:, 0].numel() < self.pixels:
            raise AssertionError("the CPU did not get the frames whole")
        return (I * self.one, I)

    def synthesise(self, f0: Features, f1: Features, t: torch.Tensor, halfway: torch.Tensor | None = None) -> Synthesis:
        self.calls.append((f0[0].device.type, len(t)))
        if f0[0].device.type != "cpu" and len(self.calls) > self.last:
            raise RuntimeError(NO_MEMORY)
        n, _, h, w = f0[0].shape
        flow, M = f0[0][:, :2] * 0, (1 - t).view(n, 1, 1, 1).expand(n, 1, h, w) * self.one
        return Synthesis(flow, flow, M, None)


@pytest.mark.parametrize("mode", [Mode.DIRECT, Mode.BISECT])
@pytest.mark.parametrize("last", [0, 1, 4])
def test_when_nothing_else_helps_network_and_frames_go_over_to_the_cpu(
    mode: Mode, last: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for step in ("_encode", "_batch", "_refine"):  # lazy tensors know no inference mode
        do = getattr(Maker, step)
        monkeypatch.setattr(Maker, step, torch.no_grad()(getattr(do, "__wrapped__", do)))
    device, frames, said = other_device(), clip(4, size=WIDE), list[str]()
    network = Weighted(last, WIDE[0] * WIDE[1]).to(device)
    e = Interpolator(
        network,
        device=str(device),
        options=EngineOptions(batch=2, mode=mode, scene_detect=False),
        hold_still=False,
        on_less_memory=said.append,
    )
    out = run(e, frames, targets(4, 4))
    assert {kind for kind, _ in network.calls} == {"lazy", "cpu"}
    assert said == [ONE, TILES, HALF, QUARTER, CPU]
    assert network.one.device.type == "cpu"
    assert agree(out, faded(frames, 4), 2)


def test_the_ways_follow_each_other_in_the_order_that_costs_least() -> None:
    way = Way(device=torch.device("cuda"), dtype=torch.float16, scale=Scale.AUTO, workers=2, batch=4)
    limits, said, ways = FakeNetwork().limits, [], []
    asked = {"asked": Scale.AUTO, "size": (1080, 1920), "limits": limits}
    while step := thriftier(way, count=way.at_once, **asked):  # type: ignore[arg-type]
        way, words = step
        ways.append((way.device.type, way.workers, way.batch, way.tiles, way.scale))
        said.append(words.rpartition(" frame")[0] or words)
    slower = [
        ("cuda", 1, 4, 1, "auto"),
        ("cuda", 1, 2, 1, "auto"),
        ("cuda", 1, 1, 1, "auto"),
        ("cuda", 1, 1, 2, "auto"),
    ]
    small = [("cuda", 1, 1, 4, "auto"), ("cuda", 1, 1, 4, "1/2"), ("cuda", 1, 1, 4, "1/4"), ("cpu", 1, 1, 1, "auto")]
    on_cpu = [("cpu", 1, 1, 2, "auto"), ("cpu", 1, 1, 4, "auto"), ("cpu", 1, 1, 4, "1/2"), ("cpu", 1, 1, 4, "1/4")]
    assert ways == slower + small + on_cpu
    assert said[:4] == ["with 4", "with 2", "with 1", "in tiles"]


def test_when_every_way_is_spent_the_error_advises() -> None:
    said: list[str] = []
    with pytest.raises(DeviceError, match="--scale"):
        run(engine(Lively(memory=0), batch=4, say=said.append), clip(2), targets(2, 2))
    assert said == []


@pytest.mark.parametrize(
    ("error", "is_it"),
    [
        (MemoryError(), True),
        (torch.OutOfMemoryError("any"), True),
        (RuntimeError("CUDA out of memory. Tried to allocate 20.00 MiB"), True),
        (RuntimeError("MPS backend out of memory (MPS allocated: 9.05 GB)"), True),
        (
            RuntimeError("[enforce fail at alloc_cpu.cpp:121] DefaultCPUAllocator: can't allocate memory: you tried"),
            True,
        ),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: not enough memory: you tried to allocate 4 bytes"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), True),
        (RuntimeError("CUDA error: an illegal memory access was encountered"), False),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
    ],
)
def test_lack_of_memory_is_told_from_other_failures(error: Exception, is_it: bool) -> None:
    assert out_of_memory(error) is is_it


def test_other_failures_of_the_network_are_not_taken_for_lack_of_memory() -> None:
    class Broken(Lively):
        def encode(self, I: torch.Tensor) -> Any:
            raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="mat1"):
        run(engine(Broken(), batch=4), clip(2), targets(2, 2))


def test_a_real_lack_of_memory_on_a_cpu_is_seen() -> None:
    class Greedy(LinearBlend):
        def encode(self, I: torch.Tensor) -> Features:
            if I.shape[-1] > 300:
                torch.empty(1 << 60, dtype=torch.uint8)
            return super().encode(I)

    frames, said = clip(2, size=(320, 32)), list[str]()
    out = run(engine(Greedy(), batch=1, say=said.append), frames, targets(2, 2))
    assert said == [TILES]
    assert agree(out, faded(frames, 2))

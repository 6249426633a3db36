"""(Pair, t) to frames: features encoded once, batches, test-time augmentation, bisection, the out-of-memory ladder."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from fractions import Fraction
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor

from interp_cli.engine import planes as on_device
from interp_cli.engine.levels import last_use, levels
from interp_cli.engine.planes import Frames
from interp_cli.engine.still import hold_still
from interp_cli.errors import DeviceError
from interp_cli.media.types import Color, Planes
from interp_cli.model.network import Features, Network, Synthesis
from interp_cli.options import Scale, Tta

Item = TypeVar("Item")
Made = TypeVar("Made")

Flip = tuple[int, ...]
"""Dimensions of (N, C, H, W) that are mirrored."""

_FLIPS: dict[Tta, tuple[Flip, ...]] = {Tta.NONE: ((),), Tta.FLIP: ((), (2, 3)), Tta.FULL: ((), (3,), (2,), (2, 3))}

_AUTO_SCALE_PIXELS = 2_100_000  # up to 1920 x 1080 the network sees whole frames
_FINE_PIXELS = 2_100_000  # up to here frames are sampled from a doubled copy; larger ones hold their detail otherwise
_CUDA_BYTES_PER_PIXEL = 800  # of one made frame, generously: features, cost volumes and planes in float32


@dataclass(slots=True, eq=False)
class Source:
    """A frame that others are made from: as decoded, and what is known of it on the device so far."""

    planes: Planes | None
    frames: Frames | None = None
    fine: Tensor | None = None  # `frames` with samples between their pixels, to warp from
    features: dict[Flip, Features] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Job:
    """One frame to make: between `left` and `right` at `t` in (0, 1), to be shown at `pts` (ticks)."""

    left: Source
    right: Source
    t: Fraction
    pts: int


class Pair(NamedTuple):
    """Two frames and a time between them."""

    left: Source
    right: Source
    t: Fraction


def working_scale(scale: Scale, width: int, height: int) -> int:
    """1, 2 or 4: how many times smaller than the frame (px) the network's input is."""
    if scale is Scale.AUTO:
        return 1 if width * height <= _AUTO_SCALE_PIXELS else 2
    return {Scale.FULL: 1, Scale.HALF: 2, Scale.QUARTER: 4}[scale]


def auto_batch(pixels: int, device: torch.device) -> int:
    """Frames per network call that suit `device`, for a network input of `pixels`."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return int(max(1, min(16, free // 2 // (pixels * _CUDA_BYTES_PER_PIXEL))))
    return 1  # a CPU sums over channels in another order for a batch, which bf16 turns into other pixels


class Maker:
    """Makes frames on one device. Holds no frames itself: what is computed of a source frame lives in its `Source`.

    `workers` threads make that many batches side by side. On a CPU that beats giving every operation several threads:
    small operations wait for each other longer than they take, all the more so beside a busy decoder and encoder.
    """

    def __init__(
        self,
        network: Network,
        *,
        device: str,
        dtype: torch.dtype,
        tta: Tta = Tta.NONE,
        scale: Scale = Scale.AUTO,
        batch: int | None = None,
        still: bool = True,
        workers: int = 1,
        on_smaller_batch: Callable[[int], None] | None = None,
    ) -> None:
        self.network, self.device, self.dtype = network, torch.device(device), dtype
        self.flips, self.reversed_too = _FLIPS[tta], tta is Tta.FULL
        self.scale, self.batch, self.still = scale, batch, still
        self._workers = workers
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="vfi-make") if workers > 1 else None
        self._on_smaller_batch = on_smaller_batch

    @property
    def at_once(self) -> int:
        """Frames that are made side by side."""
        return (self.batch or 1) * self._workers

    def batch_for(self, planes: Planes) -> int:
        """Frames per network call, chosen at the first frame unless it was given."""
        if self.batch is None:
            scale = working_scale(self.scale, planes.width, planes.height)
            self.batch = auto_batch(max(1, planes.width * planes.height // scale**2), self.device)
        return self.batch

    def direct(self, jobs: Sequence[Job], color: Color) -> Iterator[Planes]:
        """The frames of `jobs`, in order, each asked of the network at its own t."""
        done = 0
        for frames in self._made([Pair(job.left, job.right, job.t) for job in jobs], color):
            yield from on_device.download(frames, [job.pts for job in jobs[done : done + len(frames)]])
            done += len(frames)

    def bisect(self, jobs: Sequence[Job], color: Color) -> list[Planes]:
        """The frames of `jobs`, in order: all pairs' halves in one call, then all their quarters, and so on.

        Made frames stay unrounded on the device as long as a finer level looks at them.
        """
        times: dict[tuple[Source, Source], list[Fraction]] = {}
        for job in jobs:
            times.setdefault((job.left, job.right), []).append(job.t)
        plans = {ends: levels(ts) for ends, ts in times.items()}
        nodes = {(ends, Fraction(k)): ends[k] for ends in plans for k in (0, 1)}
        wanted: dict[tuple[tuple[Source, Source], Fraction], list[int]] = {}
        for n, job in enumerate(jobs):
            wanted.setdefault(((job.left, job.right), job.t), []).append(n)
        out: dict[int, Planes] = {}
        for depth in range(max(map(len, plans.values()), default=0)):
            steps = [
                (ends, step) for ends, plan in plans.items() for level in plan[depth : depth + 1] for step in level
            ]
            pairs = [Pair(nodes[ends, s.before], nodes[ends, s.after], Fraction(1, 2)) for ends, s in steps]
            made = (one for frames in self._made(pairs, color) for one in frames.each())
            for (ends, step), frames in zip(steps, made, strict=True):
                key = (ends, step.t)
                for n in wanted.get(key, ()):
                    out[n] = on_device.download(frames, [jobs[n].pts])[0]
                if last_use(plans[ends]).get(step.t, -1) > depth:
                    nodes[key] = Source(None, frames)
        return [out[n] for n in range(len(jobs))]

    def _made(self, pairs: Sequence[Pair], color: Color) -> Iterator[Frames]:
        """Frames of all pairs in order, one or several at a time; out of memory, the same pairs in smaller batches."""
        start = 0
        while start < len(pairs):
            chunk = pairs[start : start + self.at_once]
            try:
                frames = self._side_by_side(chunk, color)
            except (RuntimeError, MemoryError) as error:
                self._shrink(error, len(chunk))
                continue
            start += len(chunk)
            yield from frames

    def _shrink(self, error: Exception, size: int) -> None:
        if not (isinstance(error, (MemoryError, torch.OutOfMemoryError)) or _out_of_memory(error)):
            raise error
        if size == 1:
            raise DeviceError(
                f"{self.device} has too little memory for one frame of this size; "
                "try --scale 1/2 or 1/4, or --device cpu"
            ) from error
        if self._workers > 1:
            self._workers, self._pool = 1, None
        else:
            self.batch = size // 2
        if self._on_smaller_batch is not None:
            self._on_smaller_batch(self.at_once)
            self._on_smaller_batch = None  # once is enough
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def _side_by_side(self, pairs: Sequence[Pair], color: Color) -> list[Frames]:
        """Features of every source frame once, then the frames, each step dealt out to the workers."""
        sources = list(dict.fromkeys(source for pair in pairs for source in (pair.left, pair.right)))
        for source in sources:
            if source.frames is None and source.planes is not None:
                source.frames = on_device.upload([source.planes], self.device)
        for flip in self.flips:
            new = [source for source in sources if flip not in source.features]
            self._deal(lambda some, flip=flip: self._encode(some, flip, color), new)  # type: ignore[misc]
        return [one for made in self._deal(lambda some: self._batch(some, color), pairs) for one in made]

    def _deal(self, work: Callable[[Sequence[Item]], Made], items: Sequence[Item]) -> list[Made]:
        """The results of `work` on runs of at most a batch of `items`, in order."""
        size = min(self.batch or 1, -(-len(items) // self._workers)) or 1
        runs = [items[start : start + size] for start in range(0, len(items), size)]
        if self._pool is None or len(runs) < 2:
            return [work(run) for run in runs]
        return list(self._pool.map(work, runs))

    @torch.inference_mode()
    def _batch(self, pairs: Sequence[Pair], color: Color) -> list[Frames]:
        height, width = _frames(pairs[0].left).size
        scale = working_scale(self.scale, width, height)
        versions: list[list[Frames]] = []
        for flip in self.flips:
            for back in (False, True) if self.reversed_too else (False,):
                s = self._synthesise(pairs, flip, back=back)
                s = _mirrored(on_device.crop(s, (-(-height // scale), -(-width // scale))), flip)
                versions.append(self._composed(pairs, s, color, scale))
        return [on_device.mean(same) for same in zip(*versions, strict=True)]

    @torch.inference_mode()
    def _encode(self, sources: Sequence[Source], flip: Flip, color: Color) -> None:
        height, width = _frames(sources[0]).size
        scale = working_scale(self.scale, width, height)
        I = on_device.network_input(on_device.stack([_frames(s) for s in sources]), color, scale=scale)
        I = on_device.pad(torch.flip(I, flip) if flip else I, self.network.limits)
        with self._precision():
            features = self.network.encode(I.contiguous(memory_format=torch.channels_last))
        for k, source in enumerate(sources):
            if self.network.limits.sampling == "bicubic" and source.fine is None and height * width <= _FINE_PIXELS:
                source.fine = on_device.doubled(_frames(source))
            source.features[flip] = tuple(f[k : k + 1] for f in features) if len(sources) > 1 else features

    def _synthesise(self, pairs: Sequence[Pair], flip: Flip, *, back: bool) -> Synthesis:
        """At the padded size. `back` lets time run backwards for the network and turns its answer round again."""
        f0 = _together([pair.left.features[flip] for pair in pairs])
        f1 = _together([pair.right.features[flip] for pair in pairs])
        t = torch.tensor([float(pair.t) for pair in pairs], device=self.device)
        with self._precision():
            s = self.network.synthesise(f1, f0, 1 - t) if back else self.network.synthesise(f0, f1, t)
        return Synthesis(s.F_t1, s.F_t0, 1 - s.M, s.R) if back else s

    def _composed(self, pairs: Sequence[Pair], s: Synthesis, color: Color, scale: int) -> list[Frames]:
        """A CPU composes frame by frame, which stays in its cache; a GPU composes the batch."""
        size = 1 if self.device.type == "cpu" else len(pairs)
        out = []
        for n in range(0, len(pairs), size):
            some, part = pairs[n : n + size], _part(s, n, size)
            frames0 = on_device.stack([_frames(pair.left) for pair in some])
            frames1 = on_device.stack([_frames(pair.right) for pair in some])
            fine = _fine(some)
            sampling = self.network.limits.sampling
            made = on_device.compose(frames0, frames1, part, color=color, scale=scale, sampling=sampling, fine=fine)
            if self.still:
                t = torch.tensor([float(pair.t) for pair in some])
                made = hold_still(made, frames0, frames1, part, t=t, scale=scale)
            out.append(made)
        return out

    def _precision(self) -> AbstractContextManager[object]:
        if self.dtype is torch.float32:
            return nullcontext()
        return torch.autocast(self.device.type, dtype=self.dtype)


def _out_of_memory(error: Exception) -> bool:
    return "out of memory" in str(error).lower() or "can't allocate memory" in str(error).lower()


def _frames(source: Source) -> Frames:
    if source.frames is None:
        raise RuntimeError("a frame was composed before it was uploaded")
    return source.frames


def _fine(pairs: Sequence[Pair]) -> tuple[Tensor, Tensor] | None:
    """The doubled frames of both ends, where they were made."""
    left = [pair.left.fine for pair in pairs if pair.left.fine is not None]
    right = [pair.right.fine for pair in pairs if pair.right.fine is not None]
    if not (left and right):
        return None
    return (left[0], right[0]) if len(pairs) == 1 else (torch.cat(left), torch.cat(right))


def _together(features: Sequence[Features]) -> Features:
    return features[0] if len(features) == 1 else tuple(torch.cat(same) for same in zip(*features, strict=True))


def _part(s: Synthesis, n: int, size: int) -> Synthesis:
    span = slice(n, n + size)
    return Synthesis(s.F_t0[span], s.F_t1[span], s.M[span], None if s.R is None else s.R[span])


def _mirrored(s: Synthesis, flip: Flip) -> Synthesis:
    """`s` of mirrored frames as that of the frames themselves: mirrored back, flow turned round along those axes."""
    if not flip:
        return s
    sign = torch.tensor([-1.0 if 3 in flip else 1.0, -1.0 if 2 in flip else 1.0], device=s.M.device).view(1, 2, 1, 1)

    def back(x: Tensor) -> Tensor:
        return torch.flip(x, flip)

    return Synthesis(back(s.F_t0) * sign, back(s.F_t1) * sign, back(s.M), None if s.R is None else back(s.R))

"""(Pair, t) to frames on one device: features, motion, batches, test-time augmentation, composing."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from fractions import Fraction

import torch
from torch import Tensor

from interp_cli.engine import composing, tiles
from interp_cli.engine import planes as on_device
from interp_cli.engine.alpha import unweighted, weighted
from interp_cli.engine.bend import along_their_ways
from interp_cli.engine.blend import blended
from interp_cli.engine.composing import Apart
from interp_cli.engine.doubt import second_thoughts
from interp_cli.engine.lasting import lasting_motion
from interp_cli.engine.planes import Frames
from interp_cli.engine.source import Flip, Motion, Pair, Source
from interp_cli.engine.still import hold_overlays, hold_still
from interp_cli.engine.way import Way
from interp_cli.media.types import Color, Planes
from interp_cli.model.seam import Features, Network, Synthesis
from interp_cli.options import Tta

_FLIPS: dict[Tta, tuple[Flip, ...]] = {Tta.NONE: ((),), Tta.FLIP: ((), (2, 3)), Tta.FULL: ((), (3,), (2,), (2, 3))}

_FINE_PIXELS = 2_100_000  # up to here frames are sampled from a doubled copy; larger ones hold their detail otherwise


@dataclass(frozen=True, slots=True, kw_only=True)
class Maker:
    """Makes frames in one way, step by step: what is computed of a source frame lives in its `Source`.

    Which step comes when, and on which thread, is for `Schedule` to say.
    """

    network: Network
    way: Way
    tta: Tta = Tta.NONE
    still: bool = True  # what does not move stays as it is

    def ready(self, sources: Sequence[Source], color: Color) -> None:
        """Frames on the device, and their features."""
        for source in sources:
            if source.frames is not None:
                source.frames = source.frames.on(self.way.device)
            elif source.planes is not None:
                source.frames = weighted(on_device.upload([source.planes], self.way.device))
        for flip in _FLIPS[self.tta] if self.way.tiles == 1 else ():
            new = [source for source in sources if flip not in source.features]
            if new:
                self._encode(new, flip, color)

    def shown(self, pairs: Sequence[Pair], kept: Sequence[Source | None], color: Color) -> list[list[Planes]]:
        """The frame of every pair, for every time at which it is shown."""
        made = self._batch(pairs, color)
        for source, one in zip(kept, made, strict=True):
            if source is not None:
                source.frames = one
        return [_planes(one, pair) for one, pair in zip(made, pairs, strict=True)]

    @torch.inference_mode()
    def _batch(self, pairs: Sequence[Pair], color: Color) -> list[Frames]:
        size = pairs[0].left.uploaded.size
        scale = self.way.shrink(size)
        versions: list[list[Frames]] = []
        for flip in _FLIPS[self.tta]:
            for back in (False, True) if self.tta is Tta.FULL else (False,):
                s = self._synthesise(pairs, flip, color, back=back)
                s = on_device.crop(s.enlarged() if flip else s, (-(-size[0] // scale), -(-size[1] // scale)))
                s = _mirrored(s, flip)
                versions.append(self._composed(pairs, s, color, scale))
        means = [on_device.mean(same) for same in zip(*versions, strict=True)]
        return [one for frames in means for one in frames.each()]

    @torch.inference_mode()
    def _encode(self, sources: Sequence[Source], flip: Flip, color: Color) -> None:
        I = self._input(sources, flip, color)
        with self._precision():
            features = self.network.encode(I)
        for k, source in enumerate(sources):
            self._refine(source)
            source.features[flip] = tuple(f[k : k + 1] for f in features) if len(sources) > 1 else features

    @torch.inference_mode()
    def move(self, ends: Sequence[tuple[Source, Source]]) -> None:
        """The motion of pairs of sources."""
        f0, f1 = (_together([source.features[()] for source in end]) for end in zip(*ends, strict=True))
        with self._precision():
            motion = self.network.halfway(f0, f1)
        for k, (left, right) in enumerate(ends):
            left.motions[right] = Motion(motion[k : k + 1])

    @torch.inference_mode()
    def let_last(self, pairs: Sequence[Pair]) -> None:
        """Try the motion beside `pairs`, once for all times of each."""
        for pair in pairs:
            motion = pair.left.motion_to(pair.right)
            if motion is not None:
                motion.likeliest = lasting_motion(self.network, pair, motion)

    def _input(self, sources: Sequence[Source], flip: Flip, color: Color) -> Tensor:
        """What the network sees of `sources`, mirrored by `flip`, padded."""
        frames = [source.uploaded for source in sources]
        limits, scale = self.network.limits, self.way.shrink(frames[0].size)
        I = on_device.network_input(on_device.stack(frames), color, scale=scale, colour=limits.colour)
        return on_device.pad(torch.flip(I, flip) if flip else I, limits)

    def _refine(self, source: Source) -> None:
        height, width = source.size
        if self.network.limits.sampling == "bicubic" and source.fine is None and height * width <= _FINE_PIXELS:
            source.fine = composing.doubled(source.uploaded)

    def _synthesise(self, pairs: Sequence[Pair], flip: Flip, color: Color, *, back: bool) -> Synthesis:
        """At the padded size. `back` lets time run backwards for the network and turns its answer round again."""
        ends = [[pair.left for pair in pairs], [pair.right for pair in pairs]]
        t = torch.tensor([float(pair.t) for pair in pairs], device=self.way.device)
        if back:
            ends, t = ends[::-1], 1 - t
        if self.way.tiles > 1:
            for source in ends[0] + ends[1]:
                self._refine(source)
            I0, I1 = (self._input(end, flip, color) for end in ends)
            with self._precision():
                s = tiles.synthesise(self.network, I0, I1, t, parts=self.way.tiles)
        else:
            f0, f1 = (_together([source.features[flip] for source in end]) for end in ends)
            known = [] if flip or back else [pair.left.motion_to(pair.right) for pair in pairs]
            motions = [motion.likeliest for motion in known if motion is not None and motion.likeliest is not None]
            with self._precision():
                s = self.network.synthesise(f0, f1, t, _joined(motions))
        return replace(s, F_t0=s.F_t1, F_t1=s.F_t0, M=1 - s.M) if back else s

    def _composed(self, pairs: Sequence[Pair], s: Synthesis, color: Color, scale: int) -> list[Frames]:
        """A CPU composes frame by frame, which stays in its cache; a GPU composes the batch."""
        size = 1 if self.way.device.type == "cpu" else len(pairs)
        out = []
        for n in range(0, len(pairs), size):
            some, part = pairs[n : n + size], _part(s, n, size)
            t = torch.tensor([float(pair.t) for pair in some])
            frames0 = on_device.stack([pair.left.uploaded for pair in some])
            frames1 = on_device.stack([pair.right.uploaded for pair in some])
            fine = _fine(some)
            sampling = self.network.limits.sampling
            learned = self.network.limits.blends
            apart: list[Apart] | None = [] if self.still or learned else None
            part = along_their_ways(part, some, t)
            made = composing.compose(
                frames0,
                frames1,
                part,
                color=color,
                scale=scale,
                sampling=sampling,
                fine=fine,
                apart=apart,
            )
            if learned and apart:
                made = blended(self.network, made, apart[0], some, part, t, scale=scale)
            if self.still and apart:
                made = second_thoughts(made, apart[0].full[:, :1], frames0, frames1, part, t=t, scale=scale, fine=fine)
                made = hold_still(made, frames0, frames1, part, t=t, scale=scale)
                masks = [None if pair.overlay is None else pair.overlay.mask for pair in some]
                made = hold_overlays(made, frames0, frames1, masks, t=t)
            out.append(made)
        return out

    def _precision(self) -> AbstractContextManager[object]:
        if self.way.dtype is torch.float32:
            return nullcontext()
        return torch.autocast(self.way.device.type, dtype=self.way.dtype)


@torch.inference_mode()
def _planes(made: Frames, pair: Pair) -> list[Planes]:
    """`made` as raw planes for every time at which it is shown."""
    near = (pair.right if pair.t > Fraction(1, 2) else pair.left).planes
    straight = made if near is None else unweighted(made, near)
    return [on_device.download(straight, [pts])[0] for pts in pair.pts]


def _fine(pairs: Sequence[Pair]) -> tuple[Tensor, Tensor] | None:
    """The doubled frames of both ends, where they were made."""
    left = [pair.left.fine for pair in pairs if pair.left.fine is not None]
    right = [pair.right.fine for pair in pairs if pair.right.fine is not None]
    if not (left and right):
        return None
    return (left[0], right[0]) if len(pairs) == 1 else (torch.cat(left), torch.cat(right))


def _joined(parts: list[Tensor]) -> Tensor | None:
    if len(parts) < 2:
        return parts[0] if parts else None
    return torch.cat(parts)


def _together(features: Sequence[Features]) -> Features:
    return features[0] if len(features) == 1 else tuple(torch.cat(same) for same in zip(*features, strict=True))


def _part(s: Synthesis, n: int, size: int) -> Synthesis:
    span = slice(n, n + size)
    return replace(s, F_t0=s.F_t0[span], F_t1=s.F_t1[span], M=s.M[span], R=None if s.R is None else s.R[span])


def _mirrored(s: Synthesis, flip: Flip) -> Synthesis:
    """`s` of mirrored frames as that of the frames themselves: mirrored back, flow turned round along those axes."""
    if not flip:
        return s
    sign = torch.tensor([-1.0 if 3 in flip else 1.0, -1.0 if 2 in flip else 1.0], device=s.M.device).view(1, 2, 1, 1)

    def back(x: Tensor) -> Tensor:
        return torch.flip(x, flip)

    return Synthesis(back(s.F_t0) * sign, back(s.F_t1) * sign, back(s.M), None if s.R is None else back(s.R))

"""What frames are made from: source frames with what is computed of them, and pairs of these."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from typing import Any, NamedTuple

import torch.nn.functional as F
from torch import Tensor

from interp_cli.engine.overlay import Overlay
from interp_cli.engine.planes import Frames
from interp_cli.media.types import Planes
from interp_cli.model.seam import MOTION_PITCH, Features

COARSE_PITCH = 2 * MOTION_PITCH  # px of the network's input

Flip = tuple[int, ...]
"""Dimensions of (N, C, H, W) that are mirrored."""

Step = tuple[str, "Source | None"]
"""Something that is computed of a frame: its name, and the frame after it, if that counts."""


class Motion:
    """What moves from a frame to one after it: both flows in the middle, as `Network.halfway` says."""

    def __init__(self, halfway: Tensor) -> None:
        self.halfway = halfway
        self.likeliest: Tensor | None = None  # like `halfway`, once the motion of the pairs beside it was tried

    @cached_property
    def velocity(self) -> Tensor:
        """Px of the network's input from one frame to the other, in the middle, `MOTION_PITCH` apart: (1, 2, h, w)."""
        return (self.halfway[:, 2:] - self.halfway[:, :2]) * MOTION_PITCH

    @cached_property
    def coarse_velocity(self) -> Tensor:
        """The same, `COARSE_PITCH` apart."""
        return F.avg_pool2d(self.velocity, COARSE_PITCH // MOTION_PITCH)


@dataclass(slots=True, eq=False)
class Source:
    """A frame that others are made from: as decoded, and what is known of it on the device so far.

    For a made frame, `planes` are the nearest decoded ones. `steps` are what has been asked for, done or not.
    """

    planes: Planes | None
    frames: Frames | None = None  # as seen: see engine/alpha.py
    fine: Tensor | None = None  # `frames` with samples between their pixels, to warp from
    features: dict[Flip, Features] = field(default_factory=dict)
    motions: dict[Source, Motion] = field(default_factory=dict)  # to frames after it
    steps: dict[Step, Future[Any]] = field(default_factory=dict)

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) of the first plane, px."""
        if self.frames is None and self.planes is not None:
            return self.planes.height, self.planes.width
        return self.uploaded.size

    @property
    def uploaded(self) -> Frames:
        """The frame on the device."""
        if self.frames is None:
            raise RuntimeError("a frame was composed before it was uploaded")
        return self.frames

    def motion_to(self, right: Source) -> Motion | None:
        """The motion from this frame to `right`, if it is known."""
        return self.motions.get(right)

    def forget(self) -> None:
        """Let go of what is computed of the frame; the frame itself stays."""
        self.features, self.fine, self.motions, self.steps = {}, None, {}, {}

    def settle(self) -> None:
        """Let go of the steps that failed; none is under way."""
        done = {step: future for step, future in self.steps.items() if future.done() and not future.cancelled()}
        self.steps = {step: future for step, future in done.items() if future.exception() is None}


class Neighbour(NamedTuple):
    """The pair before or after another one."""

    left: Source
    right: Source
    span: float  # its time, in that of the other pair


class Pair(NamedTuple):
    """A frame to make: between `left` and `right` at `t` in (0, 1).

    `pts` are the ticks at which it is shown; there are none if others are only made from it. `overlay` says where
    something stands still before what moves. `before` and `after` are the pairs on either side, as far as the motion
    goes on there.
    """

    left: Source
    right: Source
    t: Fraction
    pts: tuple[int, ...]
    overlay: Overlay | None = None
    before: Neighbour | None = None
    after: Neighbour | None = None

    @property
    def ends(self) -> tuple[Source, Source]:
        """Both frames."""
        return self.left, self.right

    @property
    def ends_beside(self) -> list[tuple[Source, Source]]:
        """The frames of the pairs beside it that are known."""
        return [(side.left, side.right) for side in (self.before, self.after) if side is not None]

    @property
    def sources(self) -> list[Source]:
        """All the frames that it is made from."""
        return [source for ends in (self.ends, *self.ends_beside) for source in ends]

"""How made surfaces move: where a point of a surface is at any time, and back, exactly."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor

_REACH = 0.35  # of the side: the largest translation over the unit interval
_TILT = 0.15  # the most that perspective changes the scale from the middle to a side
_BEND = 0.15  # the most that bending changes any distance: what makes its inverse converge
_ROUNDS = 6  # of that inverse, each of which leaves _BEND of the error


@dataclass(frozen=True, slots=True)
class Motion:
    """The motion of N x L surfaces over unit time, linear in its parameters: x(tau) = H(tau)(x(0) + tau * bend(x(0))).

    H turns, scales and shears around `centre`, tilts in perspective and moves on.
    """

    centre: Tensor  # (N, L, 2) px
    move: Tensor  # (N, L, 2) px
    turn: Tensor  # (N, L) rad
    grow: Tensor  # (N, L) logarithm of the scale
    shear: Tensor  # (N, L)
    tilt: Tensor  # (N, L, 2) 1/px
    bend: Tensor | None  # (N, L, 2) px: amplitude of a wave of displacement; None: none of them bends
    wave: Tensor  # (N, L, 2) rad/px
    phase: Tensor  # (N, L) rad

    def with_top(self, move: Tensor) -> Motion:
        """One more surface (N, 2; px) above the others, which only moves."""
        top = {f.name: getattr(self, f.name) for f in fields(self)}
        still = {k: None if v is None else torch.cat((v, torch.zeros_like(v[:, :1])), 1) for k, v in top.items()}
        return Motion(**{**still, "move": torch.cat((self.move, move[:, None]), 1)})  # type: ignore[arg-type]

    def at(self, tau: Tensor, x: Tensor) -> Tensor:
        """Where points x (N, L, S, S, 2) of time 0 are at times tau (N,)."""
        return _mapped(self._matrix(tau), x + self._bent(tau, x))

    def origin(self, tau: Tensor, x: Tensor) -> Tensor:
        """Where at time 0 the points are that are at x (N or 1, L or 1, S, S, 2) at times tau (N,)."""
        straight = _mapped(torch.linalg.inv_ex(self._matrix(tau))[0], x)
        found = straight
        for _ in range(_ROUNDS if self.bend is not None else 0):
            found = straight - self._bent(tau, found)
        return found

    def _bent(self, tau: Tensor, x: Tensor) -> Tensor:
        if self.bend is None:
            return torch.zeros((), device=x.device)
        angle = (x * self.wave[:, :, None, None]).sum(-1) + self.phase[:, :, None, None]
        return tau.view(-1, 1, 1, 1, 1) * self.bend[:, :, None, None] * angle.sin()[..., None]

    def _matrix(self, tau: Tensor) -> Tensor:
        """(N, L, 3, 3), of homogeneous points."""
        time = tau[:, None]
        angle, scale, shear = self.turn * time, (self.grow * time).exp(), self.shear * time
        cos, sin = scale * angle.cos(), scale * angle.sin()
        zero, one = torch.zeros_like(cos), torch.ones_like(cos)
        p, q = (self.tilt * time[..., None]).unbind(-1)
        there, back = self.centre + self.move * time[..., None], -self.centre
        around = _rows((cos, cos * shear - sin, zero), (sin, sin * shear + cos, zero), (p, q, one))
        go = _rows((one, zero, there[..., 0]), (zero, one, there[..., 1]), (zero, zero, one))
        come = _rows((one, zero, back[..., 0]), (zero, one, back[..., 1]), (zero, zero, one))
        return go @ around @ come


def motions(count: int, layers: int, side: int, generator: torch.Generator, *, bend: bool) -> Motion:
    """Motion of `count` x `layers` surfaces in squares of `side` px; the first, the background, carries the others.

    Translations are heavy-tailed, up to 0.35 of the side; rotations up to 10 degrees, scales up to 15 %, shears up to
    a tenth; a third of surfaces tilt. With `bend`, half of them bend.
    """
    shape = (count, layers)

    def uniform(low: float, high: float, *more: int) -> Tensor:
        return low + (high - low) * torch.rand((*shape, *more), generator=generator, device=generator.device)

    reach = uniform(0, 1).pow(2.5) * _REACH * side
    heading = uniform(0, 2 * torch.pi)
    move = torch.stack((reach * heading.cos(), reach * heading.sin()), -1)
    if layers > 1:
        move = torch.cat((move[:, :1], move[:, 1:] + 0.5 * move[:, :1]), 1)
    turns, tilts, bends = ((uniform(0, 1) < share).float() for share in (0.6, 0.3, 0.5))
    length, course = side * uniform(0.4, 1.2), uniform(0, 2 * torch.pi)
    wave = torch.stack((course.cos(), course.sin()), -1) * (2 * torch.pi / length)[..., None]
    swing = uniform(-1, 1, 2) * (_BEND / 2**0.5 * length / (2 * torch.pi) * bends)[..., None]
    return Motion(
        centre=uniform(0.1 * side, 0.9 * side, 2),
        move=move,
        turn=uniform(-10, 10) * (torch.pi / 180) * turns,
        grow=uniform(-0.15, 0.15) * turns,
        shear=uniform(-0.1, 0.1) * turns,
        tilt=uniform(-_TILT, _TILT, 2) / side * tilts[..., None],
        bend=swing if bend else None,
        wave=wave,
        phase=uniform(0, 2 * torch.pi),
    )


def grid(side: int, device: torch.device) -> Tensor:
    """(1, 1, S, S, 2): the place of each pixel, x first."""
    line = torch.arange(side, device=device, dtype=torch.float32)
    y, x = torch.meshgrid(line, line, indexing="ij")
    return torch.stack((x, y), -1)[None, None]


def _mapped(matrix: Tensor, x: Tensor) -> Tensor:
    """Points (..., S, S, 2) through matrices (N, L, 3, 3)."""
    m = matrix[:, :, None, None]
    flat = (m[..., :2] * x[..., None, :]).sum(-1) + m[..., 2]
    return flat[..., :2] / flat[..., 2:]


def _rows(*rows: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    return torch.stack([torch.stack(row, -1) for row in rows], -2)

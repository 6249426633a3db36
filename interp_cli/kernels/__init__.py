"""The inner loops for a CPU, in C: what `model` and `engine` say in tensors but for roundings, several times as fast.

Flow is hundreds of small steps over planes that fit a cache. As tensor operations each of them reads and writes memory,
and allocates it; in C a row stays in the first cache from one step to the next. Built with the package if there is a C
compiler (build.py). A GPU, training and an installation without them use the tensors. Kernels run in one thread, and
hold no lock of the interpreter: frames are made side by side.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from interp_cli.kernels.build import library, sources_digest

Bytes = NDArray[np.uint8]
_HERE = Path(__file__).parent
_LANES = 8  # channels that vfi_conv computes together
_REACH = 4  # samples on either side that vfi_double looks at
_MORE = 3  # rows and columns of what is doubled, for borders that are repeated


class _Alignment(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_int) for name in ("steps", "sweeps", "window", "medians")),
        *((name, ctypes.c_float) for name in ("smooth", "floor", "edges", "doubt", "most", "still", "trust")),
    ]


def _loaded() -> ctypes.CDLL | None:
    """The library, if it is there and was built from these sources."""
    try:
        found = ctypes.CDLL(str(_HERE / library()))
        found.vfi_sources.restype = ctypes.c_char_p
        current = found.vfi_sources() == sources_digest().encode()
    except (OSError, AttributeError):  # none was built; another system's
        return None
    return found if current else None


_library = _loaded()


def available() -> bool:
    """Whether there are kernels for this machine."""
    return _library is not None


def usable(*tensors: Tensor) -> bool:
    """Whether kernels are there and can work on `tensors`: for inference, float32, in main memory."""
    if _library is None or not torch.is_inference_mode_enabled():
        return False
    return all(x.is_cpu and x.dtype is torch.float32 for x in tensors)


def align(
    y0: Tensor,
    y1: Tensor,
    t: Tensor,
    flow: Tensor,
    *,
    how: tuple[int, int, int, int],
    constants: tuple[float, ...],
    in_place: bool = False,
) -> Tensor:
    """The flows (N, 4, H, W; px) aligned on the brightness (N, 1, H, W) of both frames at times t (N,).

    `how` is steps, sweeps, window and medians, `constants` the weight of smoothness, the squared noise, the weight of
    gradients, the difference that halves a pixel's say (both 0 if there are none), the most that a step moves, what
    counts as still (px), and the difference that halves trust (0: no bilateral filter). See model/align.py. With
    `in_place` the flows are overwritten where that saves a copy.
    """
    out, y0, y1 = _own(flow, in_place=in_place), y0.contiguous(), y1.contiguous()
    settings = _Alignment(*how, *constants)
    for n, late in enumerate(t.tolist()):
        size = _size(out)
        _call("vfi_align", y0[n], y1[n], *size, ctypes.c_float(late), out[n], ctypes.byref(settings))
    return out


def propagate(
    y0: Tensor,
    y1: Tensor,
    flow: Tensor,
    *,
    reach: int,
    t: Tensor | None,
    share: float,
    nearest: float,
    in_place: bool = False,
) -> Tensor:
    """The flows (N, 4, H, W; px) with those of other pixels tried as well: see model/propagate.py, and `align`."""
    out, y0, y1 = _own(flow, in_place=in_place), y0.contiguous(), y1.contiguous()
    for n, late in enumerate([0.0] * len(out) if t is None else t.tolist()):
        limits = ctypes.c_float(late), ctypes.c_float(share), ctypes.c_float(nearest)
        _call("vfi_propagate", y0[n], y1[n], *_size(out), out[n], reach, int(t is not None), *limits)
    return out


def try_flows(y0: Tensor, y1: Tensor, flow: Tensor, others: Tensor, *, share: float, nearest: float) -> Tensor:
    """The flows (N, 4, H, W; px) with `others` (N, K, 4, H, W) tried as well: see model/propagate.py."""
    y0, y1, flow, others = (x.contiguous() for x in (y0, y1, flow, others))
    out = torch.empty_like(flow)
    for n in range(out.shape[0]):
        limits = ctypes.c_float(share), ctypes.c_float(nearest)
        _call("vfi_try_flows", y0[n], y1[n], *_size(out), flow[n], others[n], others.shape[1], *limits, out[n])
    return out


def warp(image: Tensor, flow: Tensor, unit: tuple[float, float]) -> Tensor:
    """`image` (N, C, H, W) sampled at x + unit * flow(x), flow (N, 2, H, W): see model/warp.py."""
    image, flow = image.contiguous(), flow.contiguous()
    out = torch.empty_like(image)
    for n in range(image.shape[0]):
        _call("vfi_warp", image[n], image.shape[1], *_size(image), flow[n], (ctypes.c_float * 2)(*unit), out[n])
    return out


def sums(x: Tensor, radius: int) -> Tensor:
    """Sums of `x` (N, C, H, W) over squares of 2 * radius + 1 px, radius 1 or 2: see model/propagate.py."""
    x = x.contiguous()
    out = torch.empty_like(x)
    _call("vfi_sums", x, x.shape[0] * x.shape[1], *_size(x), radius, out)
    return out


def beyond(
    here: Tensor,
    there: Tensor,
    step: Tensor,
    flow: Tensor,
    *,
    unit: float,
    span: float,
    late: bool,
    outside: tuple[float, float],
) -> Tensor:
    """How far `here` (1, 1, H, W), warped, is from `there`, the frame beyond it: see `_beyond` in engine/blend.py.

    `step` (1, 2, H, W; px) is the motion between them, which takes `span`; `flow` (1, 4, H, W) times `unit` are both
    flows in px. `outside` is what lies outside of a frame: more than so many px, and how far it is taken to be apart.
    """
    given = [x if x.stride(3) == 1 else x.contiguous() for x in (here, there, step, flow)]
    here, there, step, flow = given
    out = torch.empty((1, 1, *_size(flow)))
    far = (ctypes.c_int64 * 6)(*(x.stride(2) for x in given), step.stride(1), flow.stride(1))
    numbers = ctypes.c_float(unit), ctypes.c_float(span), int(late), *map(ctypes.c_float, outside)
    _call("vfi_beyond", *given, far, *_size(flow), *numbers, out)
    return out


def carried(beside: Tensor, *, span: float, apart: float, rounds: int) -> Tensor:
    """Both flows in the middle of a pair if the motion `beside` it (1, 4, H, W) lasts: see engine/lasting.py."""
    beside = beside.contiguous()
    out = torch.empty_like(beside)
    _call("vfi_carried", beside, *_size(beside), ctypes.c_float(span), ctypes.c_float(apart), rounds, out)
    return out


def apart(a: Tensor, b: Tensor | None) -> Tensor:
    """Means of |a - b| (or |a|) at half the size, (N, 1, H/2, W/2): see `second_thoughts` in engine/doubt.py."""
    height, width = _size(a)
    a, b = a.contiguous(), None if b is None else b.contiguous()
    out = torch.empty((len(a), 1, -(-height // 2), -(-width // 2)))
    for n in range(a.shape[0]):
        _call("vfi_apart", a[n], None if b is None else b[n], height, width, out[n])
    return out


def doubt(
    own: Tensor, rest: Tensor, moved: Tensor | None, left: Tensor, numbers: tuple[float, float, float]
) -> tuple[Tensor | None, Tensor | None]:
    """How much is to be shown of the frame of no motion, and of that of most of the frame; None: nothing of it.

    All are (1, 1, h, w); `rest` and `moved` say how far the frames are apart with these motions, `own` as they are.
    `left` is the frame before, `numbers` are the constants of engine/doubt.py.
    """
    own, rest, left = own.contiguous(), rest.contiguous(), left.contiguous()
    moved = None if moved is None else moved.contiguous()
    out, found = (torch.empty_like(own), torch.empty_like(own)), (ctypes.c_int * 2)()
    _call("vfi_doubt", own, rest, moved, left, *_size(own), (ctypes.c_float * 3)(*numbers), *out, found)
    at_rest, along = (weights if some else None for weights, some in zip(out, found, strict=True))
    return at_rest, along


def compose(
    a: Tensor,
    b: Tensor,
    flow: Tensor,
    mask: Tensor,
    *,
    size: tuple[int, int],
    pitch: int,
    unit: tuple[float, float],
    cubic: bool,
    peak: int,
    difference: bool,
) -> tuple[Tensor, Tensor | None]:
    """mask * warp(a) + (1 - mask) * warp(b), (1, C, H, W), and the difference of both warped, if wanted.

    a, b: (1, C, H, W), or what `double` made of them, with the same `peak`. flow: (1, 4, h, w), `pitch` (1 or 2) px
    between samples, times `unit` (x, y) in px. mask: (1, 1, H, W) or (1, 1, 1, 1). `size` is (H, W).
    """
    height, width = size
    a, b = a.contiguous(), b.contiguous()
    flow = flow if flow.stride(3) == 1 else flow.contiguous()
    mask = mask if mask.stride(3) == 1 else mask.contiguous()
    out = torch.empty((1, a.shape[1], height, width))
    apart = torch.empty_like(out) if difference else None
    strides = (ctypes.c_int64 * 2)(flow.stride(1), flow.stride(2))
    rows = mask.stride(2) if mask.numel() > 1 else 0
    doubled = ctypes.c_float(peak if a.dtype is torch.int16 else 0)
    _call(
        "vfi_compose", a, b, a.shape[1], height, width, doubled, int(cubic), flow, *_size(flow), strides, pitch,
        (ctypes.c_float * 2)(*unit), mask, ctypes.c_int64(rows), out, apart,
    )  # fmt: skip
    return out, apart


def blend_seen(
    made: Tensor, apart: Tensor, far: Tensor, M: float, t: float, *, peak: int, closer: float, channels: int
) -> Tensor:
    """What the learned blend looks at, (1, channels, H/4, W/4) with channels last: see `seen` in model/blend.py.

    `made` and `apart` (1, 1, H, W) are code values, M * A + (1 - M) * B and A - B; `far` is (1, 2, h, w).
    """
    made, apart, far, (height, width) = made.contiguous(), apart.contiguous(), far.contiguous(), _size(made)
    out = torch.empty((1, -(-height // 4), -(-width // 4), channels))
    numbers = (ctypes.c_float(M), ctypes.c_float(1 / peak), far, *_size(far), ctypes.c_float(closer), ctypes.c_float(t))
    _call("vfi_blend_seen", made, apart, height, width, *numbers, channels, out)
    return out.permute(0, 3, 1, 2)


def blend(
    made: Tensor, apart: Tensor, shares: Tensor, M: float, pitch: tuple[int, int], *, least_share: float
) -> Tensor:
    """Gives `made` (1, 1, H, W), in place, the mask and the residual that `shares` ask for.

    What is added to the mask M comes back, as means over `pitch` (rows, columns; 1 or 2) px. `shares` are
    (1, 20, H/4, W/4), `apart` is (1, 1, H, W): see `mask_and_residual` in model/blend.py.
    """
    apart, (height, width) = apart.contiguous(), _size(made)
    placed = shares.float().permute(0, 2, 3, 1)
    if placed.stride(3) != 1 or placed.stride(1) != placed.shape[2] * placed.stride(2):
        placed = placed.contiguous()
    change = torch.empty((1, 1, -(-height // pitch[0]), -(-width // pitch[1])))
    within = min(max(M, least_share), 1 - least_share)
    numbers = (ctypes.c_float(M), ctypes.c_float(math.log(within / (1 - within))))
    by = (ctypes.c_int * 2)(*pitch)
    _call("vfi_blend", made, apart, height, width, *numbers, placed, placed.stride(2), by, change)
    return change


def packed(weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """Weights (outputs, inputs, 3, 3) and bias as `conv` wants them: outputs last, as many as it computes together."""
    spare = -len(weight) % _LANES
    return F.pad(weight.float().permute(2, 3, 1, 0), (0, spare)).contiguous(), F.pad(bias.float(), (0, spare))


def where(x: Tensor, channels: range, most: float, reach: int) -> Tensor:
    """Where one of these channels of `x` (N, C, H, W) is beyond `most`, and 1 to `reach` px around that.

    (reach + 1, N, H, W) uint8.
    """
    count, height, width = len(x), *_size(x)
    x = x.permute(0, 2, 3, 1).contiguous()
    out = torch.empty((count, reach + 1, height, width), dtype=torch.uint8)
    for n in range(count):
        sizes = (height, width, x.shape[3], channels.start, len(channels))
        _call("vfi_where", x[n], *sizes, ctypes.c_float(most), reach, out[n])
    return out.transpose(0, 1).contiguous()


def conv(
    x: Tensor, weight: Tensor, bias: Tensor, *, add: Tensor | None, slope: float, where: Tensor, zeros: bool
) -> Tensor:
    """A 3 x 3 convolution of `x` (N, inputs, H, W), plus `add`; what is negative is multiplied by `slope`.

    Weights and bias are `packed`, and so are the outputs (N, C, H, W), of which the last may mean nothing. All have
    channels last. Where `where` (N, H, W) uint8 is 0, the result is 0 instead with `zeros`, and else means nothing.
    """
    count, inputs, height, width = x.shape
    x = x.permute(0, 2, 3, 1).contiguous()
    add = None if add is None else add.permute(0, 2, 3, 1).contiguous()
    out = (torch.zeros if zeros else torch.empty)((count, height, width, len(bias)))
    for n in range(count):
        sizes, more = (height, width, inputs, len(bias)), None if add is None else add[n]
        _call("vfi_conv", x[n], *sizes, weight, bias, ctypes.c_float(slope), more, where[n], out[n])
    return out.permute(0, 3, 1, 2)


def differs(a: Tensor, b: Tensor, block: tuple[int, int], most: float) -> Tensor:
    """Whether some sample of a block differs by more than `most`, in any channel, of `a` and `b` (N, C, H, W).

    (N, 1, rows, columns) bool; blocks are (rows, columns) of samples, those at the end may be smaller.
    """
    a, b, (height, width) = a.contiguous(), b.contiguous(), _size(a)
    rows, columns = -(-height // block[0]), -(-width // block[1])
    out = torch.zeros((len(a), 1, rows, columns), dtype=torch.uint8)
    for n in range(a.shape[0]):
        _call("vfi_differs", a[n], b[n], a.shape[1], height, width, *block, ctypes.c_float(most), out[n])
    return out.bool()


def still(differs: Tensor, flow: Tensor, *, step: int, most: float) -> Tensor:
    """1 for blocks that do not move, nor any of the eight around, else 0: (N, 1, rows, columns), of `differs` (bool).

    Of `flow` (N, 4, H, W) every `step`-th sample is a block's; `most` is what does not count as motion.
    """
    flow, out = flow if flow.stride(3) == 1 else flow.contiguous(), torch.empty(differs.shape)
    strides = (ctypes.c_int64 * 2)(flow.stride(1), flow.stride(2))
    for n in range(out.shape[0]):
        _call("vfi_still", differs[n].contiguous(), *_size(out), flow[n], strides, step, ctypes.c_float(most), out[n])
    return out


def hold(made: Tensor, source: Tensor, weights: Tensor, *, pitch: int) -> None:
    """Gives `made` (C, H, W), in place, as much of `source` as `weights` (h, w) say, `pitch` (1 or 2) px apart."""
    _call("vfi_hold", made, source.contiguous(), len(made), *_size(made), weights, *_size(weights), pitch)


def codes(x: Tensor, peak: int, dtype: torch.dtype) -> NDArray[Any]:
    """`x` rounded to the nearest of the code values 0 to `peak`, as uint8 or uint16."""
    x = x.contiguous()
    out = torch.empty(x.shape, dtype=dtype)
    _call("vfi_codes", x, ctypes.c_int64(x.numel()), ctypes.c_float(peak), out.element_size(), out)
    found: NDArray[Any] = out.numpy()
    return found


def rgb(luma: Tensor, colours: Tensor, matrix: Sequence[float], *, pitch: int, mean: bool) -> Tensor:
    """RGB in [0, 1], (N, 3, H, W), of `luma` (N, 1, H, W) and two `colours` (N, 2, h, w), `pitch` (1 or 2) px apart.

    `matrix` (3 x 4, by rows) gives R, G and B from luma, both colours and 1. With `mean`, their mean (N, 1, H, W).
    """
    luma, colours = luma.contiguous(), colours.contiguous()
    out, given = luma.new_empty((len(luma), 1 if mean else 3, *_size(luma))), (ctypes.c_float * len(matrix))(*matrix)
    for n in range(luma.shape[0]):
        _call("vfi_rgb", luma[n], colours[n], *_size(luma), *_size(colours), pitch, given, int(mean), out[n])
    return out


def enlarge(x: Tensor) -> Tensor:
    """`x` (N, C, H, W) at twice the size, bilinear, edges aligned: see `resize` in model/flow.py."""
    x = x.contiguous()
    out = torch.empty((*x.shape[:2], 2 * x.shape[2], 2 * x.shape[3]))
    _call("vfi_enlarge", x, x.shape[0] * x.shape[1], *_size(x), out)
    return out


def halve(x: Tensor) -> Tensor:
    """Means over all channels of `x` (N, C, H, W), and over 2 x 2 px of them: (N, 1, H/2, W/2)."""
    x = x.contiguous()
    out = torch.empty((len(x), 1, x.shape[2] // 2, x.shape[3] // 2))
    for n in range(x.shape[0]):
        _call("vfi_halve", x[n], x.shape[1], *_size(x), out[n])
    return out


def double(planes: Tensor, weights: Sequence[float], peak: int) -> Tensor:
    """`planes` (N, C, H, W) with a sample between every two, made of 2 * len(weights) samples each.

    `peak` is the largest code value. The result, (N, C, 2H + 3, 2W + 3) int16, is for `compose` and `look_up` only.
    """
    if len(weights) != _REACH:
        raise ValueError(f"{_REACH} weights are wanted")
    planes = planes.contiguous()
    count, channels, height, width = planes.shape
    out = torch.empty((count, channels, 2 * height + _MORE, 2 * width + _MORE), dtype=torch.int16)
    given = (ctypes.c_float * _REACH)(*weights)
    _call("vfi_double", planes, count * channels, height, width, given, ctypes.c_float(peak), out)
    return out


def look_up(doubled: Tensor, x: Tensor, y: Tensor, peak: int) -> Tensor:
    """(C, K): what was doubled (1, C, 2H + 3, 2W + 3), at the K places (x, y; px), bicubic."""
    x, y, (rows, columns) = x.float().contiguous(), y.float().contiguous(), _size(doubled)
    out = torch.empty((doubled.shape[1], len(x)))
    size = (doubled.shape[1], (rows - _MORE) // 2, (columns - _MORE) // 2)
    _call("vfi_look_up", doubled.contiguous(), *size, ctypes.c_float(peak), len(x), x, y, out)
    return out


def overlay(
    runs: Sequence[Sequence[NDArray[np.uint8]]],
    most_change: NDArray[np.uint8],
    *,
    contrast: int,
    moves: int,
    share: int,
) -> NDArray[np.bool_] | None:
    """Where something stands still, (H, W), in frames (H, W) of three runs; None: nothing does. See engine/overlay.py.

    `most_change` is by contrast, for `contrast` and more counts; `share` px in a square change by `moves` and more.
    """
    frames = [np.ascontiguousarray(frame) for run in runs for frame in run]
    out, found = np.empty(frames[0].shape, np.bool_), ctypes.c_int()
    given = (ctypes.c_void_p * len(frames))(*(frame.ctypes.data for frame in frames))
    counts = (ctypes.c_int * len(runs))(*map(len, runs))
    change = ctypes.c_void_p(most_change.ctypes.data)
    limits, marks = (contrast, moves, share), ctypes.c_void_p(out.ctypes.data)
    _call("vfi_overlay", given, counts, *out.shape, change, *limits, marks, ctypes.byref(found))
    return out if found.value else None


def _own(flow: Tensor, *, in_place: bool) -> Tensor:
    """`flow`, to be written to."""
    return flow if in_place and flow.is_contiguous() else flow.clone(memory_format=torch.contiguous_format)


def _size(x: Tensor) -> tuple[int, int]:
    return x.shape[-2], x.shape[-1]


def _call(name: str, *arguments: object) -> None:
    """Raises MemoryError."""
    given = [ctypes.c_void_p(x.data_ptr()) if isinstance(x, Tensor) else x for x in arguments]
    if getattr(_library, name)(*given):
        raise MemoryError(f"not enough memory for {name}")

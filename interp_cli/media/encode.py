"""Frames -> one segment file (NUT, whose times survive joining exactly; see docs/design.md)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from interp_cli.media.children import Child
from interp_cli.media.conversion import color_options
from interp_cli.media.encoding import Encoding, choose_encoding
from interp_cli.media.ffmpeg import Ffmpeg, Input, Output, child, failure, file_url, run
from interp_cli.media.types import Color, Family, PixelFormat, Planes

__all__ = ["Encoder", "Encoding", "choose_encoding", "count_frames"]


class Encoder:
    """A running encoder, to be used in a `with`: frames in, the NUT file `path` out.

    Leaving the block normally finishes the file and raises FfmpegError if the child did not end well. Leaving it by
    an exception ends the child and deletes the file. `format` is that of the frames, `rate` in frames/s. `times` is for
    frames that are not equally spaced: when each is shown, in ticks of `tick` s, from the first one's 0.
    """

    def __init__(
        self,
        path: Path | str,
        encoding: Encoding,
        *,
        ffmpeg: Ffmpeg,
        width: int,
        height: int,
        rate: Fraction,
        sar: Fraction = Fraction(1),
        color: Color,
        format: PixelFormat,
        times: Sequence[int] | None = None,
        tick: Fraction | None = None,
    ) -> None:
        self.path = Path(path)
        self.frames = 0  # written so far
        right, bottom = encoding.padding
        self._shapes = format.plane_shapes(width, height)
        self._padded = format.plane_shapes(width + right, height + bottom)
        self._dtype = format.dtype
        self._ffmpeg = ffmpeg
        self._pack = encoding.pix_fmt in ("bgr0", "bgra") and format.family is Family.RGB and format.depth == 8
        name = encoding.pix_fmt if self._pack else format.name
        self._input = raw_input(name, width=width + right, height=height + bottom, rate=rate, color=color)
        options = encoding.output_options(width=width, height=height, sar=sar)
        if times is not None and tick is not None:
            options = with_times(options, times, tick=tick)
        self._output = Output(file_url(self.path), (), options)
        self._stack = ExitStack()
        self._child: Child | None = None

    def __enter__(self) -> Encoder:
        opened = child(self._ffmpeg, [self._input], [self._output], flags=("-y",), feed=True, grows=self.path)
        self._child = self._stack.enter_context(opened)
        return self

    def write(self, planes: Planes) -> None:
        """Append one frame. Raises FfmpegError if the encoder has died."""
        if self._child is None:
            raise ValueError("the encoder is not running: use it in a `with`")
        if tuple(p.shape for p in planes.data) != self._shapes or planes.data[0].dtype != self._dtype:
            raise ValueError(f"{[(p.shape, p.dtype) for p in planes.data]} is not a frame of {self._shapes}")
        planes = Planes(planes.pts, tuple(map(_edged, planes.data, self._padded)), planes.format)
        try:
            for plane in [_interleaved(planes)] if self._pack else planes.data:
                self._child.write(np.ascontiguousarray(plane).data)
        except OSError:  # a closed pipe: the child says why
            self._finish()
            raise failure(self._doing, status=1, lines=()) from None
        self.frames += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._finish()
        except BaseException:
            kind = Exception
            raise
        finally:
            self._stack.close()
            if kind is not None:
                self.path.unlink(missing_ok=True)

    @property
    def _doing(self) -> str:
        return f"encode {self.path.name}"

    def _finish(self) -> None:
        assert self._child is not None
        status, lines = self._child.finish()
        if status:
            raise failure(self._doing, status=status, lines=lines)


def with_times(options: Mapping[str, str], times: Sequence[int], *, tick: Fraction) -> dict[str, str]:
    """`options` of an encoder, and those that show frame n at `times[n]` ticks of `tick` s.

    Raw frames on a pipe have no times, so a filter gives each its own, by a table of all of them; see docs/design.md.
    """
    table = _table(_runs(times))
    filters = [*filter(None, [options.get("vf")]), f"settb={tick.numerator}/{tick.denominator}", f"setpts='{table}'"]
    # ffmpeg 6 counts the frames that NVENC's B-frames are put off in ticks
    in_order = {"bf": "0"} if options.get("c:v", "").endswith("_nvenc") else {}
    return {**options, "vf": ",".join(filters), "enc_time_base": f"{tick.numerator}:{tick.denominator}", **in_order}


def _runs(times: Sequence[int]) -> list[tuple[int, str]]:
    """(first frame, ticks as an expression of N): as few as there are, each over equally spaced frames."""
    runs: list[tuple[int, str]] = []
    first = 0
    while first < len(times):
        step = times[first + 1] - times[first] if first + 1 < len(times) else 0
        end = first + 1
        while end < len(times) and times[end] - times[end - 1] == step:
            end += 1
        runs.append((first, f"{times[first]}+(N-{first})*{step}"))
        first = end
    return runs


def _table(runs: Sequence[tuple[int, str]]) -> str:
    """ffmpeg's expression that looks a frame up in halves: deep tables would be slow, and refused."""
    if len(runs) == 1:
        return runs[0][1]
    half = len(runs) // 2
    return f"if(lt(N,{runs[half][0]}),{_table(runs[:half])},{_table(runs[half:])})"


def count_frames(path: Path, *, ffmpeg: Ffmpeg, kind: str = "nut") -> int:
    """How many frames the segment file `path` of this `kind` holds, by its packets. Raises FfmpegError."""
    written = Output("pipe:1", ("0:v:0",), {"c": "copy", "f": "framecrc"})
    text = run(ffmpeg, [Input(file_url(path), {"f": kind})], [written], doing=f"read {path.name}")
    return sum(1 for line in text.splitlines() if line and not line.startswith("#"))


def _edged(plane: NDArray[Any], shape: tuple[int, int]) -> NDArray[Any]:
    """The plane with its last row and column repeated until it has this shape (rows, columns)."""
    if plane.shape == shape:
        return plane
    return np.pad(plane, [(0, wanted - have) for have, wanted in zip(plane.shape, shape, strict=True)], mode="edge")


def _interleaved(planes: Planes) -> NDArray[Any]:
    """(rows, columns, 4) uint8 in the order B, G, R, and A or 255: ffmpeg 5.1 is off by one when it does this."""
    green, blue, red, *alpha = planes.data
    return np.dstack([blue, green, red, *(alpha or [np.full_like(red, 255)])])


def raw_input(name: str, *, width: int, height: int, rate: Fraction, color: Color) -> Input:
    """Raw frames on stdin, labelled with what their code values mean so that ffmpeg has no reason to convert them."""
    return Input(
        "pipe:0",
        {
            "f": "rawvideo",
            "pixel_format": name,
            "s": f"{width}x{height}",  # not video_size, of which ffmpeg-python makes "6x3" out of "640x360"
            "r": f"{rate.numerator}/{rate.denominator}",  # not framerate, which ffmpeg takes 120000/1001 for 120 in
            **color_options(color),
        },
    )

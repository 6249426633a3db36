"""A video file -> raw frames in its own pixel format, through a pipe."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from interp_cli.errors import InputError
from interp_cli.media.children import Child
from interp_cli.media.ffmpeg import Ffmpeg, Output, child, failure, source
from interp_cli.media.fields import NEIGHBOURS, deinterlacer
from interp_cli.media.formats import is_full_range_twin, working_format
from interp_cli.media.pictures import read_pictures
from interp_cli.media.types import MediaInfo, PixelFormat, Planes, VideoStream
from interp_cli.timeline import Timeline, decimal

__all__ = ["decode", "raw_frame", "working_format"]


@contextmanager
def decode(
    info: MediaInfo, timeline: Timeline, *, ffmpeg: Ffmpeg, frames: range | None = None, fields: bool = False
) -> Iterator[Iterator[Planes]]:
    """An iterator over the frames in the order of showing; frame i carries pts = timeline.pts[i]. Rotation not applied.

    `timeline` is that of the whole file (from `scan`), `frames` the consecutive source frame numbers wanted (None:
    all). Frames before them are decoded too, which is slower than seeking but exact for every file. With `fields`,
    every field becomes a frame, and `timeline` and `frames` count those (`timeline.in_fields()`). Where the GPU that
    `info` names ends with an error, the processor goes on.
    The iterator raises InputError when the file ends early or holds other frames than its packets announce.
    """
    wanted = range(len(timeline)) if frames is None else frames
    if wanted.step != 1 or not 0 <= wanted.start <= wanted.stop <= len(timeline):
        raise ValueError(f"{wanted} is not a run of the {len(timeline)} frames")
    if info.pictures:
        yield read_pictures(info, timeline, wanted, ffmpeg=ffmpeg)
        return
    with ExitStack() as stack:

        def start(info: MediaInfo, wanted: range) -> Child:
            options = _raw_options(info.video, wanted, whole=frames is None, fields=fields, gpu=info.gpu is not None)
            return stack.enter_context(_running(info, options, ffmpeg))

        yield _read(start(info, wanted), start, info, timeline, wanted)


def _running(info: MediaInfo, options: dict[str, str], ffmpeg: Ffmpeg) -> AbstractContextManager[Child]:
    flags, gpu = list(_AS_THEY_ARE), dict[str, str]()
    if info.gpu is not None:  # a frame that is lost ends it, and NVDEC has no surfaces for frames of many threads
        flags.append("-xerror")
        gpu = {"hwaccel": "cuda", "hwaccel_device": str(info.gpu), "threads": "1"}
    inputs = [source(info.path, {**info.reading, **gpu}, max_pixels=info.max_pixels)]
    output = Output("pipe:1", (f"0:{info.video.index}",), options)
    return child(ffmpeg, inputs, [output], flags=flags, tied=True)


_EXACT = ("h264", "hevc", "vp8", "vp9")  # codecs of which every decoder makes the same frames
# What NVDEC hands out for frames of these formats, with the same values in another layout.
_NVDEC_FORMATS = {"yuv420p": "nv12", "yuvj420p": "nv12", "yuv420p10le": "p010le"}
_TRIED = 4  # frames


def why_not_on_gpu(info: MediaInfo, timeline: Timeline, *, ffmpeg: Ffmpeg) -> str | None:
    """Why the GPU that `info` names does not decode this file, by its first frames; None if it does, to the bit."""
    if info.pictures:
        return "they are pictures"
    if info.video.codec not in _EXACT or info.video.pix_fmt not in _NVDEC_FORMATS:
        asked = f"{', '.join(_EXACT[:-1])} and {_EXACT[-1]} of 8 or 10 bits and 4:2:0"
        return f"vfi asks NVDEC for {asked}, and this is {info.video.codec}, {info.video.pix_fmt}"
    found = []
    first = range(min(_TRIED, len(timeline)))
    for where in (info, replace(info, gpu=None)):
        options = _raw_options(info.video, first, whole=False, gpu=where.gpu is not None)
        with _running(where, {**options, "f": "framemd5"}, ffmpeg) as running:
            found.append(running.read())
            status, lines = running.finish()
        if status:
            refused = any(_CHANGED[1] in line for line in lines[:1])
            why = str(failure("do it", status=status, lines=lines)).split(": ", 1)[1]
            return "NVDEC does not take it" if refused else why
    return None if found[0] == found[1] else "its frames are not those of the processor"


_AS_THEY_ARE = ("-noauto_conversion_filters",)  # what is not asked for by a filter of ours is an error
# What ffmpeg says when _guard() refuses a frame: by its size, or by its pixel format.
_CHANGED = ("Invalid too big or non positive size", "do not have a common format and automatic conversion is disabled")
# Interleaved formats that are split here: ffmpeg 5.1 is off by one when it does so, and applies the range to gray.
_SPLIT = {"rgba": (1, 2, 0, 3), "ya8": (0, 0, 0, 1), "ya16le": (0, 0, 0, 1)}  # which sample is in which plane


def piped_format(pix_fmt: str) -> str:
    """The pixel format in which frames stored as `pix_fmt` leave ffmpeg: planar ones, with few exceptions."""
    target = working_format(pix_fmt).name
    if is_full_range_twin(pix_fmt):  # the same bytes; asking for "yuv420p" would squeeze them into the tv range
        return pix_fmt
    if pix_fmt.startswith("ya"):
        return pix_fmt.replace("be", "le")
    return "rgba" if target == "gbrap" != pix_fmt else target


def _raw_options(
    video: VideoStream, wanted: range, *, whole: bool, fields: bool = False, gpu: bool = False
) -> dict[str, str]:
    seen = wanted
    if fields:  # frames, with neighbours enough that a field looks the same whatever part is asked for
        seen = range(max(0, wanted.start // 2 - NEIGHBOURS), -(-wanted.stop // 2) + NEIGHBOURS)
    filters = [_trim(seen, whole=whole)] if seen.start or not whole else []
    decoded = _NVDEC_FORMATS[video.pix_fmt] if gpu else video.pix_fmt
    filters.append(f"format={decoded}")
    target = piped_format(video.pix_fmt)
    if target != decoded:
        filters.append(_unpack(video, target))
    filters.append(_guard(video))
    if fields:
        filters.append(deinterlacer(video))
        if wanted.start or not whole:
            filters.append(_trim(range(wanted.start - 2 * seen.start, wanted.stop - 2 * seen.start), whole=whole))
    return {
        "f": "rawvideo",
        "pix_fmt": target,
        "fps_mode": "passthrough",  # the default repeats and drops frames to reach a constant rate
        "vf": ",".join(filters),
    }


def _trim(numbers: range, *, whole: bool) -> str:
    end = "" if whole else f":end_frame={numbers.stop}"
    return f"trim=start_frame={numbers.start}{end}"


def _guard(video: VideoStream) -> str:
    """A crop that takes nothing away, and that ends ffmpeg at a frame of another size, where it would scale it."""
    return f"crop=w='if(eq(iw,{video.width})*eq(ih,{video.height}),iw,-1)':h=ih:x=0:y=0:exact=1"


def _unpack(video: VideoStream, target: str) -> str:
    """A scaler that moves samples between layouts and does not touch the range; widening is exact, not dithered."""
    full = video.color.range == "pc"
    kept = f"in_range={'pc' if full else 'tv'}:out_range={'pc' if full else 'tv'}:" if target.startswith("yuv") else ""
    return f"scale={kept}flags=accurate_rnd+full_chroma_int+full_chroma_inp+bitexact:sws_dither=none,format={target}"


def _read(
    running: Child, start: Callable[[MediaInfo, range], Child], info: MediaInfo, timeline: Timeline, wanted: range
) -> Iterator[Planes]:
    pixels, piped = working_format(info.video.pix_fmt), piped_format(info.video.pix_fmt)
    for done, i in enumerate(wanted):
        planes = raw_frame(running, piped, info.video.width, info.video.height)
        if planes is None and info.gpu is not None:
            status, lines = running.finish()
            if status < 0:
                raise failure(f"decode {info.path}", status=status, lines=lines)
            if not status:
                found = f"{wanted.start + done} of {len(timeline)} frames"
                raise InputError(f"{info.path} ends early, or the GPU lost some of it ({found}): try --hwaccel none")
            info = replace(info, gpu=None)
            running = start(info, range(i, wanted.stop))
            planes = raw_frame(running, piped, info.video.width, info.video.height)
        if planes is None:
            status, lines = running.finish()
            if status < 0:
                raise failure(f"decode {info.path}", status=status, lines=lines)
            if any(text in line for line in lines for text in _CHANGED):
                raise _other_shape(info, timeline, wanted.start + done)
            why = str(failure("decode it", status=status, lines=lines)).split(": ", 1)[1] if status else "it ends"
            found = f"{wanted.start + done} of {len(timeline)} frames could be decoded"
            raise InputError(f"{info.path} ends early or is damaged: {found} ({why})")
        yield Planes(timeline.pts[i], planes, pixels)
    if wanted.stop == len(timeline) and running.fill(memoryview(bytearray(1))):
        raise InputError(
            f"{info.path} holds more frames than the {len(timeline)} that its packets announce, so their times are not"
            " known: remux it with ffmpeg -i IN -c copy OUT.mkv and try again"
        )


def _other_shape(info: MediaInfo, timeline: Timeline, frame: int) -> InputError:
    """The refusal of a stream that changes after `frame` or a few more."""
    video, after = info.video, decimal((timeline.pts[frame] - timeline.pts[0]) * timeline.time_base, 1)
    one = f"ffmpeg -i IN -vf scale={video.width}:{video.height},format={working_format(video.pix_fmt).name} OUT.mkv"
    return InputError(
        f"the size or pixel format of {info.path} changes midway, after about {after} s, and a video has one: take the"
        f" part before with --end, or make it one first, such as with {one}"
    )


def raw_frame(running: Child, piped: str, width: int, height: int) -> tuple[NDArray[Any], ...] | None:
    """The planes of the next raw frame of the format `piped`; None if the pipe ends before it does."""
    pixels, order = working_format(piped), _SPLIT.get(piped)
    size = width * height * len(set(order)) * pixels.dtype.itemsize if order else pixels.frame_bytes(width, height)
    raw = np.empty(size, np.uint8)
    if running.fill(raw.data) < raw.size:
        return None
    return _split(raw, pixels, width, height, order) if order else _planes(raw, pixels, width, height)


def _planes(raw: NDArray[np.uint8], pixels: PixelFormat, width: int, height: int) -> tuple[NDArray[Any], ...]:
    """Views of `raw`, one per plane, (rows, columns) uint8 or uint16."""
    samples, planes, begin = raw.view(pixels.dtype), [], 0
    for rows, columns in pixels.plane_shapes(width, height):
        planes.append(samples[begin : begin + rows * columns].reshape(rows, columns))
        begin += rows * columns
    return tuple(planes)


def _split(
    raw: NDArray[np.uint8], pixels: PixelFormat, width: int, height: int, order: tuple[int, ...]
) -> tuple[NDArray[Any], ...]:
    """Copies of the interleaved samples of `raw`, one per plane."""
    samples = raw.view(pixels.dtype).reshape(height, width, -1)
    return tuple(np.ascontiguousarray(samples[..., c]) for c in order)

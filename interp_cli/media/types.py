"""What a video file is made of, as values: streams, colour, pixel formats and raw planes."""

from dataclasses import dataclass, field
from enum import StrEnum
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from interp_cli.errors import InputError
from interp_cli.media.hdr import Mastering
from interp_cli.options import InputLimits


class Family(StrEnum):
    """What the colour planes of a pixel format mean."""

    YUV = "yuv"
    GRAY = "gray"
    RGB = "rgb"  # planes in ffmpeg's gbrp order: G, B, R


@dataclass(frozen=True, slots=True, kw_only=True)
class PixelFormat:
    """A planar pixel format that vfi can work in.

    `chroma_shift` is (log2 horizontal, log2 vertical) subsampling of planes 1 and 2; `depth` is bits per sample;
    `alpha` says that the last plane is alpha.
    """

    name: str
    family: Family
    depth: int
    chroma_shift: tuple[int, int] = (0, 0)
    alpha: bool = False

    @property
    def dtype(self) -> np.dtype[Any]:
        """uint8, or little-endian uint16 above 8 bits."""
        return np.dtype(np.uint8) if self.depth == 8 else np.dtype("<u2")

    @property
    def peak(self) -> int:
        """The largest code value."""
        return (1 << self.depth) - 1

    def plane_shapes(self, width: int, height: int) -> tuple[tuple[int, int], ...]:
        """(rows, columns) of every plane of a `width` x `height` frame, in ffmpeg's order; odd sizes round up."""
        full = (height, width)
        shapes: tuple[tuple[int, int], ...] = (full,)
        if self.family is not Family.GRAY:
            sx, sy = self.chroma_shift
            small = (-(-height >> sy), -(-width >> sx))
            shapes += (small, small)
        return (*shapes, full) if self.alpha else shapes

    def frame_bytes(self, width: int, height: int) -> int:
        """Bytes of one raw frame as ffmpeg writes it."""
        return sum(h * w for h, w in self.plane_shapes(width, height)) * self.dtype.itemsize


def _table() -> dict[str, PixelFormat]:
    shifts = {"420": (1, 1), "422": (1, 0), "444": (0, 0), "440": (0, 1), "411": (2, 0), "410": (2, 2)}
    formats = []
    for depth, suffix in ((8, ""), (9, "9le"), (10, "10le"), (12, "12le"), (14, "14le"), (16, "16le")):
        for name, shift in shifts.items():
            if depth == 8 or name in ("420", "422", "444") or (name == "440" and depth in (10, 12)):
                formats.append(
                    PixelFormat(name=f"yuv{name}p{suffix}", family=Family.YUV, depth=depth, chroma_shift=shift)
                )
            if name in ("420", "422", "444") and (depth in (8, 9, 10, 16) or (depth == 12 and name != "420")):
                formats.append(
                    PixelFormat(
                        name=f"yuva{name}p{suffix}", family=Family.YUV, depth=depth, chroma_shift=shift, alpha=True
                    )
                )
        formats.append(PixelFormat(name=f"gray{suffix}", family=Family.GRAY, depth=depth))
        formats.append(PixelFormat(name=f"gbrp{suffix}", family=Family.RGB, depth=depth))
        if depth in (8, 10, 12, 16):
            formats.append(PixelFormat(name=f"gbrap{suffix}", family=Family.RGB, depth=depth, alpha=True))
    return {f.name: f for f in formats}


PIXEL_FORMATS: dict[str, PixelFormat] = _table()


def pixel_format(name: str) -> PixelFormat:
    """The planar format called `name`. Raises InputError when vfi does not work in it."""
    try:
        return PIXEL_FORMATS[name]
    except KeyError:
        raise InputError(f"pixel format {name!r} is not one that vfi works in") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class Color:
    """How code values become light, in ffmpeg's own names; None means that the file does not say."""

    range: str | None = None  # "tv" or "pc"
    matrix: str | None = None  # "bt709", "smpte170m", "bt470bg", "bt2020nc", "gbr", ...
    primaries: str | None = None
    transfer: str | None = None
    location: str | None = None  # chroma sample location: "left", "center", "topleft"


_LUMA_OF_RED_AND_BLUE = {
    "bt709": (0.2126, 0.0722),
    "bt470bg": (0.299, 0.114),
    "smpte170m": (0.299, 0.114),
    "fcc": (0.30, 0.11),
    "smpte240m": (0.212, 0.087),
    "bt2020nc": (0.2627, 0.0593),
    "bt2020c": (0.2627, 0.0593),
}
HD_LINES = 720  # px: players take unlabelled video of at least this height for bt709


def luma_of_red_and_blue(color: Color, height: int) -> tuple[float, float]:
    """K_R and K_B, the shares of red and blue in luma; `height` (px) decides where `color` does not say."""
    unlabelled = "bt709" if height >= HD_LINES else "smpte170m"
    return _LUMA_OF_RED_AND_BLUE.get(color.matrix or unlabelled, _LUMA_OF_RED_AND_BLUE[unlabelled])


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoStream:
    """The video stream that will be interpolated. `_from_header` facts are unverified claims of the container."""

    index: int
    codec: str
    width: int  # px, as coded: rotation is not applied
    height: int  # px
    pix_fmt: str  # as stored in the file; the planar format to work in is decode.working_format(pix_fmt)
    bit_depth: int
    time_base: Fraction  # s/tick
    first_pts: int | None = None  # ticks, of the first frame that can be decoded, if its opening tells
    sar: Fraction = Fraction(1)
    rotation: int = 0  # degrees clockwise that a player applies
    mirrored: bool = False  # left and right are swapped after that
    color: Color = field(default_factory=Color)
    field_order: str = "progressive"  # "tt", "bb", "tb", "bt": interlaced, the first letter's field is shown first
    fields_marked: bool = False  # decoded frames say themselves that they are interlaced, and in which order
    rate_from_header: Fraction | None = None  # frames/s
    mastering: Mastering | None = None  # HDR10's mastering display and content light level
    dynamic_metadata: bool = False  # HDR10+ or Dolby Vision
    decoder: str | None = None  # that has to be named, where ffmpeg's own choice would drop the alpha
    tags: tuple[tuple[str, str], ...] = ()

    @property
    def turned(self) -> str:
        """How players turn the picture: "rotated by 90 degrees clockwise and mirrored"; "" if not at all."""
        said = [f"rotated by {self.rotation} degrees clockwise"] if self.rotation else []
        return " and ".join([*said, *(["mirrored"] if self.mirrored else [])])


@dataclass(frozen=True, slots=True, kw_only=True)
class OtherStream:
    """A stream that is carried, not interpolated: audio, subtitle, attachment, data, or a further video."""

    index: int
    kind: str  # "audio", "subtitle", "attachment", "data", "video"
    codec: str
    language: str | None = None
    title: str | None = None
    attached_picture: bool = False
    sample_rate: int | None = None  # Hz
    channels: int | None = None
    tags: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaInfo:
    """What one file holds."""

    path: str
    container: str  # ffmpeg's demuxer name, e.g. "mov,mp4,m4a,3gp,3g2,mj2"
    video: VideoStream
    others: tuple[OtherStream, ...] = ()
    chapters: int = 0
    start: Fraction = Fraction(0)  # s, earliest timestamp of any stream, as ffmpeg's start_time
    tags: tuple[tuple[str, str], ...] = ()
    pictures: tuple[str, ...] = ()  # still pictures, one per frame; empty for a file of ffmpeg's
    limits: InputLimits | None = None  # that every reading of the file keeps to; None for a file of our own making
    gpu: int | None = None  # the CUDA device whose NVDEC decodes its frames; None: the processor

    @property
    def reading(self) -> dict[str, str | None]:
        """Options of an input whose video is decoded: as it is stored, not turned, at its own times."""
        video = self.video
        offset = {"itsoffset": f"{self.offset * 1_000_000}us"} if self.offset else {}
        return {"noautorotate": None, **offset, **({f"c:{video.index}": video.decoder} if video.decoder else {})}

    @property
    def offset(self) -> Fraction:
        """What to add to all times, s, lest ffmpeg changes them: a tenth of a tick of an MPEG stream, which is nothing.

        An offset that takes such a file's start to 0, or leaves it there, makes ffmpeg 5.1 move the streams that are
        mapped so that the first of these starts at 0.
        """
        return Fraction(1, 1_000_000) if self.container in ("mpegts", "mpeg") else Fraction(0)

    @property
    def max_pixels(self) -> int | None:
        """Of one frame, for `source`."""
        return None if self.limits is None else self.limits.max_pixels


@dataclass(frozen=True, slots=True)
class Planes:
    """One raw frame. `data` holds one C-contiguous uint8 or uint16 array (rows, columns) per plane, ffmpeg's order."""

    pts: int  # ticks of the source's time base
    data: tuple[NDArray[Any], ...]
    format: PixelFormat

    @property
    def nbytes(self) -> int:
        """Of memory."""
        return sum(plane.nbytes for plane in self.data)

    @property
    def height(self) -> int:
        """Rows of the luma (first) plane, px."""
        return int(self.data[0].shape[0])

    @property
    def width(self) -> int:
        """Columns of the luma (first) plane, px."""
        return int(self.data[0].shape[1])

"""ffmpeg's many pixel formats -> the few planar ones that vfi works in."""

import re

from interp_cli.errors import InputError
from interp_cli.media.types import PIXEL_FORMATS, PixelFormat

_PLANAR_TWIN = {
    # two planes, chroma interleaved
    "nv12": "yuv420p", "nv21": "yuv420p", "nv16": "yuv422p", "nv24": "yuv444p", "nv42": "yuv444p",
    "nv20le": "yuv422p10le",
    "p010le": "yuv420p10le", "p210le": "yuv422p10le", "p410le": "yuv444p10le",
    "p012le": "yuv420p12le", "p212le": "yuv422p12le", "p412le": "yuv444p12le",
    "p016le": "yuv420p16le", "p216le": "yuv422p16le", "p416le": "yuv444p16le",
    # packed
    "yuyv422": "yuv422p", "uyvy422": "yuv422p", "yvyu422": "yuv422p", "uyyvyy411": "yuv411p",
    "y210le": "yuv422p10le", "y212le": "yuv422p12le", "y216le": "yuv422p16le",
    "vuyx": "yuv444p", "vyu444": "yuv444p", "uyva": "yuva444p", "vuya": "yuva444p", "ayuv": "yuva444p",
    "xv30le": "yuv444p10le", "v30xle": "yuv444p10le", "xv36le": "yuv444p12le", "xv48le": "yuv444p16le",
    "ayuv64le": "yuva444p16le",
    "rgb24": "gbrp", "bgr24": "gbrp", "0rgb": "gbrp", "rgb0": "gbrp", "0bgr": "gbrp", "bgr0": "gbrp",
    "rgb48le": "gbrp16le", "bgr48le": "gbrp16le", "x2rgb10le": "gbrp10le", "x2bgr10le": "gbrp10le",
    "rgba": "gbrap", "bgra": "gbrap", "argb": "gbrap", "abgr": "gbrap",
    "rgba64le": "gbrap16le", "bgra64le": "gbrap16le",
    # fewer than 8 bits per sample, widened; a palette may hold transparency
    "rgb565le": "gbrp", "bgr565le": "gbrp", "rgb555le": "gbrp", "bgr555le": "gbrp", "rgb444le": "gbrp",
    "bgr444le": "gbrp", "rgb8": "gbrp", "bgr8": "gbrp", "rgb4_byte": "gbrp", "bgr4_byte": "gbrp", "pal8": "gbrap",
    "monow": "gray", "monob": "gray",
    # gray with alpha has no planar format of its own
    "ya8": "gbrap", "ya16le": "gbrap16le",
}  # fmt: skip


def working_format(pix_fmt: str) -> PixelFormat:
    """The planar format in which frames stored as `pix_fmt` are worked on; no value is lost.

    yuvj* counts as yuv*: the full range is kept, values are not rescaled. Raises InputError for formats that vfi
    cannot work in, such as floating-point or Bayer ones.
    """
    name = re.sub(r"be$", "le", pix_fmt)
    name = re.sub(r"^yuvj", "yuv", name)
    name = _PLANAR_TWIN.get(name, name)
    if name not in PIXEL_FORMATS:
        raise InputError(f"pixel format {pix_fmt!r} is not one that vfi works in: convert the file with ffmpeg first")
    return PIXEL_FORMATS[name]


def is_full_range_twin(pix_fmt: str) -> bool:
    """Whether `pix_fmt` is one of ffmpeg's old names for full-range YUV (yuvj420p)."""
    return pix_fmt.startswith("yuvj")

"""From the source's pixel format to the encoder's: filters, colour labels, and what is lost on the way."""

from __future__ import annotations

from dataclasses import replace

from interp_cli.media.formats import working_format
from interp_cli.media.types import HD_LINES, PIXEL_FORMATS, Color, Family, MediaInfo, PixelFormat, VideoStream

_EVEN_ONLY = {"libx264", "libx265", "libsvtav1", "prores_ks"}  # refuse odd sizes where chroma is subsampled
_SCALE_NAMES = {  # as the scale filter calls the matrices that it knows
    "bt709": "bt709",
    "fcc": "fcc",
    "bt470bg": "bt470",
    "smpte170m": "smpte170m",
    "smpte240m": "smpte240m",
    "bt2020nc": "bt2020",
    "bt2020c": "bt2020",
}
_RGB_AS = Color(range="tv", matrix="bt709", primaries="bt709", transfer="iec61966-2-1")


def conversion(
    info: MediaInfo, source: PixelFormat, pix_fmt: str, encoder: str
) -> tuple[tuple[str, ...], Color, tuple[str, ...]]:
    """(filters, colour labels of the output, what is lost) on the way from the source's format to the encoder's."""
    color, notes, filters = info.video.color, [], []
    target = PIXEL_FORMATS.get(pix_fmt) or working_format(pix_fmt)
    if source.family is Family.RGB and target.family is not Family.RGB:
        filters.append("scale=out_color_matrix=bt709:out_range=tv:flags=accurate_rnd+full_chroma_int")
        color = replace(_RGB_AS, transfer=color.transfer or _RGB_AS.transfer, primaries=color.primaries or "bt709")
        labels = f"color_primaries={color.primaries}:color_trc={color.transfer}"
        filters.append(f"setparams=range=tv:colorspace=bt709:{labels}")  # newer ffmpegs label by frame
        notes.append(f"RGB becomes {pix_fmt} (bt709), for {encoder} is played as YUV: choose -c ffv1 to keep RGB")
    elif target.family is Family.RGB and source.family is not Family.RGB:
        given = f"in_color_matrix={scale_matrix(info.video)}:in_range={color.range or 'tv'}:out_range=pc"
        filters.append(f"scale={given}:flags=accurate_rnd+full_chroma_int+full_chroma_inp+bitexact")
        filters.append("setparams=range=pc:colorspace=gbr")
        color = replace(color, range="pc", matrix="gbr", location=None)
        notes.append(f"{source.name} becomes {pix_fmt}, which rounds every value: leave --pix-fmt out to keep them")
    elif pix_fmt != source.name:  # another layout or depth; the range of the values stays
        kept = f"in_range={color.range or 'tv'}:out_range={color.range or 'tv'}:" if source.family is Family.YUV else ""
        filters.append(f"scale={kept}flags=accurate_rnd+full_chroma_int+bitexact:sws_dither=none")
        if target.depth < source.depth:
            notes.append(f"{source.depth} bits become {target.depth}: {encoder} takes no more in {pix_fmt}")
        if source.family is not Family.GRAY and target.chroma_shift > source.chroma_shift:
            notes.append(f"chroma of {source.name} is made smaller to fit {pix_fmt}")
    if source.alpha and not target.alpha:
        notes.append(
            f"transparency is dropped, for {encoder} has none in {pix_fmt}: "
            "name the output .mov, .webm or .mkv and leave --codec out to keep it"
        )
    if encoder in _EVEN_ONLY and (
        info.video.width % (1 << target.chroma_shift[0]) or info.video.height % (1 << target.chroma_shift[1])
    ):
        sx, sy = target.chroma_shift
        filters.append(f"crop=trunc(iw/{1 << sx})*{1 << sx}:trunc(ih/{1 << sy})*{1 << sy}:0:0")
        notes.append(f"the odd last row or column is left out: {encoder} needs even sizes in {pix_fmt}; ffv1 does not")
    return tuple(filters), color, tuple(notes)


def scale_matrix(video: VideoStream) -> str:
    """The matrix of `video` as the scale filter calls it; where the file does not say, the one that players take."""
    return _SCALE_NAMES.get(video.color.matrix or "", "bt709" if video.height >= HD_LINES else "smpte170m")


_OPTION_NAMES = {"gbr": "rgb"}, {"bt470m": "gamma22", "bt470bg": "gamma28"}  # where options are called otherwise


def color_options(color: Color) -> dict[str, str]:
    """`color` as options of an input or an output; nothing for what the source does not say."""
    matrices, transfers = _OPTION_NAMES
    names = {
        "color_range": color.range,
        "colorspace": matrices.get(color.matrix or "", color.matrix),
        "color_primaries": color.primaries,
        "color_trc": transfers.get(color.transfer or "", color.transfer),
        "chroma_sample_location": color.location,
    }
    return {key: value for key, value in names.items() if value is not None}

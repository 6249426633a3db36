"""From the source's pixel format to the encoder's: filters, colour labels, and what is lost on the way."""

from __future__ import annotations

from dataclasses import replace

from interp_cli.errors import UsageError
from interp_cli.media.formats import working_format
from interp_cli.media.types import HD_LINES, PIXEL_FORMATS, Color, Family, MediaInfo, PixelFormat, VideoStream

_EVEN_ONLY = {  # refuse odd sizes where chroma is subsampled
    "libx264", "libx265", "libsvtav1", "prores_ks", "h264_nvenc", "hevc_nvenc", "av1_nvenc",
}  # fmt: skip
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


def choose_format(
    source: PixelFormat, asked: str | None, formats: tuple[str, ...], encoder: str, *, played: bool
) -> str:
    """The one of an encoder's `formats` that loses least of `source`, or the one `asked` for; `formats` may be unknown.

    RGB that is to be `played` becomes 4:2:0, which is all that many players show. Raises UsageError.
    """
    if asked is not None:
        if formats and asked not in formats:
            raise UsageError(f"{encoder} does not take --pix-fmt {asked}: choose one of {', '.join(formats)}")
        return asked
    if source.family is Family.RGB and played:
        bits = "" if source.depth == 8 else "10le"  # what players know of more than 8
        wanted: tuple[str, ...] = (*((f"yuva420p{bits}", "yuva420p") if source.alpha else ()), f"yuv420p{bits}")
        if shown := next((name for name in wanted if name in formats), None):
            return shown
    if source.name in formats or not formats:
        return source.name
    if source.family is Family.RGB and (packed := _packed_rgb(source, formats)):
        return packed
    known = [PIXEL_FORMATS[name] for name in formats if name in PIXEL_FORMATS]
    known = [f for f in known if f.family is not Family.RGB] or known
    if not known:
        raise UsageError(f"{encoder} takes none of the pixel formats that vfi knows: choose one with --pix-fmt")
    return min(known, key=lambda f: _distance(source, f)).name


def _packed_rgb(source: PixelFormat, formats: tuple[str, ...]) -> str | None:
    """ffv1 has 8-bit RGB only with its channels in one plane, which loses nothing."""
    if source.depth != 8:
        return None
    return next((name for name in (("bgra",) if source.alpha else ("bgr0",)) if name in formats), None)


def _distance(source: PixelFormat, other: PixelFormat) -> tuple[int, ...]:
    """How much worse `other` is: what it loses first, then what it carries in vain."""
    gray_source, gray_other = source.family is Family.GRAY, other.family is Family.GRAY
    chroma = [have - need for need, have in zip(source.chroma_shift, other.chroma_shift, strict=True)]
    return (
        gray_other and not gray_source,
        source.alpha and not other.alpha,
        0 if gray_source else sum(max(0, c) for c in chroma),
        max(0, source.depth - other.depth),
        gray_source and not gray_other,
        max(0, other.depth - source.depth),
        -sum(chroma),
        other.alpha and not source.alpha,
    )


def conversion(
    info: MediaInfo, source: PixelFormat, pix_fmt: str, encoder: str
) -> tuple[tuple[str, ...], Color, tuple[str, ...]]:
    """(filters, colour labels of the output, what is lost) on the way from the source's format to the encoder's."""
    color, notes = info.video.color, []
    filters: list[str] = []
    target = PIXEL_FORMATS.get(pix_fmt) or working_format(pix_fmt)
    if source.family is Family.RGB and target.family is not Family.RGB:
        filters += _white_of_yuv(source)
        filters.append("scale=out_color_matrix=bt709:out_range=tv:flags=accurate_rnd+full_chroma_int+full_chroma_inp")
        color = replace(_RGB_AS, transfer=color.transfer or _RGB_AS.transfer, primaries=color.primaries or "bt709")
        labels = f"color_primaries={color.primaries}:color_trc={color.transfer}"
        filters.append(f"setparams=range=tv:colorspace=bt709:{labels}")  # newer ffmpegs label by frame
        notes.append(f"RGB becomes {pix_fmt} (bt709), {_keeping(target)}; -c ffv1 in .mkv keeps RGB")
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
    return tuple(filters), color, tuple(notes)


_EXACT = "flags=accurate_rnd+full_chroma_int+full_chroma_inp+bitexact:sws_dither=none"
_WHITE = 255 << 8  # of 16-bit RGB, for swscale, on its way from and to YUV of "tv" range: measured with 5.1 and 9.0


def _white_of_yuv(source: PixelFormat) -> tuple[str, ...]:
    """Filters before swscale makes YUV of RGB `source`: without them, white of deep RGB comes out too bright."""
    if source.depth == 8:
        return ()
    deep = f"gbr{'a' if source.alpha else ''}p16le"  # which shifts, so that white is all ones shifted
    return (f"format={deep}", _times(_WHITE, source.peak << (16 - source.depth)))


def _white_of_rgb(source: PixelFormat, range_: str) -> str:
    """A filter after swscale made 16-bit RGB of YUV `source`: without it, white comes out too dark."""
    return _times((1 << 16) - 1, _WHITE if range_ == "tv" else source.peak << (16 - source.depth))


def _times(wanted: int, found: int) -> str:
    return "lutrgb=" + ":".join(f"{channel}=val*{wanted}/{found}+0.5" for channel in "rgb")


def _keeping(target: PixelFormat) -> str:
    if target.chroma_shift == (0, 0):
        return "which browsers, televisions and QuickTime may not show"
    if target.alpha:
        return "with half the resolution of colour, which is all that players show with transparency"
    deep = "" if target.depth == 8 else f"{target.depth}le"
    return f"which every player shows, with half the resolution of colour: --pix-fmt yuv444p{deep} keeps that whole"


def padding(video: VideoStream, pix_fmt: str, encoder: str) -> tuple[int, int]:
    """(columns, rows) that are to be repeated at the right and the bottom, because `encoder` takes no odd sizes."""
    if encoder not in _EVEN_ONLY:
        return 0, 0
    sx, sy = (PIXEL_FORMATS.get(pix_fmt) or working_format(pix_fmt)).chroma_shift
    return -video.width % (1 << sx), -video.height % (1 << sy)


def scale_matrix(video: VideoStream) -> str:
    """The matrix of `video` as the scale filter calls it; where the file does not say, the one that players take."""
    return _SCALE_NAMES.get(video.color.matrix or "", "bt709" if video.height >= HD_LINES else "smpte170m")


def range_of(video: VideoStream, source: PixelFormat) -> str:
    """That of the frames: where the file does not say, YUV is "tv", as players take it, and gray is "pc"."""
    if source.family is Family.YUV:
        return video.color.range or "tv"
    return "tv" if source.family is Family.GRAY and video.color.range == "tv" else "pc"


def exact_conversion(info: MediaInfo, source: PixelFormat, pix_fmt: str, *, keep: bool = False) -> tuple[str, ...]:
    """Filters to `pix_fmt` that read and write the right matrix and range, or `keep` both."""
    if keep:
        kept = range_of(info.video, source)
        return (f"scale=in_range={kept}:out_range={kept}:{_EXACT}", f"format={pix_fmt}")
    color, matrix = info.video.color, scale_matrix(info.video)
    given = f"in_range={range_of(info.video, source)}"
    if source.family is Family.YUV:
        given = f"in_color_matrix={matrix}:{given}"
    if pix_fmt.startswith("yuvj"):
        wanted = "out_color_matrix=smpte170m:out_range=pc"
    elif pix_fmt.startswith("yuv") and source.family is Family.RGB:
        wanted = "out_color_matrix=bt709:out_range=tv"
    elif pix_fmt.startswith("yuv") or (pix_fmt.startswith("gray") and source.family is not Family.GRAY):
        wanted = f"out_color_matrix={matrix}:out_range={color.range or 'tv'}"
    else:
        wanted = "out_range=pc"
    scaled = f"scale={given}:{wanted}:{_EXACT}"
    if source.family is Family.YUV and pix_fmt.startswith(("rgb48", "rgba64")):
        little = pix_fmt.replace("be", "le")
        return (scaled, f"format={little}", _white_of_rgb(source, range_of(info.video, source)), f"format={pix_fmt}")
    if source.family is Family.RGB and pix_fmt.startswith("yuv") and not pix_fmt.startswith("yuvj"):
        return (*_white_of_yuv(source), scaled, f"format={pix_fmt}")
    if given == "in_range=tv" and pix_fmt in ("gray", "gray16le", "gray16be") and wanted == "out_range=pc":
        return (_stretched(source), f"scale=in_range=pc:{wanted}:{_EXACT}", f"format={pix_fmt}")
    return (scaled, f"format={pix_fmt}")


def _stretched(source: PixelFormat) -> str:
    """A filter by which gray of "tv" range becomes full: swscale does not look at the range of gray."""
    unit = 1 << (source.depth - 8)
    return f"lut=c0=(val-{16 * unit})*{source.peak}/{219 * unit}+0.5"


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

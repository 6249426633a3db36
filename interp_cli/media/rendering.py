"""Results that are made of finished frames in a last step: rows of pictures, GIF, APNG and raw YUV4MPEG.

Their segments are lossless (FFV1), and this step turns all of them into the result at once: one palette for a whole
GIF, so that no colour flickers, and numbered files that belong together.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import count
from pathlib import Path
from typing import Final

from interp_cli.errors import MissingToolError, UsageError
from interp_cli.media.conversion import scale_matrix
from interp_cli.media.decode import raw_frame
from interp_cli.media.exr import exr_of
from interp_cli.media.ffmpeg import Ffmpeg, Input, Output, Value, child, failure, file_url, has_encoder, run
from interp_cli.media.formats import working_format
from interp_cli.media.light import light_of
from interp_cli.media.mux import concat_list
from interp_cli.media.orientation import turned_size, turning
from interp_cli.media.types import Color, Family, MediaInfo, PixelFormat, Planes
from interp_cli.options import EncodeOptions

_ENCODERS: Final = {
    ".png": "png", ".jpg": "mjpeg", ".jpeg": "mjpeg", ".webp": "libwebp", ".tif": "tiff", ".tiff": "tiff",
    ".exr": "exr",  # vfi's own
    "gif": "gif", "apng": "apng", "yuv4mpegpipe": "wrapped_avframe",
}  # fmt: skip
_EXACT = "flags=accurate_rnd+full_chroma_int+full_chroma_inp+bitexact:sws_dither=none"
_DITHER = "dither=bayer:bayer_scale=4"  # the same in every frame: what does not move does not flicker (docs/log.md)
_HDR = frozenset({"smpte2084", "arib-std-b67"})
PALETTE, PICTURES = "palette.png", "pictures"  # names in the work directory


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendering:
    """How the last step makes the result from lossless frames: a decision that prints."""

    container: str  # ffmpeg's muxer name
    encoder: str
    pix_fmt: str
    filters: tuple[str, ...]  # from the frames as they were encoded to `pix_fmt`
    args: tuple[tuple[str, str], ...]
    description: str
    size: tuple[int, int]  # width and height of the result, px
    sar: Fraction  # of the result
    color: Color  # of the frames, with their range
    plays: int = 0  # how often a player shows an animation; 0: for ever
    notes: tuple[str, ...] = ()


def choose_rendering(
    info: MediaInfo, options: EncodeOptions, *, container: str, suffix: str, plays: int, ffmpeg: Ffmpeg
) -> Rendering:
    """How frames of `info` become a result of `container`; pictures are of the kind that `suffix` names.

    Raises UsageError for options that mean nothing there, MissingToolError if this ffmpeg lacks the encoder.
    """
    what = f"{suffix} pictures" if container == "image2" else f"a {container} result"
    given = [
        name
        for name, value in (
            ("--codec", options.codec),
            ("--preset", options.preset),
            ("--pix-fmt", options.pix_fmt),
            ("--ffmpeg-arg", options.ffmpeg_args),
        )
        if value
    ]
    if given:
        raise UsageError(f"{given[0]} means nothing to {what}: leave it out")
    encoder = _ENCODERS[suffix if container == "image2" else container]
    if encoder == "exr" and info.video.color.transfer in _HDR:
        raise UsageError(
            f"{info.path} has the curve {info.video.color.transfer} and {what} would hold the light of sRGB's:"
            " choose png or tiff, which keep the code"
        )
    if encoder not in ("wrapped_avframe", "exr") and not has_encoder(ffmpeg, encoder):
        raise MissingToolError(f"{ffmpeg.path} was built without {encoder}: choose another kind, such as .png")
    source = working_format(info.video.pix_fmt)
    quality = _quality(encoder, options.crf, what)
    pix_fmt, notes = _target(encoder, source)
    if encoder == "libwebp" and info.video.sar != 1:
        shape = f"{info.video.sar.numerator}:{info.video.sar.denominator}"
        notes.append(f"pixels of {shape} become square, for webp has no place for their shape: choose png to keep it")
    shown = "" if not quality else " " + " ".join(f"{key} {value}" for key, value in quality)
    return Rendering(
        container=container,
        encoder=encoder,
        pix_fmt=pix_fmt,
        filters=(*turning(info.video, source), *_conversion(info, source, pix_fmt, keep=encoder == "exr")),
        args=quality,
        description=f"{encoder}{shown}, {pix_fmt}, from lossless frames",
        size=turned_size(info.video),
        color=replace(info.video.color, range=_range(info, source)),
        sar=1 / info.video.sar if info.video.rotation in (90, 270) else info.video.sar,
        plays=plays,
        notes=tuple(notes),
    )


def _quality(encoder: str, crf: float | None, what: str) -> tuple[tuple[str, str], ...]:
    if encoder == "mjpeg":
        if crf is not None and not 1 <= crf <= 31:
            raise UsageError(f"jpg has no --crf {crf:g}: give 1 to 31, where less is better quality, such as 2")
        return (("q:v", f"{2 if crf is None else crf:g}"), ("qmin", "1"))
    if encoder == "libwebp":
        if crf is not None and not 0 <= crf <= 100:
            raise UsageError(f"webp has no --crf {crf:g}: give 0 (lossless) to 100, where less is better quality")
        return (("lossless", "0"), ("quality", f"{100 - crf:g}")) if crf else (("lossless", "1"),)
    if crf is not None:
        raise UsageError(f"--crf means nothing to {what}, which keeps what it can: leave it out")
    return ()


def _target(encoder: str, source: PixelFormat) -> tuple[str, list[str]]:
    """(pixel format to encode, what is lost)."""
    notes = []
    deep, gray, alpha = source.depth > 8, source.family is Family.GRAY, source.alpha
    if encoder in ("png", "apng", "tiff"):
        end = "be" if encoder in ("png", "apng") else "le"
        if gray:
            return f"gray16{end}" if deep else "gray", []
        return (f"rgba64{end}" if alpha else f"rgb48{end}") if deep else ("rgba" if alpha else "rgb24"), []
    if encoder == "wrapped_avframe":
        return _y4m_format(source)
    if encoder == "exr":  # of RGB and gray the very values
        if source.family is Family.YUV:  # with chroma of full size; the rest is done exactly, which swscale does not do
            return re.sub(r"4\d\dp", "444p", source.name), []
        return "rgba" if source.name == "gbrap" else source.name, []  # ffmpeg 5.1 is off by one between the two
    if deep:
        notes.append(f"{source.depth} bits become 8: choose png or tiff to keep them")
    if encoder == "gif":
        notes.append("a GIF has 256 colours: all frames share one palette, dithered; choose .apng to keep every colour")
        return "bgra", notes
    if encoder == "libwebp":
        return "bgra", notes
    if alpha:
        notes.append("transparency is dropped, for jpg has none: choose png to keep it")
    subsampled = source.family is Family.YUV and source.chroma_shift
    return {(1, 1): "yuvj420p", (1, 0): "yuvj422p"}.get(subsampled or (0, 0), "yuvj444p"), notes


def _y4m_format(source: PixelFormat) -> tuple[str, list[str]]:
    """What yuv4mpegpipe holds: 4:2:0, 4:2:2, 4:4:4, 4:1:1 and gray; up to 16 bits; no alpha, no RGB."""
    lost = ["transparency is dropped, for y4m has none: choose -f nut to keep it"] if source.alpha else []
    bits = f"{source.depth}le" if source.depth > 8 else ""
    if source.family is Family.RGB:
        lost.append("RGB becomes YUV 4:4:4 (bt709), for y4m has no RGB: choose -f nut with -c ffv1 to keep it")
        return f"yuv444p{bits if source.depth in (8, 9, 10, 12, 14, 16) else ''}", lost
    if source.family is Family.GRAY:
        return f"gray{bits}", lost
    name = {(1, 1): "420", (1, 0): "422", (2, 0): "411"}.get(source.chroma_shift, "444")
    if name not in ("420", "422", "444", "411") or (name == "411" and bits):
        name = "444"
    return f"yuv{name}p{bits}", lost


def _range(info: MediaInfo, source: PixelFormat) -> str:
    """That of the frames: where the file does not say, YUV is "tv", as players take it, and gray is "pc"."""
    if source.family is Family.YUV:
        return info.video.color.range or "tv"
    return "tv" if source.family is Family.GRAY and info.video.color.range == "tv" else "pc"


def _conversion(info: MediaInfo, source: PixelFormat, pix_fmt: str, *, keep: bool = False) -> tuple[str, ...]:
    """Filters to `pix_fmt` that read and write the right matrix and range, or `keep` both."""
    if keep:
        kept = _range(info, source)
        return (f"scale=in_range={kept}:out_range={kept}:{_EXACT}", f"format={pix_fmt}")
    color, matrix = info.video.color, scale_matrix(info.video)
    given = f"in_range={_range(info, source)}"
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
    return (f"scale={given}:{wanted}:{_EXACT}", f"format={pix_fmt}")


# ---- doing it


def render(
    segments: Sequence[tuple[Path, int]], rendering: Rendering, out: Path, *, ffmpeg: Ffmpeg, rate: Fraction
) -> None:
    """Make `out` of `segments` ((NUT file, frames), all in one directory) at `rate` frames/s.

    For pictures, `out` is a folder that is made anew, with 00000001.png and so on. Raises FfmpegError.
    """
    folder = segments[0][0].resolve().parent
    listing, palette = folder / "segments.ffconcat", folder / PALETTE
    whole = Input(file_url(listing.name), {"f": "concat", "safe": 0, "protocol_whitelist": "file,pipe"})
    times = (f"settb={1 / rate}", "setpts=N")  # frame n at tick n: no time that NUT or a list has rounded counts
    filters = [*times, *rendering.filters]
    options: dict[str, Value] = {
        "c:v": rendering.encoder,
        "r": f"{rate.numerator}/{rate.denominator}",
        "fps_mode": "cfr",
        "f": rendering.container,
        "fflags": "+bitexact",
        **dict(rendering.args),
    }
    try:
        listing.write_text(concat_list(segments, rate), encoding="utf-8")
        if rendering.container == "gif":
            _gif(whole, filters, options, rendering, out, palette, ffmpeg=ffmpeg)
            return
        target, grows = out, out.resolve()
        if rendering.container == "image2":
            out.mkdir()
        if rendering.encoder == "exr":
            _exr(whole, filters, rendering, out, ffmpeg=ffmpeg)
            return
        if rendering.container == "image2":
            target = Path(out.name) / f"%08d{_suffix(rendering)}"
            options |= {"start_number": 1}
        elif rendering.container == "apng":
            options |= {"plays": rendering.plays}
        elif rendering.container == "yuv4mpegpipe":
            options |= {"strict": -1}
        url = file_url(target if rendering.container == "image2" else out.resolve())
        output = Output(url, ("0:v:0",), {"vf": ",".join(filters), **options})
        run(ffmpeg, [whole], [output], doing=f"write {out.name}", cwd=folder, grows=grows)
    finally:
        listing.unlink(missing_ok=True)
        palette.unlink(missing_ok=True)


def _suffix(rendering: Rendering) -> str:
    return next(suffix for suffix, encoder in _ENCODERS.items() if encoder == rendering.encoder)


def _exr(whole: Input, filters: list[str], rendering: Rendering, out: Path, *, ffmpeg: Ffmpeg) -> None:
    """Every frame as raw samples, and its picture by us."""
    width, height = rendering.size
    options: dict[str, Value] = {"vf": ",".join(filters), "f": "rawvideo", "fps_mode": "passthrough"}
    output = Output("pipe:1", ("0:v:0",), options)
    with child(ffmpeg, [whole], [output], flags=("-copyts",), cwd=out.resolve().parent, tied=True) as running:
        for n in count(1):
            planes = raw_frame(running, rendering.pix_fmt, width, height)
            if planes is None:
                break
            light = light_of(Planes(n, planes, working_format(rendering.pix_fmt)), rendering.color)
            (out / f"{n:08d}.exr").write_bytes(exr_of(light, sar=rendering.sar))
        status, lines = running.finish()
    if status:
        raise failure(f"write {out.name}", status=status, lines=lines)


def _gif(
    whole: Input,
    filters: list[str],
    options: Mapping[str, Value],
    rendering: Rendering,
    out: Path,
    palette: Path,
    *,
    ffmpeg: Ffmpeg,
) -> None:
    """Two passes: one palette of all frames, then every frame in it."""
    folder = palette.parent
    chosen: dict[str, Value] = {
        "vf": ",".join([*filters, "palettegen=stats_mode=full"]),
        "c:v": "png",
        "frames:v": 1,
        "update": 1,
    }
    first = Output(file_url(palette.name), ("0:v:0",), {**chosen, "f": "image2"})
    run(ffmpeg, [whole], [first], doing="choose the colours of the GIF", cwd=folder, grows=palette)
    graph = f"[0:v]{','.join(filters)}[frames];[frames][1:v]paletteuse={_DITHER}[out]"
    loop = {0: 0, 1: -1}.get(rendering.plays, rendering.plays - 1)
    second = Output(file_url(out.resolve()), ("[out]",), {"filter_complex": graph, **options, "loop": loop})
    run(
        ffmpeg,
        [whole, Input(file_url(palette.name), {"f": "png_pipe"})],
        [second],
        doing=f"write {out.name}",
        cwd=folder,
        grows=out.resolve(),
    )

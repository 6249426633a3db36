"""How the result will be compressed: codec, encoder, settings and pixel format, decided before anything runs."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import lru_cache

from interp_cli.errors import DeviceError, MissingToolError, UsageError
from interp_cli.media.conversion import choose_format, color_options, conversion, padding
from interp_cli.media.ffmpeg import Ffmpeg, Input, Output, child, encoder_formats, failure
from interp_cli.media.formats import working_format
from interp_cli.media.hdr import mastering_options
from interp_cli.media.orientation import orientation_note, turning
from interp_cli.media.streams import RENDERED, suffix_of
from interp_cli.media.types import PIXEL_FORMATS, Color, MediaInfo, VideoStream
from interp_cli.options import Codec, EncodeOptions

_ENCODERS = {
    Codec.H264: ("libx264",),
    Codec.HEVC: ("libx265",),
    Codec.AV1: ("libsvtav1", "libaom-av1"),
    Codec.VP9: ("libvpx-vp9",),
    Codec.PRORES: ("prores_ks",),
    Codec.FFV1: ("ffv1",),
    Codec.H264_NVENC: ("h264_nvenc",),
    Codec.HEVC_NVENC: ("hevc_nvenc",),
    Codec.AV1_NVENC: ("av1_nvenc",),
}
_NVENC = {  # the pixel formats that are asked of them; ffmpeg lists the same ones for all three
    "h264_nvenc": ("yuv420p", "yuv444p"),
    "hevc_nvenc": ("yuv420p", "yuv444p", "yuv420p10le"),
    "av1_nvenc": ("yuv420p", "yuv420p10le"),
}
_ANY = frozenset(Codec)
_HOLDS = {  # what the muxers write and players find in such files
    "mp4": frozenset({Codec.H264, Codec.HEVC, Codec.AV1, Codec.VP9}),
    "mov": frozenset({Codec.H264, Codec.HEVC, Codec.PRORES}),
    "matroska": _ANY,
    "webm": frozenset({Codec.VP9, Codec.AV1}),
    "avi": frozenset({Codec.H264, Codec.FFV1}),
    "nut": _ANY,
    "mpegts": frozenset({Codec.H264, Codec.HEVC}),
    **dict.fromkeys(RENDERED, frozenset()),
}
_PLAYED = frozenset({Codec.H264, Codec.HEVC, Codec.AV1, Codec.VP9})  # whose files are for players, which want 4:2:0
_LEAST_SIDE = {"libx265": 16, "libsvtav1": 64}  # px; SVT-AV1's older versions, and there is libaom-av1
_SLICED = 16  # px: below that FFV1 of level 3 finds no number of slices for some sizes, and 5.1 writes one row as zeros
# The default for sources with alpha, where the usual default has none.
_KEEPS_ALPHA = {"mov": Codec.PRORES, "matroska": Codec.FFV1, "nut": Codec.FFV1}
# Quality that is hard to tell from the source; each codec's scale is its own. x265's 18 and x264's 16 reach about the
# same quality, VP9's and AV1's 0-63 scale reaches it near 20 and 22.
_CRF = {
    "libx264": "16", "libx265": "18", "libsvtav1": "22", "libaom-av1": "20", "libvpx-vp9": "20",
    "h264_nvenc": "18", "hevc_nvenc": "20", "av1_nvenc": "24",
}  # fmt: skip
_CRF_MOST = {"libsvtav1": 63, "libaom-av1": 63, "libvpx-vp9": 63}  # of the others 51
_PRESET = {"libx264": "medium", "libx265": "medium", "libsvtav1": "6", "libaom-av1": "4", "libvpx-vp9": "2"}
_PRESET |= dict.fromkeys(_NVENC, "p5")
_X26 = "ultrafast|superfast|veryfast|faster|fast|medium|slow|slower|veryslow|placebo"
_PRESETS = {
    "libx264": _X26,
    "libx265": _X26,
    "libsvtav1": "|".join(map(str, range(14))) + f"|{_X26}",
    "libaom-av1": "|".join(map(str, range(9))) + f"|{_X26}",
    "libvpx-vp9": "good|best|realtime|" + "|".join(map(str, range(9))) + f"|{_X26}",
    **dict.fromkeys(_NVENC, f"p1|p2|p3|p4|p5|p6|p7|{_X26}"),
}
_NUMBERS: dict[str, dict[str, int | str]] = {  # x264's preset names in the words of others; "medium" is the default
    "libsvtav1": dict(zip(_X26.split("|"), (12, 11, 10, 9, 8, 6, 4, 3, 2, 1), strict=True)),
    "libaom-av1": dict(zip(_X26.split("|"), (8, 8, 7, 6, 5, 4, 3, 2, 1, 0), strict=True)),
    "libvpx-vp9": dict(zip(_X26.split("|"), (8, 7, 6, 5, 4, 2, 1, 1, 0, 0), strict=True)),
    **{
        name: dict(zip(_X26.split("|"), (f"p{n}" for n in (1, 1, 2, 3, 4, 5, 6, 7, 7, 7)), strict=True))
        for name in _NVENC
    },
}
_OURS = {  # what vfi sets, or what would add to its outputs; with or without a ":stream" behind it
    "i", "map", "f", "y", "n", "r", "s", "vf", "af", "filter", "filter_complex", "filter_complex_script",
    "filter_script", "lavfi", "pix_fmt", "c", "codec", "vcodec", "vn", "an", "sn", "dn", "t", "ss", "sseof", "to",
    "frames", "vframes", "fs", "fps_mode", "vsync", "fpsmax", "force_fps", "enc_time_base", "aspect", "attach",
    "dump_attachment", "vstats", "vstats_file", "pass", "passlogfile", "metadata", "map_metadata", "map_chapters",
    "disposition", "copyts", "start_at_zero", "itsoffset", "shortest", "report", "progress", "stats_enc_pre",
    "stats_enc_post", "stats_mux_pre", "bsf", "tag", "vtag", "program", "stream_group", "target", "autorotate",
    "display_rotation", "display_hflip", "display_vflip", "color_range", "colorspace", "color_primaries", "color_trc",
    "chroma_sample_location",
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoding:
    """How frames will be compressed: a decision that prints. `notes` are sentences about what cannot be kept."""

    encoder: str  # "libx264"
    codec: Codec
    args: tuple[tuple[str, str], ...]  # options of the output
    pix_fmt: str
    description: str  # "libx264 crf 16 preset medium, yuv420p"
    notes: tuple[str, ...] = ()
    color: Color = field(default_factory=Color)  # what the output is labelled with
    filters: tuple[str, ...] = ()
    padding: tuple[int, int] = (0, 0)  # columns and rows that are repeated at the right and the bottom before them
    turning: tuple[str, ...] = ()  # filters, where the result cannot tell players to turn the picture
    header: str = ""  # of a GPU's encoder, which another GPU may write otherwise: parts with different ones do not join

    @property
    def segments(self) -> str:
        """ffmpeg's name of the files that frames are written to: NUT, which has exact times and no place for VP9's
        alpha."""
        return "matroska" if self.codec is Codec.VP9 and working_format(self.pix_fmt).alpha else "nut"

    def output_options(self, *, width: int, height: int, sar: Fraction) -> dict[str, str]:
        """ffmpeg's options for writing frames of this size (px) and sample aspect ratio into a file of `segments`."""
        filters = list(self.filters)
        if sar != 1:
            filters.append(f"setsar={sar.numerator}/{sar.denominator}")
        filters += self.turning  # which swap the sides of the pixels, too
        return {
            "f": self.segments,
            "c:v": self.encoder,
            "pix_fmt": "p010le" if self.encoder in _NVENC and self.pix_fmt == "yuv420p10le" else self.pix_fmt,
            "fps_mode": "passthrough",
            **({"vf": ",".join(filters)} if filters else {}),
            **color_options(self.color),
            **dict(self.args),
        }


def holds(container: str, codec: Codec) -> bool:
    """Whether files of `container` (ffmpeg's muxer name) are written with `codec`."""
    return codec in _HOLDS.get(container, _ANY)


def choose_encoding(info: MediaInfo, options: EncodeOptions, *, container: str, ffmpeg: Ffmpeg) -> Encoding:
    """The encoder and its settings for this source, in a file of `container` (ffmpeg's muxer name).

    By default H.264 for 8 bits, 10-bit HEVC for more, VP9 in WebM. --preset takes x264's names ("ultrafast" to
    "placebo") for AV1, VP9 and NVENC too, besides their own. Raises UsageError for what cannot go together,
    MissingToolError if this ffmpeg has no such encoder, DeviceError if it is a GPU's and does not work.
    """
    source = working_format(info.video.pix_fmt)
    asked = options.codec or _default_codec(info.video, container, ffmpeg)
    codec = asked.plain
    if not holds(container, codec):
        able = [name for name, codecs in _HOLDS.items() if codec in codecs]
        endings = ", ".join(map(suffix_of, able))
        raise UsageError(f"a {container} file does not hold {codec}: name the output with one of {endings}")
    encoder, formats = _find_encoder(asked, info.video, ffmpeg)
    if codec is Codec.VP9:
        formats = tuple(name for name in formats if _vp9_shows(name, container))
    pix_fmt = choose_format(source, options.pix_fmt, formats, encoder, played=codec in _PLAYED)
    mastering, unsaid = _mastering(info, encoder)
    tiny = _least_side(info.video) < _SLICED
    in_order = {"bf": "0"} if container == "avi" and codec is Codec.H264 else {}  # AVI has no times of showing
    settings = _settings(encoder, options, pix_fmt, tiny=tiny)
    args = _joined(settings, mastering, in_order, _extra(options.ffmpeg_args))
    filters, color, notes = conversion(info, source, pix_fmt, encoder)
    if any(more := padding(info.video, pix_fmt, encoder)):
        size = f"{info.video.width + more[0]} x {info.video.height + more[1]}"
        notes = (*notes, f"the last column or row is repeated, which makes {size}: {encoder} takes even sizes only")
    turned = orientation_note(info.video, container, ffmpeg)
    notes = (*notes, *([turned] if turned else []), *unsaid)
    shown = [f"{k.split(':')[0]} {args[k]}" for k in _SHOWN if k in args]
    chosen = Encoding(
        encoder=encoder,
        codec=codec,
        args=tuple(args.items()),
        pix_fmt=pix_fmt,
        description=" ".join([encoder, *shown]) + f", {pix_fmt}",
        notes=notes,
        color=color,
        filters=filters,
        padding=more,
        turning=turning(info.video, PIXEL_FORMATS.get(pix_fmt) or working_format(pix_fmt)) if turned else (),
    )
    return replace(chosen, header=_tried(chosen, info.video, ffmpeg)) if encoder in _NVENC else chosen


@lru_cache(maxsize=64)
def _tried(encoding: Encoding, video: VideoStream, ffmpeg: Ffmpeg) -> str:
    """A hash of the header of streams of frames like those of `video`. Raises DeviceError if there can be none."""
    width, height = (side + more for side, more in zip((video.width, video.height), encoding.padding, strict=True))
    grey = f"color=gray:s={width}x{height}:r=25,format={working_format(video.pix_fmt).name}"
    options = encoding.output_options(width=width, height=height, sar=Fraction(1))
    written = Output("pipe:1", (), {**options, "flags": "+global_header", "f": "framemd5", "frames:v": "2"})
    # what a GPU cannot do, ffmpeg says in warnings, and then that there is no GPU
    with child(ffmpeg, [Input(grey, {"f": "lavfi"})], [written], loglevel="warning") as running:
        text = running.read().decode()
        status, lines = running.finish()
    if status:
        reason = str(failure("try it", status=status, lines=lines)).split(": ", 1)[1]
        raise DeviceError(
            f"{encoding.encoder} does not work here ({reason}): take the processor's encoder, -c {encoding.codec}"
        )
    return " ".join(re.findall(r"#extradata 0, *[0-9]+, (\S+)", text))


def _mastering(info: MediaInfo, encoder: str) -> tuple[dict[str, str], tuple[str, ...]]:
    """Options of `encoder` that carry HDR metadata, and what cannot be carried."""
    video, notes = info.video, []
    options = mastering_options(encoder, video.mastering) if video.mastering else {}
    if options is None:
        kept = f"{encoder} has no place for them (the picture and its labels are kept)"
        notes.append(f"HDR10 mastering display and content light level are lost: {kept}; choose -c hevc or -c av1")
    if video.dynamic_metadata:
        notes.append("HDR10+ or Dolby Vision metadata, which describe each source frame, are not carried")
    return options or {}, tuple(notes)


_SHOWN = ("crf", "cq", "preset", "cpu-used", "deadline", "profile:v")  # options
_LISTS = ("x264-params", "x265-params", "svtav1-params")  # options that are lists of options


def _joined(*parts: dict[str, str]) -> dict[str, str]:
    """All options; later ones win, within lists of options too."""
    joined: dict[str, str] = {}
    for key, value in (item for part in parts for item in part.items()):
        joined[key] = f"{joined[key]}:{value}" if key in _LISTS and key in joined else value
    return joined


def _least_side(video: VideoStream) -> int:
    return min(video.width, video.height)


def _default_codec(video: VideoStream, container: str, ffmpeg: Ffmpeg) -> Codec:
    source = working_format(video.pix_fmt)
    if container == "webm":
        return Codec.VP9
    if source.alpha and (kept := _KEEPS_ALPHA.get(container)) and encoder_formats(ffmpeg, _ENCODERS[kept][0]):
        return kept
    plain = source.depth == 8 or container == "avi" or _least_side(video) < _LEAST_SIDE["libx265"]
    return Codec.H264 if plain else Codec.HEVC


def _vp9_shows(pix_fmt: str, container: str) -> bool:
    """Whether players show VP9 of this format in `container`: its alpha is a second stream, and always 4:2:0."""
    alpha = pix_fmt in PIXEL_FORMATS and PIXEL_FORMATS[pix_fmt].alpha
    return not alpha or (pix_fmt == "yuva420p" and container in ("webm", "matroska"))


def _find_encoder(codec: Codec, video: VideoStream, ffmpeg: Ffmpeg) -> tuple[str, tuple[str, ...]]:
    """The first encoder that takes the source's format, else the first that is there and takes its size."""
    built_in = [
        (name, _NVENC.get(name, f)) for name in _ENCODERS[codec] if (f := encoder_formats(ffmpeg, name)) is not None
    ]
    if not built_in:
        wanted = " or ".join(_ENCODERS[codec])
        raise MissingToolError(f"{ffmpeg.path} was built without {wanted}: choose another --codec or another --ffmpeg")
    able = [(name, f) for name, f in built_in if _least_side(video) >= _LEAST_SIDE.get(name, 1)]
    if not able:
        name, least = built_in[0][0], _LEAST_SIDE[built_in[0][0]]
        raise UsageError(
            f"{name} takes no picture smaller than {least} x {least}: choose another --codec, such as h264"
        )
    source = working_format(video.pix_fmt)
    return next(((name, f) for name, f in able if source.name in f), able[0])


def _settings(encoder: str, options: EncodeOptions, pix_fmt: str, *, tiny: bool) -> dict[str, str]:
    """Quality and speed in the encoder's own words, of which x264's preset names are translated."""
    if encoder in ("prores_ks", "ffv1"):
        if options.crf is not None:
            kind = "lossless" if encoder == "ffv1" else "graded by profile (--preset hq, for example)"
            raise UsageError(f"--crf means nothing to {encoder}, which is {kind}: leave it out")
        if encoder == "ffv1":
            if options.preset is not None:
                raise UsageError("--preset means nothing to ffv1: leave it out")
            return {"level": "1", "g": "1"} if tiny else {"level": "3", "slicecrc": "1", "g": "1"}
        profile = "4444" if "444" in pix_fmt else "hq"
        return {"profile:v": options.preset or profile, "vendor": "apl0"}
    if options.preset is not None and not re.fullmatch(_PRESETS[encoder], options.preset):
        raise UsageError(
            f"{encoder} has no --preset {options.preset}: choose one of {_PRESETS[encoder].replace('|', ', ')}"
        )
    least, most = int(encoder in _NVENC), _CRF_MOST.get(encoder, 51)  # NVENC's 0 is a choice of its own
    if options.crf is not None and not least <= options.crf <= most:
        better = f"give {least} to {most}, where less is better quality, such as {_CRF[encoder]}"
        raise UsageError(f"{encoder} has no --crf {options.crf:g}: {better}")
    crf = _CRF[encoder] if options.crf is None else f"{options.crf:g}"
    preset = options.preset or _PRESET[encoder]
    preset = str(_NUMBERS.get(encoder, {}).get(preset, preset))
    if encoder == "libx264":
        return {"crf": crf, "preset": preset}
    if encoder == "libx265":
        return {"crf": crf, "preset": preset, "x265-params": "log-level=error"}
    if encoder == "libsvtav1":
        return {"crf": crf, "preset": preset}
    if encoder in _NVENC:
        return {"rc": "vbr", "cq": crf, "b:v": "0", "preset": preset}
    speed = {"cpu-used": preset} if re.fullmatch(r"\d", preset) else {"deadline": preset}
    return {"crf": crf, "b:v": "0", "row-mt": "1", **speed}


def _extra(pairs: tuple[tuple[str, str], ...]) -> dict[str, str]:
    extra = {}
    for key, value in pairs:
        name = key.lstrip("-")
        if not re.fullmatch(r"[A-Za-z][\w:.+-]*", name) or name.split(":")[0] in _OURS:
            raise UsageError(
                f"--ffmpeg-arg {key}={value} is not an encoder's option: vfi sets inputs, streams, filters and formats"
            )
        extra[name] = value
    return extra

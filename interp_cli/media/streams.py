"""What becomes of the original's other streams in the new file: copied, converted, or dropped with a reason. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

from interp_cli.errors import UsageError
from interp_cli.media.types import MediaInfo, OtherStream
from interp_cli.options import AudioInSlowMotion

_MUXERS = {
    ".mp4": "mp4",
    ".m4v": "mp4",
    ".mov": "mov",
    ".mkv": "matroska",
    ".webm": "webm",
    ".avi": "avi",
    ".nut": "nut",
    ".ts": "mpegts",
    ".m2ts": "mpegts",
    ".gif": "gif",
    ".apng": "apng",
    ".y4m": "yuv4mpegpipe",
}
_FORMATS = {  # what -f takes: ffmpeg's muxer names, and what people call them
    **{name: name for name in _MUXERS.values()},
    "mkv": "matroska", "ts": "mpegts", "y4m": "yuv4mpegpipe",
}  # fmt: skip
_SUFFIXES = {"matroska": ".mkv", "mpegts": ".ts", "yuv4mpegpipe": ".y4m"}  # the others are called alike
_NAMES = {"matroska": "mkv", "mpegts": "MPEG-TS", "gif": "GIF", "apng": "APNG", "yuv4mpegpipe": "y4m"}
RENDERED = frozenset({"image2", "gif", "apng", "yuv4mpegpipe"})  # pictures alone, made in a last step: see rendering.py

_PCM = frozenset(f"pcm_{k}{e}" for k in ("s16", "s24", "s32", "f32", "f64") for e in ("le", "be")) | {"pcm_u8"}
_AUDIO: dict[str, tuple[frozenset[str], str]] = {  # what each container takes as it is, and what the rest becomes
    "mp4": (frozenset({"aac", "mp3", "mp2", "ac3", "eac3", "dts", "alac", "flac", "opus"}), "aac"),
    "mov": (_PCM | {"aac", "mp3", "ac3", "eac3", "alac", "pcm_s8", "pcm_alaw", "pcm_mulaw", "amr_nb"}, "aac"),
    "matroska": (
        (_PCM - {"pcm_f32be", "pcm_f64be"})
        | {"aac", "mp3", "mp2", "ac3", "eac3", "dts", "truehd", "mlp", "alac", "flac", "opus", "vorbis", "tta"}
        | {"wavpack", "pcm_alaw", "pcm_mulaw"},
        "flac",
    ),
    "webm": (frozenset({"opus", "vorbis"}), "opus"),
    "avi": (
        frozenset(name for name in _PCM if not name.endswith("be")) | {"mp3", "mp2", "ac3", "pcm_alaw", "pcm_mulaw"},
        "ac3",
    ),
    "nut": (
        _PCM
        | {"aac", "mp3", "mp2", "ac3", "eac3", "dts", "flac", "opus", "vorbis", "wavpack", "pcm_alaw", "pcm_mulaw"},
        "pcm_s16le",
    ),
    "mpegts": (frozenset({"aac", "mp3", "mp2", "ac3", "eac3", "dts", "opus"}), "aac"),
}
_TEXT = frozenset({"subrip", "mov_text", "ass", "ssa", "webvtt", "text"})  # that ffmpeg can read
_SUBTITLES: dict[str, tuple[frozenset[str], str | None]] = {
    "mp4": (frozenset({"mov_text", "dvd_subtitle"}), "mov_text"),
    "mov": (frozenset({"mov_text", "eia_608"}), "mov_text"),
    "matroska": (
        frozenset({"subrip", "ass", "ssa", "webvtt", "hdmv_pgs_subtitle", "dvd_subtitle", "dvb_subtitle"})
        | {"hdmv_text_subtitle"},
        "subrip",
    ),
    "webm": (frozenset({"webvtt"}), "webvtt"),
    "avi": (frozenset(), None),
    "nut": (frozenset({"subrip", "ass", "dvd_subtitle", "dvb_subtitle"}), "subrip"),
    "mpegts": (frozenset({"dvb_subtitle"}), None),  # PGS would be read as data again
}
_DATA: dict[str, frozenset[str]] = {
    "mp4": frozenset({"gpmd"}),
    "mov": frozenset({"gpmd"}),
    "mpegts": frozenset({"klv"}),
}
_SLOW = _TEXT | {"hdmv_pgs_subtitle", "dvb_subtitle"}  # that end with a packet, not at a time told within one
_COVERS = dict.fromkeys(("mp4", "matroska"), frozenset({"mjpeg", "png"}))  # in Matroska it is an attachment
_CHAPTERS = frozenset({"mp4", "mov", "matroska", "webm", "nut"})
_LOSSLESS_OTHERWISE = {"mov": "alac", "avi": "pcm_s24le", "nut": "pcm_s24le"}
_LEAST_LAG = Fraction(3, 100)  # s
_LOSSLESS = {"flac", "alac", "tta", "wavpack", "truehd", "mlp"} | _PCM


@dataclass(frozen=True, slots=True, kw_only=True)
class Fate:
    """What becomes of one stream of the original. `reason` is set for "convert" and "drop"."""

    index: int  # stream number in the original
    kind: str  # "audio", "subtitle", "attachment", "data", "video"
    codec: str
    action: str  # "copy", "convert" or "drop"
    to_codec: str | None = None
    reason: str | None = None
    language: str | None = None
    title: str | None = None


def container_for(path: Path | str, asked: str | None = None) -> str:
    """ffmpeg's muxer name: the one that -f has `asked` for, or that of the extension of `path`.

    Raises UsageError with the list of names or extensions for any other.
    """
    if asked is not None:
        if asked.lower() not in _FORMATS:
            raise UsageError(f"-f {asked} is no format that vfi writes: give one of {', '.join(sorted(_FORMATS))}")
        return _FORMATS[asked.lower()]
    suffix = Path(path).suffix.lower()
    if suffix not in _MUXERS:
        known = ", ".join(_MUXERS)
        folder = "" if suffix else f", or with / for a folder ({path}/)"
        raise UsageError(
            f"{path} does not say what kind of video file to write: end its name with one of {known}{folder}"
        )
    return _MUXERS[suffix]


def suffix_of(container: str) -> str:
    """How the names of a container's files end, by ffmpeg's muxer name."""
    return _SUFFIXES.get(container, f".{container}")


def stream_fates(
    info: MediaInfo,
    *,
    container: str,
    slow: Fraction = Fraction(1),
    audio: bool = True,
    slow_audio: AudioInSlowMotion = AudioInSlowMotion.STRETCH,
    chosen: frozenset[int] | None = None,
) -> tuple[Fate, ...]:
    """One Fate per stream of `info.others`, in order; nothing is lost without a reason.

    `slow` is the factor by which time is stretched, `slow_audio` what that does to sound, `audio` False is --no-audio,
    `chosen` has the numbers of those that --map asks for; None for all.
    """
    if container in RENDERED:
        what = "pictures" if container == "image2" else f"{_name(container)} files"
        return tuple(_drop(stream, f"{what} cannot hold any {stream.kind}") for stream in info.others)
    fates = []
    for stream in info.others:
        match stream.kind:
            case _ if chosen is not None and stream.index not in chosen:
                fates.append(_drop(stream, "not chosen by --map"))
            case "audio" if not audio:
                fates.append(_drop(stream, "--no-audio"))
            case "audio":
                fates.append(_audio(stream, container, slow=slow != 1, slow_audio=slow_audio))
            case "subtitle":
                fates.append(_subtitle(stream, container, slow=slow != 1))
            case "video":
                fates.append(_video(stream, container, slow=slow != 1))
            case "attachment" if container == "matroska":
                fates.append(_copy(stream))
            case "data" if stream.codec in _DATA.get(container, ()) and slow == 1:
                fates.append(_copy(stream))
            case "data" if stream.codec == "tmcd":
                fates.append(_drop(stream, "a timecode track counts the source's frames, not the new ones"))
            case "data" if stream.codec in _DATA.get(container, ()):
                fates.append(_drop(stream, "data cannot be slowed down"))
            case "attachment":
                fates.append(_drop(stream, f"{_name(container)} files cannot hold attachments such as fonts: .mkv can"))
            case _:
                fates.append(_drop(stream, f"{_name(container)} files cannot hold {stream.codec} {stream.kind}"))
    return tuple(fates)


def chapters_lost(info: MediaInfo, container: str) -> str | None:
    """Why the chapters of `info` cannot be kept; None if they are, or if there are none."""
    if not info.chapters or container in _CHAPTERS:
        return None
    return f"{'pictures' if container == 'image2' else f'{_name(container)} files'} cannot hold any"


def begun_together(fates: tuple[Fate, ...], lags: Mapping[int, Fraction], *, container: str) -> tuple[Fate, ...]:
    """The same fates, but for AVI, which cannot say when a stream begins: there, sound is filled up or cut instead.

    `lags` says how much later than the video each stream of sound begins, s, by its number; negative if earlier. A lag
    below a packet of MP3 stays.
    """
    if container != "avi":
        return fates
    reason = "an AVI file cannot say that sound begins at another time than the picture, so it is made to begin then"
    return tuple(
        replace(fate, action="convert", to_codec=_encoded(fate.codec, container), reason=reason)
        if fate.action == "copy" and abs(lags.get(fate.index, Fraction(0))) > _LEAST_LAG
        else fate
        for fate in fates
    )


def _audio(stream: OtherStream, container: str, *, slow: bool, slow_audio: AudioInSlowMotion) -> Fate:
    taken, otherwise = _AUDIO[container]
    if slow:
        if slow_audio is AudioInSlowMotion.DROP:
            return _drop(stream, "--audio drop")
        to = otherwise if container != "matroska" else "flac" if stream.codec in _LOSSLESS else "aac"
        return _convert(stream, to, "stretched to the slow motion, pitch kept")
    if stream.codec in taken:
        return _copy(stream)
    return _convert(stream, _encoded(stream.codec, container), f"{_name(container)} files cannot hold {stream.codec}")


def _encoded(codec: str, container: str) -> str:
    """What sound that cannot be copied becomes: what is lossless stays so where it can."""
    otherwise = _AUDIO[container][1]
    return _LOSSLESS_OTHERWISE.get(container, otherwise) if codec in _LOSSLESS else otherwise


def _subtitle(stream: OtherStream, container: str, *, slow: bool) -> Fate:
    taken, otherwise = _SUBTITLES[container]
    if slow and stream.codec not in _SLOW:
        return _drop(stream, f"{stream.codec} subtitles cannot be slowed down: they say within how long they are shown")
    if stream.codec in taken:
        return _copy(stream)
    if otherwise and stream.codec in _TEXT:
        return _convert(stream, otherwise, f"{_name(container)} files cannot hold {stream.codec}")
    kind = "text" if stream.codec in _TEXT or "text" in stream.codec else "picture"
    elsewhere = ": .mkv can" if stream.codec in _TEXT | _SUBTITLES["matroska"][0] and container != "matroska" else ""
    return _drop(stream, f"{_name(container)} files cannot hold {kind} subtitles ({stream.codec}){elsewhere}")


def _video(stream: OtherStream, container: str, *, slow: bool) -> Fate:
    if stream.attached_picture:
        if stream.codec in _COVERS.get(container, ()):
            return _copy(stream)
        elsewhere = ": .mp4 and .mkv can" if stream.codec in _COVERS["mp4"] else ""
        return _drop(stream, f"{_name(container)} files cannot hold a cover picture ({stream.codec}){elsewhere}")
    if slow:
        return _drop(stream, "only one video stream is slowed down")
    if container in ("matroska", "nut"):
        return _copy(stream)
    return _drop(stream, "only one video stream is kept: .mkv keeps the others as they are")


def _copy(stream: OtherStream) -> Fate:
    return _fate(stream, "copy")


def _convert(stream: OtherStream, to_codec: str, reason: str) -> Fate:
    return _fate(stream, "convert", to_codec=to_codec, reason=reason)


def _drop(stream: OtherStream, reason: str) -> Fate:
    return _fate(stream, "drop", reason=reason)


def _fate(stream: OtherStream, action: str, *, to_codec: str | None = None, reason: str | None = None) -> Fate:
    return Fate(
        index=stream.index,
        kind=stream.kind,
        codec=stream.codec,
        action=action,
        to_codec=to_codec,
        reason=reason,
        language=stream.language,
        title=stream.title,
    )


def _name(container: str) -> str:
    return _NAMES.get(container, container)

"""The original's streams in the new file: options of ffmpeg for each, and where sound begins and ends. Pure."""

from collections.abc import Mapping, Sequence
from fractions import Fraction

from interp_cli.media.packets import PRIMING, Span
from interp_cli.media.streams import Fate
from interp_cli.media.types import MediaInfo, OtherStream

_ENCODERS: Mapping[str, Mapping[str, str]] = {  # options of a converted stream
    "aac": {"c": "aac", "b": "256k"},
    "ac3": {"c": "ac3", "b": "448k"},
    "opus": {"c": "libopus", "b": "192k"},
    "flac": {"c": "flac"},
    "alac": {"c": "alac"},
    "pcm_s16le": {"c": "pcm_s16le"},
    "pcm_s24le": {"c": "pcm_s24le"},
    "mov_text": {"c": "mov_text"},
    "subrip": {"c": "srt"},
    "webvtt": {"c": "webvtt"},
}
_OPUS_LAYOUTS = "aformat=channel_layouts=mono|stereo|3.0|quad|5.0|5.1|6.1|7.1"  # libopus refuses 5.1(side)
# ffmpeg 5.1 writes Opus' delay to Matroska without adding it to the times. For what it encodes itself a filter adds it:
# the bitstream filter would see the time base of the encoder or of the file, as the order of the start has it.
_OPUS_LATER, _OPUS_ENCODED_LATER = "setts=ts=TS+0.0065/TB", "asetpts=PTS+0.0065/TB"
_PADDING = Fraction(1, 20)  # s
_LONGEST_TITLE = 1000  # characters, of what goes onto a command line
_EXPERIMENTAL = frozenset({"flac", "truehd", "opus", "dts"})  # in MP4, for older ffmpegs
_QUICKTIME_LANGUAGES = {  # that ffmpeg's table for MOV has under their older codes, as it has Swedish under its own
    "deu": "ger", "nld": "dut", "ell": "gre", "isl": "ice", "zho": "chi", "sqi": "alb", "mkd": "mac", "hye": "arm",
    "kat": "geo", "bod": "tib", "mya": "bur", "msa": "may", "cym": "wel", "eus": "baq", "swe": "sve", "fre": "fra",
    "cze": "ces", "slo": "slk", "rum": "ron",
}  # fmt: skip
_DROP_MOSTLY_NEGATIVE = "noise=amount=0:drop=lt(pts+d/2\\,0)"  # AVI's sound begins at 0, whatever its times
DROP_NEGATIVE = "noise=amount=0:drop=lt(pts\\,0)"  # copypriorss is for copied streams only


def encoder_options(fate: Fate) -> dict[str, str]:
    """How the stream is encoded; empty if it is copied."""
    return {} if fate.action == "copy" else dict(_ENCODERS[str(fate.to_codec)])


def stream_options(
    fate: Fate, *, container: str, slow: Fraction, cut: bool, end: Fraction | None, rate: int | None, old: bool
) -> dict[str, str]:
    """Options of the stream, without its number.

    `end` (s) is where stretched sound ends, `rate` (Hz) that of its samples, `old` an ffmpeg before 6.
    """
    cut = cut and fate.kind in ("audio", "subtitle", "data")
    at_once = container == "avi" and fate.kind == "audio"
    late = (fate.to_codec or fate.codec) == "opus" and container in ("matroska", "webm") and old
    options = encoder_options(fate)
    if fate.kind == "subtitle" and cut and fate.action == "convert":
        options["bsf"] = DROP_NEGATIVE
    if fate.action == "copy":
        if fate.kind == "subtitle" and slow != 1:
            options = slowed_subtitle(slow)
        elif late:
            options["bsf"] = _OPUS_LATER
        elif at_once:
            options["bsf"] = _DROP_MOSTLY_NEGATIVE
        return {**options, "copypriorss": "0"} if cut else options
    if fate.kind == "audio":
        steps = _sound(end, slow=slow, cut=cut or at_once, rate=rate or 48_000)
        steps += [_OPUS_LAYOUTS] if fate.to_codec == "opus" else []
        steps += [_OPUS_ENCODED_LATER] if late else []
        options |= {"filter": ",".join(steps)} if steps else {}
    return options


def slowed_subtitle(slow: Fraction) -> dict[str, str]:
    """Options of a copied subtitle stream whose input has "itsscale", which leaves the durations as they are."""
    return {"bsf": f"setts=duration=DURATION*{slow.numerator}/{slow.denominator}"}


def needs_experimental(fate: Fate, container: str) -> bool:
    """Whether an older ffmpeg writes this stream only if it is told that experiments are welcome."""
    return container == "mp4" and (fate.to_codec or fate.codec) in _EXPERIMENTAL


def stream_tags(stream: OtherStream, container: str) -> list[str]:
    """Tags to be written otherwise than they were read, as KEY=VALUE.

    ffmpeg and the players built on it show an MP4's handler name, and do not read the title that ffmpeg writes.
    """
    tags = []
    if container in ("mp4", "mov") and stream.title and len(stream.title) <= _LONGEST_TITLE:
        tags.append(f"handler_name={stream.title}")
    if container == "mov" and stream.language in _QUICKTIME_LANGUAGES:
        tags.append(f"language={_QUICKTIME_LANGUAGES[stream.language]}")
    return tags


def _sound(end: Fraction | None, *, slow: Fraction, cut: bool, rate: int) -> list[str]:
    """Filters of converted sound: cut, gaps filled, stretched in steps that atempo takes, ended where it should."""
    steps = ["aresample=async=1:first_pts=0"] if cut or slow != 1 else []
    tempo = 1 / slow
    while tempo != 1:
        part = max(tempo, Fraction(1, 2))
        steps += _stretched(part, rate)
        tempo /= part
    return [*steps, "apad", f"atrim=end={float(end):.6f}"] if end else steps  # atempo drops up to 80 ms


def _stretched(tempo: Fraction, rate: int) -> list[str]:
    """One step of atempo, whose sound comes early by up to half of its window for each time that it is made longer.

    Measured with sweeps, which are a tenth of the window early, and with beeps in silence, which are nearly half.
    """
    window = 1 << (-(-rate // 24) - 1).bit_length()  # samples, as atempo chooses it
    late = round((1 / tempo - 1) * window / 4)
    return [f"atempo={float(tempo):.12f}", *([f"adelay={late}S:all=1"] if late else [])]


# ---- where sound begins and ends


def hidden_sound(
    info: MediaInfo, fates: Sequence[Fate], sound: Mapping[int, Span], *, zero: Fraction
) -> frozenset[int]:
    """The copied streams that begin so long before `zero` (s) that it is no priming: an edit list cuts that off.

    `sound` has the span of each, by its number.
    """
    if not has_edit_lists(info):
        return frozenset()
    copied = {fate.index for fate in fates if fate.kind == "audio" and fate.action == "copy"}
    return frozenset(index for index in copied & sound.keys() if sound[index].start < zero - PRIMING)


def has_edit_lists(info: MediaInfo) -> bool:
    """Whether the file is of the kind that may have some: MP4, MOV and the like."""
    return "mov" in info.container.split(",")


def stretched_ends(
    kept: Sequence[Fate],
    sound: Mapping[int, Span],
    *,
    zero: Fraction,
    slow: Fraction,
    stop: Fraction | None,
    shown: Fraction,
) -> dict[int, Fraction]:
    """Where each stretched stream of sound ends in the output, s, by its number in the original.

    `shown` is the source time until which the last frame is shown, s.
    """
    if slow == 1:
        return {}
    stretched = {fate.index for fate in kept if fate.kind == "audio" and fate.action == "convert"}
    ends = {i: without_padding(sound[i].end, shown) for i in stretched & sound.keys() if sound[i].end > zero}
    return {i: ((end if stop is None else min(end, stop)) - zero) * slow for i, end in ends.items()}


def without_padding(end: Fraction, shown: Fraction) -> Fraction:
    """When sound that ends at `end` is to end if the picture is shown until `shown`, s: a last packet is filled up."""
    return shown if 0 < end - shown < _PADDING else end

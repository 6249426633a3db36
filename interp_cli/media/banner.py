"""The text in which `ffmpeg -i` describes a file, read into values. Times and rates in it are rounded.

Its shape is that of av_dump_format in libavformat/dump.c, unchanged in all versions that vfi takes but for details,
which tests/test_probe.py holds as a table of real banners.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from fractions import Fraction

from interp_cli.media.types import Color, OtherStream

_OPENED = re.compile(r"Input #0, (\S+), from '")
_DURATION = re.compile(r"  Duration: .*?start: (-?[\d.]+)")
_STREAM = re.compile(
    r"(?:  ){1,2}Stream #0:(\d+)(?:\[0x[0-9a-f]+\])?(?:\[\S+?\])?(?:\((\w+)\))?: "
    r"(Video|Audio|Subtitle|Data|Attachment|Unknown): (.*)"
)
_TAG = re.compile(r" +(\S[^:]*?) *: (.*)")
_ROTATION = re.compile(r"display ?matrix: rotation of (-?[\d.]+) degrees", re.IGNORECASE)
_LAYOUTS = {"mono": 1, "stereo": 2, "downmix": 2, "quad": 4, "quad(side)": 4, "hexagonal": 6, "octagonal": 8, "cube": 8}
_RANGES = ("tv", "pc")
_FIELD_ORDERS = {
    "progressive": "progressive",
    "top first": "tt",
    "bottom first": "bb",
    "top coded first (swapped)": "tb",
    "bottom coded first (swapped)": "bt",
}
_LOCATIONS = ("left", "center", "topleft", "top", "bottomleft", "bottom")
_FLAGS = re.compile(r" \((default|dub|original|comment|lyrics|karaoke|forced|[a-z][a-z ]*)\)$")


@dataclass(slots=True, kw_only=True)
class StreamLine:
    """What the banner says of one stream. `rotation` is in degrees clockwise, as a player applies it."""

    index: int
    kind: str  # "video", "audio", "subtitle", "data", "attachment"
    codec: str
    language: str | None
    attached_picture: bool = False
    color: Color = field(default_factory=Color)
    field_order: str = "progressive"
    rate: Fraction | None = None  # frames/s
    rotation: int = 0
    sample_rate: int | None = None  # Hz
    channels: int | None = None
    tags: tuple[tuple[str, str], ...] = ()

    def other(self) -> OtherStream:
        """The same as a stream that is carried, not interpolated."""
        named = {key.lower(): value for key, value in self.tags}
        return OtherStream(
            index=self.index,
            kind=self.kind,
            codec=self.codec,
            language=self.language,
            title=named.get("title"),
            attached_picture=self.attached_picture,
            sample_rate=self.sample_rate,
            channels=self.channels,
            tags=self.tags,
        )


@dataclass(slots=True, kw_only=True)
class Banner:
    """What the banner says of the file. `start` (s) is exact to a microsecond."""

    container: str
    streams: list[StreamLine]
    start: Fraction = Fraction(0)
    chapters: int = 0
    tags: tuple[tuple[str, str], ...] = ()


def parse_banner(lines: Iterable[str]) -> Banner | None:
    """The banner among `lines` of ffmpeg's log; None if no input was opened."""
    text = list(lines)
    begin = next((n for n, line in enumerate(text) if _OPENED.match(line)), None)
    if begin is None:
        return None
    opened = _OPENED.match(text[begin])
    assert opened is not None
    banner = Banner(container=opened[1].rstrip(","), streams=[])
    depth = 0  # columns before the tags of the part that we are in; 0: not among tags
    tags: list[tuple[str, str]] = []
    of_file = tags
    lists: list[tuple[StreamLine, list[tuple[str, str]]]] = []
    named = next((n for n in range(begin, len(text)) if text[n].endswith("':")), begin)  # a name may hold line ends
    for line in text[named + 1 :]:
        if line and not line.startswith(" ") and not line.startswith("["):
            break  # the output's part, or the end
        if (found := re.fullmatch(r"( +)Metadata:", line)) is not None:
            depth = len(found[1]) + 2
        elif line.strip() == "Side data:":
            depth = 0
        elif depth and line.startswith(" " * depth) and (tag := _TAG.match(line)):
            tags.append((tag[1], tag[2]))
        elif depth and (more := re.match(r" {18,}: (.*)", line)) and tags:
            tags[-1] = (tags[-1][0], f"{tags[-1][1]}\n{more[1]}")
        elif (found := _STREAM.match(line)) is not None:
            stream = _stream(found)
            tags, depth = [], 0
            if stream.index not in {known.index for known in banner.streams}:  # it may be in several groups
                banner.streams.append(stream)
            lists.append((stream, tags))
        elif (found := _ROTATION.search(line)) is not None and lists:
            lists[-1][0].rotation = round(-float(found[1])) % 360
        elif (found := _DURATION.match(line)) is not None:
            banner.start, depth = Fraction(found[1]), 0
        elif re.match(r" +Chapter #0:", line):
            banner.chapters += 1
            tags, depth = [], 0
        elif re.match(r"  (Program|Stream group) ", line):
            tags, depth = [], 0
    banner.tags = tuple(of_file)
    for stream, own in lists:
        stream.tags = tuple(own)
    banner.streams.sort(key=lambda s: s.index)
    return banner


def _stream(found: re.Match[str]) -> StreamLine:
    kind = {"unknown": "data"}.get(found[3].lower(), found[3].lower())
    rest, flags = found[4], []
    while flag := _FLAGS.search(rest):
        flags.append(flag[1])
        rest = rest[: flag.start()]
    parts = _outer_parts(rest)
    stream = StreamLine(
        index=int(found[1]),
        kind=kind,
        codec=_codec(parts[0]),
        language=None if found[2] in (None, "und") else found[2],
        attached_picture="attached pic" in flags,
    )
    for part in parts[1:]:
        if kind == "video":
            _read_video(stream, part)
        elif kind == "audio":
            _read_audio(stream, part)
    return stream


def _outer_parts(text: str) -> list[str]:
    """What stands between the commas outside all brackets: "yuv422p(tv, top coded first (swapped))" is one part."""
    parts, depth = [""], 0
    for piece in text.split(", "):
        parts[-1] += f", {piece}" if depth else piece
        depth = max(0, depth + sum(map(piece.count, "([")) - sum(map(piece.count, ")]")))
        if not depth:
            parts.append("")
    return parts[:-1] if depth == 0 else parts


def _codec(text: str) -> str:
    """The codec's name, or the container's four letters where ffmpeg has none ("none (mebx / 0x7862656D)")."""
    name = text.split(" ")[0]
    letters = re.search(r"\((\w{4}) / 0x", text)
    return letters[1] if name in ("none", "bin_data", "unknown") and letters else name


def _read_video(stream: StreamLine, part: str) -> None:
    if rate := re.fullmatch(r"([\d.]+)(k?) fps", part):
        stream.rate = exact_rate(rate[1]) * (1000 if rate[2] else 1)
    elif described := re.fullmatch(r"[a-z]\w*\((.*)\)", part):
        _read_color(stream, described[1].split(", "))


def _read_color(stream: StreamLine, words: list[str]) -> None:
    values: dict[str, str] = {}
    for word in words:
        if word in _RANGES:
            values["range"] = word
        elif word in _FIELD_ORDERS:
            stream.field_order = _FIELD_ORDERS[word]
        elif word in _LOCATIONS:
            values["location"] = word
        elif not word.endswith(" bpc"):
            three = word.split("/") if "/" in word else [word] * 3
            for key, value in zip(("matrix", "primaries", "transfer"), three, strict=False):
                if value not in ("unknown", "reserved", "unspecified"):
                    values[key] = value
    stream.color = Color(**values)


def _read_audio(stream: StreamLine, part: str) -> None:
    if rate := re.fullmatch(r"(\d+) Hz", part):
        stream.sample_rate = int(rate[1])
    elif count := re.fullmatch(r"(\d+) channels.*", part):
        stream.channels = int(count[1])
    elif part in _LAYOUTS:
        stream.channels = _LAYOUTS[part]
    elif layout := re.fullmatch(r"(\d)\.(\d)(?:\.(\d))?(?:\(.*\))?", part):
        stream.channels = sum(int(n) for n in layout.groups() if n)


def exact_rate(printed: str) -> Fraction:
    """The frame rate that ffmpeg prints as `printed`, cut to two digits: "23.98" is 24000/1001, "29.97" 30000/1001."""
    value = Fraction(printed)
    ntsc = Fraction(round(value * 1001 / 1000) * 1000, 1001)
    return ntsc if value.denominator > 1 and abs(ntsc - value) <= Fraction(1, 200) else value

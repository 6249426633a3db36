"""--map: which of a file's other streams are wanted, in that part of ffmpeg's specifiers that people know. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from interp_cli.errors import UsageError

if TYPE_CHECKING:
    from interp_cli.media.types import MediaInfo, OtherStream

_KINDS = {"v": "video", "V": "video", "a": "audio", "s": "subtitle", "d": "data", "t": "attachment"}
_NUMBER = re.compile("[0-9]{1,6}")


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamSpec:
    """Streams that are added to the wanted ones, or taken from them."""

    text: str  # as it was given
    minus: bool = False
    kind: str | None = None  # a key of ffmpeg's: "v", "V" (no covers), "a", "s", "d", "t"
    number: int | None = None  # among those of the kind, or in the whole file
    key: str | None = None  # of a tag that the stream has
    value: str | None = None  # of that tag
    optional: bool = False  # it may match nothing


def parse_spec(text: str) -> StreamSpec:
    """`text` such as "a", "s:0", "0:2", "m:language:eng", "-s" or "a:1?" as a value. Raises UsageError."""
    parts = text.removeprefix("-").removesuffix("?").split(":")
    kind = number = key = value = None
    if _NUMBER.fullmatch(parts[0]):
        file, *parts = parts
        if int(file):
            meant = "" if parts else f"; 0:{file} is stream {file}"
            raise UsageError(f"{text!r} is about input {file}, and there is only input 0{meant}")
    if parts and parts[0] in _KINDS:
        kind, *parts = parts
    if parts and _NUMBER.fullmatch(parts[0]):
        number, *parts = int(parts[0]), *parts[1:]
    elif len(parts) > 1 and parts[0] == "m" and parts[1]:
        key, value, parts = parts[1], ":".join(parts[2:]) or None, []
    if parts:
        raise UsageError(
            f"{text!r} names no streams: give a kind (a, s, v, d or t), alone or with a number, such as a:0, or 0:2 "
            "for stream 2, or m:language:eng; with a minus before it they are left out"
        )
    maybe, minus = text.endswith("?"), text.startswith("-")
    return StreamSpec(text=text, minus=minus, kind=kind, number=number, key=key, value=value, optional=maybe)


def chosen_streams(info: MediaInfo, specs: Sequence[StreamSpec]) -> frozenset[int]:
    """The numbers of the streams of `info.others` that are wanted: all of them if there are no specs.

    As with ffmpeg's -map, specs add and take away in their order; if the first takes away, it does from all. The video
    itself is never taken away. Raises UsageError for one that adds nothing, unless it ends in "?".
    """
    everything = frozenset(stream.index for stream in info.others)
    chosen = everything if not specs or specs[0].minus else frozenset()
    for spec in specs:
        matching = _matching(info, spec)
        if not (matching or spec.minus or spec.optional):
            raise UsageError(
                f"--map {spec.text} matches no stream of {info.path}, which vfi probe lists: write {spec.text}? for "
                "files that may have none"
            )
        chosen = chosen - matching if spec.minus else chosen | matching
    return chosen & everything


def _matching(info: MediaInfo, spec: StreamSpec) -> frozenset[int]:
    """The numbers of all streams that `spec` is about, that of the video among them."""
    own = info.video
    found = [(own.index, "video", False, {key.lower(): value for key, value in own.tags})]
    found += [(stream.index, stream.kind, stream.attached_picture, _tags(stream)) for stream in info.others]
    if spec.kind is not None:
        found = [entry for entry in found if entry[1] == _KINDS[spec.kind] and not (spec.kind == "V" and entry[2])]
    found.sort(key=lambda entry: entry[0])
    if spec.number is not None:
        by_kind = found[spec.number : spec.number + 1]
        found = by_kind if spec.kind is not None else [entry for entry in found if entry[0] == spec.number]
    if spec.key is not None:
        key = spec.key.lower()
        found = [entry for entry in found if key in entry[3] and spec.value in (None, entry[3][key])]
    return frozenset(entry[0] for entry in found)


def _tags(stream: OtherStream) -> dict[str, str]:
    tags = {key.lower(): value for key, value in stream.tags}
    return {**tags, **({"language": stream.language} if stream.language else {})}

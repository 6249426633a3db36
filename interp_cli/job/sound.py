"""When the source's sound begins and ends: read once, beside the making of frames, for joining and the self-check."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction

from interp_cli.job.prepare import Prepared
from interp_cli.media.children import stop_children
from interp_cli.media.mux import clock_zero
from interp_cli.media.packets import Span, spans_since
from interp_cli.media.tracks import hidden_sound


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceSound:
    """The spans of the streams of sound that are kept, by their number in the source."""

    whole: Mapping[int, Span]
    used: Mapping[int, Span]  # of what the result gets: from where the part begins, without what an edit list hides


def zero_of(work: Prepared) -> Fraction:
    """The time on the source's clock, s, that is 0 in the result."""
    start = work.part.start
    if work.rendering is not None:
        return start
    return clock_zero(work.info, container=work.container, video_start=start, trim=work.trim)


def read_sound(work: Prepared) -> SourceSound:
    """One pass over the source's packets, if it has sound that is kept. Raises InputError."""
    kept = [fate.index for fate in work.fates if fate.kind == "audio" and fate.action != "drop"]
    zero = zero_of(work)
    begin = zero if work.trim is None else work.trim[0]
    whole, late = spans_since(work.info, kept, (None, begin), ffmpeg=work.ffmpeg)
    if work.trim is not None:
        return SourceSound(whole=whole, used=late)
    hidden = hidden_sound(work.info, work.fates, whole, zero=zero)
    return SourceSound(whole=whole, used={**whole, **{index: late[index] for index in hidden & late.keys()}})


@contextmanager
def sound_read_beside(work: Prepared) -> Iterator[Callable[[], SourceSound]]:
    """What `read_sound` says, for later in the block: it is read in a thread of its own, which the block outlasts."""
    with ThreadPoolExecutor(1, thread_name_prefix="vfi-sound") as thread:
        reading = thread.submit(read_sound, work)
        try:
            yield reading.result
        except BaseException:
            stop_children()  # else leaving would wait for the end of a long file
            raise

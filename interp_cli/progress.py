"""What a running job tells the person or program that waits: a bar, JSON lines, or nothing. All of it on stderr."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol, TextIO, cast

from interp_cli.errors import printable
from interp_cli.options import ProgressStyle

JSON_INTERVAL = 1.0  # s: a reader is told no more often


class Progress(Protocol):
    """Told of a job's course: `start`, `advance` per output frame, `end`; and of `note`s at any time."""

    def start(self, *, frames: int, done: int = 0, **facts: Any) -> None:
        """A job of `frames` output frames begins, of which `done` were made by an earlier run."""
        ...

    def advance(self) -> None:
        """One more output frame is written."""
        ...

    def note(self, text: str) -> None:
        """Something that the user should know, as one sentence."""
        ...

    def end(self, *, done: bool) -> None:
        """The job ended; `done` is False when it failed or was stopped."""
        ...


class Silent:
    """Says nothing at all."""

    def start(self, *, frames: int, done: int = 0, **facts: Any) -> None:
        """Nothing."""

    def advance(self) -> None:
        """Nothing."""

    def note(self, text: str) -> None:
        """Nothing."""

    def end(self, *, done: bool) -> None:
        """Nothing."""


class NotesOnly(Silent):
    """No progress, but notes."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def note(self, text: str) -> None:
        """One line."""
        print(f"vfi: {printable(text)}", file=self.stream, flush=True)


class Bar(NotesOnly):
    """A bar with frames, frames/s and the time that is left."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._bar: Any = None

    def start(self, *, frames: int, done: int = 0, **facts: Any) -> None:
        """Draw the bar."""
        from tqdm import tqdm

        how: dict[str, Any] = {"unit": "frame", "dynamic_ncols": True, "smoothing": 0.05}
        self._bar = tqdm(total=frames, initial=done, file=self.stream, **how)

    def advance(self) -> None:
        """Move it."""
        self._bar.update()

    def note(self, text: str) -> None:
        """A line above the bar."""
        if self._bar is None:
            super().note(text)
        else:
            self._bar.write(f"vfi: {printable(text)}", file=self.stream)

    def end(self, *, done: bool) -> None:
        """Leave the bar standing as it is."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None


class JsonLines:
    """One object per line: start, frames (at most one per second), note, end."""

    def __init__(self, stream: TextIO, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.stream, self._clock = stream, clock
        self._done = self._earlier = self._of = 0
        self._begun = self._said = 0.0

    def start(self, *, frames: int, done: int = 0, **facts: Any) -> None:
        """`{"event": "start", "done": .., "of": frames, ...}` with the facts of the job."""
        self._done, self._earlier, self._of = done, done, frames
        self._begun = self._said = self._clock()
        self._say("start", done=done, of=frames, **facts)

    def advance(self) -> None:
        """`{"event": "frames", "done": .., "of": .., "frames_per_s": ..}`."""
        self._done += 1
        now = self._clock()
        if now - self._said >= JSON_INTERVAL:
            self._said = now
            self._say("frames", done=self._done, of=self._of, frames_per_s=self._speed(now))

    def note(self, text: str) -> None:
        """`{"event": "note", "text": ..}`."""
        self._say("note", text=text)

    def end(self, *, done: bool) -> None:
        """`{"event": "end", "ok": .., "done": .., "of": .., "frames_per_s": ..}`."""
        self._say("end", ok=done, done=self._done, of=self._of, frames_per_s=self._speed(self._clock()))
        self._done = self._earlier = self._of = 0  # an input that fails before it starts must not repeat these

    def _speed(self, now: float) -> float:
        return round((self._done - self._earlier) / max(now - self._begun, 1e-6), 2)

    def _say(self, event: str, **facts: Any) -> None:
        print(json.dumps({"event": event, **facts}), file=self.stream, flush=True)


class _Steadfast:
    """A stream that may break without ending the work that is told of on it: a closed terminal, a reader that left."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """All of `text`, or nothing."""
        with suppress(OSError):
            return self._stream.write(text)
        return 0

    def flush(self) -> None:
        """As far as that is possible."""
        with suppress(OSError):
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def make_progress(style: ProgressStyle, *, stream: TextIO, quiet: bool = False) -> Progress:
    """What `--progress` and `-q` ask for; quiet silences everything but errors."""
    if quiet:
        return Silent()
    stream = cast(TextIO, _Steadfast(stream))
    if style is ProgressStyle.JSON:
        return JsonLines(stream)
    if style is ProgressStyle.ALWAYS or (style is ProgressStyle.AUTO and stream.isatty()):
        return Bar(stream)
    return NotesOnly(stream)

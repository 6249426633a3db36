"""Progress says what was asked for: a bar on a terminal, JSON lines at most once a second, or nothing."""

import io
import json
from collections.abc import Iterator

import pytest

from interp_cli.options import ProgressStyle
from interp_cli.progress import Bar, JsonLines, NotesOnly, Progress, Silent, make_progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def a_job(progress: Progress, frames: int = 10) -> None:
    progress.start(frames=frames, input="in.mp4")
    for _ in range(frames):
        progress.advance()
    progress.note("something")
    progress.end(done=True)


@pytest.mark.parametrize(
    ("style", "terminal", "quiet", "kind"),
    [
        ("auto", True, False, Bar),
        ("auto", False, False, NotesOnly),
        ("always", False, False, Bar),
        ("never", True, False, NotesOnly),
        ("json", False, False, JsonLines),
        ("json", True, True, Silent),
        ("auto", True, True, Silent),
    ],
)
def test_the_style_follows_option_and_stream(style: str, terminal: bool, quiet: bool, kind: type) -> None:
    stream = Terminal() if terminal else io.StringIO()
    assert type(make_progress(ProgressStyle(style), stream=stream, quiet=quiet)) is kind


def test_silence_is_silent() -> None:
    a_job(Silent())  # has no stream to write to


def test_without_a_terminal_only_notes_are_written() -> None:
    stream = io.StringIO()
    a_job(make_progress(ProgressStyle.AUTO, stream=stream))
    assert stream.getvalue() == "vfi: something\n"


def test_the_bar_shows_frames_and_speed_and_keeps_notes_apart() -> None:
    stream = Terminal()
    a_job(make_progress(ProgressStyle.AUTO, stream=stream))
    shown = stream.getvalue()
    assert "10/10" in shown
    assert "frame/s" in shown
    assert "vfi: something\n" in shown


def test_a_note_before_the_bar_is_a_line() -> None:
    stream = Terminal()
    Bar(stream).note("first")
    assert stream.getvalue() == "vfi: first\n"


def test_json_lines_are_objects_at_most_one_a_second() -> None:
    times = iter([0.0, *(0.3 * k for k in range(1, 11)), 3.5])
    stream = io.StringIO()
    a_job(JsonLines(stream, clock=lambda: next(times)))
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert lines[0] == {"event": "start", "done": 0, "of": 10, "input": "in.mp4"}
    told = [line for line in lines if line["event"] == "frames"]
    assert [line["done"] for line in told] == [4, 8]  # at 1.2 s and 2.4 s
    assert all(line["of"] == 10 for line in told)
    assert told[0]["frames_per_s"] == pytest.approx(4 / 1.2, abs=0.01)
    assert lines[-2] == {"event": "note", "text": "something"}
    assert lines[-1]["event"] == "end"
    assert lines[-1]["ok"] is True
    assert lines[-1]["done"] == 10


def test_a_second_job_counts_from_the_beginning() -> None:
    clock: Iterator[float] = iter(range(1000))  # type: ignore[assignment]
    stream = io.StringIO()
    progress = JsonLines(stream, clock=lambda: float(next(clock)))
    a_job(progress, 3)
    a_job(progress, 5)
    ends = [json.loads(line) for line in stream.getvalue().splitlines() if '"end"' in line]
    assert [(end["done"], end["of"]) for end in ends] == [(3, 3), (5, 5)]

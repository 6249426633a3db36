"""The pipeline passes every frame on in order, bounds what it holds, and ends whole however one of its parts ends."""

import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import numpy as np
import pytest

from interp_cli.errors import FfmpegError, InputError, InterruptedBySignal
from interp_cli.job.pipeline import LEAST_FRAMES, Cancelled, Channel, run_pipeline
from interp_cli.job.stop import Stop
from interp_cli.media.ffmpeg import Input, Output, child, find_ffmpeg
from interp_cli.media.types import Planes, pixel_format

GRAY = pixel_format("gray")


def frame(number: int, *, size: int = 4) -> Planes:
    return Planes(number, (np.zeros((size, size), np.uint8),), GRAY)


class Source:
    """A source of `count` frames that remembers how it was left; it fails after `fails_after` frames."""

    def __init__(self, count: int, *, fails_after: int | None = None, size: int = 4) -> None:
        self.count, self.fails_after, self.size = count, fails_after, size
        self.given = 0
        self.left: str | None = None

    def __enter__(self) -> Iterator[Planes]:
        return self.frames()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.left = "normally" if kind is None else kind.__name__

    def frames(self) -> Iterator[Planes]:
        for number in range(self.count):
            if number == self.fails_after:
                raise InputError("the source is broken")
            self.given += 1
            yield frame(number, size=self.size)


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) <= before


def same(frames: Iterator[Planes]) -> Iterator[Planes]:
    return frames


def run(
    source: Source,
    sink: Callable[[Iterator[Planes]], None],
    *,
    make: Callable[[Iterator[Planes]], Iterable[Planes]] = same,
    stop: Stop | None = None,
    queue_bytes: int = 64,
) -> None:
    run_pipeline(source, make, sink, stop=stop or Stop(), queue_bytes=queue_bytes)


def test_every_frame_arrives_in_order() -> None:
    seen: list[int] = []
    source = Source(500)
    run(source, lambda frames: seen.extend(p.pts for p in frames))
    assert seen == list(range(500))
    assert source.left == "normally"


def test_the_middle_may_make_more_frames_or_take_fewer() -> None:
    seen: list[int] = []

    def twice_the_first_ten(frames: Iterator[Planes]) -> Iterator[Planes]:
        for _ in range(10):
            planes = next(frames)
            yield planes
            yield planes

    source = Source(200)
    run(source, lambda frames: seen.extend(p.pts for p in frames), make=twice_the_first_ten)
    assert seen == [n for n in range(10) for _ in range(2)]
    assert source.given == 200, "the decoder's own end is waited for"


def test_an_error_of_the_decoder_is_raised_once_and_the_encoder_is_left_by_exception() -> None:
    ends: list[str] = []

    def sink(frames: Iterator[Planes]) -> None:
        try:
            for _ in frames:
                pass
        except Cancelled:
            ends.append("cancelled")
            raise

    source = Source(50, fails_after=20)
    with pytest.raises(InputError, match="broken"):
        run(source, sink)
    assert source.left == "InputError"
    assert ends == ["cancelled"]


def test_an_error_of_the_encoder_ends_the_decoder() -> None:
    def sink(frames: Iterator[Planes]) -> None:
        next(frames)
        raise FfmpegError("no space", returncode=1, last_lines=("No space left on device",))

    source = Source(10_000)
    with pytest.raises(FfmpegError) as caught:
        run(source, sink)
    assert caught.value.last_lines == ("No space left on device",)
    assert source.left == "Cancelled"
    assert source.given < 100


def test_an_error_of_the_middle_ends_both() -> None:
    def make(frames: Iterator[Planes]) -> Iterator[Planes]:
        yield next(frames)
        raise MemoryError("too large")

    source = Source(10_000)
    with pytest.raises(MemoryError, match="too large"):
        run(source, lambda frames: [None for _ in frames].clear(), make=make)
    assert source.left == "Cancelled"


def test_a_sink_that_ends_early_is_an_error_and_not_a_standstill() -> None:
    with pytest.raises(RuntimeError, match="more frames were made"):
        run(Source(50), lambda frames: [next(frames), None].clear())


def test_a_source_that_cannot_be_opened_is_its_error() -> None:
    @contextmanager
    def closed() -> Iterator[Iterator[Planes]]:
        raise InputError("cannot open")
        yield iter(())

    with pytest.raises(InputError, match="cannot open"):
        run_pipeline(closed(), same, lambda frames: [None for _ in frames].clear(), stop=Stop())


def test_the_queues_hold_no_more_bytes_than_their_bound() -> None:
    source = Source(200, size=8)  # 64 bytes a frame
    ahead: list[int] = []

    def slow(frames: Iterator[Planes]) -> None:
        for taken, _ in enumerate(frames):
            time.sleep(0.002)
            ahead.append(source.given - taken)

    run(source, slow, queue_bytes=64 * 5)
    assert max(ahead) <= 5 + 5 + 3  # two full queues, and one frame in the hand of each of the three
    assert max(ahead) > 5, "the decoder works ahead"


def test_a_frame_larger_than_the_bound_still_passes_beside_its_neighbour() -> None:
    channel = Channel(limit=1)
    for number in range(LEAST_FRAMES):
        channel.put(frame(number))  # would block for ever otherwise
    channel.end()
    assert [p.pts for p in channel] == list(range(LEAST_FRAMES))


def test_the_first_signal_stops_at_the_next_frame_and_everything_is_joined() -> None:
    stop = Stop()

    def make(frames: Iterator[Planes]) -> Iterator[Planes]:
        for planes in frames:
            if planes.pts == 30:
                stop.request(signal.SIGTERM)
            yield planes

    source = Source(100_000)
    with pytest.raises(InterruptedBySignal) as caught:
        run(source, lambda frames: [None for _ in frames].clear(), make=make, stop=stop)
    assert caught.value.exit_code == 143
    assert source.given < 1000
    assert source.left == "Cancelled"


def test_a_real_signal_wakes_a_main_thread_that_waits_for_frames() -> None:
    stop = Stop()
    never = threading.Event()

    class Stuck(Source):
        def frames(self) -> Iterator[Planes]:
            yield frame(0)
            never.wait(1)  # a decoder that takes its time
            yield frame(1)

    before = signal.signal(signal.SIGINT, lambda signum, _: stop.request(signum))
    timer = threading.Timer(0.2, lambda: signal.raise_signal(signal.SIGINT))
    try:
        timer.start()
        with pytest.raises(InterruptedBySignal) as caught:
            run(Stuck(2), lambda frames: [None for _ in frames].clear(), stop=stop)
    finally:
        timer.join()
        signal.signal(signal.SIGINT, before)
    assert caught.value.exit_code == 130


def test_a_request_outside_a_deferred_block_interrupts_at_once_and_inside_waits() -> None:
    stop = Stop()
    with pytest.raises(KeyboardInterrupt):
        stop.request(signal.SIGINT)
    other = Stop()
    with other.deferred():
        other.request(signal.SIGINT)
    with pytest.raises(InterruptedBySignal):
        other.check()


def test_a_signal_ends_a_decoder_that_has_not_given_a_frame_yet() -> None:
    stop = Stop()

    @contextmanager
    def slow() -> Iterator[Iterator[Planes]]:
        # ffmpeg itself holds the first frame back for a minute
        endless = Input("color=size=16x16:rate=1/60", {"f": "lavfi", "re": None})
        written = Output("pipe:1", (), {"f": "rawvideo", "vf": "trim=start_frame=1"})
        with child(find_ffmpeg(), [endless], [written]) as running:
            running.fill(memoryview(bytearray(1)))
            yield iter(())

    timer = threading.Timer(1.0, stop.request, [signal.SIGINT])
    timer.start()
    begun = time.monotonic()
    with pytest.raises(InterruptedBySignal):
        run_pipeline(slow(), lambda frames: frames, lambda frames: [None for _ in frames].clear(), stop=stop)
    assert time.monotonic() - begun < 10

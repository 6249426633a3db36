"""Decode | interpolate | encode, side by side: two threads and the main one; the queues between bound their bytes."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager

from interp_cli.job.stop import Stop
from interp_cli.media.children import stop_children
from interp_cli.media.types import Planes

QUEUE_BYTES = 16 << 20  # beyond a few frames a queue smooths nothing more; it only makes long inputs take more memory
LEAST_FRAMES = 2  # so that neighbours run side by side however large a frame is


class Cancelled(Exception):  # noqa: N818 - not an error: the other side has gone
    """The channel was cancelled: whoever uses it has nothing more to do."""


class Channel:
    """A queue of frames from one thread to one other. Holds at most `limit` bytes, but always LEAST_FRAMES frames.

    `cancel` may be called by a signal handler whose thread is inside `put` or the iterator: the lock is re-entrant.
    """

    def __init__(self, limit: int = QUEUE_BYTES) -> None:
        self._limit = limit
        self._frames: deque[Planes] = deque()
        self._bytes = 0
        self._ended = self._cancelled = False
        self._changed = threading.Condition(threading.RLock())

    def put(self, planes: Planes) -> None:
        """Add a frame, as soon as there is room. Raises Cancelled."""
        size = planes.nbytes
        with self._changed:
            while len(self._frames) >= LEAST_FRAMES and self._bytes + size > self._limit and not self._cancelled:
                self._changed.wait()
            if self._cancelled:
                raise Cancelled
            self._frames.append(planes)
            self._bytes += size
            self._changed.notify_all()

    def end(self) -> None:
        """No frame follows."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def cancel(self) -> None:
        """Drop what is held and stop both sides: from now on `put` and the iterator raise Cancelled."""
        with self._changed:
            self._cancelled = True
            self._frames.clear()
            self._bytes = 0
            self._changed.notify_all()

    def check(self) -> None:
        """Raises Cancelled if it was cancelled."""
        with self._changed:
            if self._cancelled:
                raise Cancelled

    def __iter__(self) -> Iterator[Planes]:
        """The frames up to the end. Raises Cancelled."""
        while (planes := self._take()) is not None:
            yield planes

    def _take(self) -> Planes | None:
        with self._changed:
            while not (self._frames or self._ended or self._cancelled):
                self._changed.wait()
            if self._cancelled:
                raise Cancelled
            if not self._frames:
                return None
            planes = self._frames.popleft()
            self._bytes -= planes.nbytes
            self._changed.notify_all()
            return planes


class _Crew:
    """The threads of one pipeline and the first error of any of them, the main thread included."""

    def __init__(self, cancel: Callable[[], None]) -> None:
        self._cancel = cancel
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self.error: BaseException | None = None

    def start(self, name: str, work: Callable[[], None]) -> None:
        """Run `work` in a thread."""

        def guarded() -> None:
            try:
                work()
            except BaseException as error:
                self.fail(error)

        thread = threading.Thread(target=guarded, name=f"vfi-{name}")
        thread.start()
        self._threads.append(thread)

    def fail(self, error: BaseException) -> None:
        """Remember `error` if it is the first, and stop everyone."""
        with self._lock:
            if self.error is None or isinstance(self.error, Cancelled):
                self.error = error
        self._cancel()

    def join(self) -> None:
        """Wait until every thread has ended."""
        for thread in self._threads:
            thread.join()


def run_pipeline(
    source: AbstractContextManager[Iterable[Planes]],
    make: Callable[[Iterator[Planes]], Iterable[Planes]],
    sink: Callable[[Iterator[Planes]], None],
    *,
    stop: Stop,
    queue_bytes: int = QUEUE_BYTES,
) -> None:
    """Pass the frames of `source` through `make` (in this thread) into `sink`; memory stays bounded.

    Both ends run in threads of their own, which have ended when this returns or raises. The first error of the three
    is raised here, once; an end asked for through `stop` is InterruptedBySignal.
    """
    to_make, to_sink = Channel(queue_bytes), Channel(queue_bytes)

    def cancel() -> None:
        to_make.cancel()
        to_sink.cancel()
        stop_children()  # a thread that waits for ffmpeg hears of nothing else

    def read() -> None:
        with source as frames:
            to_make.check()  # whoever cancelled just now may not have seen the child that `source` has started
            for planes in frames:
                to_make.put(planes)
        to_make.end()

    def write() -> None:
        frames = iter(to_sink)
        sink(frames)
        if next(frames, None) is not None:
            raise RuntimeError("more frames were made than were planned")

    crew = _Crew(cancel)
    with stop.deferred(cancel):
        try:
            stop.check()
            crew.start("decode", read)
            crew.start("encode", write)
            arriving = iter(to_make)
            for planes in make(arriving):
                to_sink.put(planes)
            for _ in arriving:  # the rest nobody needs, but how the decoder ends is to be known
                pass
            to_sink.end()
        except BaseException as error:
            crew.fail(error)
        finally:
            crew.join()
    stop.check()
    if crew.error is not None:
        raise crew.error

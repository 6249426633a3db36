"""Work for a few threads, in an order that never lets one of them wait for long: each piece names those it needs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

Made = TypeVar("Made")


class Tasks:
    """Runs what it is given on `workers` threads, begun in that order. After a failure nothing more is begun.

    A piece that waits for others keeps its thread. Those were given, and so begun, before it: one that waits for none
    is always among them.
    """

    def __init__(self, workers: int) -> None:
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="vfi-make")
        self._failure: Exception | None = None

    def begin(self, work: Callable[[], Made], after: Iterable[Future[Any]] = ()) -> Future[Made]:
        """The result of `work`, once all of `after` are done; or the first failure of any piece."""
        return self._pool.submit(self._run, work, [other for other in after if not other.done()])

    def end(self) -> None:
        """Wait for what has begun, and begin nothing more."""
        self._pool.shutdown(cancel_futures=True)

    def _run(self, work: Callable[[], Made], after: list[Future[Any]]) -> Made:
        try:
            for other in after:
                other.result()
            if self._failure is not None:
                raise self._failure
            return work()
        except Exception as error:
            self._failure = self._failure or error
            raise

"""What a signal does to a running job: end it at a safe point, or, the second time, at once."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn

from interp_cli.errors import InterruptedBySignal
from interp_cli.media.children import stop_children


class Stop:
    """Whether the user wants the work to end. `request` is for signal handlers, so for the main thread.

    The first request raises KeyboardInterrupt where the main thread stands, except inside `deferred`: there it only
    wakes what waits, and the work ends at its next `check`. The second one tidies up as far as that is quick and ends
    the process; children see their pipes close.
    """

    def __init__(self) -> None:
        self.signum: int | None = None
        self.before_the_end: list[Callable[[], None]] = []  # what the second request still does
        self._depth = 0
        self._wake: Callable[[], None] | None = None

    def request(self, signum: int) -> None:
        """Ask for the end, as signal `signum`."""
        if self.signum is not None:
            self._end_at_once(signum)
        self.signum = signum
        if self._wake is not None:
            self._wake()
        if not self._depth:
            raise KeyboardInterrupt

    def check(self) -> None:
        """Raise InterruptedBySignal if the end was asked for."""
        if self.signum is not None:
            raise InterruptedBySignal(self.signum)

    @contextmanager
    def deferred(self, wake: Callable[[], None] | None = None) -> Iterator[None]:
        """In this block a request does not interrupt; `wake` is called instead (in the signal handler)."""
        outer = self._wake
        self._depth += 1
        self._wake = wake or outer
        try:
            yield
        finally:
            self._wake = outer
            self._depth -= 1

    def _end_at_once(self, signum: int) -> None:
        stop_children()
        for action in self.before_the_end:
            action()
        leave(128 + signum)


def leave(code: int) -> NoReturn:
    """End the process at once, with all its threads.

    Of Ctrl-C it dies by that very signal: a shell says 130 of both, and only then takes it for its loop or script too.
    """
    if code == 128 + signal.SIGINT and os.name == "posix":
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    os._exit(code)

"""How much memory a process takes at its height, with all that it has started."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

INTERVAL = 0.05  # s


class Peak:
    """The largest sum seen so far, in bytes; 0 where the system does not tell (elsewhere than on Linux)."""

    bytes: int = 0


@contextmanager
def peak_memory(pid: int) -> Iterator[Peak]:
    """In this block, the resident memory of process `pid` and its descendants is looked at twenty times a second."""
    peak, over = Peak(), threading.Event()

    def watch() -> None:
        while True:
            peak.bytes = max(peak.bytes, _resident(pid))
            if over.wait(INTERVAL):
                return

    thread = threading.Thread(target=watch, name="vfi-memory", daemon=True)
    if sys.platform == "linux":
        thread.start()
    try:
        yield peak
    finally:
        over.set()
        if thread.ident is not None:
            thread.join()


def _resident(pid: int) -> int:
    """Resident bytes of a process and its descendants; pages that they share count for each of them."""
    total, waiting = 0, [pid]
    while waiting:
        place = Path("/proc", str(waiting.pop()))
        with suppress(OSError, ValueError, IndexError):  # it may have ended just now
            total += int((place / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
            for listing in place.glob("task/*/children"):
                waiting += map(int, listing.read_text().split())
    return total

"""The work directory of a job: hidden beside the output, locked, keyed, and kept while it holds finished segments.

.out.mp4.vfi/
  job.json        what was asked for (for `vfi resume`) and the key: everything that decides the frames
  done.jsonl      one line per finished segment, with its sha256; a torn last line counts as nothing
  lock            held by the vfi that works here; the system lets go of it however that vfi ends
  segment-*.nut   finished segments; part-* is one in the making, and worth nothing without its vfi
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

from interp_cli.errors import InterruptedBySignal, OutputError, VfiError
from interp_cli.job.faults import outside_faults
from interp_cli.job.lock import LOCK, own_folder
from interp_cli.job.stop import Stop
from interp_cli.weights import sha256_of

JOB, DONE = "job.json", "done.jsonl"
_LONGEST_NAME = 255  # bytes, of nearly every file system
_OURS = re.compile(
    r"job\.json(\.tmp)?|done\.jsonl|(segment|part)-\d+\.nut|result\.\w+|segments\.ffconcat|chapters\.ffmetadata"
    r"|palette\.png|pictures|subtitles\.mp4|subtitles\.mkv|cover-\d+\.(jpg|png)"
)
_SHOWN = 3  # differences of a key


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """A finished segment, as a line of the done-list."""

    k: int
    frames: int
    bytes: int
    sha256: str
    copied: int
    made: int
    cuts: tuple[int, ...]  # source frames before a cut, counted from the first one used
    scores: tuple[float | None, ...]  # of those cuts; None where they were given
    repeated: tuple[int, ...]  # source frames that show the drawing of the frame before


@dataclass(slots=True)
class WorkDirectory:
    """One that is ours as long as its `with` lasts. `published`: an earlier run had got as far as the final name."""

    folder: Path
    lock: IO[bytes]
    done: dict[int, Done] = field(default_factory=dict)
    published: bool = False
    going: bool = False  # its removal has begun

    def segment(self, k: int) -> Path:
        """Where finished segment `k` is."""
        return self.folder / f"segment-{k:05}.nut"

    def part(self, k: int) -> Path:
        """Where segment `k` is written."""
        return self.folder / f"part-{k:05}.nut"

    def keep(self, done: Done) -> None:
        """Segment `done.k` is whole: give it its name, then record it."""
        self.part(done.k).replace(self.segment(done.k))
        self._record(asdict(done))
        self.done[done.k] = done

    def about_to_publish(self, *finished: Path) -> None:
        """Remember what the files are that now get final names, which keep their inodes; have them safe on the disk.

        The last of them is the one that gets its name last.
        """
        if len(finished) > 1 and hasattr(os, "sync"):
            os.sync()
        with finished[-1].open("rb+") as file:
            os.fsync(file.fileno())
        self._record({"published": inode_of(finished[-1]), "files": [inode_of(path) for path in finished[:-1]]})

    def _record(self, line: Mapping[str, Any]) -> None:
        with (self.folder / DONE).open("a", encoding="utf-8") as file:
            file.write(f"\n{json.dumps(line)}\n")  # on a line of its own, whatever was torn before
            file.flush()
            os.fsync(file.fileno())

    def read_done(self, output: Path, stop: Stop) -> None:
        """Take over what an earlier run had done, as far as it is still whole."""
        lines = list(_lines(self.folder / DONE))
        self.published = _is_published(lines, output)
        for line in lines:
            stop.check()  # reading all of them again may take minutes
            with suppress(TypeError, KeyError):
                done = Done(**{**line, **{name: tuple(line[name]) for name in ("cuts", "scores", "repeated")}})
                if self.published or _is_whole(self.segment(done.k), done):
                    self.done[done.k] = done

    def clear(self) -> None:
        """Forget everything in it but the lock."""
        self.done, self.published = {}, False
        self._keep_only({LOCK})

    def tidy(self) -> None:
        """Remove what a killed run had not finished."""
        self._keep_only({JOB, DONE, LOCK, *(self.segment(k).name for k in self.done)})

    def remove(self) -> None:
        """Remove it, if it is still ours; last that by which a next run knows that this one was only tidying.

        A second signal may ask for it in the midst of that.
        """
        with suppress(OSError):
            if not self.going and not os.path.samestat(os.fstat(self.lock.fileno()), (self.folder / LOCK).stat()):
                return
            self.going = True
            self._keep_only({JOB, DONE, LOCK})
            for name in (JOB, DONE):
                (self.folder / name).unlink(missing_ok=True)
            if sys.platform == "win32":  # where an open file cannot be removed
                self.lock.close()
            (self.folder / LOCK).unlink(missing_ok=True)
            self.folder.rmdir()

    def _keep_only(self, names: set[str]) -> None:
        for path in self.folder.iterdir():
            if path.name not in names and _OURS.fullmatch(path.name):
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()

    def size(self) -> int:
        """Bytes of the finished segments."""
        return sum(done.bytes for done in self.done.values())


def place_of(output: Path) -> Path:
    """The work directory that belongs to `output`, always the same one."""
    name = os.fsencode(output.name)
    if len(name) > _LONGEST_NAME - len("..vfi"):
        cut = name[:180].decode("utf-8", errors="ignore").encode()
        name = cut + b"-" + hashlib.sha256(name).hexdigest()[:16].encode()
    return output.parent / os.fsdecode(b"." + name + b".vfi")


@contextmanager
def work_directory(
    output: Path,
    *,
    job: Mapping[str, Any],
    key: Mapping[str, str],
    fresh: bool,
    segments: int,
    stop: Stop,
    last: Path | None = None,
    kept: bool = True,
) -> Iterator[WorkDirectory]:
    """The work directory of `output`, with what an earlier run of the same `key` had finished.

    It is gone afterwards, unless the block is left by an error and segments are finished: then it is kept, and the
    error says where, how much and how to go on. `fresh` throws an earlier run away. `last` is the file that gets its
    name last, where a result has several. Without `kept` it is always gone. Raises OutputError when another vfi is at
    work there, or when an earlier run had another key.
    """
    work: WorkDirectory | None = None
    settled = False  # whether it is known what an earlier run had finished

    def leave_unfinished() -> None:
        if work is not None and settled and not (kept and work.done):
            work.remove()

    stop.before_the_end.append(leave_unfinished)
    try:
        with stop.deferred():
            folder = place_of(output)
            work = WorkDirectory(folder, own_folder(folder))
            settled = not (work.folder / DONE).exists()
            with outside_faults(output, work.folder):
                other = _taken_over(work, last or output, job=job, key=key, fresh=fresh, stop=stop)
            if other:
                work.done = {}  # nothing to go on with here, but what that run has finished stays
                raise OutputError(other)
            settled = True
        stop.check()
        yield work
    except (Exception, KeyboardInterrupt) as error:
        with stop.deferred():
            leave_unfinished()
        ours = InterruptedBySignal(stop.signum) if isinstance(error, KeyboardInterrupt) and stop.signum else error
        if isinstance(ours, VfiError) and work is not None and kept and work.done and work.folder.is_dir():
            ours.add(_how_to_go_on(work, segments, fresh=fresh))
        elif isinstance(ours, InterruptedBySignal) and settled:
            ours.add("nothing of it is kept")
        if ours is error:
            raise
        raise ours from error
    else:
        with stop.deferred():
            work.remove()
    finally:
        if work is not None:
            work.lock.close()
        stop.before_the_end.remove(leave_unfinished)


def recorded_job(folder: Path) -> dict[str, Any]:
    """What the job of a work directory was asked to do. Raises OutputError where there is none."""
    try:
        found: dict[str, Any] = json.loads((folder / JOB).read_text(encoding="utf-8"))["job"]
        return found
    except (OSError, ValueError, KeyError, TypeError):
        message = f"{folder} is not the work directory of an unfinished vfi job: give the one that vfi named"
        raise OutputError(message) from None


def was_published(output: Path) -> bool:
    """Whether `output` is the result of a job that was killed when all but the tidying was done."""
    with suppress(OSError):
        return _is_published(_lines(place_of(output) / DONE), output)
    return False


def published_files(output: Path) -> list[list[int]]:
    """What an unfinished job has recorded of the files that get, or have got, the names of `output`."""
    with suppress(OSError):
        lines = [line for line in _lines(place_of(output) / DONE) if line.get("published")]
        return [line["published"] for line in lines] + [one for line in lines for one in line.get("files", ())]
    return []


def _is_published(lines: Iterable[dict[str, Any]], output: Path) -> bool:
    mine = inode_of(output)
    return mine is not None and any(line.get("published") == mine for line in lines)


def _taken_over(
    work: WorkDirectory, output: Path, *, job: Mapping[str, Any], key: Mapping[str, str], fresh: bool, stop: Stop
) -> str | None:
    """Make `work` this job's, with what is done of it; or else why not: the directory is that of another job."""
    try:
        before = json.loads((work.folder / JOB).read_text(encoding="utf-8"))["key"]
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        before = None
    if not fresh:
        work.read_done(output, stop)
        if before == key:
            work.tidy()
            return None
        if work.published and not job["overwrite"]:
            work.remove()
            return f"{output} exists already: add -y to replace it, or choose another name with -o"
        if before is not None and work.done and not work.published:
            held = f"{work.folder} holds an unfinished run for {output} that is not this one"
            return f"{held} ({_differences(before, key)}): run it as it was to go on, or add --fresh to start over"
    work.clear()
    beside = work.folder / f"{JOB}.tmp"
    beside.write_text(json.dumps({"job": job, "key": key}, indent=1), encoding="utf-8")
    beside.replace(work.folder / JOB)
    return None


_FOLLOWS = {"frames", "times", "segments", "encoder", "encoder's header", "streams", "last step"}  # from other changes


def _differences(before: Mapping[str, str], now: Mapping[str, str]) -> str:
    changed = [name for name in {**before, **now} if before.get(name) != now.get(name)]
    changed = [name for name in changed if name not in _FOLLOWS] or changed
    told = [f"{name}: then {_short(before.get(name))}, now {_short(now.get(name))}" for name in changed[:_SHOWN]]
    more = len(changed) - _SHOWN
    return "; ".join([*told, f"and {more} more"] if more > 0 else told)


def _short(value: str | None) -> str:
    return "nothing" if value is None else value if len(value) <= 60 else f"{value[:57]}..."


def _how_to_go_on(work: WorkDirectory, segments: int, *, fresh: bool) -> str:
    again = "the same command without --fresh" if fresh else "the same command again"
    held = f"{len(work.done)} of {segments} segments ({work.size() / 1e6:.1f} MB) are kept in {work.folder}"
    return f"{held}; to go on, give {again}, or vfi resume {shlex.quote(str(work.folder))}"


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return
    for line in text.splitlines():
        with suppress(ValueError):
            if isinstance(value := json.loads(line), dict):
                yield value


def inode_of(path: Path) -> list[int] | None:
    """What stays of a file when it is renamed or linked; None where there is none."""
    try:
        facts = path.lstat()
    except OSError:
        return None
    return [facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns]


def _is_whole(path: Path, done: Done) -> bool:
    try:
        return path.stat().st_size == done.bytes and sha256_of(path) == done.sha256
    except FileNotFoundError:
        return False

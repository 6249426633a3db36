"""What the tests share: every ffmpeg there is, small clips made once per session, and no child left behind."""

import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import pytest
import small_clips
from fakes import LinearBlend
from formats_table import Row, table
from whole_files import use_network

from interp_cli.errors import MissingToolError
from interp_cli.media.children import log_children
from interp_cli.media.ffmpeg import Ffmpeg, find_ffmpeg

WHEEL = imageio_ffmpeg.get_ffmpeg_exe()
# Where a test does not ask for every ffmpeg, all machines use the same; `VFI_FFMPEG=... pytest` tries another.
os.environ.setdefault("VFI_FFMPEG", WHEEL)
# Programs that tests start are the package that is tested: what is installed, not the checkout that they start in.
os.environ.setdefault("PYTHONSAFEPATH", "1")

_proved = pytest.StashKey[list[Row]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--formats", type=Path, metavar="FILE", help="write the table of proved formats (docs/formats.md)")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--formats") and config.getoption("numprocesses", None):
        raise pytest.UsageError("--formats collects what one process proves: add -n 0")
    config.stash[_proved] = []


def chosen(cases: Iterable[Any], *, always: Collection[Any] = (), once: Collection[Any] = ()) -> list[Any]:
    """`cases` as parameters (a tuple is several): by default `always` run, `once` with one ffmpeg, all others never."""

    def mark(case: Any) -> tuple[pytest.MarkDecorator, ...]:
        return () if case in always else (pytest.mark.once,) if case in once else (pytest.mark.slow,)

    return [pytest.param(*(case if isinstance(case, tuple) else (case,)), marks=mark(case)) for case in cases]


@pytest.hookimpl(tryfirst=True)  # before -m chooses
def pytest_collection_modifyitems(items: list[pytest.Function]) -> None:
    """What is marked `once` runs by default with the wheel's ffmpeg; with any other it is slow."""
    for item in items:
        program = getattr(item, "callspec", None) and item.callspec.params.get("ffmpeg")
        if program and program[0] != "wheel" and item.get_closest_marker("once"):
            item.add_marker(pytest.mark.slow)


def pytest_sessionfinish(session: pytest.Session) -> None:
    file: Path | None = session.config.getoption("--formats")
    if file is not None:
        file.write_text(table(session.config.stash[_proved]), encoding="utf-8")


Proved = Callable[..., None]


@pytest.fixture
def proved(request: pytest.FixtureRequest) -> Proved:
    """proved("Rates", "24 to 60", "ffprobe", "60/1", ffmpeg=...): a row of docs/formats.md; the last line of a test."""

    def add(group: str, case: str, oracle: str, result: str, *, ffmpeg: Ffmpeg | None = None) -> None:
        program = ".".join(map(str, ffmpeg.version)) if ffmpeg else ""
        request.config.stash[_proved].append(Row(group, case, oracle, result, program))

    return add


def _programs() -> dict[str, str]:
    found = {"wheel": WHEEL}
    if on_path := shutil.which("ffmpeg"):
        try:
            find_ffmpeg(on_path)
            found["path"] = on_path
        except MissingToolError:  # too old for vfi
            pass
    return found


@pytest.fixture(scope="session", params=_programs().items(), ids=lambda item: str(item[0]))
def ffmpeg(request: pytest.FixtureRequest) -> Ffmpeg:
    """Each ffmpeg that this machine has; a test that takes it runs once per program."""
    return find_ffmpeg(request.param[1])


@pytest.fixture(scope="session")
def wheel() -> Ffmpeg:
    """The ffmpeg of the imageio-ffmpeg package, which is always there."""
    return find_ffmpeg(WHEEL)


def tool(*args: object, feed: bytes | None = None) -> bytes:
    """Run the wheel's ffmpeg with `args`, as a person would; its stdout."""
    command = [WHEEL, "-v", "error", "-y", *map(str, args)]
    done = subprocess.run(command, input=feed or b"", capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    return done.stdout


MakeClip = Callable[..., Path]


@pytest.fixture(scope="session")
def make_clip(tmp_path_factory: pytest.TempPathFactory) -> MakeClip:
    """make_clip(name, *ffmpeg arguments without the output): that clip, made once."""
    folder = tmp_path_factory.mktemp("clips")

    def make(name: str, *args: object) -> Path:
        # one folder per recipe: test files may use one name for different clips
        path = folder / hashlib.sha256(repr(args).encode()).hexdigest()[:12] / name
        if not path.exists():
            path.parent.mkdir(exist_ok=True)
            tool(*args, path)
        return path

    return make


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for VFI_WEIGHTS with a very small network that was never trained."""
    return small_clips.weights(tmp_path_factory.mktemp("weights") / "weights")


@pytest.fixture
def blending(monkeypatch: pytest.MonkeyPatch, weights: Path) -> None:
    """Jobs of this process cross-fade, and need no network."""
    monkeypatch.setenv("VFI_WEIGHTS", str(weights))
    use_network(monkeypatch, LinearBlend())


@pytest.fixture(scope="session")
def quick_compiler(tmp_path_factory: pytest.TempPathFactory) -> str:
    """For CC: a compiler that does not optimise, for tests of building and not of what is built; "" without any."""
    found = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)
    if found is None:
        return ""
    path = tmp_path_factory.mktemp("compiler") / "cc"
    path.write_text(f'#!/bin/sh\nexec "{found}" "$@" -O0\n')
    path.chmod(0o755)
    return str(path)


PICTURE = ("-f", "lavfi", "-i", "testsrc2=s=160x90:r=24000/1001:d=2")
TONE = ("-f", "lavfi", "-i", "sine=d=2")
H264 = ("-c:v", "libx264", "-preset", "ultrafast", "-bf", "2", "-pix_fmt", "yuv420p")
LABELS = ("-color_range", "tv", "-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709")


@pytest.fixture(scope="session")
def plain_mp4(make_clip: MakeClip) -> Path:
    """48 frames at 24000/1001, 160x90 H.264 with B-frames and labels, AAC: the usual file."""
    return make_clip("plain.mp4", *PICTURE, *TONE, *H264, *LABELS, "-c:a", "aac", "-metadata:s:a", "language=deu")


@pytest.fixture(autouse=True)
def no_log_goes_on() -> Iterator[None]:
    """Every test: what `-v` of one test has switched on is off for the next."""
    yield
    log_children()


@pytest.fixture(autouse=True)
def no_ffmpeg_is_left() -> Iterator[None]:
    """Every test: no ffmpeg child of ours is alive afterwards (looked up in /proc, so on Linux only)."""
    yield
    alive = []
    for listing in Path("/proc/self/task").glob("*/children"):
        try:
            children = listing.read_text().split()
        except FileNotFoundError:  # the thread has ended meanwhile
            continue
        for pid in children:
            name = Path(f"/proc/{pid}/comm")
            if name.exists() and name.read_text().startswith("ffmpeg"):
                alive.append(pid)
    assert not alive

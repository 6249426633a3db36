"""ffmpeg as child processes: find it, build its command line, run it, drain it, end it. The only owner of children.

A child never outlives the `with` that opened it; if vfi itself is killed, its pipes close and that ends the child.
"""

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import IO

from interp_cli.errors import FfmpegError, MissingToolError

OLDEST = (5, 1)
PIPE_BYTES = 1 << 20  # Linux: a frame takes fewer system calls than through the default 64 KiB (see docs/design.md)
LINES_KEPT = 50
MOST_STREAMS = 1000  # of one file; each costs ffmpeg memory and vfi a part of a command line

# What a user's file may be. ffmpeg would also "play" a text file (tty), fetch what a playlist names (hls, concat),
# or read a numbered row of pictures (image2); none of that is meant by naming one video file.
DEMUXERS = (
    "apng,asf,av1,avi,avs2,avs3,cavsvideo,dirac,dnxhd,dv,flv,gif,gxf,h261,h263,h264,hevc,ivf,live_flv,m4v,matroska,"
    "mjpeg,mov,mpeg,mpegts,mpegvideo,mxf,nut,obu,ogg,rm,vc1,vc1test,vvc,wtv,yuv4mpegpipe"
    ",aac,ac3,aiff,amr,caf,eac3,flac,mp3,wav"  # sound alone: opened only to say so
)

Value = str | int | None | Sequence[str]
Options = Mapping[str, Value]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ffmpeg:
    """One ffmpeg program."""

    path: str
    version: tuple[int, int]
    version_text: str
    origin: str  # "--ffmpeg", "VFI_FFMPEG", "PATH" or "imageio-ffmpeg"
    ffprobe: str | None = None  # the ffprobe beside it; vfi does not need one


@dataclass(frozen=True, slots=True)
class Input:
    """An input: its options without the dash; None for one without a value, a sequence for one that is repeated."""

    url: str
    options: Options = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Output:
    """An output: `maps` are stream specifiers with their input's number, such as "0:V:0"."""

    url: str
    maps: tuple[str, ...] = ()
    options: Options = field(default_factory=dict)


def file_url(path: str | Path) -> str:
    """`path` as ffmpeg takes it literally, whatever characters it holds (a bare "t:1.mp4" would be a protocol)."""
    return f"file:{path}"


def source(path: str, options: Options | None = None, *, max_pixels: int | None = None) -> Input:
    """The user's file as an input that can name nothing but itself.

    No decoder takes memory for a frame much larger than `max_pixels`, nor ffmpeg for a table much larger than that.
    """
    safe: dict[str, Value] = {
        "protocol_whitelist": "file,pipe",
        "format_whitelist": DEMUXERS,
        "max_streams": MOST_STREAMS,
    }
    if max_pixels is not None:
        coded = max(max_pixels * 5 // 4, 1 << 20)  # decoders count whole blocks, up to 64 x 64
        safe |= {"max_pixels": coded, "max_alloc": 8 * coded + (1 << 28)}  # bytes; a pixel has 8 at most
    return Input(file_url(path), {**safe, **(options or {})})


# ---- finding it


def find_ffmpeg(explicit: str | None = None) -> Ffmpeg:
    """The ffmpeg to use: `explicit`, $VFI_FFMPEG, PATH, or the imageio-ffmpeg wheel's, in this order.

    The first two are taken at their word; one on PATH that is too old is passed over. Raises MissingToolError.
    """
    for origin, name in (("--ffmpeg", explicit), ("VFI_FFMPEG", os.environ.get("VFI_FFMPEG"))):
        if name:
            path = shutil.which(name)
            if path is None:
                raise MissingToolError(f"{origin} names {name!r}, which is not a program: give the path of an ffmpeg")
            return replace(_inspect(path), origin=origin)
    reason = "none was found on PATH or in the imageio-ffmpeg package"
    for origin, path in (("PATH", shutil.which("ffmpeg")), ("imageio-ffmpeg", _path_in_wheel())):
        if path:
            try:
                return replace(_inspect(path), origin=origin)
            except MissingToolError as error:
                reason = str(error)
    raise MissingToolError(f"vfi needs ffmpeg {OLDEST[0]}.{OLDEST[1]} or newer ({reason}): pip install imageio-ffmpeg")


def _path_in_wheel() -> str | None:
    try:
        import imageio_ffmpeg

        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except (ImportError, RuntimeError):
        return None


def _inspect(path: str) -> Ffmpeg:
    return _inspected(str(Path(path).absolute()))  # children may run in another directory


@lru_cache(maxsize=8)
def _inspected(path: str) -> Ffmpeg:
    try:
        done = subprocess.run([path, "-version"], capture_output=True, timeout=60, env=_environment(), check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise MissingToolError(f"{path} cannot be run as ffmpeg ({error}): give the path of an ffmpeg") from None
    text = done.stdout.decode(errors="replace")
    version = _version(text)
    if version is None:
        raise MissingToolError(f"{path} does not answer like ffmpeg: give the path of an ffmpeg")
    if version < OLDEST:
        found, least = (".".join(map(str, v)) for v in (version, OLDEST))
        raise MissingToolError(f"{path} is ffmpeg {found}, and vfi needs {least} or newer: pip install imageio-ffmpeg")
    beside = Path(path).with_name("ffprobe" + Path(path).suffix)
    return Ffmpeg(
        path=path,
        version=version,
        version_text=text.splitlines()[0],
        origin="",
        ffprobe=str(beside) if "ffmpeg" in Path(path).name and beside.is_file() else None,
    )


def _version(text: str) -> tuple[int, int] | None:
    """From what `ffmpeg -version` prints. A build of the development branch has only its libraries' numbers."""
    if not (name := re.match(r"ffmpeg version (\S+)", text)):
        return None
    if release := re.match(r"n?(\d+)\.(\d+)", name[1]):
        return int(release[1]), int(release[2])
    if library := re.search(r"libavutil\s+(\d+)\.\s*(\d+)\.", text):  # 57.28 came with 5.1, 58 with 6, 59 with 7
        major, minor = int(library[1]), int(library[2])
        return (5, 1 if minor >= 28 else 0) if major == 57 else (major - 52, 0)
    return None


@lru_cache(maxsize=64)
def encoder_formats(ffmpeg: Ffmpeg, name: str) -> tuple[str, ...] | None:
    """The pixel formats that the encoder `name` takes (empty if it does not say); None if it is not built in.

    Raises MissingToolError if ffmpeg does not answer.
    """
    command = [ffmpeg.path, "-hide_banner", "-h", f"encoder={name}"]
    try:
        done = subprocess.run(command, capture_output=True, timeout=60, env=_environment(), check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise MissingToolError(f"{ffmpeg.path} does not list its encoders ({error}): check --ffmpeg") from None
    text = done.stdout.decode(errors="replace")
    if f"Encoder {name} " not in text:
        return None
    formats = re.search(r"Supported pixel formats: (.*)", text)
    return tuple(formats[1].split()) if formats else ()


def has_encoder(ffmpeg: Ffmpeg, name: str) -> bool:
    """Whether this ffmpeg was built with the encoder `name`."""
    return encoder_formats(ffmpeg, name) is not None


# ---- its command line


def command_line(
    ffmpeg: Ffmpeg,
    inputs: Sequence[Input],
    outputs: Sequence[Output],
    *,
    flags: Sequence[str] = (),
    loglevel: str = "error",
) -> list[str]:
    """argv for these inputs and outputs. `flags` are global options with their dash, such as "-y"."""
    head = [ffmpeg.path, "-nostdin", "-hide_banner", "-nostats", "-loglevel", loglevel, *flags]
    repeated = any(isinstance(v, Sequence) and not isinstance(v, str) for o in outputs for v in o.options.values())
    urls = [*(item.url for item in inputs), *(out.url for out in outputs)]
    if len(inputs) == 1 and not repeated and all(map(_is_unicode, urls)):
        return _compile(head, inputs[0], outputs)
    # ffmpeg-python 0.2.0 cannot repeat an option, nor open an input of which only the chapters or tags are used, nor
    # take a file name that is not UTF-8
    argv = head
    for item in inputs:
        argv += [*_pieces(item.options), "-i", item.url]
    for out in outputs:
        argv += [*(piece for m in out.maps for piece in ("-map", m)), *_pieces(out.options), out.url]
    return argv


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # Python keeps such bytes of a name as lone surrogates
        return False
    return True


def _compile(head: list[str], only: Input, outputs: Sequence[Output]) -> list[str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it leans on the `future` package
        import ffmpeg

    stream = ffmpeg.input(only.url, **only.options)
    nodes = [
        ffmpeg.output(*(stream[m.removeprefix("0:")] for m in out.maps), out.url, **out.options)
        if out.maps
        else ffmpeg.output(stream, out.url, **out.options)
        for out in outputs
    ]
    node = nodes[0] if len(nodes) == 1 else ffmpeg.merge_outputs(*nodes)
    return [str(piece) for piece in node.compile(cmd=head)]


def _pieces(options: Options) -> Iterator[str]:
    for key, value in options.items():
        for one in [value] if value is None or isinstance(value, str | int) else value:
            yield f"-{key}"
            if one is not None:
                yield str(one)


# ---- running it


@dataclass(slots=True)
class _Log:
    commands: Callable[[str], None] | None = None
    lines: Callable[[str], None] | None = None


_log = _Log()


def log_ffmpeg(*, commands: Callable[[str], None] | None = None, lines: Callable[[str], None] | None = None) -> None:
    """From now on, `commands` gets each command line, quoted for a shell, and `lines` each line of ffmpeg's stderr."""
    _log.commands, _log.lines = commands, lines


class Child:
    """A running ffmpeg. `stdin` and `stdout` are buffered binary pipes where asked for."""

    def __init__(self, argv: list[str], *, feed: bool, cwd: Path | None, keep: int | None) -> None:
        if _log.commands:
            _log.commands(shlex.join(argv))
        self._lines: deque[str] = deque(maxlen=keep)
        try:
            self._process = subprocess.Popen(
                argv,
                stdin=subprocess.PIPE if feed else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd=cwd,
                env=_environment(),
                start_new_session=True,  # so that Ctrl-C reaches only vfi, which then ends its children in order
                creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),  # the same on Windows
            )
        except OSError as error:
            raise MissingToolError(f"{argv[0]} cannot be started ({error}): check --ffmpeg") from None
        self._drain = threading.Thread(target=self._keep_lines, name="ffmpeg-stderr", daemon=True)
        self._drain.start()
        for pipe in (self._process.stdin, self._process.stdout):
            _enlarge(pipe)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def stdin(self) -> IO[bytes]:
        """What it reads; only of a child opened with feed=True."""
        assert self._process.stdin is not None
        return self._process.stdin

    @property
    def stdout(self) -> IO[bytes]:
        """What it writes to pipe:1."""
        assert self._process.stdout is not None
        return self._process.stdout

    def stop(self) -> None:
        """End it at once. May be called from another thread, which wakes one that waits in `stdin` or `stdout`."""
        with suppress(OSError):
            self._process.kill()

    def finish(self) -> tuple[int, tuple[str, ...]]:
        """Close its input, wait for its own end, and return (exit status, last lines of its stderr)."""
        if self._process.stdin is not None:
            with suppress(OSError):  # it may have gone already; its status and last lines say why
                self._process.stdin.close()
        self._process.wait()
        self._drain.join()
        return self._process.returncode, tuple(self._lines)

    def end(self) -> None:
        """Make sure that it is gone and nothing of it is left open."""
        if self._process.poll() is None:
            self.stop()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()
        self._drain.join()

    def _keep_lines(self) -> None:
        assert self._process.stderr is not None
        with self._process.stderr as stderr:
            for raw in stderr:
                line = raw.decode(errors="replace").rstrip()
                self._lines.append(line)
                if _log.lines:
                    _log.lines(line)


_living: set[Child] = set()
_living_lock = threading.RLock()  # a signal handler may interrupt the thread that holds it


def stop_children() -> None:
    """End every child at once. Called from another thread (when a signal arrives), it wakes all that wait for one."""
    with _living_lock:
        running = list(_living)
    for each in running:
        each.stop()


@contextmanager
def child(
    ffmpeg: Ffmpeg,
    inputs: Sequence[Input],
    outputs: Sequence[Output],
    *,
    flags: Sequence[str] = (),
    loglevel: str = "error",
    feed: bool = False,
    cwd: Path | None = None,
    keep: int | None = LINES_KEPT,
) -> Iterator[Child]:
    """A running ffmpeg that is gone when the block is left, in whatever way.

    `feed`: the caller writes its stdin. `keep`: how many of the last lines of its stderr are kept; None for all.
    """
    argv = command_line(ffmpeg, inputs, outputs, flags=flags, loglevel=loglevel)
    running = Child(argv, feed=feed, cwd=cwd, keep=keep)
    try:
        with _living_lock:
            _living.add(running)
        yield running
    finally:
        running.end()
        with _living_lock:
            _living.discard(running)


def run(
    ffmpeg: Ffmpeg, inputs: Sequence[Input], outputs: Sequence[Output], *, doing: str, cwd: Path | None = None
) -> str:
    """Run to the end, replacing outputs that exist; what it wrote to pipe:1, as text. Raises FfmpegError."""
    with child(ffmpeg, inputs, outputs, flags=("-y", "-copyts"), cwd=cwd) as running:
        text = running.stdout.read().decode(errors="replace")
        status, lines = running.finish()
    if status:
        raise failure(doing, status=status, lines=lines)
    return text


def failure(doing: str, *, status: int, lines: Sequence[str]) -> FfmpegError:
    """The error for a child that ended badly while `doing` ("decode x.mp4")."""
    said = [re.sub(r"^(\[[^\]]* @ 0x[0-9a-f]+\] )+", "", line) for line in lines if line.strip()]
    first_is_the_cause = len(lines) < LINES_KEPT  # what follows it are its consequences, stage by stage
    reason = (said[0] if first_is_the_cause else said[-1]).rstrip(".") if said else "it said nothing"
    if status < 0:
        with suppress(ValueError):
            reason = f"it was ended by {signal.Signals(-status).name}"
    return FfmpegError(f"ffmpeg could not {doing}: {reason}", returncode=status, last_lines=tuple(lines))


def _environment() -> dict[str, str]:
    """Ours, but with messages in English, no colour codes, and no report files."""
    quiet = {k: v for k, v in os.environ.items() if k not in ("FFREPORT", "AV_LOG_FORCE_COLOR")}
    return {**quiet, "LC_ALL": "C", "AV_LOG_FORCE_NOCOLOR": "1"}


def _enlarge(pipe: IO[bytes] | None) -> None:
    if sys.platform == "linux" and pipe is not None:
        import fcntl

        with suppress(OSError):  # over the user's quota: the default size works too
            fcntl.fcntl(pipe.fileno(), fcntl.F_SETPIPE_SZ, PIPE_BYTES)

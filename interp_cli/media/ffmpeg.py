"""ffmpeg: find it, build its command line, run it, say what went wrong. Its processes are those of children.py."""

import os
import re
import shutil
import signal
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

from interp_cli.errors import FfmpegError, MissingToolError
from interp_cli.media.children import LINES_KEPT, Child, answer, started

OLDEST = (5, 1)
MOST_STREAMS = 1000  # of one file; each costs ffmpeg memory and vfi a part of a command line

# What a user's file may be. ffmpeg would also "play" a text file (tty), fetch what a playlist names (hls, concat),
# or read a numbered row of pictures (image2); none of that is meant by naming one video file.
DEMUXERS = (
    "apng,asf,av1,avi,avs2,avs3,cavsvideo,dirac,dnxhd,dv,flv,gif,gxf,h261,h263,h264,hevc,ivf,live_flv,m4v,matroska,"
    "mjpeg,mov,mpeg,mpegts,mpegvideo,mxf,nut,obu,ogg,rm,vc1,vc1test,vvc,webp_anim,wtv,yuv4mpegpipe"
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
    for origin, find in (("PATH", _path_on_path), ("imageio-ffmpeg", _path_in_wheel)):
        if path := find():
            try:
                return replace(_inspect(path), origin=origin)
            except MissingToolError as error:
                reason = str(error)
    raise MissingToolError(f"vfi needs ffmpeg {OLDEST[0]}.{OLDEST[1]} or newer ({reason}): pip install imageio-ffmpeg")


def _path_on_path() -> str | None:
    return shutil.which("ffmpeg")


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
        text = answer([path, "-version"])
    except OSError as error:
        raise MissingToolError(f"{path} cannot be run as ffmpeg ({error}): give the path of an ffmpeg") from None
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
    try:
        text = answer([ffmpeg.path, "-hide_banner", "-h", f"encoder={name}"])
    except OSError as error:
        raise MissingToolError(f"{ffmpeg.path} does not list its encoders ({error}): check --ffmpeg") from None
    if f"Encoder {name} " not in text:
        return None
    formats = re.search(r"Supported pixel formats: (.*)", text)
    return tuple(formats[1].split()) if formats else ()


def has_encoder(ffmpeg: Ffmpeg, name: str) -> bool:
    """Whether this ffmpeg was built with the encoder `name`."""
    return encoder_formats(ffmpeg, name) is not None


@lru_cache(maxsize=64)
def has_decoder(ffmpeg: Ffmpeg, name: str) -> bool:
    """Whether this ffmpeg was built with the decoder `name`. Raises MissingToolError if ffmpeg does not answer."""
    try:
        return f"Decoder {name} " in answer([ffmpeg.path, "-hide_banner", "-h", f"decoder={name}"])
    except OSError as error:
        raise MissingToolError(f"{ffmpeg.path} does not list its decoders ({error}): check --ffmpeg") from None


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
    grows: Path | None = None,
    patience: int | None = None,
    tied: bool = False,
) -> Iterator[Child]:
    """A running ffmpeg that is gone when the block is left, in whatever way; see `started` for the rest."""
    argv = command_line(ffmpeg, inputs, outputs, flags=flags, loglevel=loglevel)
    with started(argv, feed=feed, cwd=cwd, keep=keep, grows=grows, patience=patience, tied=tied) as running:
        yield running


def run(
    ffmpeg: Ffmpeg,
    inputs: Sequence[Input],
    outputs: Sequence[Output],
    *,
    doing: str,
    cwd: Path | None = None,
    grows: Path | None = None,
) -> str:
    """Run to the end, replacing outputs that exist; what it wrote to pipe:1, as text. Raises FfmpegError."""
    with child(
        ffmpeg, inputs, outputs, flags=("-y", "-copyts"), cwd=cwd, grows=grows, tied=grows is not None
    ) as running:
        text = running.read().decode(errors="replace")
        status, lines = running.finish()
    if status:
        raise failure(doing, status=status, lines=lines)
    return text


def failure(doing: str, *, status: int, lines: Sequence[str]) -> FfmpegError:
    """The error for a child that ended badly while `doing` ("decode x.mp4")."""
    said = [re.sub(r"^(\[[^\]]* @ 0x[0-9a-f]+\] )+", "", line) for line in lines if line.strip()]
    first_is_the_cause = len(lines) < LINES_KEPT  # what follows it are its consequences, stage by stage
    reason = (said[0] if first_is_the_cause else said[-1]).rstrip(".") if said else "it said nothing"
    if status < 0 and not any("no progress" in line for line in said[:1]):
        with suppress(ValueError):
            reason = f"it was ended by {signal.Signals(-status).name}"
    return FfmpegError(f"ffmpeg could not {doing}: {reason}", returncode=status, last_lines=tuple(lines))

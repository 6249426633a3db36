"""Hostile input ends in one sentence and a documented code, or in a valid video; nothing else is read, asked or left.

The corpus is made by corpus.py. A part of it runs here in this process; all of it, as a user would run it and watched
by strace, is marked slow.
"""

import collections
import concurrent.futures
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import corpus
import pytest
from conftest import MakeClip, chosen, tool

from interp_cli.cli.entry import run
from interp_cli.cli.grammar import Session
from interp_cli.errors import ExitCode, InputError, OutputError, UsageError, printable
from interp_cli.job.output import check_output
from interp_cli.job.workdir import place_of
from interp_cli.media import bounds
from interp_cli.media.children import log_children
from interp_cli.media.ffmpeg import Ffmpeg, Output, child, find_ffmpeg, source
from interp_cli.media.images import read_image
from interp_cli.media.picture_size import picture_size
from interp_cli.media.probe import probe, scan
from interp_cli.options import InputLimits
from interp_cli.timeline import Timeline, make_plan

ENDED = {ExitCode.DONE, ExitCode.USAGE, ExitCode.INPUT, ExitCode.OUTPUT, ExitCode.FFMPEG, ExitCode.STOPPED}
ALLOWED_S = 60.0
MOST_LINES = 20  # of stderr: notes on streams that are left out, and one error


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> corpus.Folders:
    """All of the corpus but most of what takes long to make."""
    return corpus.write(tmp_path_factory.mktemp("hostile"), only=REFUSED)


@pytest.fixture(scope="session")
def everything(tmp_path_factory: pytest.TempPathFactory) -> corpus.Folders:
    return corpus.write(tmp_path_factory.mktemp("hostile"))


@pytest.fixture(autouse=True)
def no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch, weights: Path) -> None:
    for name in [name for name in os.environ if name.startswith("VFI_") and name != "VFI_FFMPEG"]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(weights / "no-config"))
    monkeypatch.setenv("VFI_WEIGHTS", str(weights))
    monkeypatch.setenv("VFI_DEVICE", "cpu")
    log_children()  # a -v of another test's stays in this process


def vfi(*arguments: str | Path) -> int:
    return run([str(argument) for argument in arguments], Session())


# ---- a part of the corpus, in this process

REFUSED = {  # input: what the sentence says
    "empty.mp4": "empty",
    "noise.mp4": "not a video",
    "pickle.mp4": "not a video",
    "svg.mp4": "not a video",
    "escapes.mp4": "not a video",
    "hls-file.m3u8": "not a video",
    "hls-file-m3u8.mp4": "not a video",
    "concat-ffconcat.mp4": "not a video",
    "concat.ffconcat": "not a video",
    "dash-mpd.mp4": "not a video",
    "session.sdp": "not a video",
    "cut-3.mp4": "incomplete",
    "sound.mp3": "no video",
    "none.mp4": "no video",
    "reference-http.mov": "no video",
    "dref-alias.mov": "no frame",
    "size-65535.gif": "65535 x 65535",
    "size-65535.y4m": "65535 x 65535",
    "size-9000.y4m": "--max-pixels",
    "large.mp4": "16384 x 4352, .* --max-pixels",
    "rate-1e6.y4m": "1000000 frames per second",
    "rate-slow.y4m": "--max-duration",
    "gap-days.mkv": "--max-duration",
    "streams-1500.mp4": "more than 1000 streams",
    "overlapping.mov": "more frames than bytes",
}
WITH_EACH_FFMPEG = {"cut-3.mp4", "concat-ffconcat.mp4", "reference-http.mov", "size-65535.gif", "streams-1500.mp4"}


@pytest.mark.parametrize("name", chosen(REFUSED, always=WITH_EACH_FFMPEG, once=REFUSED))
def test_a_hostile_file_is_refused_with_one_sentence_and_leaves_nothing(
    name: str, ffmpeg: Ffmpeg, folders: corpus.Folders, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job = ("--factor", "2", "-o", tmp_path / "out.mp4", "--ffmpeg", ffmpeg.path)
    assert vfi("upsample", folders.inputs / name, *job) == ExitCode.INPUT
    (line,) = capsys.readouterr().err.splitlines()
    assert re.search(REFUSED[name], line)
    assert not list(tmp_path.iterdir())


def test_sound_that_would_begin_below_zero_and_is_cut_off_is_no_bug(folders: corpus.Folders, tmp_path: Path) -> None:
    assert vfi("upsample", folders.inputs / "cut-5.webm", "--factor", "2", "-o", tmp_path / "out.mkv") == ExitCode.DONE
    assert not faults(tmp_path / "out.mkv")


def test_the_corpus_is_large_and_always_the_same(folders: corpus.Folders) -> None:
    names = {os.fsencode(path.name) for path in folders.inputs.iterdir()}
    assert len(names) >= 400
    assert set(corpus.NAMES) <= names
    again = dict(corpus.flipped({"mp4": (folders.inputs.parent / "seeds" / "seed.mp4").read_bytes()}, folders))
    assert all((folders.inputs / name).read_bytes() == content for name, content in again.items())


# ---- limits


@pytest.fixture(scope="session")
def clip(make_clip: MakeClip) -> Path:
    return make_clip("small.mkv", *corpus.PICTURE, *corpus.H264)  # 8 frames of 64 x 48, 0.32 s


def test_the_limits_are_what_the_user_says(clip: Path, ffmpeg: Ffmpeg) -> None:
    exactly = InputLimits(max_pixels=64 * 48, max_duration=Fraction(32, 100))
    assert len(scan(probe(str(clip), ffmpeg=ffmpeg, limits=exactly), ffmpeg=ffmpeg)) == 8
    with pytest.raises(InputError, match=r"64 x 48, .*3071 are allowed: raise --max-pixels"):
        probe(str(clip), ffmpeg=ffmpeg, limits=InputLimits(max_pixels=64 * 48 - 1))
    short = InputLimits(max_duration=Fraction(31, 100))
    with pytest.raises(InputError, match=r"0\.31 s are allowed: raise --max-duration"):
        scan(probe(str(clip), ffmpeg=ffmpeg, limits=short), ffmpeg=ffmpeg)


@pytest.mark.parametrize("words", [("--max-pixels", "3000"), ("--max-duration", "0.2")])
@pytest.mark.parametrize("command", ["upsample", "slowmo", "probe"])
def test_the_limits_are_options(
    command: str, words: tuple[str, str], clip: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    work = [] if command == "probe" else ["--factor", "2", "--dry-run"]
    assert vfi(command, clip, *words, *work) == ExitCode.INPUT
    assert words[0] in capsys.readouterr().err


@pytest.mark.parametrize("words", [("--max-pixels", "0"), ("--max-pixels", "many"), ("--max-duration", "0")])
def test_limits_that_allow_nothing_are_refused(words: tuple[str, str], clip: Path) -> None:
    assert vfi("probe", clip, *words) == ExitCode.USAGE


def test_ffmpeg_itself_refuses_to_decode_what_is_too_large(tmp_path: Path, ffmpeg: Ffmpeg) -> None:
    tool("-f", "lavfi", "-i", "color=s=2048x1024:d=0.04", "-c:v", "png", tmp_path / "large.mkv")
    allowed = [source(str(tmp_path / "large.mkv"), max_pixels=n) for n in (1 << 20, 1 << 21)]
    log = []
    for each in allowed:
        with child(ffmpeg, [each], [Output("-", ("0:V:0",), {"f": "null"})]) as running:
            log.append(running.finish())
    assert log[0][0] != 0 and "exceeds specified max pixel count" in "".join(log[0][1])
    assert log[1] == (0, ())


def test_a_frame_that_grows_later_on_is_refused_too(folders: corpus.Folders, tmp_path: Path) -> None:
    arguments = ("upsample", folders.inputs / "sof-grows.mov", "--factor", "2", "-o", tmp_path / "out.mp4")
    assert vfi(*arguments) in (ExitCode.INPUT, ExitCode.DONE)
    assert {path.name for path in tmp_path.iterdir()} <= {"out.mp4"}


def test_a_flood_of_times_is_stopped_early(clip: Path, monkeypatch: pytest.MonkeyPatch, wheel: Ffmpeg) -> None:
    monkeypatch.setattr(bounds, "MOST_FRAMES", 5)
    with pytest.raises(InputError, match="more than 5 frames"):
        scan(probe(str(clip), ffmpeg=wheel, limits=InputLimits()), ffmpeg=wheel)
    assert len(scan(probe(str(clip), ffmpeg=wheel), ffmpeg=wheel)) == 8  # a result of ours


def test_a_plan_of_too_many_frames_is_refused_before_it_is_made() -> None:
    timeline = Timeline(time_base=Fraction(1, 25), pts=(0, 1), end_pts=2).stretched(Fraction(10**12))
    with pytest.raises(UsageError, match="ask for fewer"):
        make_plan(timeline, Fraction(25))


@pytest.mark.parametrize("factor", ["1e999999999", "9" * 50, "1e-999999999", "nan", "inf"])
def test_a_number_that_would_take_for_ever_to_work_out_is_refused(factor: str, clip: Path) -> None:
    begun = time.monotonic()
    assert vfi("slowmo", clip, "--factor", factor, "--dry-run") == ExitCode.USAGE
    assert time.monotonic() - begun < 5


def test_an_ffmpeg_that_says_nothing_of_a_file_is_ended_with_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mute = tmp_path / "ffmpeg"
    mute.write_text(f"#!{sys.executable}\nimport time\ntime.sleep(600)\n")
    mute.chmod(0o755)
    program = Ffmpeg(path=str(mute), version=(9, 0), version_text="", origin="")
    monkeypatch.setattr(bounds, "SILENCE_S", 1)
    junk = tmp_path / "x.mp4"
    junk.write_bytes(b"x")
    begun = time.monotonic()
    with pytest.raises(InputError, match="no progress for 1 s"):
        probe(str(junk), ffmpeg=program)
    assert time.monotonic() - begun < 10


# ---- pictures


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tiff", "exr"])
@pytest.mark.parametrize(("width", "height"), [(1, 1), (64, 48), (300, 257)])
def test_the_size_in_a_pictures_header_is_that_of_the_decoded_picture(
    suffix: str, width: int, height: int, tmp_path: Path
) -> None:
    path = tmp_path / f"a.{suffix}"
    options = ["-c:v", "libwebp"] if suffix == "webp" else []
    tool("-f", "lavfi", "-i", f"color=s={width}x{height}", "-frames:v", 1, *options, path)
    with path.open("rb") as file:
        assert picture_size(file) == (width, height)
    assert (read_image(str(path)).width, read_image(str(path)).height) == (width, height)


@pytest.mark.parametrize("name", [name for name, _ in corpus.pictures() if name != "cut.png"])
def test_a_picture_that_promises_too_much_is_refused_unread(
    name: str, folders: corpus.Folders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import cv2

    def decoded(*_: object) -> None:
        raise AssertionError("it was given to OpenCV")

    monkeypatch.setattr(cv2, "imdecode", decoded)
    path = folders.pictures / name
    with pytest.raises(InputError, match="not a picture" if "bomb" not in name else "are allowed"):
        read_image(str(path))
    assert vfi("frames", path, path, "-o", tmp_path / "x.png") == ExitCode.INPUT
    assert not list(tmp_path.iterdir())


def test_a_picture_that_is_cut_off_is_none(folders: corpus.Folders, tmp_path: Path) -> None:
    assert vfi("frames", *[folders.pictures / "cut.png"] * 2, "-o", tmp_path / "x.png") == ExitCode.INPUT


def test_a_large_picture_is_taken_if_the_user_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a.png", "b.png"):
        tool("-f", "lavfi", "-i", "color=s=40x30", "-frames:v", 1, tmp_path / name)
    command = ("frames", tmp_path / "a.png", tmp_path / "b.png", "-o", tmp_path / "c.png")
    assert vfi(*command, "--max-pixels", "1199") == ExitCode.INPUT
    assert "raise --max-pixels" in capsys.readouterr().err
    assert vfi(*command, "--max-pixels", "1200") == ExitCode.DONE


def test_a_file_with_much_more_than_a_picture_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "sparse.png"
    path.write_bytes(corpus.png(8, 8))
    with path.open("r+b") as file:
        file.truncate(1 << 40)
    with pytest.raises(InputError, match="more than a picture of its size"):
        read_image(str(path))


# ---- names


def test_a_default_name_that_is_too_long_asks_for_another(
    clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / f"{'n' * 251}.mkv"
    path.write_bytes(clip.read_bytes())
    assert vfi("upsample", path, "--factor", "2") == ExitCode.OUTPUT
    (line,) = capsys.readouterr().err.splitlines()
    assert "261 bytes and may have 255" in line and "-o" in line
    assert list(tmp_path.iterdir()) == [path]


def test_the_length_of_a_name_counts_in_bytes(tmp_path: Path) -> None:
    check_output(tmp_path / ("é" * 125 + ".mkv"), inputs=(), overwrite=False)
    with pytest.raises(OutputError, match="256 bytes"):
        check_output(tmp_path / ("é" * 126 + ".mkv"), inputs=(), overwrite=False)


@pytest.mark.parametrize("name", [b"new\nline.mp4", b"\x1b[31m\x07.mp4", b"\xff\xfe.mp4", "\u202egpm.mp4".encode()])
def test_a_name_cannot_write_to_the_terminal(
    name: bytes, tmp_path: Path, clip: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / os.fsdecode(name)
    path.write_bytes(clip.read_bytes())
    assert vfi("probe", path) == 0
    assert vfi("upsample", path, "--factor", "2", "--dry-run") == 0
    assert vfi("upsample", path, "--factor", "2", "-o", path) == ExitCode.OUTPUT
    out, err = capsys.readouterr()
    assert len(err.splitlines()) == 1
    assert all(line.isprintable() for line in (out + err).splitlines())
    out.encode()


def test_printable_keeps_letters_and_shows_the_rest() -> None:
    assert printable("naïve 日本 \N{MOVIE CAMERA} \u00a0") == "naïve 日本 \N{MOVIE CAMERA} \u00a0"
    assert printable("a\nb\x1b\u202e\udcff") == "a\\nb\\x1b\\u202e\\xff"


# ---- the whole corpus, as a user runs it, watched


WATCHED = "trace=network,open,openat,openat2,creat,clone,clone3,fork,vfork,execve"
# What ffmpeg's build reads when it starts, whatever it is given.
OF_THE_SYSTEM = ("/lib", "/usr/lib", "/usr/local/lib", "/proc/", "/sys/", "/dev/null", "/dev/urandom", "/dev/random")
OF_THE_SYSTEM += ("/etc/ld.so", "/etc/ssl/", "/usr/share/", "/usr/local/share/", "/etc/fonts", "/etc/localtime")
OF_THE_SYSTEM += ("/dev/dri", "/etc/OpenCL", "/etc/libva", "/etc/drirc", "/etc/gcrypt", "/etc/nsswitch.conf")
_OF_OURS = re.compile(rb"(file:)?(segment|result|chapters)[-.\w]*")  # in the work directory, where ffmpeg runs
_CALL = re.compile(r"^(\d+) +(\w+)\((.*)\) += (-?\d+|\?)(.*)$")
_STRING = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')


@dataclass
class Watched:
    """What the processes of one run did, from strace's log."""

    sockets: list[str] = field(default_factory=list)
    opened: list[bytes] = field(default_factory=list)  # by anyone
    opened_by_ffmpeg: list[bytes] = field(default_factory=list)  # with success
    started: list[bytes] = field(default_factory=list)  # programs


def watched(log: Path) -> Watched:
    """Read a log of strace -f -xx; calls that were interrupted by those of another thread are put together first."""
    calls: list[tuple[int, str, str, str]] = []
    begun: dict[str, str] = {}
    for raw in log.read_text(errors="replace").splitlines():
        pid, _, rest = raw.partition(" ")
        line = raw
        if rest.endswith("<unfinished ...>"):
            begun[pid] = rest.removesuffix("<unfinished ...>").strip()
            continue
        if (back := re.match(r" *<\.\.\. \w+ resumed>(.*)", rest)) is not None:
            line = f"{pid} {begun.pop(pid, '')}{back[1]}"
        if (call := _CALL.match(line)) is not None:
            calls.append((int(call[1]), call[2], call[3], call[4]))
    parents = {int(result): pid for pid, name, _, result in calls if "fork" in name or "clone" in name if result > "0"}
    found, ffmpegs = Watched(), set()
    for pid, name, arguments, result in calls:
        text = [bytes.fromhex(part.replace("\\x", "")) for part in _STRING.findall(arguments)[:1]]
        if name == "execve" and result == "0" and text:
            found.started.append(text[0])
            if b"ffmpeg" in text[0].rsplit(b"/", 1)[-1]:
                ffmpegs.add(pid)
        elif name == "socket":
            found.sockets.append(arguments)
        elif name in ("open", "openat", "openat2", "creat") and text:
            found.opened.append(text[0])
            if result not in ("-1", "?") and ffmpegs & set(_line_of(pid, parents)):
                found.opened_by_ffmpeg.append(text[0])
    return found


def _line_of(pid: int, parents: dict[int, int]) -> Iterable[int]:
    while pid:
        yield pid
        pid = parents.get(pid, 0)


@dataclass
class Outcome:
    name: bytes
    code: int
    seconds: float
    stderr: str
    wrong: list[str]


def attack(name: bytes, folders: corpus.Folders, place: Path, program: str, *, strace: str | None) -> Outcome:
    """Run the real command on one input; `wrong` says all that must not be."""
    place.mkdir()
    out, log = place / "out" / "result.mkv", place / "log"
    out.parent.mkdir()
    watch = [strace, "-f", "-xx", "-s", "4096", "-o", str(log), "--seccomp-bpf", "-e", WATCHED] if strace else []
    command = [*watch, sys.executable, "-m", "interp_cli", "upsample", "--factor", "2", "-o", str(out), "--", name]
    environment = {**os.environ, "VFI_FFMPEG": program, "TMPDIR": str(place), "HOME": str(place)}
    begun = time.monotonic()
    with subprocess.Popen(
        command,
        cwd=folders.inputs,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as running:
        try:
            _, said = running.communicate(timeout=2 * ALLOWED_S)
        except subprocess.TimeoutExpired:
            os.killpg(running.pid, signal.SIGKILL)  # strace and vfi, whose pipes then close, which ends ffmpeg
            return Outcome(name, -1, time.monotonic() - begun, "", ["it did not end"])
    code, seconds, err = running.returncode, time.monotonic() - begun, said.decode(errors="replace")
    wrong = [] if seconds < ALLOWED_S else [f"it took {seconds:.0f} s"]
    if code not in ENDED:
        wrong.append(f"exit code {code}")
    if "Traceback" in err or len(err.splitlines()) > MOST_LINES or (code and not err.startswith("vfi: ")):
        wrong.append(f"stderr: {err[-2000:]}")
    left = {path.name for path in out.parent.iterdir()} | {path.name for path in place.iterdir()} - {"out", "log"}
    # Where all frames are made and only the join fails, they are kept: the message has to say where.
    kept = {place_of(out).name} if code == ExitCode.FFMPEG and f"are kept in {place_of(out)}" in err else set()
    if left - kept != ({"result.mkv"} if code == 0 else set()):
        wrong.append(f"left: {left}")
    if code == 0 and out.exists():
        wrong += faults(out)
    if strace:
        wrong += trespasses(watched(log), name, folders, place, program)
    if not wrong:
        shutil.rmtree(place)
    return Outcome(name, code, seconds, err, wrong)


def faults(out: Path) -> list[str]:
    """What PyAV, another reader, says against the result."""
    try:
        with av.open(str(out)) as container:
            times = [frame.pts for frame in container.decode(video=0)]
    except av.FFmpegError as error:
        return [f"the result cannot be read: {error}"]
    return [] if times and times == sorted(set(times)) else [f"the result's times: {times}"]


def trespasses(seen: Watched, name: bytes, folders: corpus.Folders, place: Path, program: str) -> list[str]:
    """What was opened or started that has nothing to do with the input."""
    wrong = [f"socket({text})" for text in seen.sockets if "AF_INET" in text]
    secret = os.fsencode(folders.secret)
    hidden = (secret, b"../secret/", b"/etc/passwd")
    wrong += [f"opened {path!r}" for path in seen.opened if any(part in path for part in hidden)]
    inside = (os.fsencode(place), *map(str.encode, OF_THE_SYSTEM))
    allowed = {name, os.fsencode(folders.inputs) + b"/" + name}
    for path in set(seen.opened_by_ffmpeg) - allowed:
        if not path.startswith(inside) and not _OF_OURS.fullmatch(path):
            wrong.append(f"ffmpeg opened {path!r}")
    own = {os.fsencode(program), os.fsencode(sys.executable)}
    strangers = {path for path in seen.started if path not in own and b"python" not in path}
    return wrong + [f"started {path!r}" for path in strangers]


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_every_hostile_input_ends_in_time_with_its_code_and_touches_nothing_else(
    ffmpeg: Ffmpeg, everything: corpus.Folders, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    strace = strace_that_works(tmp_path)
    names = sorted(os.fsencode(path.name) for path in everything.inputs.iterdir())
    before = everything_in(everything.inputs.parent)

    def one(k: int) -> Outcome:
        return attack(names[k], everything, tmp_path / str(k), ffmpeg.path, strace=strace)

    with concurrent.futures.ThreadPoolExecutor(max(2, (os.cpu_count() or 2) // 2)) as crew:
        outcomes = list(crew.map(one, range(len(names))))
    codes = collections.Counter(outcome.code for outcome in outcomes)
    slowest = max(outcomes, key=lambda outcome: outcome.seconds)
    with capsys.disabled():
        watch = "under strace" if strace else "without strace, so sockets and files were not watched"
        print(f"\n{ffmpeg.version_text.split(' Copyright')[0]}, {len(names)} inputs {watch}, by code: {dict(codes)}")
        print(f"slowest: {slowest.name!r}, {slowest.seconds:.1f} s")
    wrong = [f"{outcome.name!r} ({outcome.code}): {'; '.join(outcome.wrong)}" for outcome in outcomes if outcome.wrong]
    assert not wrong, f"{len(wrong)} of {len(names)}\n" + "\n".join(wrong)
    assert everything_in(everything.inputs.parent) == before


def everything_in(folder: Path) -> dict[Path, int]:
    """Every file and folder in it and when it was changed."""
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


def strace_that_works(folder: Path) -> str | None:
    """The path of strace, if it may trace here."""
    found = shutil.which("strace")
    if found is None:
        return None
    tried = subprocess.run([found, "-f", "--seccomp-bpf", "-e", WATCHED, "-o", folder / "tried", "true"], check=False)
    return found if tried.returncode == 0 else None


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
def test_the_watch_sees_a_socket_and_a_file_that_ffmpeg_opens(everything: corpus.Folders, tmp_path: Path) -> None:
    """Without this, a log that is misread would prove everything."""
    program = find_ffmpeg().path
    for name, options in {
        "hls-http.m3u8": ["-protocol_whitelist", "file,http,tcp"],
        "concat.ffconcat": ["-safe", "0"],
    }.items():
        log = tmp_path / name
        command = ["strace", "-f", "-xx", "-s", "4096", "-o", log, "--seccomp-bpf", "-e", WATCHED, program, "-nostdin"]
        subprocess.run(
            [*command, "-v", "quiet", *options, "-i", name, "-f", "null", "-"], cwd=everything.inputs, check=False
        )
        wrong = trespasses(watched(log), name.encode(), everything, tmp_path / "none", program)
        assert any(("AF_INET" if "http" in name else "secret.mp4") in text for text in wrong), wrong

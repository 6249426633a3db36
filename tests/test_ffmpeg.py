"""media/ffmpeg.py, children.py: the right program is found, its command line is literal, its children always end."""

import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from interp_cli.errors import FfmpegError, MissingToolError
from interp_cli.media import children
from interp_cli.media import ffmpeg as room
from interp_cli.media.children import log_children, stop_children
from interp_cli.media.ffmpeg import (
    Ffmpeg,
    Input,
    Output,
    child,
    command_line,
    encoder_formats,
    file_url,
    find_ffmpeg,
    has_encoder,
    run,
    source,
)

ENDLESS = Input("testsrc2=s=320x180:r=1000", {"f": "lavfi"})
RAW = Output("pipe:1", (), {"f": "rawvideo", "pix_fmt": "yuv420p"})


def script(path: Path, text: str) -> str:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """No setting and an empty PATH."""
    monkeypatch.delenv("VFI_FFMPEG", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    (tmp_path / "bin").mkdir()
    return tmp_path / "bin"


def test_the_one_asked_for_comes_before_the_environment_path_and_wheel(
    bare: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert find_ffmpeg().origin == "imageio-ffmpeg"
    on_path = script(bare / "ffmpeg", "echo 'ffmpeg version 6.1.1 Copyright'")
    assert (find_ffmpeg().path, find_ffmpeg().origin, find_ffmpeg().version) == (on_path, "PATH", (6, 1))
    set_up = script(tmp_path / "mine", "echo 'ffmpeg version 7.0 Copyright'")
    monkeypatch.setenv("VFI_FFMPEG", set_up)
    assert (find_ffmpeg().path, find_ffmpeg().origin) == (set_up, "VFI_FFMPEG")
    asked = script(tmp_path / "other", "echo 'ffmpeg version n8.0-3-gabc Copyright'")
    assert (find_ffmpeg(asked).path, find_ffmpeg(asked).version) == (asked, (8, 0))


def test_one_on_path_that_is_too_old_is_passed_over_but_one_asked_for_is_refused(bare: Path) -> None:
    old = script(bare / "ffmpeg", "echo 'ffmpeg version 4.4.2-0ubuntu0.22.04.1 Copyright'")
    assert find_ffmpeg().origin == "imageio-ffmpeg"
    with pytest.raises(MissingToolError, match=r"4\.4.*needs 5\.1"):
        find_ffmpeg(old)


def test_the_one_in_the_wheel_is_not_even_looked_for_where_another_does(
    bare: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script(bare / "ffmpeg", "echo 'ffmpeg version 6.1.1 Copyright'")
    monkeypatch.setattr(room, "_path_in_wheel", lambda: pytest.fail("it was started for nothing"))
    assert find_ffmpeg().origin == "PATH"


def test_without_any_ffmpeg_the_sentence_says_what_to_type(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "_path_in_wheel", lambda: None)
    with pytest.raises(MissingToolError, match="pip install imageio-ffmpeg"):
        find_ffmpeg()


@pytest.mark.parametrize("name", ["/no/such/ffmpeg", "true"])
def test_something_that_is_no_ffmpeg_is_refused(name: str) -> None:
    with pytest.raises(MissingToolError, match="give the path of an ffmpeg"):
        find_ffmpeg(name)


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("ffmpeg version 5.1.9-0+deb12u1 Copyright (c) 2000-2026", (5, 1)),
        ("ffmpeg version n9.0.2-17-g2a571b6068-20260930 Copyright", (9, 0)),
        ("ffmpeg version 7.1 Copyright", (7, 1)),
        ("ffmpeg version N-118315-gabcdef Copyright\nlibavutil      59. 51.100 / 59. 51.100", (7, 0)),
        ("ffmpeg version git-2022-06-01 Copyright\nlibavutil      57. 25.100 / 57. 25.100", (5, 0)),
        ("ffmpeg version 2023-11-05-git-44a0148fad-full_build Copyright\nlibavutil      58. 29.100 / 58", (6, 0)),
        ("hello", None),
    ],
)
def test_versions_are_read_from_releases_and_development_builds(text: str, version: tuple[int, int] | None) -> None:
    assert room._version(text) == version


def test_encoders_are_asked_for_by_name(ffmpeg: Ffmpeg) -> None:
    assert has_encoder(ffmpeg, "libx264") and not has_encoder(ffmpeg, "libnothing")
    assert "yuv420p10le" in (encoder_formats(ffmpeg, "ffv1") or ())


def test_a_command_line_is_a_list_with_every_option_where_it_belongs(wheel: Ffmpeg) -> None:
    argv = command_line(
        wheel, [source("-x y%d.mp4", {"itsoffset": 1})], [Output("pipe:1", ("0:V:0", "0:a"), {"c": "copy", "f": "nut"})]
    )
    at = argv.index("-i")
    assert argv[at + 1] == "file:-x y%d.mp4" and argv[argv.index("-itsoffset") + 1] == "1"
    assert argv[argv.index("-protocol_whitelist") + 1] == "file,pipe" and argv.index("-protocol_whitelist") < at
    assert argv[at + 2 : at + 6] == ["-map", "0:V:0", "-map", "0:a"] and argv[-1] == "pipe:1"
    assert argv[1:3] == ["-nostdin", "-hide_banner"]


def test_an_option_given_a_list_is_repeated_and_one_given_none_has_no_value(wheel: Ffmpeg) -> None:
    out = Output("file:o", ("1:0",), {"metadata": ["a=1", "b=2"], "shortest": None})
    argv = command_line(wheel, [Input("file:a"), Input("file:b")], [out])
    assert argv[-8:] == ["-map", "1:0", "-metadata", "a=1", "-metadata", "b=2", "-shortest", "file:o"]
    assert argv.count("-i") == 2


def test_a_file_name_that_is_not_utf8_is_passed_on_as_it_is(wheel: Ffmpeg) -> None:
    assert "file:\udcff.mp4" in command_line(wheel, [source("\udcff.mp4")], [RAW])
    assert command_line(wheel, [source("a.mp4")], [Output("file:\udcff.nut")])[-1] == "file:\udcff.nut"


def test_a_relative_path_of_a_program_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = script(tmp_path / "mine", "echo 'ffmpeg version 7.0 Copyright'")
    monkeypatch.chdir(tmp_path)
    assert find_ffmpeg("./mine").path == path


def test_a_program_that_is_gone_is_a_sentence(wheel: Ffmpeg) -> None:
    with pytest.raises(MissingToolError, match="does not list its encoders"):
        encoder_formats(replace(wheel, path="/no/such/ffmpeg"), "libx264")


def test_a_failure_is_one_sentence_with_status_and_last_lines(ffmpeg: Ffmpeg, tmp_path: Path) -> None:
    with pytest.raises(FfmpegError) as caught:
        run(ffmpeg, [source(str(tmp_path / "none.mp4"))], [RAW], doing="open none.mp4")
    error = caught.value
    assert str(error).startswith("ffmpeg could not open none.mp4: ") and "\n" not in str(error)
    assert "No such file" in "\n".join(error.last_lines) and error.returncode not in (0, None)


def test_a_talkative_child_does_not_block_and_its_last_lines_are_kept(ffmpeg: Ffmpeg) -> None:
    short = Input("testsrc2=s=32x32:r=500:d=1", {"f": "lavfi"})
    null = Output("-", (), {"vf": "showinfo", "f": "null"})
    with child(ffmpeg, [short], [null], loglevel="info") as running:
        status, lines = running.finish()
    assert status == 0 and len(lines) == children.LINES_KEPT


def test_command_lines_and_messages_can_be_watched(wheel: Ffmpeg) -> None:
    commands: list[str] = []
    lines: list[str] = []
    log_children(commands=commands.append, lines=lines.append)
    try:
        with pytest.raises(FfmpegError):
            run(wheel, [source("a 'b")], [RAW], doing="test")
    finally:
        log_children()
    assert len(commands) == 1 and """'file:a '"'"'b'""" in commands[0]
    assert any("No such file" in line for line in lines)


class Gone(BaseException):
    pass


@pytest.mark.parametrize("leave", [Gone, KeyboardInterrupt, GeneratorExit, RuntimeError])
def test_a_child_is_gone_however_its_block_is_left(ffmpeg: Ffmpeg, leave: type[BaseException]) -> None:
    with pytest.raises(leave), child(ffmpeg, [ENDLESS], [RAW]) as running:
        assert running.fill(memoryview(bytearray(10)))
        raise leave
    with pytest.raises(ProcessLookupError):
        os.kill(running.pid, 0)


def test_a_child_is_gone_when_the_generator_around_it_is_dropped(wheel: Ffmpeg) -> None:
    pids = []

    def frames():  # type: ignore[no-untyped-def]
        with child(wheel, [ENDLESS], [RAW]) as running:
            pids.append(running.pid)
            while True:
                yield running.fill(memoryview(bytearray(100)))

    generator = frames()
    next(generator)
    generator.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pids[0], 0)


def test_another_thread_can_end_all_children_at_once(ffmpeg: Ffmpeg) -> None:
    asleep = Input("color=r=1", {"re": None, "f": "lavfi"})
    timer, begun = threading.Timer(1, stop_children), time.monotonic()
    timer.start()
    with pytest.raises(FfmpegError, match="SIGKILL"):
        run(ffmpeg, [asleep], [Output("-", (), {"f": "null"})], doing="wait")
    timer.join()
    assert time.monotonic() - begun < 10 and not children._living


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(")")[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.parametrize("fed", [False, True], ids=["reading from it", "writing to it"])
def test_a_child_ends_by_itself_when_vfi_is_killed(ffmpeg: Ffmpeg, fed: bool, tmp_path: Path) -> None:
    raw = Input("pipe:0", {"f": "rawvideo", "s": "32x32", "pixel_format": "gray"})
    inputs, output = ([raw], Output(file_url(tmp_path / "o.nut"))) if fed else ([ENDLESS], RAW)
    code = (
        "import os, signal\n"
        "from interp_cli.media.ffmpeg import *\n"
        f"with child(find_ffmpeg({ffmpeg.path!r}), {inputs!r}, [{output!r}], feed={fed}) as c:\n"
        "    print(c.pid, flush=True)\n"
        f"    c.write(bytes(5000)) if {fed} else c.fill(memoryview(bytearray(5000)))\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False, timeout=60)
    assert done.returncode == -signal.SIGKILL
    pid, until = int(done.stdout), time.monotonic() + 15
    while is_alive(pid) and time.monotonic() < until:
        time.sleep(0.05)
    assert not is_alive(pid)


def test_ctrl_c_on_the_terminal_does_not_reach_a_child(wheel: Ffmpeg) -> None:
    with child(wheel, [ENDLESS], [RAW]) as running:
        assert os.getsid(running.pid) == running.pid != os.getsid(0)


def test_a_report_file_is_never_written(wheel: Ffmpeg, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FFREPORT", f"file={tmp_path}/report.log")
    short = Input("testsrc2=s=32x32:d=0.1", {"f": "lavfi"})
    run(wheel, [short], [Output("-", (), {"f": "null"})], doing="test")
    assert not list(tmp_path.iterdir())


def test_importing_the_room_imports_neither_torch_nor_ffmpeg_python() -> None:
    code = (
        "import sys, interp_cli.media.mux, interp_cli.media.decode, interp_cli.media.probe\n"
        "sys.exit(bool({'torch', 'ffmpeg', 'imageio_ffmpeg', 'cv2'} & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

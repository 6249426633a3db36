"""The self-check notices what is wrong with a finished file, says it, and finds nothing wrong with a right one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import small_clips
from conftest import H264, LABELS, MakeClip, chosen, tool
from test_cli import no_settings_of_this_machine, shared_folder  # noqa: F401 - fixtures

from interp_cli.cli.entry import run as command_line
from interp_cli.cli.grammar import Session
from interp_cli.errors import VfiError
from interp_cli.job import job as room
from interp_cli.job.job import Job, Prepared, prepare, run
from interp_cli.job.verify import verify, verify_pictures
from interp_cli.media.ffmpeg import Ffmpeg
from interp_cli.media.mux import mux
from interp_cli.options import Codec, EncodeOptions

pytestmark = pytest.mark.usefixtures("blending")

CHAPTERS = ";FFMETADATA1\n[CHAPTER]\nTIMEBASE=1/10\nSTART=0\nEND=5\n[CHAPTER]\nTIMEBASE=1/10\nSTART=5\nEND=10\n"
QUICK = EncodeOptions(preset="ultrafast")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """25 frames at 25 frames/s with B-frames and labels, two tracks of sound of which one is late, two chapters."""
    folder = tmp_path_factory.mktemp("verify")
    (folder / "chapters").write_text(CHAPTERS)
    tool(
        "-f", "lavfi", "-i", "testsrc2=s=160x90:r=25:d=1", "-f", "lavfi", "-i", "sine=d=1:r=48000",
        "-itsoffset", "0.3", "-f", "lavfi", "-i", "sine=f=900:d=0.7:r=44100", "-i", folder / "chapters",
        "-map", "0", "-map", "1", "-map", "2", *H264, *LABELS, "-c:a", "aac", folder / "source.mp4",
    )  # fmt: skip
    return folder / "source.mp4"


Finished = tuple[Prepared, Path]


@pytest.fixture(scope="module")
def finished(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """(what was decided, a right result) of a job that doubles the rate, as Matroska."""
    folder = tmp_path_factory.mktemp("right")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VFI_WEIGHTS", str(small_clips.weights(folder / "weights")))
        job = Job(input=str(source), output=str(folder / "right.mp4"), rate="2x", encode=QUICK)
        work = prepare(job)
        run(job)
    verify(work, folder / "right.mp4")
    return work, folder / "right.mp4"


FAULTS: dict[str, tuple[tuple[str, ...], str]] = {
    "a frame is missing": (("-bsf:v", "noise=amount=0:drop=eq(n\\,9)"), "it has 49 frames and not 50"),
    "its end is cut off": (("-t", "0.7"), r"it has \d\d frames and not 50"),
    "the rate is wrong": (
        ("-bsf:v", "setts=pts=PTS*25/24:dts=DTS*25/24"),
        r"its frame 1 comes after 0\.020\d s and not 0\.02 s",
    ),
    "one frame is late": (
        ("-bsf:v", "setts=pts=PTS+eq(N\\,20)*0.003/TB:dts=DTS"),
        r"its frame \d+ comes after 0\.\d+ s and not 0\.\d+ s",
    ),
    "all sound is late": (("-map", "0:v", "-map", "1:a"), "audio stream 1 of the source begins 0.0787 s after the"),
    "all sound is early": (("-map", "1:v", "-map", "0:a"), "audio stream 1 of the source begins 0.1213 s before"),
    "a stream is missing": (("-map", "0:v", "-map", "0:a:0"), r"it lacks audio stream 2 of the source \(aac\)"),
    "streams are in another order": (("-map", "0:v", "-map", "0:a:1", "-map", "0:a:0"), "audio stream 1 .* begins"),
    "a stream is of another codec": (
        ("-map", "0:v", "-map", "0:a", "-c:a:1", "ac3"),
        r"it has audio \(ac3\) in the place of audio stream 2 of the source \(aac\)",
    ),
    "a stream too many": (("-map", "0:v", "-map", "0:a", "-map", "0:a:1"), "it has 1 streams more than planned"),
    "the video is of another codec": (("-c:v", "mpeg4", "-q:v", "2"), "its video is mpeg4 and not h264"),
    "the frames are of another size": (("-vf", "scale=80:48", *H264), "its frames are 80 x 48 and not 160 x 90"),
    "chapters are missing": (("-map_chapters", "-1"), "it has 0 chapters and not 2"),
    "the pixels are of another shape": (
        ("-bsf:v", "h264_metadata=sample_aspect_ratio=4/3", "-aspect", "64:27"),
        "its pixels are 4/3 and not 1",
    ),
    "the colours are called others": (
        ("-bsf:v", "h264_metadata=matrix_coefficients=6", "-colorspace", "smpte170m"),
        "its colour matrix is smpte170m and not bt709",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_that_is_put_into_a_right_file_is_noticed_and_named(
    fault: str, finished: Finished, tmp_path: Path
) -> None:
    work, right = finished
    options, sentence = FAULTS[fault]
    maps = () if "-map" in options else ("-map", "0")
    twice = ("-i", right, "-itsoffset", "0.1", "-i", right)
    tool(*twice, *maps, "-c", "copy", "-video_track_timescale", "90000", *options, tmp_path / "wrong.mp4")
    with pytest.raises(VfiError, match=rf"is not as planned \(.*{sentence}") as caught:
        verify(work, tmp_path / "wrong.mp4")
    assert caught.value.exit_code == 1
    assert "did not get its name and lies in " in str(caught.value) and "--no-verify" in str(caught.value)


def test_a_copy_of_a_right_file_is_right(finished: Finished, tmp_path: Path) -> None:
    work, right = finished
    tool("-i", right, "-map", "0", "-c", "copy", "-video_track_timescale", "90000", tmp_path / "copy.mp4")
    verify(work, tmp_path / "copy.mp4")


def test_sound_that_ends_early_is_noticed(finished: Finished, tmp_path: Path) -> None:
    work, right = finished
    tool(
        "-i", right, "-t", "0.5", "-i", right, "-map", "0:v", "-map", "0:a:0", "-map", "1:a:1", "-c", "copy",
        tmp_path / "wrong.mp4",
    )  # fmt: skip
    with pytest.raises(VfiError, match=r"audio stream 2 of the source ends 0\.\d+ s after the first frame and not"):
        verify(work, tmp_path / "wrong.mp4")


def test_a_rotation_that_got_lost_is_noticed(finished: Finished, tmp_path: Path) -> None:
    work, right = finished
    tool("-display_rotation", "90", "-i", right, "-map", "0", "-c", "copy", tmp_path / "wrong.mp4")
    with pytest.raises(VfiError, match="it is shown rotated by 270 degrees clockwise and not as it is stored"):
        verify(work, tmp_path / "wrong.mp4")


def test_a_file_that_cannot_be_read_again_is_rejected(finished: Finished, tmp_path: Path) -> None:
    work, right = finished
    (tmp_path / "wrong.mp4").write_bytes(right.read_bytes()[:600])
    with pytest.raises(VfiError, match="it cannot be read again"):
        verify(work, tmp_path / "wrong.mp4")


def test_pictures_are_counted_and_measured(finished: Finished, tmp_path: Path) -> None:
    work, right = finished
    work = replace(work, container="image2")
    tool("-i", right, "-fps_mode", "passthrough", tmp_path / "%03d.png")
    pictures = sorted(tmp_path.iterdir())
    verify_pictures(work, pictures)
    with pytest.raises(VfiError, match="there are 49 pictures and not 50"):
        verify_pictures(work, pictures[1:])
    tool("-f", "lavfi", "-i", "color=s=80x45", "-frames:v", "1", pictures[3])
    with pytest.raises(VfiError, match=r"004\.png is not 160 x 90"):
        verify_pictures(work, pictures)


CONTAINERS = ["mp4", "mov", "mkv", "webm", "ts", "avi", "nut"]


@pytest.mark.parametrize("how", chosen(["whole", "slow part"], always=("slow part",), once=("whole",)))
@pytest.mark.parametrize("suffix", chosen(CONTAINERS, always=("mp4",), once=("mkv",)))
def test_a_right_result_of_every_container_passes(
    suffix: str, how: str, source: Path, tmp_path: Path, ffmpeg: Ffmpeg, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Path] = []
    monkeypatch.setattr(
        room, "verify", lambda work, finished, **how: (verify(work, finished, **how), seen.append(finished))
    )
    part: dict[str, Any] = {"slow": Fraction(2), "start": Fraction(1, 5), "end": Fraction(4, 5)}
    codec = EncodeOptions(codec=Codec.VP9, preset="8") if suffix == "webm" else QUICK
    job = Job(input=str(source), output=str(tmp_path / f"out.{suffix}"), encode=codec, ffmpeg=ffmpeg.path)
    run(replace(job, **(part if how == "slow part" else {"rate": "2x"})))
    assert len(seen) == 1


# ---- what becomes of a result that is rejected


@pytest.fixture
def forgetful(monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs of this test lose their sound while they are joined."""

    def lose(*arguments: Any, fates: Any, **named: Any) -> None:
        mux(*arguments, fates=[fate for fate in fates if fate.kind != "audio"], **named)

    monkeypatch.setattr(room, "mux", lose)


Say = Callable[[], str]


@pytest.mark.usefixtures("forgetful", "no_settings_of_this_machine")
@pytest.mark.parametrize("command", [["upsample", "--factor", "2"], ["slowmo", "--factor", "2"]])
def test_the_rejected_file_lies_where_the_message_says_and_no_verify_takes_it(
    command: list[str], make_clip: MakeClip, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clip = make_clip("five.mp4", "-f", "lavfi", "-i", "testsrc2=s=64x48:r=25:d=0.2", "-f", "lavfi", "-i", "sine=d=0.2")
    out = tmp_path / "out.mp4"
    arguments = [*command, str(clip), "-o", str(out), "--preset", "ultrafast"]
    assert command_line(arguments, Session()) == 1
    said = capsys.readouterr().err
    place = tmp_path / ".out.mp4.vfi" / "result.mp4"
    assert "it lacks audio stream 1 of the source (aac)" in said and f"lies in {place}" in said
    assert place.exists() and not out.exists()
    assert command_line([*arguments, "--no-verify"], Session()) == 0
    said = capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4"]


@pytest.mark.usefixtures("forgetful")
def test_of_a_piped_result_that_is_rejected_nothing_stays(source: Path, tmp_path: Path) -> None:
    with pytest.raises(VfiError, match="did not get its name and was removed"):
        run(Job(input=str(source), output=str(tmp_path / "out.nut"), rate="2x", encode=QUICK, temporary=True))
    assert not list(tmp_path.iterdir())

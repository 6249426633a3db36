"""Cuts and repeated frames, from the command line and in files, against clips whose cuts and repeats are known."""

from __future__ import annotations

import csv
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from conftest import MakeClip, Proved, tool
from fakes import LinearBlend
from whole_files import use_network

from interp_cli.cli.entry import run
from interp_cli.cli.grammar import Session
from interp_cli.job.job import Job, prepare
from interp_cli.media.ffmpeg import Ffmpeg
from interp_cli.options import Dedup

pytestmark = pytest.mark.usefixtures("blending")

RATE = 25
SHOTS = ("mandelbrot=s=128x72:r=25,trim=end_frame=15", "testsrc2=s=128x72:r=25:d=0.8", "rgbtestsrc=s=128x72:r=25:d=1")
LENGTHS = (15, 20, 25)
CUTS = [15, 35]  # the first frame of each scene but the first


@pytest.fixture(scope="module")
def joined(make_clip: MakeClip) -> Path:
    """Three shots of 15, 20 and 25 frames."""
    inputs = [part for shot in SHOTS for part in ("-f", "lavfi", "-i", shot)]
    joining = "[0:v][1:v][2:v]concat=n=3:v=1:a=0,format=yuv420p"
    return make_clip("joined.mkv", *inputs, "-filter_complex", joining, "-c:v", "libx264", "-crf", "18")


@pytest.fixture(scope="module")
def found(joined: Path, wheel: Ffmpeg, weights: Path, tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """The frames of a result whose cuts vfi found itself."""
    out = tmp_path_factory.mktemp("found") / "found.mkv"
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("VFI_WEIGHTS", str(weights))
        use_network(patched, LinearBlend())
        assert vfi("upsample", joined, "-c", "ffv1", "-x", 2, "-o", out, "--ffmpeg", wheel.path) == 0
    return frames_in(out)


def vfi(*arguments: object) -> int:
    return run([str(argument) for argument in arguments], Session())


def frames_in(path: Path) -> list[bytes]:
    raw = tool("-i", path, "-map", "0:v:0", "-pix_fmt", "gray", "-f", "rawvideo", "-")
    size = 128 * 72
    return [raw[k : k + size] for k in range(0, len(raw), size)]


@pytest.mark.once
def test_cuts_are_written_as_a_table_with_exact_times(
    joined: Path, tmp_path: Path, ffmpeg: Ffmpeg, proved: Proved
) -> None:
    cuts = tmp_path / "cuts.csv"
    assert (
        vfi("upsample", joined, "-x", 2, "-o", tmp_path / "o.mkv", "--scenes-out", cuts, "--ffmpeg", ffmpeg.path) == 0
    )
    rows = list(csv.DictReader(cuts.read_text().splitlines()))
    assert [int(row["frame"]) for row in rows] == CUTS
    assert [Fraction(row["time"]) for row in rows] == [Fraction(n, RATE) for n in CUTS]
    assert all(0.3 <= float(row["score"]) <= 1 for row in rows)
    again = tmp_path / "probed.csv"
    assert vfi("probe", joined, "--scenes-out", again, "--ffmpeg", ffmpeg.path) == 0
    assert again.read_text() == cuts.read_text()
    proved("Cuts", "--scenes-out: three joined shots", "where they were joined", "frames 15 and 35", ffmpeg=ffmpeg)


@pytest.mark.parametrize(
    "text",
    [
        "frame,seconds,time,score\n15,0.6,3/5,\n35,1.4,7/5,\n",
        "15\n35\n",
        "0.6\n00:00:01.400\n",
        "Timecode List:,00:00:00.600,00:00:01.400\nScene Number,Start Frame,Start Timecode\n"
        "1,1,00:00:00.000\n2,16,00:00:00.600\n3,36,00:00:01.400\n",
        "# mine\n\n15\n35\n",
    ],
    ids=["vfi", "numbers", "times", "PySceneDetect", "comments"],
)
def test_a_list_of_cuts_gives_what_finding_them_gives(
    text: str, joined: Path, found: list[bytes], tmp_path: Path, wheel: Ffmpeg, proved: Proved,
    request: pytest.FixtureRequest,
) -> None:  # fmt: skip
    given = tmp_path / "given.csv"
    given.write_text(text)
    options = ("-c", "ffv1", "-x", 2, "--scenes-in", given, "--ffmpeg", wheel.path)
    assert vfi("upsample", joined, *options, "-o", tmp_path / "given.mkv") == 0
    taken = frames_in(tmp_path / "given.mkv")
    assert found == taken
    source = frames_in(joined)
    assert all(taken[2 * cut - 1] == source[cut - 1] for cut in CUTS)  # held until the cut's own time
    kind = request.node.callspec.id
    proved("Cuts", f"--scenes-in: {kind}", "ffmpeg: every frame", "equal to detection", ffmpeg=wheel)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("15\nabc\n", "line 2"),
        ("15\n99\n", "frames 0 to 59"),
        ("3:00\n", "outside the video"),
        ("15,35\n", "no head"),
        ("\0", "not a text file"),
    ],
)
def test_a_bad_list_is_refused_with_its_line_and_nothing_is_written(
    text: str, says: str, joined: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = tmp_path / "given.csv"
    given.write_text(text)
    assert vfi("upsample", joined, "-x", 2, "-o", tmp_path / "o.mkv", "--scenes-in", given) == 3
    assert says in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [given]


def test_given_cuts_belong_to_the_key_and_a_restored_job_has_them(joined: Path, tmp_path: Path) -> None:
    from interp_cli.job.key import key_of, restored, stored

    given = tmp_path / "given.csv"
    given.write_text("15\n")
    job = Job(input=str(joined), output=str(tmp_path / "o.mkv"), rate="2x", scenes_in=str(given))
    before = key_of(prepare(job), device="cpu")
    assert restored(stored(job)) == job
    given.write_text("16\n")
    after = key_of(prepare(job), device="cpu")
    assert [name for name in before if before[name] != after[name]] == ["cuts"]


@pytest.mark.once
@pytest.mark.parametrize(
    ("name", "shuffle", "share"),
    [("twos", "0 0", 1 / 2), ("threes", "0 0 0", 2 / 3), ("every fifth frame repeats", "0 1 2 3 3", 1 / 5)],
)
def test_repeated_frames_are_replaced_and_the_count_and_the_rest_stay(
    name: str, shuffle: str, share: float, make_clip: MakeClip, tmp_path: Path, ffmpeg: Ffmpeg, proved: Proved
) -> None:
    """The moving bar of the result goes on in the frames that were repeats; other frames are the source's own."""
    picture = "nullsrc=s=128x72:r=24,geq=lum='if(lt(mod(X-3*N,128),24),220,40+20*mod(floor(Y/6),2))':cb=128:cr=128"
    options = ("-frames:v", 60, "-c:v", "libx264", "-crf", "18", "-pix_fmt", "yuv420p")
    clip = make_clip("repeats.mkv", "-f", "lavfi", "-i", f"{picture},shuffleframes={shuffle}", *options)
    out = tmp_path / "o.mkv"
    assert vfi("upsample", clip, "-x", 1, "-c", "ffv1", "-o", out, "--ffmpeg", ffmpeg.path) == 0
    source, result = frames_in(clip), frames_in(out)
    assert len(result) == len(source) == 60
    changed = [n for n in range(60) if source[n] != result[n]]
    order = [int(k) for k in shuffle.split()]
    repeats = [n for n in range(1, 60) if order[n % len(order)] == order[n % len(order) - 1] and n % len(order)]
    assert set(changed) <= set(repeats)
    assert len(changed) >= 0.8 * share * 60
    luma = [np.frombuffer(frame, np.uint8).astype(int) for frame in result]
    assert all(np.abs(luma[n] - luma[n - 1]).mean() > 1 for n in changed)
    assert vfi("upsample", clip, "-x", 1, "-c", "ffv1", "-o", tmp_path / "off.mkv", "--dedup", Dedup.OFF) == 0
    assert frames_in(tmp_path / "off.mkv") == source
    result_text = f"{len(changed)} of {len(repeats)} repeats replaced, the other frames the source's own"
    proved("Repeated frames", f"{name}, x264 crf 18", "ffmpeg: every frame", result_text, ffmpeg=ffmpeg)

"""Shape: how players turn and stretch the picture, sizes of all kinds, and sizes that change midway."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from conftest import MakeClip, Proved, chosen, tool
from numpy.typing import NDArray
from whole_files import convert

from interp_cli.errors import InputError, UsageError
from interp_cli.job.job import Job
from interp_cli.job.prepare import prepare
from interp_cli.media.ffmpeg import Ffmpeg
from interp_cli.media.probe import probe
from interp_cli.media.types import pixel_format

blends = pytest.mark.usefixtures("blending")
LOSSLESS = ("-c:v", "libx264", "-preset", "ultrafast", "-qp", "0", "-pix_fmt", "yuv420p")
EIGHT = [(turn, mirrored) for turn in (0, 90, 180, 270) for mirrored in (False, True)]
NAMES = {"mp4": {}, "mov": {}, "mkv": {}, "webm": {"ffmpeg_args": (("lossless", "1"),)}, "ts": {}, "avi": {}, "nut": {}}


def shown(path: Path, filters: str = "null") -> list[str]:
    """What a player shows, by ffmpeg's framemd5 with its own turning: size, shape of pixels, md5 of every frame."""
    text = tool("-i", path, "-map", "0:v:0", "-vf", filters, "-fps_mode", "passthrough", "-f", "framemd5", "-").decode()
    head = [line for line in text.splitlines() if line.startswith(("#dimensions", "#sar"))]
    return [*head, *(line.split(",")[5].strip() for line in text.splitlines() if not line.startswith("#"))]


def matrix(path: Path) -> list[int] | None:
    """The display matrix that libavcodec gives with the first frame, a, b, c, d in 1/65536; None if there is none."""
    with av.open(str(path)) as container:
        data = {str(s.type): bytes(s) for s in next(container.decode(video=0)).side_data}
    found = data.get("Type.DISPLAYMATRIX")
    return None if found is None else np.frombuffer(found, "<i4")[[0, 1, 3, 4]].tolist()


def turned(make_clip: MakeClip, folder: Path, angle: int, mirrored: bool, *, sar: str = "3/2") -> Path:
    """3 frames of 64 x 48 that players turn by `angle` degrees clockwise and then mirror."""
    plain = make_clip("plain.mp4", "-f", "lavfi", "-i", f"testsrc2=s=64x48:r=10:d=0.3,setsar={sar}", *LOSSLESS)
    path = folder / "turned.mp4"
    flip = ("-display_hflip:v",) if mirrored else ()
    tool("-display_rotation:v", -angle, *flip, "-i", plain, "-c", "copy", path)
    return path


def words(angle: int, mirrored: bool) -> str:
    return f"{angle} degrees{', mirrored' if mirrored else ''}"


@pytest.mark.parametrize("case", EIGHT, ids=lambda case: words(*case))
def test_every_orientation_is_read_as_ffprobe_tells_it(
    case: tuple[int, bool], ffmpeg: Ffmpeg, make_clip: MakeClip, tmp_path: Path
) -> None:
    video = probe(str(turned(make_clip, tmp_path, *case)), ffmpeg=ffmpeg).video
    assert (video.rotation, video.mirrored) == case
    assert (video.width, video.height, video.sar) == (64, 48, Fraction(3, 2))


ALL = [(case, name) for name in NAMES for case in EIGHT]


@blends
@pytest.mark.parametrize(
    ("case", "ending"),
    chosen(ALL, always=[((90, True), "mp4")], once=[((90, False), "mp4"), ((270, True), "ts")]),
    ids=[f"{name} {words(*case)}" for case, name in ALL],
)
def test_what_is_shown_is_turned_once(
    case: tuple[int, bool], ending: str, ffmpeg: Ffmpeg, make_clip: MakeClip, tmp_path: Path, proved: Proved
) -> None:
    """Either players are told to turn the result, or it is turned and they are told nothing."""
    source, out = turned(make_clip, tmp_path, *case), tmp_path / f"out.{ending}"
    convert(source, out, ffmpeg=ffmpeg, preset="ultrafast", crf=0, **NAMES[ending])
    before, after = shown(source), shown(out)
    assert after[:2] == before[:2] and len(after) == 2 + 6
    assert after[2::2] == before[2:]
    told = matrix(out)
    if told is not None:
        assert told == matrix(source)
    result = "the picture itself is turned" if told is None and case != (0, False) else "players are told to turn it"
    oracle = "framemd5 as ffmpeg turns it, display matrix by PyAV"
    proved("Geometry", f"{words(*case)}, pixels 3:2, in {ending}", oracle, result, ffmpeg=ffmpeg)


@pytest.mark.once
@blends
def test_an_odd_angle_is_told_to_players_or_said(
    ffmpeg: Ffmpeg, make_clip: MakeClip, tmp_path: Path, proved: Proved
) -> None:
    """No player turns a picture by 30 degrees, so nor does vfi; what the file says of it stays."""
    source = turned(make_clip, tmp_path, 30, False)
    convert(source, tmp_path / "out.mp4", ffmpeg=ffmpeg, preset="ultrafast")
    wanted, got = matrix(source), matrix(tmp_path / "out.mp4")
    assert wanted is not None and got is not None and max(abs(a - b) for a, b in zip(wanted, got, strict=True)) <= 2
    work = prepare(Job(input=str(source), output=str(tmp_path / "out.ts"), ffmpeg=ffmpeg.path))
    assert any("no longer shown rotated by 30 degrees clockwise" in note for note in work.encoding.notes)
    proved("Geometry", "30 degrees in mp4", "display matrix by PyAV", "players are told to turn it", ffmpeg=ffmpeg)


@pytest.mark.once
@blends
def test_a_rotation_that_only_the_video_itself_tells_is_carried(
    ffmpeg: Ffmpeg, make_clip: MakeClip, tmp_path: Path, proved: Proved
) -> None:
    told = ("-bsf:v", "h264_metadata=display_orientation=insert:rotate=270")
    source = make_clip("sei.ts", "-f", "lavfi", "-i", "testsrc2=s=64x48:r=10:d=0.3", *LOSSLESS, *told)
    convert(source, tmp_path / "out.mp4", ffmpeg=ffmpeg, preset="ultrafast", crf=0)
    assert shown(tmp_path / "out.mp4")[2::2] == shown(source)[2:]
    assert matrix(tmp_path / "out.mp4") == matrix(source) == [0, 65536, -65536, 0]
    oracle = "framemd5 as ffmpeg turns it, display matrix by PyAV"
    proved("Geometry", "rotation in H.264 itself (SEI), ts to mp4", oracle, "players are told", ffmpeg=ffmpeg)


CHANGES = {"another size": "testsrc2=s=48x64:r=10", "4:4:4 after 4:2:0": "testsrc2=s=64x48:r=10,format=yuv444p"}


def changing(folder: Path, ending: str, after: str) -> Path:
    """A second of 64 x 48 in 4:2:0, and a second of something else, in one stream."""
    how = LOSSLESS[:-2] if ending == "ts" else ("-c:v", "libvpx-vp9", "-cpu-used", "8")
    for n, picture in enumerate(("testsrc2=s=64x48:r=10,format=yuv420p", after)):
        tool("-f", "lavfi", "-i", picture, "-t", "1", *how, folder / f"{n}.{ending}")
    (folder / "list").write_text(f"file 0.{ending}\nfile 1.{ending}\n")
    path = folder / f"changing.{ending}"
    tool("-f", "concat", "-i", folder / "list", "-c", "copy", path)
    return path


@blends
@pytest.mark.parametrize(
    ("change", "ending"),
    chosen(
        [("another size", "ts"), ("4:4:4 after 4:2:0", "webm"), ("another size", "webm"), ("4:4:4 after 4:2:0", "ts")],
        once=[("another size", "ts"), ("4:4:4 after 4:2:0", "webm")],
    ),
)
def test_a_stream_that_changes_its_shape_midway_is_refused(
    change: str, ending: str, ffmpeg: Ffmpeg, tmp_path: Path, proved: Proved
) -> None:
    """ffmpeg would scale the rest to the size of the beginning and say nothing."""
    source = changing(tmp_path, ending, CHANGES[change])
    before = sorted(tmp_path.iterdir())
    advice = (
        r"changes midway, after about (0\.\d|1) s.* --end, or make it one first, such as with ffmpeg -i IN -vf scale="
    )
    with pytest.raises(InputError, match=advice) as caught:
        convert(source, tmp_path / "out.mp4", ffmpeg=ffmpeg)
    assert caught.value.exit_code == 3 and "\n" not in str(caught.value)
    assert sorted(tmp_path.iterdir()) == before
    convert(source, tmp_path / "out.mkv", ffmpeg=ffmpeg, codec="ffv1", end=Fraction(1, 2))
    part = shown(tmp_path / "out.mkv")[2::2]
    assert part == shown(source)[2 : 2 + len(part)] and len(part) in (5, 6)
    convert(source, tmp_path / "up to it.mkv", ffmpeg=ffmpeg, codec="ffv1", end=Fraction(1))
    *_, before, last, held = shown(tmp_path / "up to it.mkv")
    assert before != last == held  # what comes next is of no use
    result = "refused with a sentence, exit code 3; the part before can be taken"
    proved("Geometry", f"{change} midway in {ending}", "files on disk, framemd5", result, ffmpeg=ffmpeg)


SMALL = [(1, 1), (2, 2), (3, 5), (17, 1), (1, 18), (15, 16), (63, 47)]
FEW_SMALL = {(3, 5)}


def small(folder: Path, width: int, height: int, pix_fmt: str) -> Path:
    """3 frames of that size, lossless; ffmpeg's own sources have no odd sizes, so they are cut out of larger ones."""
    path = folder / "small.mkv"
    cut = f"format=yuv444p,crop={width}:{height}:9:5:exact=1,format={pix_fmt}"
    slices = ("-slices", 1) if min(width, height) < 16 else ()
    tool("-f", "lavfi", "-i", f"testsrc2=s=96x64:r=10:d=0.3,{cut}", "-c:v", "ffv1", "-level", 3, *slices, path)
    return path


@pytest.mark.once
@pytest.mark.parametrize(
    "size", [*(size if size in FEW_SMALL else pytest.param(size, marks=pytest.mark.slow) for size in SMALL)], ids=str
)
@pytest.mark.parametrize("pix_fmt", ["yuv420p", pytest.param("yuv420p10le", marks=pytest.mark.slow)])
def test_small_and_odd_sizes_lose_no_pixel(
    size: tuple[int, int], pix_fmt: str, ffmpeg: Ffmpeg, tmp_path: Path, proved: Proved
) -> None:
    """With the network that ships, which wants more pixels than some of these have."""
    width, height = size
    source, exact = small(tmp_path, width, height, pix_fmt), tmp_path / "out.mkv"
    convert(source, exact, ffmpeg=ffmpeg, codec="ffv1")
    assert shown(exact)[0] == shown(source)[0] == f"#dimensions 0: {width}x{height}"
    assert shown(exact)[2::2] == shown(source)[2:] and len(shown(exact)) == 2 + 6
    convert(source, tmp_path / "out.mp4", ffmpeg=ffmpeg, preset="ultrafast", crf=0)
    even = f"{width + width % 2}x{height + height % 2}"
    whole = shown(tmp_path / "out.mp4")
    assert whole[0] == f"#dimensions 0: {even}" and len(whole) == 2 + 6
    if pix_fmt == "yuv420p":  # in which x264's crf 0 is lossless
        cut = shown(tmp_path / "out.mp4", f"crop={width}:{height}:0:0:exact=1")
        assert cut[2::2] == shown(source)[2:]
    case = f"{width} x {height}, {pix_fmt}, with the network that ships"
    proved("Geometry", case, "framemd5", f"every pixel kept; {even} in mp4, {width}x{height} in FFV1", ffmpeg=ffmpeg)


@pytest.mark.parametrize(("codec", "least"), [("hevc", 16)])
def test_a_picture_too_small_for_a_codec_is_refused(
    codec: str, least: int, ffmpeg: Ffmpeg, tmp_path: Path, proved: Proved
) -> None:
    source = small(tmp_path, 14, least, "yuv420p")
    with pytest.raises(UsageError, match=f"takes no picture smaller than {least} x {least}: choose another --codec"):
        convert(source, tmp_path / "out.mp4", ffmpeg=ffmpeg, codec=codec)
    assert not (tmp_path / "out.mp4").exists()
    proved(
        "Geometry", f"14 x {least} as {codec}", "files on disk", "refused with a sentence, exit code 2", ffmpeg=ffmpeg
    )


@pytest.mark.slow
@blends
@pytest.mark.parametrize("size", [(8192, 1024), (2, 8192), (8192, 2)], ids=str)
def test_large_and_very_long_pictures_keep_every_pixel(
    size: tuple[int, int], ffmpeg: Ffmpeg, tmp_path: Path, proved: Proved
) -> None:
    source, out = tmp_path / "large.mkv", tmp_path / "out.mkv"
    picture = f"testsrc2=s={size[0]}x{size[1]}:r=10:d=0.3,format=yuv420p"
    tool("-f", "lavfi", "-i", picture, "-c:v", "ffv1", "-level", 1, source)
    convert(source, out, ffmpeg=ffmpeg, codec="ffv1")
    assert shown(out)[0] == f"#dimensions 0: {size[0]}x{size[1]}"
    assert shown(out)[2::2] == shown(source)[2:] and len(shown(out)) == 2 + 6
    proved("Geometry", f"{size[0]} x {size[1]}", "framemd5", "every source frame as it was", ffmpeg=ffmpeg)


QUARTERS = ["yuv422p", "yuv422p10le", "gray10le", "yuv444p", "gbrp", "yuva420p", "yuv411p"]


def samples(path: Path, pix_fmt: str, width: int, height: int) -> list[list[NDArray[Any]]]:
    """The planes of every frame as ffmpeg decodes it."""
    pixels, frames, begin = pixel_format(pix_fmt), [], 0
    raw = np.frombuffer(tool("-i", path, "-f", "rawvideo", "-pix_fmt", pix_fmt, "-"), pixels.dtype)
    while begin < raw.size:
        frames.append(list[NDArray[Any]]())
        for rows, columns in pixels.plane_shapes(width, height):
            frames[-1].append(raw[begin : begin + rows * columns].reshape(rows, columns))
            begin += rows * columns
    return frames


@pytest.mark.slow
@blends
@pytest.mark.parametrize("kind", ["tv", "pc"])
@pytest.mark.parametrize("pix_fmt", QUARTERS)
def test_turning_the_picture_itself_changes_no_value(
    pix_fmt: str, kind: str, ffmpeg: Ffmpeg, tmp_path: Path, proved: Proved
) -> None:
    """Luma is the same to the last bit; so is flat chroma, which 4:2:2 has to resample."""
    source, out = tmp_path / "a.mov", tmp_path / "o.nut"
    name = {"gbrp": "bgr0"}.get(pix_fmt, pix_fmt)
    flat = "" if pix_fmt.startswith(("g", "yuv444", "yuva")) else ",geq=lum='mod(X*7+Y*5+N,220)':cb=90:cr=170"
    picture = f"testsrc2=s=48x32:r=10:d=0.3,format={name.replace('10le', '')}{flat},format={name}"
    tool("-f", "lavfi", "-i", picture, "-c:v", "ffv1", "-color_range", kind, "-strict", -2, tmp_path / "plain.mov")
    tool("-display_rotation:v", 90, "-i", tmp_path / "plain.mov", "-c", "copy", source)
    convert(source, out, ffmpeg=ffmpeg, codec="ffv1")
    before, after = samples(tmp_path / "plain.mov", pix_fmt, 48, 32), samples(out, pix_fmt, 32, 48)
    assert len(after) == 2 * len(before) == 6 and matrix(out) is None
    for a, b in zip(before, after[::2], strict=True):
        assert np.array_equal(np.rot90(a[0]), b[0])
        for p, q in zip(a[1:], b[1:], strict=True):
            assert np.array_equal(np.rot90(p), q) if p.shape[::-1] == q.shape else np.unique(p) == np.unique(q)
    case = f"{pix_fmt}, {kind}, turned by 270 degrees in nut"
    proved("Geometry", case, "planes by PyAV", "luma, and flat chroma, equal", ffmpeg=ffmpeg)


SHAPED = [
    ("hevc", "mp4"), ("hevc", "mkv"), ("hevc", "ts"), ("av1", "mp4"), ("av1", "webm"), ("vp9", "mp4"), ("vp9", "mkv"),
    ("prores", "mov"), ("prores", "mkv"), ("ffv1", "mkv"), ("ffv1", "avi"), ("ffv1", "nut"), (None, "gif"),
    (None, "apng"), (None, "y4m"),
]  # fmt: skip


@pytest.mark.slow
@blends
@pytest.mark.parametrize(("codec", "ending"), SHAPED)
def test_every_codec_and_container_keeps_the_shape_of_pixels(
    codec: str | None, ending: str, ffmpeg: Ffmpeg, make_clip: MakeClip, tmp_path: Path, proved: Proved
) -> None:
    source = make_clip("shaped.mp4", "-f", "lavfi", "-i", "testsrc2=s=160x96:r=10:d=0.2,setsar=3/2", *LOSSLESS)
    preset = {"av1": "12", "hevc": "ultrafast", "vp9": "ultrafast"}.get(codec or "")
    convert(source, tmp_path / f"out.{ending}", ffmpeg=ffmpeg, codec=codec, preset=preset)
    size, shape = shown(tmp_path / f"out.{ending}")[:2]
    assert size == "#dimensions 0: 160x96"
    assert Fraction(shape.removeprefix("#sar 0: ")) == Fraction(3, 2)
    proved("Geometry", f"pixels 3:2, {codec or 'frames'} in {ending}", "framemd5", "pixels 3:2", ffmpeg=ffmpeg)


def test_webp_pictures_have_square_pixels_which_is_said(ffmpeg: Ffmpeg, make_clip: MakeClip, tmp_path: Path) -> None:
    source = make_clip("shaped.mp4", "-f", "lavfi", "-i", "testsrc2=s=160x96:r=10:d=0.2,setsar=3/2", *LOSSLESS)
    for suffix, said in ((".webp", True), (".png", False)):
        work = prepare(Job(input=str(source), output=str(tmp_path / f"%d{suffix}"), ffmpeg=ffmpeg.path))
        assert any("pixels of 3:2 become square" in note for note in work.encoding.notes) is said

"""A still picture stays still: nothing but what moves differs from the source, in any format, range or matrix."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from conftest import MakeClip, Proved, chosen, tool
from fakes import LinearBlend
from numpy.typing import NDArray
from whole_files import convert, frames, planes, use_network

from interp_cli.media.ffmpeg import Ffmpeg
from interp_cli.media.types import pixel_format

WIDTH, HEIGHT, COUNT = 96, 64, 50  # px, frames
SQUARE, STEP = 12, 2  # px
NEAR = 24  # px around where the square ever is, in which a network may see motion

Frame = list[NDArray[Any]]


@dataclass(frozen=True, kw_only=True)
class Case:
    """A clip: pixel format as ffmpeg names it, and labels."""

    pix_fmt: str
    range: str | None = None
    matrix: str | None = None

    def __str__(self) -> str:
        return " ".join(filter(None, (self.pix_fmt, self.range, self.matrix)))


def drawn(pix_fmt: str) -> list[Frame]:
    """50 frames, one array per plane: every code value there is, standing still, and a square that slides in a corner.

    The still part has flat areas and hard edges, fine noise, and values outside the limited range.
    """
    format, rng = pixel_format(pix_fmt), np.random.default_rng(11)
    still = []
    for h, w in format.plane_shapes(WIDTH, HEIGHT):
        cells = np.kron(rng.random((h // 8 + 1, w // 8 + 1)), np.ones((8, 8)))[:h, :w]
        fine = rng.random((h, w))
        ramp = np.broadcast_to(np.linspace(0, 1, w), (h, w))
        rows = np.arange(h)[:, None] * 3 // h
        picture = np.choose(np.broadcast_to(rows, (h, w)), [cells, fine, ramp])
        still.append((picture * format.peak).round().astype(format.dtype))
    out = []
    for n in range(COUNT):
        data = [plane.copy() for plane in still]
        x, y = WIDTH - 2 * SQUARE + STEP * (n % (SQUARE // STEP)), HEIGHT - SQUARE
        for plane, (h, w) in zip(data, format.plane_shapes(WIDTH, HEIGHT), strict=True):
            sx, sy = WIDTH // w, HEIGHT // h
            plane[y // sy :, x // sx : (x + SQUARE) // sx] = format.peak * 3 // 4
        out.append(data)
    return out


def elsewhere(shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """The samples of a plane that are not near the moving square."""
    h, w = shape[:2]
    away = np.ones((h, w), bool)
    away[(HEIGHT - SQUARE - NEAR) * h // HEIGHT :, (WIDTH - 2 * SQUARE - NEAR) * w // WIDTH :] = False
    return away


def labels(case: Case) -> tuple[str, ...]:
    said = {"-color_range": case.range, "-colorspace": case.matrix}
    return tuple(text for key, value in said.items() if value for text in (key, value))


def clip(folder: Path, case: Case, *encoder: str) -> Path:
    """The drawing as a file; lossless, by default ffv1 in Matroska."""
    name, data = case.pix_fmt, drawn(case.pix_fmt)
    raw = b"".join(plane.tobytes() for frame in data for plane in frame)
    if name == "gbrp":  # ffv1 has 8-bit RGB in one plane only
        packed = [np.dstack([b, g, r, np.full_like(g, 255)]) for g, b, r in data]
        name, raw = "bgr0", b"".join(frame.tobytes() for frame in packed)
    given = ("-f", "rawvideo", "-pixel_format", name, "-video_size", f"{WIDTH}x{HEIGHT}", "-framerate", "25")
    path = folder / "source.mkv"
    made = encoder or ("-c:v", "ffv1", "-pix_fmt", name)
    tool(*given, *labels(case), "-i", "-", *made, *labels(case), path, feed=raw)
    return path


def worst(source: list[tuple[NDArray[Any], ...]], out: list[tuple[NDArray[Any], ...]]) -> int:
    """The largest difference of a still part from the source's, in code values; copies are equal throughout."""
    assert len(source) == COUNT and len(out) == 2 * COUNT
    largest = 0
    for n, made in enumerate(out):
        for a, b in zip(source[n // 2], made, strict=True):
            assert a.shape == b.shape and a.dtype == b.dtype
            difference = np.abs(a.astype(int) - b.astype(int))
            if n % 2 == 0 or n == 2 * COUNT - 1:
                assert not difference.any(), f"frame {n} is no copy"
            largest = max(largest, int(difference[elsewhere(a.shape)].max()))
    moving = [bool(np.any(a[0] != b[0])) for a, b in pairwise(out)]
    assert sum(moving) > COUNT  # frames really are made
    return largest


def check_still(source: Path, out: Path, *, ffmpeg: Ffmpeg) -> int:
    """The largest difference that a job leaves in the still part, over all planes and frames."""
    done = convert(source, out, ffmpeg=ffmpeg, codec="ffv1")
    assert (done.frames, done.made, done.cuts) == (2 * COUNT, COUNT - 1, ())
    before, after = stored_as(source), stored_as(out)
    if before.name != after.name and after.is_rgb:  # the same samples in another order
        wide = "rgba64le" if after.components[0].bits > 8 else "rgba"
        return worst([(f,) for f in frames(source, wide)], [(f,) for f in frames(out, wide)])
    return worst(planes(source), planes(out))


def stored_as(path: Path) -> av.VideoFormat:
    with av.open(str(path)) as container:
        return container.streams.video[0].format


RANGES, MATRICES, DEPTHS = ("tv", "pc"), ("smpte170m", "bt709", "bt2020nc"), ("", "10le", "12le")
FEW = [
    Case(pix_fmt="yuv420p", range="tv", matrix="smpte170m"),
    Case(pix_fmt="yuv422p10le", range="pc", matrix="bt709"),
    Case(pix_fmt="gbrp"),
]
ALL = [
    *(
        Case(pix_fmt=f"yuv{layout}p{depth}", range=range_, matrix=matrix)
        for layout in ("420", "422", "444")
        for depth in DEPTHS
        for range_ in RANGES
        for matrix in MATRICES
    ),
    *(Case(pix_fmt=f"gray{depth}", range=range_) for depth in DEPTHS for range_ in RANGES),
    *(Case(pix_fmt=f"gbrp{depth}") for depth in DEPTHS),
]
CASES = [*FEW, *(case for case in ALL if case not in FEW)]


@pytest.mark.parametrize("case", chosen(CASES, once=FEW[1:2]), ids=str)
def test_what_stands_still_is_not_changed_by_what_moves(
    case: Case, ffmpeg: Ffmpeg, tmp_path: Path, proved: Proved
) -> None:
    """With the network that ships."""
    most = check_still(clip(tmp_path, case), tmp_path / "out.mkv", ffmpeg=ffmpeg)
    assert most <= 1
    row = f"still but for one corner, 50 frames: {case}"
    proved("Colour", row, "planes by PyAV", f"at most {most} code values from the source", ffmpeg=ffmpeg)


RGB = {
    "GIF": ("out.gif", "gbrp", ("-lavfi", "split[a][b];[a]palettegen[p];[b][p]paletteuse=dither=none")),
    "PNG in mov, rgb24": ("out.mov", "gbrp", ("-c:v", "png", "-pix_fmt", "rgb24")),
    "PNG in mov, rgb48be": ("out.mov", "gbrp12le", ("-c:v", "png", "-pix_fmt", "rgb48be")),
    "QuickTime animation in mov, rgb24": ("out.mov", "gbrp", ("-c:v", "qtrle", "-pix_fmt", "rgb24")),
    "raw bgr24 in avi": ("out.avi", "gbrp", ("-c:v", "rawvideo", "-pix_fmt", "bgr24")),
    "screen capture (flashsv), bgr24": ("out.flv", "gbrp", ("-c:v", "flashsv", "-pix_fmt", "bgr24")),
    "H.264 in RGB, gbrp": ("out.mp4", "gbrp", ("-c:v", "libx264rgb", "-qp", "0", "-preset", "ultrafast")),
}


@pytest.mark.parametrize("name", chosen(RGB, once=("GIF",)))
def test_rgb_sources_stand_still(
    name: str, ffmpeg: Ffmpeg, make_clip: MakeClip, tmp_path: Path, proved: Proved
) -> None:
    file, pix_fmt, how = RGB[name]
    source = make_clip(file, "-i", clip(tmp_path, Case(pix_fmt=pix_fmt)), *how)
    most = check_still(source, tmp_path / "out.mkv", ffmpeg=ffmpeg)
    assert most <= 1
    result = f"at most {most} code values from the source"
    proved("Colour", f"still but for one corner, 50 frames: {name}", "RGB by PyAV", result, ffmpeg=ffmpeg)


@pytest.mark.parametrize(
    ("pix_fmt", "codec"),
    chosen([("yuv420p", "libx264"), ("yuv444p", "libx264"), ("yuv422p", "mjpeg")], once=[("yuv420p", "libx264")]),
)
def test_full_range_video_stands_still(
    pix_fmt: str, codec: str, ffmpeg: Ffmpeg, tmp_path: Path, proved: Proved
) -> None:
    """What decodes as yuvj420p: the same bytes, and no squeezing into the limited range."""
    how = ("-qp", "0", "-preset", "ultrafast") if codec == "libx264" else ("-q:v", "1")
    case = Case(pix_fmt=pix_fmt, range="pc", matrix="smpte170m")
    source = clip(tmp_path, case, "-c:v", codec, *how)
    assert stored_as(source).name == pix_fmt.replace("yuv", "yuvj")
    most = check_still(source, tmp_path / "out.mkv", ffmpeg=ffmpeg)
    assert most <= 1
    row = f"still but for one corner, 50 frames: {pix_fmt.replace('yuv', 'yuvj')} ({codec})"
    proved("Colour", row, "planes by PyAV", f"at most {most} code values from the source", ffmpeg=ffmpeg)


@pytest.mark.parametrize("case", chosen(FEW, always=FEW[1:2], once=FEW), ids=str)
def test_composing_two_equal_pictures_gives_the_same_picture(
    case: Case, ffmpeg: Ffmpeg, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the rule that holds still what is still: nothing on the way to the result rounds or clips a value."""
    use_network(monkeypatch, LinearBlend(), hold_still=False)
    assert check_still(clip(tmp_path, case), tmp_path / "out.mkv", ffmpeg=ffmpeg) == 0


PLAYED = {  # name -> how to write it with as little loss as the codec knows
    "mp4": {"crf": 0},
    "mov": {"crf": 0},
    "webm": {"crf": 0, "ffmpeg_args": (("lossless", "1"),)},
    "mkv hevc": {"codec": "hevc", "crf": 0},
}


def psnr_in_rgb(result: Path, pictures: Path, *, matrix: str) -> float:
    """By ffmpeg: the least of all source frames in `result` against the pictures, as RGB by that matrix, dB."""
    back = f"[0:v]select='not(mod(n,2))',scale=in_color_matrix={matrix}:in_range=tv:flags=accurate_rnd+full_chroma_int"
    graph = f"{back},format=gbrp,setpts=N/TB/25[a];[1:v]format=gbrp,setpts=N/TB/25[b];[a][b]psnr=stats_file=-"
    text = tool("-i", result, "-framerate", 25, "-i", pictures / "%d.png", "-lavfi", graph, "-f", "null", "-").decode()
    found = [float(value) for value in re.findall(r"psnr_avg:([\d.]+)", text)]
    assert len(found) == 4
    return min(found)


@pytest.mark.usefixtures("blending")
@pytest.mark.parametrize("depth", chosen(["8 bits", "16 bits"], always=("8 bits",)))
@pytest.mark.parametrize("kind", chosen(PLAYED, always=("mp4",)))
def test_rgb_pictures_become_video_that_every_player_shows(
    kind: str, depth: str, ffmpeg: Ffmpeg, tmp_path: Path, proved: Proved
) -> None:
    """4:2:0, labelled with what its values mean; its colours are the pictures' own."""
    smooth = "r='128+90*sin((X+N*2)/23)':g='128+90*sin((Y-N)/19)':b='128+90*cos((X+Y)/31)'"
    pictures = tmp_path / "in"
    pictures.mkdir()
    stored = ("-pix_fmt", "rgb48be" if depth == "16 bits" else "rgb24")
    tool("-f", "lavfi", "-i", f"color=s=96x64:r=25:d=0.16,format=gbrp,geq={smooth}", *stored, pictures / "%d.png")
    out = tmp_path / f"out.{kind.split()[0]}"
    convert(pictures, out, ffmpeg=ffmpeg, preset="ultrafast", **PLAYED[kind])
    with av.open(str(out)) as container:
        frame = next(container.decode(video=0))
        told = (frame.color_range, frame.colorspace, frame.color_primaries, frame.color_trc)
        assert frame.format.name == ("yuv420p" if depth == "8 bits" else "yuv420p10le")
    assert tuple(map(int, told)) == (1, 1, 1, 13)  # limited, bt709, bt709, sRGB: numbers of ITU-T H.273
    right, wrong = (psnr_in_rgb(out, pictures, matrix=matrix) for matrix in ("bt709", "bt601"))
    assert right > 43 > 33 > wrong
    oracle = "labels by PyAV, psnr by ffmpeg against the pictures"
    proved("Colour", f"PNG, RGB of {depth}, to {kind}", oracle, "4:2:0, bt709, over 43 dB in RGB", ffmpeg=ffmpeg)


@pytest.mark.slow
@pytest.mark.usefixtures("blending")
def test_rgb_keeps_its_full_chroma_where_that_is_asked_for(ffmpeg: Ffmpeg, tmp_path: Path, proved: Proved) -> None:
    pictures = tmp_path / "in"
    pictures.mkdir()
    tool("-f", "lavfi", "-i", "testsrc2=s=96x64:r=25:d=0.16", "-pix_fmt", "rgb24", pictures / "%d.png")
    convert(pictures, tmp_path / "full.mp4", ffmpeg=ffmpeg, crf=0, preset="ultrafast", pix_fmt="yuv444p")
    convert(pictures, tmp_path / "half.mp4", ffmpeg=ffmpeg, crf=0, preset="ultrafast")
    convert(pictures, tmp_path / "rgb.mkv", ffmpeg=ffmpeg, codec="ffv1")
    full, half = (psnr_in_rgb(tmp_path / name, pictures, matrix="bt709") for name in ("full.mp4", "half.mp4"))
    assert full > 50 > half
    assert all(
        np.array_equal(a, b)
        for a, b in zip(frames(tmp_path / "rgb.mkv", "rgb24")[::2], frames_of(pictures), strict=True)
    )
    result = "4:4:4 over 50 dB; with -c ffv1 the values themselves"
    proved("Colour", "PNG, RGB, --pix-fmt yuv444p", "psnr by ffmpeg, RGB by PyAV", result, ffmpeg=ffmpeg)


def frames_of(pictures: Path) -> list[NDArray[Any]]:
    return [frames(path, "rgb24")[0] for path in sorted(pictures.iterdir())]

"""Transparency: kept where the result can hold it, and the colour of what is transparent never shows."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import MakeClip, Proved, chosen, tool
from fakes import FakeNetwork, LinearBlend, Lively
from numpy.typing import NDArray
from whole_files import convert, convert_in_two_runs, short_segments, use_network

from interp_cli.engine import making
from interp_cli.engine.interpolate import Interpolator
from interp_cli.job.notes import notes_of
from interp_cli.job.prepare import Job, prepare
from interp_cli.media.ffmpeg import Ffmpeg
from interp_cli.media.probe import probe
from interp_cli.media.types import Color, Planes, pixel_format
from interp_cli.options import EngineOptions, Mode
from interp_cli.timeline import Target

WIDTH, HEIGHT, COUNT, SPEED = 96, 64, 8, 3  # px, frames, px per frame
RED, GREY = np.array([220, 40, 30]), 128
Array = NDArray[Any]


@pytest.fixture(autouse=True)
def a_known_network(monkeypatch: pytest.MonkeyPatch, weights: Path) -> None:
    monkeypatch.setenv("VFI_WEIGHTS", str(weights))
    use_network(monkeypatch, FakeNetwork((SPEED, 0)))


def disc(n: int) -> Array:
    """(H, W, 4) RGBA: a red disc with a soft edge that moves right; where it is not, wild colours that nobody sees."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    alpha = np.clip((20 - np.hypot(x - 28 - SPEED * n, y - HEIGHT / 2)) / 6, 0, 1) * 255
    alpha = alpha.round().astype(np.uint8)
    wild = np.random.default_rng(n).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    colour = np.where(alpha[..., None] > 0, RED.astype(np.uint8), wild)
    return np.dstack((colour, alpha))


def source(make_clip: MakeClip, name: str, *how: str) -> Path:
    """The disc as a file; `how` are options of ffmpeg's encoder."""
    given = ("-f", "rawvideo", "-pixel_format", "rgba", "-video_size", f"{WIDTH}x{HEIGHT}", "-framerate", "10")
    raw = make_clip("disc.raw", "-f", "lavfi", "-i", "color=s=2x2:d=0.1", "-f", "rawvideo")  # a place for it
    raw.write_bytes(b"".join(disc(n).tobytes() for n in range(COUNT)))
    return make_clip(name, *given, "-i", raw, *how)


def decoder(path: Path) -> tuple[str, ...]:
    return ("-c:v", "libvpx-vp9") if path.suffix == ".webm" else ()


def over_grey(path: Path) -> Array:
    """(N, H, W, 3) what a viewer sees before grey, by ffmpeg's overlay filter."""
    under = f"color=0x808080:s={WIDTH}x{HEIGHT}:r=100:d=9"
    clock = "settb=1/1000,setpts=N*10"
    graph = f"[0]{clock},format=gbrp[b];[1]{clock},format=gbrap[f];[b][f]overlay=format=gbrp:shortest=1,format=rgb24"
    raw = tool("-f", "lavfi", "-i", under, *decoder(path), "-i", path, "-lavfi", graph, "-f", "rawvideo", "-")
    return np.frombuffer(raw, np.uint8).reshape(-1, HEIGHT, WIDTH, 3)


def fringe(seen: Array) -> float:
    """How far any pixel is from all mixtures of red and grey, in code values."""
    way = (RED - GREY) / np.linalg.norm(RED - GREY)
    off = seen.astype(float) - GREY
    return float(np.linalg.norm(off - (off @ way)[..., None] * way, axis=-1).max())


def alphas(path: Path) -> list[Array]:
    """Of every frame, by ffmpeg's alphaextract filter, in 8 bits."""
    raw = tool(*decoder(path), "-i", path, "-vf", "alphaextract,format=gray16le", "-f", "rawvideo", "-")
    return list((np.frombuffer(raw, np.uint16).reshape(-1, HEIGHT, WIDTH) / 257).round().astype(np.uint8))


def middle(alpha: Array) -> float:
    """Where the disc is, px."""
    return float((alpha.astype(float).sum(0) * np.arange(WIDTH)).sum() / alpha.sum(dtype=float))


PNG = ("-c:v", "png", "-pix_fmt", "rgba")
QTRLE = ("-c:v", "qtrle", "-pix_fmt", "argb")
PRORES = ("-c:v", "prores_ks", "-profile:v", "4444", "-pix_fmt", "yuva444p10le")
VP9 = ("-c:v", "libvpx-vp9", "-pix_fmt", "yuva420p", "-b:v", "0", "-crf", "4", "-cpu-used", "6")
FFV1 = ("-c:v", "ffv1", "-pix_fmt")
CASES = [  # what it is, its name, how it is made, the result, its codec and format, what a copy's alpha may differ by
    ("PNG (RGBA) in mov", "in.mov", PNG, "out.mov", "prores", "yuva444p", 1),
    ("PNG (RGBA) in mov", "in.mov", PNG, "out.webm", "vp9", "yuva420p", 12),
    ("QuickTime animation (ARGB)", "in.mov", QTRLE, "out.mkv", "ffv1", "bgra", 0),
    ("ProRes 4444", "in.mov", PRORES, "out.mov", "prores", "yuva444p", 1),
    ("ProRes 4444", "in.mov", PRORES, "out.mkv", "ffv1", "yuva444p", 0),
    ("ProRes 4444", "in.mov", PRORES, "out.webm", "vp9", "yuva420p", 12),
    ("VP9 with alpha", "in.webm", VP9, "out.webm", "vp9", "yuva420p", 12),
    ("VP9 with alpha", "in.webm", VP9, "out.mov", "prores", "yuva444p", 1),
    ("FFV1 (gbrap12)", "in.mkv", (*FFV1, "gbrap12le"), "out.mkv", "ffv1", "gbrap12le", 0),
    ("FFV1 (yuva420p)", "in.mkv", (*FFV1, "yuva420p"), "out.mkv", "ffv1", "yuva420p", 0),
]


@pytest.mark.parametrize(
    ("kind", "name", "how", "result", "codec", "pix_fmt", "off"),
    chosen(CASES, always=(CASES[6],), once=(CASES[0], CASES[2], CASES[3], CASES[8], CASES[9])),
    ids=[f"{c[0]}-{c[3]}" for c in CASES],
)
def test_transparency_is_kept_and_hidden_colours_do_not_show(
    kind: str,
    name: str,
    how: tuple[str, ...],
    result: str,
    codec: str,
    pix_fmt: str,
    off: int,
    ffmpeg: Ffmpeg,
    make_clip: MakeClip,
    tmp_path: Path,
    proved: Proved,
) -> None:
    clip, out = source(make_clip, name, *how), tmp_path / result
    quick = {"preset": "8", "crf": 4} if codec == "vp9" else {}
    done = convert(clip, out, ffmpeg=ffmpeg, **quick)
    assert done.frames == 2 * COUNT
    video = probe(str(out), ffmpeg=ffmpeg).video
    assert video.codec == codec and video.pix_fmt.startswith(pix_fmt)
    before, after = alphas(clip), alphas(out)
    assert len(after) == 2 * COUNT
    for n, alpha in enumerate(after[:-1]):
        assert abs(middle(alpha) - middle(before[0]) - SPEED * n / 2) < 0.25, n
        if n % 2 == 0:
            assert np.abs(alpha.astype(int) - before[n // 2]).max() <= off, n
    seen = over_grey(out)
    assert len(seen) == 2 * COUNT
    made, copied = fringe(seen[1:-1:2]), fringe(seen[::2])
    assert made <= copied + 3
    row = f"{kind} to {result.partition('.')[2]}: {codec}, {video.pix_fmt}"
    proved("Alpha", row, "over grey by ffmpeg's overlay; alphaextract", "no fringe, alpha as it was", ffmpeg=ffmpeg)


def rgb(pix_fmt: str, n: int) -> Planes:
    """The disc in planar RGB with alpha."""
    format, (r, g, b, a) = pixel_format(pix_fmt), np.moveaxis(disc(n), 2, 0).astype(int)
    planes_ = ((p * format.peak / 255).round().astype(format.dtype) for p in (g, b, r, a))
    return Planes(n, tuple(np.ascontiguousarray(p) for p in planes_), format)


def between(first: Planes, last: Planes, network: Any, **options: Any) -> list[Planes]:
    """Three frames between two."""
    e = Interpolator(network, options=EngineOptions(scene_detect=False, **options))
    targets = [Target(n=k, pts=k, left=0, t=Fraction(k, 4)) for k in (1, 2, 3)]
    return list(e.run(iter([first, last]), targets, color=Color()))


def blended(frame: Planes) -> Array:
    """(H, W, 3) the frame over grey, in 8 bits."""
    g, b, r, a = (plane.astype(float) * 255 / frame.format.peak for plane in frame.data)
    share = a[..., None] / 255
    return np.dstack((r, g, b)) * share + GREY * (1 - share)


@pytest.mark.parametrize("pix_fmt", ["gbrap", "gbrap12le"])
@pytest.mark.parametrize("mode", [Mode.DIRECT, Mode.BISECT])
@pytest.mark.parametrize("network", [FakeNetwork((SPEED, 0)), LinearBlend()], ids=["moved", "cross-faded"])
def test_no_colour_bleeds_out_of_what_is_transparent(
    pix_fmt: str, mode: Mode, network: FakeNetwork, monkeypatch: pytest.MonkeyPatch, proved: Proved
) -> None:
    ends = rgb(pix_fmt, 0), rgb(pix_fmt, 1)
    made = between(*ends, network, mode=mode)
    assert len(made) == 3
    assert max(fringe(blended(frame)) for frame in made) < 1.5
    monkeypatch.setattr(making, "weighted", lambda frames: frames)  # as it would be without
    monkeypatch.setattr(making, "unweighted", lambda frames, hidden: frames)
    assert max(fringe(blended(frame)) for frame in between(*ends, network, mode=mode)) > 4
    result = "no pixel 1.5 code values beside a mixture of the two"
    proved("Alpha", f"a soft disc before wild hidden colours, {pix_fmt}, {mode}", "the disc over grey", result)


@pytest.mark.parametrize("pix_fmt", ["yuva420p", "yuva444p10le", "gbrap12le", "yuva422p16le"])
def test_opaque_frames_are_made_as_those_without_alpha(pix_fmt: str, proved: Proved) -> None:
    plain, rng, ends = (
        pixel_format(pix_fmt.replace("yuva", "yuv").replace("gbrap", "gbrp")),
        np.random.default_rng(4),
        [],
    )
    whole = pixel_format(pix_fmt)
    for n in range(2):
        shapes = plain.plane_shapes(WIDTH, HEIGHT)
        data = tuple(rng.integers(0, plain.peak + 1, shape).astype(plain.dtype) for shape in shapes)
        alpha = np.full((HEIGHT, WIDTH), plain.peak, plain.dtype)
        ends.append((Planes(n, data, plain), Planes(n, (*data, alpha), whole)))
    without, with_alpha = (between(*pair, Lively()) for pair in zip(*ends, strict=True))
    for a, b in zip(without, with_alpha, strict=True):
        for x, y in zip((*a.data, ends[0][1].data[-1]), b.data, strict=True):
            np.testing.assert_array_equal(x, y)
    proved("Alpha", f"opaque frames, {pix_fmt}", "the same frames without alpha", "equal")


@pytest.mark.parametrize("pix_fmt", ["yuva420p", "yuva444p10le", "gbrap"])
def test_what_stands_still_keeps_even_its_hidden_colours(pix_fmt: str, proved: Proved) -> None:
    format, rng = pixel_format(pix_fmt), np.random.default_rng(4)
    shapes = format.plane_shapes(WIDTH, HEIGHT)
    data = [rng.integers(0, format.peak + 1, shape).astype(format.dtype) for shape in shapes]
    data[-1][:, : WIDTH // 2] = 0
    first = Planes(0, tuple(data), format)
    moved = [plane.copy() for plane in data]
    moved[0][-8:, -8:] = format.peak // 2
    for frame in between(first, Planes(1, tuple(moved), format), LinearBlend()):
        for a, b in zip(frame.data, data, strict=True):
            top = np.s_[: a.shape[0] // 2]
            assert np.abs(a[top].astype(int) - b[top].astype(int)).max() <= 1
    proved("Alpha", f"still picture, random alpha and hidden colours, {pix_fmt}", "the source", "within 1 code value")


def test_motion_of_alpha_alone_is_motion(proved: Proved) -> None:
    """One colour everywhere: only the shape that alpha cuts out moves, on twos or not."""
    format, frames_ = pixel_format("gbrap"), []
    for n in range(COUNT):
        alpha = disc(n)[..., 3]
        frames_.append(Planes(n, (*(np.full_like(alpha, c) for c in (40, 30, 220)), alpha), format))
    e = Interpolator(FakeNetwork((SPEED, 0)))
    targets = [Target(n=k, pts=k, left=k, t=Fraction(1, 2)) for k in range(COUNT - 1)]
    for k, made in enumerate(e.run(iter(frames_), targets, color=Color())):
        assert abs(middle(made.data[3]) - middle(frames_[0].data[3]) - SPEED * (k + 0.5)) < 0.1
    assert e.made == COUNT - 1 and not e.repeated and not e.cuts
    proved("Alpha", "a moving matte of one colour", "where the disc is known to be", "made between, no repeats")


def test_what_cannot_be_kept_is_said(wheel: Ffmpeg, make_clip: MakeClip, tmp_path: Path) -> None:
    clip = source(make_clip, "in.mov", *PNG)
    for ending, said in (("mp4", True), ("ts", True), ("avi", True), ("mov", False), ("mkv", False), ("webm", False)):
        work = prepare(Job(input=str(clip), output=str(tmp_path / f"o.{ending}"), rate="2x", ffmpeg=wheel.path))
        assert any("transparency is dropped" in note for note in notes_of(work)) is said, ending


def test_a_resumed_webm_with_alpha_has_the_same_bytes(
    wheel: Ffmpeg, make_clip: MakeClip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = source(make_clip, "in.webm", *VP9)
    short_segments(monkeypatch, Fraction(1, 4))
    convert(clip, tmp_path / "whole.webm", ffmpeg=wheel, preset="realtime")
    convert_in_two_runs(monkeypatch, clip, tmp_path / "twice.webm", ffmpeg=wheel, preset="realtime")
    assert (tmp_path / "twice.webm").read_bytes() == (tmp_path / "whole.webm").read_bytes()
    assert len(alphas(tmp_path / "twice.webm")) == 2 * COUNT

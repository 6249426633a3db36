"""media/encode.py and encoding.py: the right encoder with the right words, and no value changed on the way into it."""

import os
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import chosen

from interp_cli.errors import FfmpegError, MissingToolError, UsageError
from interp_cli.media import encoding as settings
from interp_cli.media.decode import decode
from interp_cli.media.encode import Encoder, choose_encoding
from interp_cli.media.ffmpeg import Ffmpeg
from interp_cli.media.formats import working_format
from interp_cli.media.probe import probe, scan
from interp_cli.media.types import PIXEL_FORMATS, Color, MediaInfo, Planes, VideoStream, luma_of_red_and_blue
from interp_cli.options import Codec, EncodeOptions

W, H, RATE = 64, 36, Fraction(60000, 1001)
BT709 = Color(range="tv", matrix="bt709", primaries="bt709", transfer="bt709", location="left")
JPEG = Color(range="pc", matrix="bt470bg", location="center")
HDR = Color(range="tv", matrix="bt2020nc", primaries="bt2020", transfer="smpte2084", location="topleft")
COLORS, NAMES = [Color(), BT709, JPEG, HDR], ["unlabelled", "bt709", "full range", "HDR"]
FFV1, LOSSLESS = EncodeOptions(codec=Codec.FFV1), EncodeOptions(crf=0, preset="ultrafast")


def source(pix_fmt: str, color: Color = BT709, *, width: int = W, height: int = H, rotation: int = 0) -> MediaInfo:
    video = VideoStream(
        index=0, codec="h264", width=width, height=height, pix_fmt=pix_fmt, bit_depth=8, time_base=Fraction(1, 90000),
        color=color, rotation=rotation,
    )  # fmt: skip
    return MediaInfo(path="in.mov", container="mov", video=video)


def frames(pix_fmt: str, count: int = 4, *, width: int = W, height: int = H) -> list[Planes]:
    """Noise over the whole range of code values, 0 and the peak among them."""
    pixels, random = PIXEL_FORMATS[pix_fmt], np.random.default_rng(5)
    return [
        Planes(n, tuple(random.integers(0, pixels.peak + 1, s).astype(pixels.dtype) for s in shapes), pixels)
        for n in range(count)
        for shapes in [pixels.plane_shapes(width, height)]
    ]


def written(
    path: Path, info: MediaInfo, options: EncodeOptions, pictures: list[Planes], ffmpeg: Ffmpeg, **more: Any
) -> MediaInfo:
    encoding = choose_encoding(info, options, container="matroska", ffmpeg=ffmpeg)
    video = info.video
    size = {"width": video.width, "height": video.height, "rate": RATE, "color": video.color, **more}
    with Encoder(path, encoding, ffmpeg=ffmpeg, format=working_format(video.pix_fmt), **size) as encoder:
        for planes in pictures:
            encoder.write(planes)
    assert encoder.frames == len(pictures)
    return probe(str(path), ffmpeg=ffmpeg)


def read(info: MediaInfo, ffmpeg: Ffmpeg) -> list[Planes]:
    with decode(info, scan(info, ffmpeg=ffmpeg), ffmpeg=ffmpeg) as decoded:
        return list(decoded)


def same(a: list[Planes], b: list[Planes], planes: slice = slice(None)) -> bool:
    return len(a) == len(b) and all(
        np.array_equal(p, q)
        for x, y in zip(a, b, strict=True)
        for p, q in zip(x.data[planes], y.data[planes], strict=True)
    )


@pytest.mark.parametrize("color", chosen(COLORS, always=(JPEG,), once=COLORS), ids=NAMES)
@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p10le", "gray", "gbrp", "gbrap", "yuva444p"])
def test_ffv1_gives_back_every_value(pix_fmt: str, color: Color, ffmpeg: Ffmpeg, tmp_path: Path) -> None:
    pictures = frames(pix_fmt, 2)
    info = written(tmp_path / "a.nut", source(pix_fmt, color), FFV1, pictures, ffmpeg)
    assert same(pictures, read(info, ffmpeg))


@pytest.mark.parametrize(
    "pix_fmt", [n for n in PIXEL_FORMATS if not n.startswith(("gray14", "yuva422p12", "yuva444p12", "yuva420p12"))]
)
def test_ffv1_takes_every_working_format(pix_fmt: str, wheel: Ffmpeg, tmp_path: Path) -> None:
    pictures = frames(pix_fmt, 1)
    info = written(tmp_path / "a.nut", source(pix_fmt), FFV1, pictures, wheel)
    assert same(pictures, read(info, wheel))


@pytest.mark.parametrize("color", chosen(COLORS, always=(JPEG,), once=COLORS), ids=NAMES)
@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv444p"])
def test_lossless_h264_gives_back_every_value_and_label(
    pix_fmt: str, color: Color, ffmpeg: Ffmpeg, tmp_path: Path
) -> None:
    pictures = frames(pix_fmt)
    info = written(tmp_path / "a.nut", source(pix_fmt, color), LOSSLESS, pictures, ffmpeg)
    assert same(pictures, read(info, ffmpeg))
    got = info.video.color
    assert (got.range, got.matrix, got.primaries, got.transfer) == (
        color.range, color.matrix, color.primaries, color.transfer,
    )  # fmt: skip
    assert got.location == (color.location if pix_fmt == "yuv420p" and color.location else "left")


MATRICES = ["gbr", "bt709", "fcc", "bt470bg", "smpte170m", "smpte240m", "ycgco", "bt2020nc", "bt2020c"]
PRIMARIES = ["bt709", "bt470m", "bt470bg", "smpte170m", "smpte240m", "film", "bt2020", "smpte432", "smpte431"]
TRANSFERS = ["bt709", "bt470m", "bt470bg", "smpte170m", "linear", "log100", "iec61966-2-1", "bt2020-10", "smpte2084"]


@pytest.mark.once
@pytest.mark.parametrize("names", list(zip(MATRICES, PRIMARIES, TRANSFERS, strict=True)), ids="/".join)
def test_every_label_that_ffmpeg_prints_can_be_given_back(
    names: tuple[str, str, str], ffmpeg: Ffmpeg, tmp_path: Path
) -> None:
    color = Color(range="pc", matrix=names[0], primaries=names[1], transfer=names[2])
    info = written(tmp_path / "a.nut", source("yuv444p", color), LOSSLESS, frames("yuv444p", 1), ffmpeg)
    got = info.video.color
    assert (got.matrix, got.primaries, got.transfer) == names


RATES = [Fraction(60), RATE, Fraction(48000, 1001), Fraction(37, 3)]


def test_gray_keeps_its_luma_in_h264(ffmpeg: Ffmpeg, tmp_path: Path) -> None:
    pictures = frames("gray")
    info = written(tmp_path / "a.nut", source("gray"), LOSSLESS, pictures, ffmpeg)
    assert same([Planes(p.pts, p.data[:1], p.format) for p in read(info, ffmpeg)], pictures)


@pytest.mark.parametrize("rate", chosen(RATES, always=(RATE,), once=RATES))
def test_times_stand_exactly_on_the_rate_even_with_b_frames(rate: Fraction, ffmpeg: Ffmpeg, tmp_path: Path) -> None:
    options = EncodeOptions(ffmpeg_args=(("bf", "3"),), preset="veryfast")
    gentle = [replace_noise(p) for p in frames("yuv420p", 20)]
    info = written(tmp_path / "a.nut", source("yuv420p"), options, gentle, ffmpeg, rate=rate)
    timeline = scan(info, ffmpeg=ffmpeg)
    assert (len(timeline), timeline.is_cfr, timeline.rate) == (20, True, rate)


def replace_noise(planes: Planes) -> Planes:
    ramps = tuple(np.full_like(p, 16 + 4 * planes.pts) for p in planes.data)
    return replace(planes, data=ramps)


@pytest.mark.parametrize("asked", [None, "yuv444p"])
def test_rgb_in_h264_is_bt709_within_rounding(asked: str | None, ffmpeg: Ffmpeg, tmp_path: Path) -> None:
    pictures = frames("gbrp", 2)
    options = replace(LOSSLESS, codec=Codec.H264, pix_fmt=asked)
    info = written(tmp_path / "a.nut", source("gbrp", Color(range="pc", matrix="gbr")), options, pictures, ffmpeg)
    assert info.video.pix_fmt == (asked or "yuv420p")
    color = info.video.color
    assert (color.range, color.matrix, color.primaries) == ("tv", "bt709", "bt709")
    for before, after in zip(pictures, read(info, ffmpeg), strict=True):
        g, b, r = (p.astype(float) for p in before.data)
        luma = 0.2126 * r + 0.7152 * g + 0.0722 * b
        expected = (16 + 219 * luma / 255, 128 + 224 * (b - luma) / 1.8556 / 255, 128 + 224 * (r - luma) / 1.5748 / 255)
        exact = 3 if asked else 1  # planes: 4:2:0 has means of chroma, of which the mean is the same
        assert all(np.abs(a - e).max() <= 1.01 for a, e in zip(after.data[:exact], expected, strict=False))
        assert all(abs(a.mean() - e.mean()) < 0.5 for a, e in zip(after.data, expected, strict=True))


@pytest.mark.parametrize("color", chosen(COLORS, always=(JPEG,), once=COLORS), ids=NAMES)
@pytest.mark.parametrize(("pix_fmt", "target"), [("yuv420p", "bgr0"), ("yuv444p", "bgr0"), ("yuv420p10le", "gbrp10le")])
def test_yuv_in_an_rgb_file_has_the_colours_that_it_means(
    pix_fmt: str, target: str, color: Color, ffmpeg: Ffmpeg, tmp_path: Path
) -> None:
    pixels, code = PIXEL_FORMATS[pix_fmt], (90, 100, 170)
    scale = 1 << (pixels.depth - 8)
    shapes = pixels.plane_shapes(W, H)
    flat = tuple(np.full(s, v * scale, pixels.dtype) for s, v in zip(shapes, code, strict=True))
    info = written(
        tmp_path / "a.nut", source(pix_fmt, color), replace(FFV1, pix_fmt=target), [Planes(0, flat, pixels)], ffmpeg
    )
    (got,) = read(info, ffmpeg)
    full = color.range == "pc"
    y, u, v = (
        (code[0] - (not full) * 16) / (255 if full else 219),
        *((c - 128) / (255 if full else 224) for c in code[1:]),
    )
    kr, kb = luma_of_red_and_blue(color, H)
    r, b = y + v * 2 * (1 - kr), y + u * 2 * (1 - kb)
    g = (y - kr * r - kb * b) / (1 - kr - kb)
    for plane, value in zip(got.data, (g, b, r), strict=True):
        assert abs(plane.mean() / got.format.peak - value) < 1.5 / 255


def test_the_pixels_shape_is_kept(ffmpeg: Ffmpeg, tmp_path: Path) -> None:
    info = written(tmp_path / "a.nut", source("yuv420p"), LOSSLESS, frames("yuv420p"), ffmpeg, sar=Fraction(4, 3))
    assert info.video.sar == Fraction(4, 3)


def test_an_odd_size_gains_a_repeated_line_in_h264_and_says_so_but_none_in_ffv1(ffmpeg: Ffmpeg, tmp_path: Path) -> None:
    odd, pictures = source("yuv420p", width=63, height=37), frames("yuv420p", width=63, height=37)
    info = written(tmp_path / "a.nut", odd, LOSSLESS, pictures, ffmpeg)
    assert (info.video.width, info.video.height) == (64, 38)
    luma, *chroma = read(info, ffmpeg)[0].data
    assert np.array_equal(luma[:37, :63], pictures[0].data[0]) and np.array_equal(chroma, pictures[0].data[1:])
    assert np.array_equal(luma[:37, 63], luma[:37, 62]) and np.array_equal(luma[37], luma[36])
    encoding = choose_encoding(odd, EncodeOptions(), container="mp4", ffmpeg=ffmpeg)
    assert any("last column or row is repeated, which makes 64 x 38" in note for note in encoding.notes)
    whole = written(tmp_path / "b.nut", odd, FFV1, pictures, ffmpeg)
    assert same(pictures, read(whole, ffmpeg))


@pytest.mark.parametrize(
    ("pix_fmt", "options", "container", "expected"),
    [
        ("yuv420p", EncodeOptions(), "mp4", "libx264 crf 16 preset medium, yuv420p"),
        ("yuv422p", EncodeOptions(), "matroska", "libx264 crf 16 preset medium, yuv422p"),
        ("yuvj420p", EncodeOptions(), "mp4", "libx264 crf 16 preset medium, yuv420p"),
        ("nv12", EncodeOptions(crf=20.5, preset="fast"), "mov", "libx264 crf 20.5 preset fast, yuv420p"),
        ("yuv440p", EncodeOptions(), "mp4", "libx264 crf 16 preset medium, yuv444p"),
        ("gray", EncodeOptions(), "mp4", "libx264 crf 16 preset medium, gray"),
        ("rgb24", EncodeOptions(), "mp4", "libx264 crf 16 preset medium, yuv420p"),
        ("yuv420p10le", EncodeOptions(), "mp4", "libx265 crf 18 preset medium, yuv420p10le"),
        ("p010le", EncodeOptions(), "mp4", "libx265 crf 18 preset medium, yuv420p10le"),
        ("yuv422p9le", EncodeOptions(), "mp4", "libx265 crf 18 preset medium, yuv422p10le"),
        ("yuv444p16le", EncodeOptions(), "mp4", "libx265 crf 18 preset medium, yuv444p12le"),
        ("gray16le", EncodeOptions(), "mp4", "libx265 crf 18 preset medium, gray12le"),
        ("yuv420p10le", EncodeOptions(codec=Codec.H264), "mp4", "libx264 crf 16 preset medium, yuv420p10le"),
        ("yuv420p10le", EncodeOptions(), "avi", "libx264 crf 16 preset medium, yuv420p10le"),
        ("yuv420p", EncodeOptions(), "webm", "libvpx-vp9 crf 20 cpu-used 2, yuv420p"),
        ("yuva420p", EncodeOptions(preset="best"), "webm", "libvpx-vp9 crf 20 deadline best, yuva420p"),
        ("yuv420p", EncodeOptions(codec=Codec.AV1), "mp4", "libsvtav1 crf 22 preset 6, yuv420p"),
        ("yuv420p", EncodeOptions(codec=Codec.AV1, preset="slow"), "mp4", "libsvtav1 crf 22 preset 4, yuv420p"),
        ("yuv420p", EncodeOptions(preset="fast"), "webm", "libvpx-vp9 crf 20 cpu-used 4, yuv420p"),
        ("yuv444p", EncodeOptions(codec=Codec.AV1), "mp4", "libaom-av1 crf 20 cpu-used 4, yuv444p"),
        ("yuv420p", EncodeOptions(codec=Codec.PRORES), "mov", "prores_ks profile hq, yuv422p10le"),
        ("yuva444p10le", EncodeOptions(codec=Codec.PRORES), "mov", "prores_ks profile 4444, yuva444p10le"),
        ("gbrap", EncodeOptions(codec=Codec.PRORES), "mov", "prores_ks profile 4444, yuva444p10le"),
        ("gbrp", EncodeOptions(codec=Codec.FFV1), "matroska", "ffv1, bgr0"),
        ("yuv420p", EncodeOptions(pix_fmt="yuv444p"), "mp4", "libx264 crf 16 preset medium, yuv444p"),
        ("yuv420p", EncodeOptions(ffmpeg_args=(("-crf", "9"),)), "mp4", "libx264 crf 9 preset medium, yuv420p"),
    ],
)  # fmt: skip
def test_the_choice_keeps_what_it_can_and_prints(
    pix_fmt: str, options: EncodeOptions, container: str, expected: str, ffmpeg: Ffmpeg
) -> None:
    large = source(pix_fmt, height=64)  # which SVT-AV1 wants
    assert choose_encoding(large, options, container=container, ffmpeg=ffmpeg).description == expected


@pytest.mark.parametrize(
    ("options", "container", "words"),
    [
        (EncodeOptions(codec=Codec.FFV1), "mp4", r"does not hold ffv1: .*\.mkv"),
        (EncodeOptions(codec=Codec.H264), "webm", "does not hold h264"),
        (EncodeOptions(codec=Codec.PRORES, crf=10), "mov", "--crf means nothing to prores"),
        (EncodeOptions(codec=Codec.FFV1, crf=10), "matroska", "--crf means nothing to ffv1"),
        (EncodeOptions(codec=Codec.FFV1, preset="slow"), "matroska", "--preset means nothing to ffv1"),
        (EncodeOptions(preset="quick"), "mp4", "has no --preset quick: choose one of ultrafast"),
        (EncodeOptions(codec=Codec.AV1, preset="14"), "mp4", "has no --preset 14"),
        (EncodeOptions(crf=52), "mp4", "libx264 has no --crf 52: give 0 to 51"),
        (EncodeOptions(codec=Codec.HEVC, crf=51.5), "mp4", "libx265 has no --crf 51.5"),
        (EncodeOptions(crf=64), "webm", "libvpx-vp9 has no --crf 64: give 0 to 63"),
        (EncodeOptions(ffmpeg_args=(("frames:v", "9"),)), "mp4", "--ffmpeg-arg frames:v=9 is not"),
        (EncodeOptions(ffmpeg_args=(("-filter:0", "null"),)), "mp4", "--ffmpeg-arg -filter:0=null is not"),
        (EncodeOptions(ffmpeg_args=(("pass", "1"),)), "mp4", "--ffmpeg-arg pass=1 is not"),
        (EncodeOptions(pix_fmt="rgb24"), "mp4", "does not take --pix-fmt rgb24: choose one of yuv420p"),
        (EncodeOptions(ffmpeg_args=(("i", "x"),)), "mp4", "--ffmpeg-arg i=x is not"),
        (EncodeOptions(ffmpeg_args=(("a b", "x"),)), "mp4", "--ffmpeg-arg a b=x is not"),
    ],
)
def test_what_cannot_go_together_is_a_sentence(
    options: EncodeOptions, container: str, words: str, ffmpeg: Ffmpeg
) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        choose_encoding(source("yuv420p"), options, container=container, ffmpeg=ffmpeg)
    assert "\n" not in str(caught.value)


def test_losses_are_said(ffmpeg: Ffmpeg) -> None:
    def notes(pix_fmt: str, container: str = "mp4", rotation: int = 0) -> str:
        info = source(pix_fmt, rotation=rotation)
        return " ".join(choose_encoding(info, EncodeOptions(), container=container, ffmpeg=ffmpeg).notes)

    assert notes("yuv420p") == "" == notes("yuv420p", rotation=90)
    assert "transparency is dropped" in notes("yuva420p")
    assert "16 bits become 12" in notes("yuv444p16le")
    assert "RGB becomes yuv420p (bt709), which every player shows" in notes("rgb24")
    assert "picture itself is rotated by 90 degrees clockwise, for ffmpeg" in notes("yuv420p", "mpegts", 90)
    assert "no longer shown rotated by 45 degrees clockwise" in notes("yuv420p", "mpegts", 45)
    assert notes("yuv420p", rotation=45) == ""


def test_a_missing_encoder_is_named_with_the_program(wheel: Ffmpeg, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "encoder_formats", lambda ffmpeg, name: None)
    with pytest.raises(MissingToolError, match="built without libsvtav1 or libaom-av1") as caught:
        choose_encoding(source("yuv420p"), EncodeOptions(codec=Codec.AV1), container="mp4", ffmpeg=wheel)
    assert wheel.path in str(caught.value)


def test_an_encoder_that_dies_says_why_and_leaves_nothing(ffmpeg: Ffmpeg, tmp_path: Path) -> None:
    options = EncodeOptions(ffmpeg_args=(("profile:v", "nonsense"),))
    with pytest.raises(FfmpegError, match=r"could not encode a\.nut") as caught:
        written(tmp_path / "a.nut", source("yuv420p"), options, frames("yuv420p", 60), ffmpeg)
    assert "nonsense" in "\n".join(caught.value.last_lines) and not list(tmp_path.iterdir())


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_interrupted_encoder_is_ended_and_its_file_deleted(
    error: type[BaseException], ffmpeg: Ffmpeg, tmp_path: Path
) -> None:
    encoding = choose_encoding(source("yuv420p"), EncodeOptions(), container="mp4", ffmpeg=ffmpeg)
    size = {"width": W, "height": H, "rate": RATE, "color": BT709, "format": PIXEL_FORMATS["yuv420p"]}
    encoder = Encoder(tmp_path / "a.nut", encoding, ffmpeg=ffmpeg, **size)
    with pytest.raises(error), encoder:
        encoder.write(frames("yuv420p", 1)[0])
        child = encoder._child
        raise error
    assert child is not None and not list(tmp_path.iterdir())
    with pytest.raises(ProcessLookupError):
        os.kill(child.pid, 0)


def test_a_frame_of_another_size_or_depth_is_refused(wheel: Ffmpeg, tmp_path: Path) -> None:
    for wrong in (frames("yuv420p", width=W + 2), frames("yuv420p10le")):
        with pytest.raises(ValueError, match="is not a frame of"):
            written(tmp_path / "a.nut", source("yuv420p"), EncodeOptions(), wrong, wheel)

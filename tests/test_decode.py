"""media/decode.py: exactly the frames that are shown, in their own format, bit for bit."""

import hashlib
import subprocess
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import H264, PICTURE, MakeClip, chosen, tool

from interp_cli.errors import InputError
from interp_cli.media import decode as room
from interp_cli.media.decode import decode, working_format
from interp_cli.media.ffmpeg import Ffmpeg, Input, Output, child
from interp_cli.media.probe import probe, scan
from interp_cli.media.types import PIXEL_FORMATS, Color, Planes, VideoStream

VFR = ("-vf", "select='not(mod(n,3))+not(mod(n,4))'", "-fps_mode", "passthrough")


def read(path: Path, ffmpeg: Ffmpeg) -> list[Planes]:
    info = probe(str(path), ffmpeg=ffmpeg)
    with decode(info, scan(info, ffmpeg=ffmpeg), ffmpeg=ffmpeg) as decoded:
        return list(decoded)


def digest(planes: Planes) -> str:
    return hashlib.md5(b"".join(plane.tobytes() for plane in planes.data)).hexdigest()


def framemd5(path: Path, pix_fmt: str) -> list[str]:
    options = ("-fps_mode", "passthrough", "-pix_fmt", pix_fmt, "-f", "framemd5")
    text = tool("-noautorotate", "-i", path, "-map", "0:v:0", *options, "-").decode()
    return [line.split(",")[-1].strip() for line in text.splitlines() if not line.startswith("#")]


CLIPS = [
    ("plain.mkv", (*PICTURE, *H264), "yuv420p"),
    ("vfr.mkv", (*PICTURE, *VFR, *H264), "yuv420p"),
    ("odd.mkv", (*PICTURE, "-s", "97x61", "-c:v", "ffv1", "-pix_fmt", "yuv420p"), "yuv420p"),
    ("deep.mkv", (*PICTURE, "-c:v", "ffv1", "-pix_fmt", "yuv422p10le"), "yuv422p10le"),
    ("clear.mkv", (*PICTURE, "-c:v", "ffv1", "-pix_fmt", "yuva444p"), "yuva444p"),
    ("gray.mkv", (*PICTURE, "-c:v", "ffv1", "-pix_fmt", "gray"), "gray"),
    ("full.mkv", (*PICTURE, "-c:v", "mjpeg", "-pix_fmt", "yuvj422p"), "yuvj422p"),
    ("full.mp4", (*PICTURE, *H264[:-2], "-pix_fmt", "yuvj420p", "-color_range", "pc"), "yuvj420p"),
    ("rgb.mkv", (*PICTURE, "-c:v", "libx264rgb", "-qp", "0", "-pix_fmt", "rgb24"), "gbrp"),
    ("turned.mp4", ("-f", "lavfi", "-i", "testsrc2=s=90x160:d=1", *H264), "yuv420p"),
]


@pytest.mark.parametrize(
    ("name", "arguments", "pix_fmt"), chosen(CLIPS, always=(CLIPS[1], CLIPS[3], CLIPS[7], CLIPS[8]), once=CLIPS)
)
def test_frames_equal_ffmpegs_own_md5(
    name: str, arguments: tuple[str, ...], pix_fmt: str, ffmpeg: Ffmpeg, make_clip: MakeClip
) -> None:
    path = make_clip(name, *arguments)
    frames = read(path, ffmpeg)
    assert [digest(planes) for planes in frames] == framemd5(path, pix_fmt)
    assert all(plane.flags.c_contiguous and plane.flags.writeable for plane in frames[0].data)
    assert [plane.shape for plane in frames[0].data] == list(
        frames[0].format.plane_shapes(frames[0].width, frames[0].height)
    )


def test_every_frame_carries_its_time(ffmpeg: Ffmpeg, make_clip: MakeClip) -> None:
    info = probe(str(make_clip("vfr.mp4", *PICTURE, *VFR, *H264)), ffmpeg=ffmpeg)
    timeline = scan(info, ffmpeg=ffmpeg)
    with decode(info, timeline, ffmpeg=ffmpeg) as decoded:
        assert tuple(planes.pts for planes in decoded) == timeline.pts
    assert len(timeline) == 24


def test_a_trimmed_file_gives_only_what_is_shown(ffmpeg: Ffmpeg, plain_mp4: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.mp4"
    tool("-ss", "1", "-i", plain_mp4, "-c", "copy", cut)
    assert [digest(planes) for planes in read(cut, ffmpeg)] == framemd5(cut, "yuv420p")


@pytest.mark.parametrize("frames", [range(0, 5), range(13, 29), range(40, 48), range(7, 7)])
def test_a_part_is_the_same_as_in_the_whole(frames: range, ffmpeg: Ffmpeg, plain_mp4: Path) -> None:
    whole = framemd5(plain_mp4, "yuv420p")
    info = probe(str(plain_mp4), ffmpeg=ffmpeg)
    timeline = scan(info, ffmpeg=ffmpeg)
    with decode(info, timeline, ffmpeg=ffmpeg, frames=frames) as decoded:
        part = list(decoded)
    assert [digest(planes) for planes in part] == whole[frames.start : frames.stop]
    assert [planes.pts for planes in part] == list(timeline.pts[frames.start : frames.stop])


def test_leaving_early_is_no_error(ffmpeg: Ffmpeg, plain_mp4: Path) -> None:
    info = probe(str(plain_mp4), ffmpeg=ffmpeg)
    with decode(info, scan(info, ffmpeg=ffmpeg), ffmpeg=ffmpeg) as decoded:
        assert next(decoded).pts == 0


def test_a_file_that_was_cut_off_says_how_much_could_be_read(
    ffmpeg: Ffmpeg, make_clip: MakeClip, tmp_path: Path
) -> None:
    whole = make_clip("front.mp4", *PICTURE, *H264, "-movflags", "+faststart")
    info = probe(str(whole), ffmpeg=ffmpeg)
    timeline = scan(info, ffmpeg=ffmpeg)
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size * 2 // 3])
    hurt = probe(str(cut), ffmpeg=ffmpeg)
    with (
        pytest.raises(
            InputError, match=r"cut\.mp4 ends early or is damaged: \d+ of 48 frames could be decoded"
        ) as caught,
        decode(hurt, timeline, ffmpeg=ffmpeg) as decoded,
    ):
        list(decoded)
    assert "\n" not in str(caught.value)


def test_more_frames_than_announced_are_an_error_not_a_shift(ffmpeg: Ffmpeg, plain_mp4: Path) -> None:
    info = probe(str(plain_mp4), ffmpeg=ffmpeg)
    short, _ = scan(info, ffmpeg=ffmpeg).between(None, Fraction(1))
    with pytest.raises(InputError, match="more frames than"), decode(info, short, ffmpeg=ffmpeg) as decoded:
        list(decoded)


# ---- formats that are not planar: unpacked by ffmpeg as numpy would do it

W, H = 16, 6


def u16(raw: np.ndarray[Any, Any], shift: int = 0) -> np.ndarray[Any, Any]:
    return raw.view("<u2") >> shift


def nv(raw: Any, rows: int, shift: int | None = None, swap: bool = False) -> list[Any]:
    samples = raw if shift is None else u16(raw, shift)
    luma, chroma = samples[: W * H].reshape(H, W), samples[W * H :].reshape(rows, -1, 2)
    return [luma, chroma[..., int(swap)], chroma[..., int(not swap)]]


def packed(raw: Any, order: str, wide: bool = False) -> list[Any]:
    pixels = (u16(raw) if wide else raw).reshape(H, W, len(order))
    return [pixels[..., order.index(c)] for c in ("gbra" if "a" in order else "gbr")]


UNPACK: dict[str, Callable[[Any], list[Any]]] = {
    "nv12": lambda raw: nv(raw, H // 2),
    "nv21": lambda raw: nv(raw, H // 2, swap=True),
    "nv24": lambda raw: nv(raw, H),
    "p010le": lambda raw: nv(raw, H // 2, 6),
    "p016le": lambda raw: nv(raw, H // 2, 0),
    "yuyv422": lambda raw: [raw.reshape(H, W, 2)[..., 0], raw.reshape(H, -1, 4)[..., 1], raw.reshape(H, -1, 4)[..., 3]],
    "uyvy422": lambda raw: [raw.reshape(H, W, 2)[..., 1], raw.reshape(H, -1, 4)[..., 0], raw.reshape(H, -1, 4)[..., 2]],
    "rgb24": lambda raw: packed(raw, "rgb"),
    "bgr24": lambda raw: packed(raw, "bgr"),
    "0rgb": lambda raw: packed(raw, "xrgb"),
    "bgr0": lambda raw: packed(raw, "bgrx"),
    "rgba": lambda raw: packed(raw, "rgba"),
    "abgr": lambda raw: packed(raw, "abgr"),
    "rgb48le": lambda raw: packed(raw, "rgb", wide=True),
    "rgba64le": lambda raw: packed(raw, "rgba", wide=True),
    "gray10be": lambda raw: [raw.view(">u2").reshape(H, W)],
    "gray16be": lambda raw: [raw.view(">u2").reshape(H, W)],
    "ya8": lambda raw: [*[raw.reshape(H, W, 2)[..., 0]] * 3, raw.reshape(H, W, 2)[..., 1]],
    "ya16le": lambda raw: [*[u16(raw).reshape(H, W, 2)[..., 0]] * 3, u16(raw).reshape(H, W, 2)[..., 1]],
    "monob": lambda raw: [np.unpackbits(raw).reshape(H, W) * 255],
    "monow": lambda raw: [255 - np.unpackbits(raw).reshape(H, W) * 255],
}
BYTES = {"nv12": 1.5, "nv21": 1.5, "nv24": 3, "p010le": 3, "p016le": 3, "yuyv422": 2, "uyvy422": 2, "rgb24": 3}
BYTES |= {"bgr24": 3, "0rgb": 4, "bgr0": 4, "rgba": 4, "abgr": 4, "rgb48le": 6, "rgba64le": 8, "gray10be": 2}
BYTES |= {"gray16be": 2, "ya8": 2, "ya16le": 4, "monob": 1 / 8, "monow": 1 / 8}


def _planes_of(raw: Any, pix_fmt: str) -> tuple[Any, ...]:
    working, order = working_format(pix_fmt), room._SPLIT.get(room.piped_format(pix_fmt))
    return room._split(raw, working, W, H, order) if order else room._planes(raw, working, W, H)


@pytest.mark.parametrize("color_range", chosen(["tv", "pc", None], always=("pc",), once=("tv", None)))
@pytest.mark.parametrize("pix_fmt", UNPACK)
def test_unpacking_loses_no_value_and_keeps_the_range(pix_fmt: str, color_range: str | None, ffmpeg: Ffmpeg) -> None:
    raw = np.random.default_rng(3).integers(0, 256, int(W * H * BYTES[pix_fmt]), dtype=np.uint8)
    if pix_fmt == "p010le":
        raw.view("<u2")[:] &= 0xFFC0
    if pix_fmt == "gray10be":
        raw.view(">u2")[:] &= 0x3FF
    video = VideoStream(
        index=0, codec="rawvideo", width=W, height=H, pix_fmt=pix_fmt, bit_depth=8, time_base=Fraction(1),
        color=Color(range=color_range),
    )  # fmt: skip
    labelled = {} if color_range is None else {"color_range": color_range}
    feed = Input("pipe:0", {"f": "rawvideo", "pixel_format": pix_fmt, "s": f"{W}x{H}", **labelled})
    options = room._raw_options(video, range(1), whole=True)
    with child(ffmpeg, [feed], [Output("pipe:1", (), options)], feed=True) as running:
        running.write(raw.data)
        running.finish()
        got = np.frombuffer(running.read(), working_format(pix_fmt).dtype)
    planes = _planes_of(got.view(np.uint8).copy(), pix_fmt)
    expected = UNPACK[pix_fmt](raw)
    assert all(np.array_equal(a, b) for a, b in zip(planes, expected, strict=True))


def test_every_pixel_format_has_a_working_format_or_a_sentence(ffmpeg: Ffmpeg) -> None:
    listing = subprocess.run(
        [ffmpeg.path, "-hide_banner", "-pix_fmts"], capture_output=True, check=True
    ).stdout.decode()
    rows = [line.split() for line in listing.split("-----")[1].splitlines() if line]
    refused = set()
    for _, name, channels, _bits, depths in (row[:5] for row in rows if len(row) >= 5):
        try:
            working = working_format(name)
        except InputError as error:
            assert "convert the file" in str(error)
            refused.add(name)
            continue
        depth = max(map(int, depths.split("-")))
        assert working.depth >= depth, name
        assert working.name in PIXEL_FORMATS
        if int(channels) in (2, 4):
            assert working.alpha or "0" in name or name in ("vuyx", "v30xle"), name
    assert not refused & {"yuvj420p", "nv12", "nv21", "nv16", "p010le", "p016le", "y210le", "yuyv422", "rgb24", "bgra"}
    assert not refused & {"pal8", "ya8", "monow", "rgb48be", "gbrp12le", "x2rgb10le", "ayuv64le", "yuv440p12le"}

"""Rows of pictures, GIF, APNG and pipes: what goes in and comes out is what was meant, at the time that was meant."""

import json
import os
import struct
import subprocess
import sys
import tempfile
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
import small_clips
from conftest import Proved, chosen, tool

from interp_cli.cli.entry import run as command_line
from interp_cli.cli.grammar import Session
from interp_cli.errors import InputError, OutputError, UsageError
from interp_cli.job import job as room
from interp_cli.job.identity import Identity
from interp_cli.job.job import Job, prepare, run
from interp_cli.job.notes import notes_of
from interp_cli.job.output import result_path
from interp_cli.media.animation import gif_rate
from interp_cli.media.ffmpeg import Ffmpeg
from interp_cli.media.picture_size import picture_samples
from interp_cli.media.pictures import find_pictures, missing_numbers
from interp_cli.media.probe import probe, scan
from interp_cli.options import Codec, EncodeOptions, InputLimits
from interp_cli.timeline import make_plan

ODD_NAMES = ["100% of it", 'a\'b "c"', "two\nlines", "-leading", "sp ace;$(x)"]


def picture(n: int, *, deep: bool = False, channels: int = 3, size: tuple[int, int] = (32, 48)) -> np.ndarray:
    """A square that moves by `n` over a gradient."""
    rows, columns = size
    ramp = np.linspace(20, 200, columns)[None, :, None] + np.arange(channels)[None, None] * 9
    image = np.repeat(ramp, rows, 0)
    image[8:20, 4 + n : 16 + n] = 230
    if channels == 4:
        image[..., 3] = 250 - 4 * n
    return (image * 257 + n).astype(np.uint16) if deep else image.astype(np.uint8)


def row(folder: Path, count: int = 4, *, name: str = "f_{}.png", start: int = 8, **kind: Any) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / name.format(start + n) for n in range(count)]
    for n, path in enumerate(paths):
        ok, stored = cv2.imencode(path.suffix, picture(n, **kind))
        assert ok
        path.write_bytes(stored.tobytes())
    return paths


def stored(path: Path) -> np.ndarray:
    """The samples of a picture, read by OpenCV."""
    image = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_UNCHANGED)
    assert image is not None
    return image


def frames_of(path: Path, pix_fmt: str, channels: int, *, options: tuple[str, ...] = ()) -> np.ndarray:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        height, width = stream.height, stream.width
    raw = tool(*options, "-i", f"file:{path}", "-fps_mode", "passthrough", "-f", "rawvideo", "-pix_fmt", pix_fmt, "-")
    return np.frombuffer(raw, np.uint8).reshape(-1, height, width, channels)


def seconds_of(path: Path) -> list[tuple[Fraction, Fraction]]:
    """(start, duration) of each packet, by PyAV."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        found = [p for p in container.demux(stream) if p.pts is not None]
        return [(p.pts * stream.time_base, p.duration * stream.time_base) for p in found]


def apng_delays(path: Path) -> list[Fraction]:
    """The delays in the fcTL chunks, cut out by hand."""
    data, at, found = path.read_bytes(), 8, []
    while at < len(data):
        length, name = struct.unpack(">I4s", data[at : at + 8])
        if name == b"fcTL":
            found.append(Fraction(*struct.unpack(">HH", data[at + 28 : at + 32])))
        at += 12 + length
    return found


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / np.mean((a.astype(float) - b.astype(float)) ** 2)))


# ---- which pictures are meant


def test_numbers_in_names_count_as_numbers_and_gaps_are_counted(tmp_path: Path) -> None:
    row(tmp_path / "s", 4)  # 8, 9, 10, 11
    (tmp_path / "s" / "f_10.png").unlink()
    names = [Path(path).name for path in find_pictures(str(tmp_path / "s")) or ()]
    assert names == ["f_8.png", "f_9.png", "f_11.png"]
    for text in ("s/f_%d.png", "s/f_*.png", "s/*.png"):
        assert [Path(path).name for path in find_pictures(str(tmp_path / text)) or ()] == names
    assert missing_numbers(tuple(names)) == 1
    assert missing_numbers(("a.png", "b.png")) == missing_numbers(("t0.png", "t10.png", "t20.png")) == 0


def test_a_pattern_takes_only_names_that_it_would_write(tmp_path: Path) -> None:
    for name in ("f_0001.png", "f_0002.png", "f_12345.png", "f_3.png", "f_00004.png", "f_.png", "f_0001.png.bak"):
        (tmp_path / name).write_bytes(b"x")
    found = find_pictures(str(tmp_path / "f_%04d.png")) or ()
    assert [Path(path).name for path in found] == ["f_0001.png", "f_0002.png", "f_12345.png"]


def test_a_file_that_exists_is_that_file_whatever_it_is_called(tmp_path: Path) -> None:
    for name in ("100%d.mp4", "a*.mp4", "[x].mp4"):
        (tmp_path / name).write_bytes(b"x")
        assert find_pictures(str(tmp_path / name)) is None
    row(tmp_path / "50%d*", 2)
    assert len(find_pictures(str(tmp_path / "50%d*")) or ()) == 2


@pytest.mark.parametrize(
    ("files", "text", "sentence"),
    [
        (["a.mp4"], ".", "is a folder without"),
        (["a.png", "b.jpg"], ".", "several kinds"),
        (["a.hdr"], ".", r"linear light as \.hdr"),
        ([], "f_%04d.png", "no file is named like"),
        (["a.mp4"], "*.mp4", "without quotes"),
        ([], "*.png", "does not exist"),
        (["1_1.png"], "%d_%d.png", "more than one number"),
    ],
)
def test_what_means_no_pictures_is_refused_with_a_sentence(
    files: list[str], text: str, sentence: str, tmp_path: Path
) -> None:
    for name in files:
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(InputError, match=sentence):
        find_pictures(str(tmp_path / text))


def test_different_sizes_are_refused_by_name_before_anything_is_made(tmp_path: Path, wheel: Ffmpeg) -> None:
    row(tmp_path, 3)
    cv2.imwrite(str(tmp_path / "f_11.png"), picture(0, size=(32, 50)))
    with pytest.raises(InputError, match=r"f_11\.png is 50 x 32 and .*f_8\.png is 48 x 32"):
        probe(str(tmp_path), ffmpeg=wheel, limits=InputLimits())


def test_a_picture_larger_than_allowed_is_refused_from_its_header(tmp_path: Path, wheel: Ffmpeg) -> None:
    row(tmp_path, 2)
    bomb = bytearray((tmp_path / "f_9.png").read_bytes())
    bomb[16:24] = struct.pack(">II", 60000, 60000)
    (tmp_path / "f_9.png").write_bytes(bomb)
    with pytest.raises(InputError, match=r"f_9\.png says that it is 60000 x 60000"):
        probe(str(tmp_path), ffmpeg=wheel, limits=InputLimits())


def test_the_header_says_what_the_samples_are(tmp_path: Path) -> None:
    for channels in (1, 3, 4):
        for suffix in (".png", ".tiff", *((".webp",) if channels > 1 else ())):
            for deep in (False, True) if suffix != ".webp" else (False,):
                path = row(tmp_path, 1, name=f"x{channels}{deep}{{}}{suffix}", channels=channels, deep=deep)[0]
                with path.open("rb") as file:
                    found = picture_samples(file)
                assert (found.color, found.alpha, found.deep) == (channels > 1, channels == 4, deep), path.name


def test_gray_opaque_and_shallow_pictures_among_others_lose_nothing(tmp_path: Path, blending: None) -> None:
    row(tmp_path / "s", 1)
    cv2.imwrite(str(tmp_path / "s" / "f_9.png"), picture(1, channels=1)[..., 0])
    cv2.imwrite(str(tmp_path / "s" / "f_10.png"), picture(2, channels=4, deep=True))
    job = Job(input=str(tmp_path / "s"), output=str(tmp_path / "out" / "%d.png"), rate="24")
    assert prepare(job).info.video.pix_fmt == "gbrap16le"
    run(job)
    first, gray, deep = (stored(tmp_path / "out" / f"{n}.png") for n in (1, 2, 3))
    assert np.array_equal(first[..., :3], picture(0).astype(np.uint16) * 257) and (first[..., 3] == 65535).all()
    assert all(np.array_equal(gray[..., c], picture(1, channels=1)[..., 0].astype(np.uint16) * 257) for c in range(3))
    assert np.array_equal(deep, picture(2, channels=4, deep=True))


def test_pictures_that_change_are_not_the_same_input(tmp_path: Path) -> None:
    paths = row(tmp_path, 3)
    before = Identity.of(str(tmp_path), content=False)
    assert Identity.of(str(tmp_path), content=False) == before
    data = paths[1].read_bytes()
    facts = paths[1].stat()
    paths[1].write_bytes(data[:-20] + b"x" + data[-19:])
    os.utime(paths[1], ns=(facts.st_atime_ns, facts.st_mtime_ns))
    assert Identity.of(str(tmp_path), content=False) == before  # only the content differs
    whole = Identity.of(str(tmp_path))
    paths[1].write_bytes(data)
    os.utime(paths[1], ns=(facts.st_atime_ns, facts.st_mtime_ns))
    assert Identity.of(str(tmp_path)).ends_sha256 != whole.ends_sha256
    paths[1].rename(tmp_path / "f_9b.png")
    assert Identity.of(str(tmp_path), content=False) != before


def test_default_names_come_from_the_folder_or_the_pattern(tmp_path: Path) -> None:
    row(tmp_path / "shots.v2", 2)
    named: Any = {"rate": Fraction(60), "slow": Fraction(1), "codec": None}
    assert result_path(f"{tmp_path}/shots.v2/", None, **named) == tmp_path / "shots.v2_60fps.mp4"
    assert result_path(f"{tmp_path}/shots.v2/f_%d.png", None, **named).name == "f_60fps.mp4"
    assert result_path(f"{tmp_path}/shots.v2/*.png", None, **named).name == "shots.v2_60fps.mp4"
    assert result_path("a.gif", None, **named).name == "a_60fps.gif"
    assert result_path("a.gif", None, **{**named, "codec": Codec.H264}).name == "a_60fps.mp4"
    assert result_path("a.gif", None, **named, format="matroska").name == "a_60fps.mkv"


# ---- rows of pictures in and out


KINDS: list[tuple[str, dict[str, Any]]] = [
    (".png", {"channels": 3}),
    (".png", {"channels": 4, "deep": True}),
    (".png", {"channels": 1, "deep": True}),
    (".tiff", {"channels": 3, "deep": True}),
    (".tiff", {"channels": 1}),
    (".webp", {"channels": 4}),
]


@pytest.mark.parametrize(("suffix", "kind"), chosen(KINDS, always=(KINDS[0], KINDS[3], KINDS[5]), once=KINDS))
def test_every_value_of_a_source_picture_comes_out_again(
    suffix: str, kind: dict[str, Any], tmp_path: Path, ffmpeg: Ffmpeg, blending: None, proved: Proved
) -> None:
    sources = row(tmp_path / "in", 4, name="f_{}" + suffix, **kind)
    if suffix == ".webp":  # OpenCV writes it lossy by default: what it reads again is the source
        for n, path in enumerate(sources):
            path.write_bytes(cv2.imencode(".webp", picture(n, **kind), [cv2.IMWRITE_WEBP_QUALITY, 101])[1].tobytes())
    out = tmp_path / "out" / f"%03d{suffix}"
    result = run(Job(input=str(tmp_path / "in"), output=str(out), rate="2x", ffmpeg=ffmpeg.path))
    assert sorted(path.name for path in out.parent.iterdir()) == [f"{n:03d}{suffix}" for n in range(1, 9)]
    assert result.frames == 8
    for n, path in enumerate(sources):
        before, after = stored(path), stored(out.with_name(f"{2 * n + 1:03d}{suffix}"))
        assert before.dtype == after.dtype and np.array_equal(before, after)
    depth = 16 if kind.get("deep") else 8
    names = {1: "gray", 3: "RGB", 4: "RGB with alpha"}[kind["channels"]]
    proved("Image sequences", f"{suffix[1:]}, {names}, {depth} bits", "OpenCV", "every value kept", ffmpeg=ffmpeg)


@pytest.mark.once
@pytest.mark.parametrize(
    ("label", "matrix", "range_"), [("bt709", "bt709", "tv"), ("bt601", "smpte170m", "tv"), ("full", "bt709", "pc")]
)
def test_yuv_becomes_rgb_with_its_own_matrix_and_range(
    label: str, matrix: str, range_: str, tmp_path: Path, ffmpeg: Ffmpeg, blending: None, proved: Proved
) -> None:
    kr, kb = {"bt709": (0.2126, 0.0722), "smpte170m": (0.299, 0.114)}[matrix]
    rgb = np.array([0.8, 0.3, 0.55])
    luma = kr * rgb[0] + (1 - kr - kb) * rgb[1] + kb * rgb[2]
    cb, cr = (rgb[2] - luma) / (2 - 2 * kb), (rgb[0] - luma) / (2 - 2 * kr)
    tv = range_ == "tv"
    codes = [round(16 + 219 * luma if tv else 255 * luma), *(round(128 + (224 if tv else 255) * c) for c in (cb, cr))]
    raw = b"".join(bytes([code]) * (64 * 48) for code in codes) * 3
    clip = tmp_path / "c.mkv"
    labels = ["-color_range", range_, "-colorspace", matrix]
    tool(
        *("-f", "rawvideo", "-pixel_format", "yuv444p", "-video_size", "64x48", *labels, "-i", "-"),
        *("-c:v", "libx264", "-qp", "0", *labels, clip),
        feed=raw,
    )
    run(Job(input=str(clip), output=str(tmp_path / "o%d.png"), rate="2x", ffmpeg=ffmpeg.path))
    seen = stored(tmp_path / "o3.png").reshape(-1, 3)[:, ::-1]
    assert np.abs(seen - rgb * 255).max() <= 2  # two roundings
    proved("Image sequences", f"YUV {label} to png", "arithmetic", "RGB within 2 code values", ffmpeg=ffmpeg)


@pytest.mark.once
def test_ten_bits_stay_ten_bits_in_png(tmp_path: Path, ffmpeg: Ffmpeg, blending: None, proved: Proved) -> None:
    clip, out = tmp_path / "c.mkv", tmp_path / "o%d.png"
    ramp = "nullsrc=s=256x32:r=10:d=0.3,format=gray10le,geq=lum=256+X"
    tool("-f", "lavfi", "-i", ramp, "-c:v", "ffv1", clip)
    run(Job(input=str(clip), output=str(out), rate="2x", ffmpeg=ffmpeg.path))
    image = stored(tmp_path / "o1.png")
    assert image.dtype == np.uint16 and len(np.unique(image)) == 256
    proved("Image sequences", "10 bits to png", "OpenCV", "256 steps of 10 bits are 256 values", ffmpeg=ffmpeg)


def test_deep_yuv_becomes_rgb_without_losing_white(
    tmp_path: Path, ffmpeg: Ffmpeg, blending: None, proved: Proved
) -> None:
    """Left alone, ffmpeg makes white 65283 of 65535."""
    luma = np.linspace(64, 940, 216).round().astype("<u2")
    raw = np.tile(luma, (32, 1)).tobytes() + struct.pack("<H", 512) * (108 * 16 * 2)
    layout = ("-f", "rawvideo", "-pixel_format", "yuv420p10le", "-video_size", "216x32", "-r", 10)
    tool(
        *layout,
        "-i",
        "-",
        "-vf",
        "setparams=range=tv:colorspace=bt709",
        "-c:v",
        "ffv1",
        tmp_path / "c.mkv",
        feed=raw * 2,
    )
    run(Job(input=str(tmp_path / "c.mkv"), output=str(tmp_path / "o%d.png"), rate="2x", ffmpeg=ffmpeg.path))
    seen = stored(tmp_path / "o2.png") / 65535
    assert np.abs(seen - ((luma - 64.0) / 876)[:, None]).max() < 1e-4 and seen.max() > 65534 / 65535
    proved("Image sequences", "10-bit YUV to png", "arithmetic", "within 1/10000, white is white", ffmpeg=ffmpeg)


def test_deep_pictures_become_yuv_without_gaining_white(
    tmp_path: Path, ffmpeg: Ffmpeg, blending: None, proved: Proved
) -> None:
    """Left alone, ffmpeg makes white 943 of 940."""
    code = np.linspace(0, 65535, 216).round().astype(np.uint16)
    (tmp_path / "in").mkdir()
    for n in range(2):
        cv2.imwrite(str(tmp_path / "in" / f"{n}.png"), np.repeat(np.tile(code, (32, 1))[..., None], 3, 2))
    out, encode = tmp_path / "o.mkv", EncodeOptions(codec=Codec.FFV1, pix_fmt="yuv420p10le")
    run(Job(input=str(tmp_path / "in"), output=str(out), rate="2x", encode=encode, ffmpeg=ffmpeg.path))
    raw = tool("-i", out, "-frames:v", 1, "-f", "rawvideo", "-pix_fmt", "yuv420p10le", "-")
    luma = np.frombuffer(raw, "<u2")[: 32 * 216].reshape(32, 216)
    assert np.abs(luma - (64 + 876 * code.astype(float) / 65535)).max() < 0.7
    proved(
        "Image sequences", "16-bit png to 10-bit YUV", "arithmetic", "within a rounding, white is 940", ffmpeg=ffmpeg
    )


@pytest.mark.parametrize("deep", [False, True])
def test_gray_of_tv_range_becomes_full_in_png(
    deep: bool, tmp_path: Path, ffmpeg: Ffmpeg, blending: None, proved: Proved
) -> None:
    """Left alone, ffmpeg lets black be dark gray."""
    unit, name = (4, "gray10le") if deep else (1, "gray")
    luma = (np.arange(16, 236) * unit).astype("<u2" if deep else np.uint8)
    layout = ("-f", "rawvideo", "-pixel_format", name, "-video_size", "220x32", "-color_range", "tv", "-r", 10)
    kept = ("-vf", "setparams=range=tv", "-c:v", "ffv1")
    tool(*layout, "-i", "-", *kept, tmp_path / "c.mkv", feed=np.tile(luma, (64, 1)).tobytes())
    run(Job(input=str(tmp_path / "c.mkv"), output=str(tmp_path / "o%d.png"), rate="2x", ffmpeg=ffmpeg.path))
    seen = stored(tmp_path / "o1.png") / (65535 if deep else 255)
    assert np.abs(seen - np.arange(220) / 219).max() < 1 / 250
    bits = 10 if deep else 8
    proved("Image sequences", f"gray of {bits} bits, tv range, to png", "arithmetic", "within 1/250", ffmpeg=ffmpeg)


@pytest.mark.once
def test_jpg_quality_follows_crf(tmp_path: Path, ffmpeg: Ffmpeg, blending: None, proved: Proved) -> None:
    row(tmp_path / "in", 2)
    for crf in (None, 20.0):
        out = tmp_path / f"{crf}" / "%d.jpg"
        run(Job(input=str(tmp_path / "in"), output=str(out), encode=EncodeOptions(crf=crf), ffmpeg=ffmpeg.path))
    good, poor = tmp_path / "None" / "1.jpg", tmp_path / "20.0" / "1.jpg"
    assert psnr(stored(good), picture(0)) > 38 > psnr(stored(poor), picture(0))
    proved("Image sequences", "jpg", "PSNR against the source", "over 38 dB; --crf acts", ffmpeg=ffmpeg)


def test_a_tagged_rotation_is_applied_once_to_pictures(tmp_path: Path, wheel: Ffmpeg, blending: None) -> None:
    plain, turned = tmp_path / "p.mp4", tmp_path / "t.mp4"
    tool("-f", "lavfi", "-i", "testsrc2=s=64x48:r=10:d=0.3", "-c:v", "libx264", "-pix_fmt", "yuv444p", plain)
    tool("-display_rotation", "-90", "-i", plain, "-c", "copy", turned)
    run(Job(input=str(turned), output=str(tmp_path / "o%d.png"), ffmpeg=wheel.path))
    shown = tool("-i", turned, "-frames:v", "1", "-f", "image2pipe", "-c:v", "png", "-")
    expected = cv2.imdecode(np.frombuffer(shown, np.uint8), cv2.IMREAD_UNCHANGED)
    assert expected is not None and expected.shape == (64, 48, 3)
    assert np.abs(stored(tmp_path / "o1.png").astype(int) - expected).max() <= 2
    assert psnr(stored(tmp_path / "o1.png"), expected[::-1, ::-1]) < 20


@pytest.mark.parametrize("name", ODD_NAMES)
def test_odd_names_of_folders_and_pictures(name: str, tmp_path: Path, wheel: Ffmpeg, blending: None) -> None:
    row(tmp_path / name, 2, name=f"{name} {{}}.png")
    out = tmp_path / f"{name} out" / f"{name} %04d.png"
    run(Job(input=str(tmp_path / name), output=str(out), rate="2x", ffmpeg=wheel.path))
    assert sorted(path.name for path in out.parent.iterdir()) == [f"{name} {n:04d}.png" for n in range(1, 5)]
    gif = tmp_path / f"{name}.gif"
    run(Job(input=str(tmp_path / name), output=str(gif), rate="25", ffmpeg=wheel.path))
    assert len(seconds_of(gif)) == len(list(out.parent.iterdir())) / 2 + 1


def test_pictures_that_exist_need_y_and_older_ones_are_told(tmp_path: Path, blending: None) -> None:
    row(tmp_path / "in", 2)
    out = tmp_path / "o" / "%03d.png"
    run(Job(input=str(tmp_path / "in"), output=str(out), rate="3x"))
    before = {path.name: path.read_bytes() for path in out.parent.iterdir()}
    with pytest.raises(OutputError, match=r"6 pictures of .* exist already: add -y"):
        run(Job(input=str(tmp_path / "in"), output=str(out)))
    assert {path.name: path.read_bytes() for path in out.parent.iterdir()} == before
    work = prepare(Job(input=str(tmp_path / "in"), output=str(out), overwrite=True))
    assert any("4 older pictures" in note for note in notes_of(work))
    with pytest.raises(OutputError, match="holds the pictures of the input"):
        prepare(Job(input=str(tmp_path / "in"), output=str(tmp_path / "in" / "%03d.png"), overwrite=True))


def test_a_failed_run_leaves_no_folder_and_a_killed_one_goes_on(
    tmp_path: Path, blending: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    row(tmp_path / "in", 12)
    out = tmp_path / "o" / "%03d.png"
    job = Job(input=str(tmp_path / "in"), output=str(out), rate="2x")
    run(replace_output(job, tmp_path / "whole" / "%03d.png"))

    def broken(*_: Any, **__: Any) -> None:
        raise InputError("broken")

    with monkeypatch.context() as patch:
        patch.setattr(room, "make_segments", broken)
        with pytest.raises(InputError):
            run(job)
    assert not out.parent.exists()
    moved = 0
    rename = Path.replace

    def dying(self: Path, target: Path) -> Path:
        nonlocal moved
        if self.parent.name == "pictures":
            moved += 1
            if moved > 5:
                raise InputError("killed")
        return rename(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", dying)
        with pytest.raises(InputError, match=r"killed.*to go on"):
            run(job)
    assert len([path for path in out.parent.iterdir() if path.suffix == ".png"]) == 5
    run(job)  # without -y: what lies there is its own
    assert not list(tmp_path.rglob(".*"))
    for path in (tmp_path / "whole").iterdir():
        assert path.read_bytes() == out.with_name(path.name).read_bytes()


def replace_output(job: Job, output: Path) -> Job:
    from dataclasses import replace

    return replace(job, output=str(output))


@pytest.mark.parametrize(
    ("output", "options", "sentence"),
    [
        ("x.png", EncodeOptions(), "would be one picture"),
        ("%d.png", EncodeOptions(codec=Codec.H264), "--codec means nothing"),
        ("%d.png", EncodeOptions(crf=3), "--crf means nothing"),
        ("%d.jpg", EncodeOptions(crf=99), "give 1 to 31"),
        ("x.gif", EncodeOptions(pix_fmt="rgb24"), "--pix-fmt means nothing"),
        ("x.apng", EncodeOptions(preset="slow"), "--preset means nothing"),
    ],
)
def test_options_that_mean_nothing_are_refused(
    output: str, options: EncodeOptions, sentence: str, tmp_path: Path, blending: None
) -> None:
    row(tmp_path / "in", 2)
    with pytest.raises(UsageError, match=sentence):
        prepare(Job(input=str(tmp_path / "in"), output=str(tmp_path / output), encode=options))


# ---- GIF and APNG


def test_a_gif_counts_in_hundredths_of_a_second() -> None:
    asked = {60: 50, 50: 50, 30: Fraction(100, 3), 25: 25, 24: 25, 120: 50, 20: 20, 10: 10, 15: Fraction(100, 7)}
    assert {rate: gif_rate(Fraction(rate)) for rate in asked} == asked


@pytest.mark.once
def test_a_gif_has_exact_delays_and_stands_near_its_frames(
    tmp_path: Path, ffmpeg: Ffmpeg, blending: None, proved: Proved
) -> None:
    clip, gif, lossless = tmp_path / "c.mp4", tmp_path / "o.gif", tmp_path / "o.mkv"
    small_clips.clip(clip, rate="20", seconds="1", size="96x64")
    result = run(Job(input=str(clip), output=str(gif), rate="60", ffmpeg=ffmpeg.path))
    assert result.rate == 50
    times = seconds_of(gif)
    assert times == [(Fraction(n, 50), Fraction(1, 50)) for n in range(50)]
    run(Job(input=str(clip), output=str(lossless), rate="50", encode=EncodeOptions(codec=Codec.FFV1)))
    tool("-i", lossless, tmp_path / "plain.gif")
    truth = frames_of(lossless, "rgb24", 3)
    ours, plain = (psnr(frames_of(path, "rgb24", 3), truth) for path in (gif, tmp_path / "plain.gif"))
    assert ours > plain + 2 and ours > 24
    assert [fate.action for fate in result.fates] == ["drop"]
    proved(
        "GIF and APNG",
        "mp4 to GIF at 60 (so 50)",
        "PyAV, PSNR",
        "2/100 s each; 2 dB better than ffmpeg without a palette",
        ffmpeg=ffmpeg,
    )


@pytest.mark.once
def test_what_stands_still_in_a_gif_does_not_flicker(
    tmp_path: Path, ffmpeg: Ffmpeg, blending: None, proved: Proved
) -> None:
    clip, gif = tmp_path / "c.mkv", tmp_path / "o.gif"
    still = "gradients=s=96x64:r=10:d=1:speed=0.00001:seed=3,format=rgb24,loop=10:1,trim=end_frame=10"
    box = f"{still}[g];color=red:s=16x16:r=10[b];[g][b]overlay=x=4*n:y=40:format=rgb,format=bgr0"
    tool("-f", "lavfi", "-i", box, "-frames:v", "10", "-c:v", "ffv1", clip)
    run(Job(input=str(clip), output=str(gif), rate="2x", ffmpeg=ffmpeg.path))
    frames = frames_of(gif, "rgb24", 3)[:, :36]  # above the box
    assert len(np.unique(frames[0].reshape(-1, 3), axis=0)) > 16
    assert (frames == frames[:1]).all()
    proved("GIF and APNG", "a moving box over a still gradient", "equality", "the rest never changes", ffmpeg=ffmpeg)


def test_variable_delays_transparency_and_loops_survive_from_gif_to_gif(
    tmp_path: Path, ffmpeg: Ffmpeg, blending: None, proved: Proved
) -> None:
    source, gif = tmp_path / "s.gif", tmp_path / "o.gif"
    shapes = "color=black@0:s=48x32:r=10:d=0.5,format=bgra"
    box = f"{shapes}[a];color=yellow:s=12x12:r=10:d=0.5,format=bgra[b];[a][b]overlay=x=6*n:y=9:format=rgb:shortest=1"
    late = "setpts='(N+gte(N\\,2)*2)/10/TB',format=bgra,split[p][q];[p]palettegen[r];[q][r]paletteuse"
    tool("-f", "lavfi", "-i", f"{box},{late}", "-fps_mode", "passthrough", "-loop", "4", "-final_delay", "30", source)
    data, at = bytearray(source.read_bytes()), 0
    for delay in (10, 30, 10, 20, 30):  # ffmpeg's own muxer does not keep them
        at = data.index(b"\x21\xf9\x04", at) + 4
        data[at : at + 2] = delay.to_bytes(2, "little")
    source.write_bytes(data)
    assert [duration for _, duration in seconds_of(source)] == [Fraction(n, 10) for n in (1, 3, 1, 2, 3)]
    run(Job(input=str(source), output=str(gif), rate="20", ffmpeg=ffmpeg.path))
    times = seconds_of(gif)
    assert {duration for _, duration in times} == {Fraction(1, 20)}
    assert sum(duration for _, duration in times) == sum(duration for _, duration in seconds_of(source)) == 1
    assert b"NETSCAPE2.0\x03\x01\x04\x00" in gif.read_bytes()[:4096]
    before, after = frames_of(source, "bgra", 4), frames_of(gif, "bgra", 4)
    for n, (start, _) in enumerate(seconds_of(source)):
        frame = after[int(start * 20)]
        assert np.array_equal(frame[..., 3], before[n][..., 3])
        opaque = before[n][..., 3] > 0
        assert np.abs(frame[opaque].astype(int) - before[n][opaque]).max() <= 8
    proved(
        "GIF and APNG",
        "GIF with transparency, delays of 0.1 and 0.3 s, shown 5 times",
        "PyAV, bytes of the header",
        "alpha equal, duration equal, shown 5 times",
        ffmpeg=ffmpeg,
    )


@pytest.mark.parametrize(
    ("rate", "plays"), chosen([("60", 0), ("59.94", 3), ("24000/1001", 1)], always=[("60", 0)], once=[("59.94", 3)])
)
def test_an_apng_is_lossless_and_exact(
    rate: str, plays: int, tmp_path: Path, ffmpeg: Ffmpeg, blending: None, proved: Proved
) -> None:
    source, apng = tmp_path / "s.apng", tmp_path / "o.apng"
    paths = row(tmp_path / "in", 5, channels=4)
    tool(
        "-framerate",
        "10",
        "-start_number",
        "8",
        "-i",
        tmp_path / "in" / "f_%d.png",
        "-plays",
        plays,
        "-f",
        "apng",
        source,
    )
    result = run(Job(input=str(source), output=str(apng), rate=rate, ffmpeg=ffmpeg.path))
    delays = apng_delays(apng)
    assert len(delays) == result.frames and set(delays) == {1 / result.rate}
    data = apng.read_bytes()
    assert struct.unpack(">II", data[data.index(b"acTL") + 4 :][:8]) == (result.frames, plays)
    seen = frames_of(apng, "bgra", 4)
    assert np.array_equal(seen[0], stored(paths[0]))
    if rate == "60":
        assert all(np.array_equal(seen[6 * n], stored(path)) for n, path in enumerate(paths))
    shown = "for ever" if not plays else f"{plays} times"
    proved("GIF and APNG", f"APNG with alpha to {rate}", "bytes of fcTL", f"exact, shown {shown}", ffmpeg=ffmpeg)


def test_a_long_apng_is_read_without_drift(tmp_path: Path, ffmpeg: Ffmpeg, proved: Proved) -> None:
    apng = tmp_path / "long.apng"
    tool("-f", "lavfi", "-i", "testsrc2=s=16x16:r=60000/1001:d=10", "-f", "apng", apng)
    timeline = scan(probe(str(apng), ffmpeg=ffmpeg, limits=InputLimits()), ffmpeg=ffmpeg)
    assert timeline.rate == Fraction(60000, 1001) and timeline.is_cfr
    assert timeline.duration == sum(apng_delays(apng))
    proved("GIF and APNG", "10 s of APNG at 60000/1001 as input", "sum of fcTL", "no drift", ffmpeg=ffmpeg)


@pytest.mark.once
def test_one_frame_becomes_a_gif_and_a_picture(tmp_path: Path, ffmpeg: Ffmpeg, blending: None) -> None:
    row(tmp_path / "in", 1)
    gif, out = tmp_path / "o.gif", tmp_path / "%d.png"
    assert run(Job(input=str(tmp_path / "in"), output=str(gif), rate="25", ffmpeg=ffmpeg.path)).frames == 2
    assert run(Job(input=str(tmp_path / "in"), output=str(out), ffmpeg=ffmpeg.path)).frames == 1


def test_segments_join_in_a_gif_as_if_there_were_none(
    tmp_path: Path, wheel: Ffmpeg, blending: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = small_clips.clip(tmp_path / "c.mp4", rate="25", seconds="1")
    job = Job(input=str(clip), output=str(tmp_path / "a.gif"), rate="50", ffmpeg=wheel.path)
    run(job)
    monkeypatch.setattr(
        "interp_cli.job.prepare.make_plan", lambda t, r: make_plan(t, r, segment_seconds=Fraction(1, 4))
    )
    split = replace_output(job, tmp_path / "b.gif")
    assert len(prepare(split).plan.segments) == 4
    run(split)
    assert (tmp_path / "a.gif").read_bytes() == (tmp_path / "b.gif").read_bytes()


# ---- pipes


def vfi(
    *arguments: object, weights: Path, feed: bytes | None = None, **named: Any
) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "interp_cli", *map(str, arguments)]
    environment = {**os.environ, "VFI_WEIGHTS": str(weights), "TMPDIR": str(named.pop("tmp"))}
    return subprocess.run(command, input=feed, capture_output=True, env=environment, check=False, **named)


FORMS = [
    ("nut", ("-c:v", "ffv1")),
    ("yuv4mpegpipe", ()),
    ("mpegts", ("-c:v", "mpeg2video")),
    ("flv", ("-c:v", "flv")),
]


@pytest.mark.parametrize(("form", "codec"), chosen(FORMS, once=FORMS[:1]))
def test_a_pipe_from_ffmpeg_to_ffmpeg(
    form: str, codec: tuple[str, ...], tmp_path: Path, ffmpeg: Ffmpeg, weights: Path, proved: Proved
) -> None:
    clip = tool("-f", "lavfi", "-i", "testsrc2=s=64x48:r=25:d=0.4", "-pix_fmt", "yuv420p", *codec, "-f", form, "-")
    out = "yuv4mpegpipe" if form == "yuv4mpegpipe" else "nut"
    spool = tmp_path / "spool"
    spool.mkdir()
    options = (
        "--fps",
        "50",
        "--dedup",
        "off",
        "--ffmpeg",
        ffmpeg.path,
        "-f",
        out,
        *(() if out != "nut" else ("-c", "ffv1")),
    )
    done = vfi("upsample", "-", "-o", "-", *options, weights=weights, feed=clip, tmp=spool)
    assert done.returncode == 0, done.stderr
    assert b"standard output: 20 frames" in done.stderr and str(spool).encode() not in done.stderr
    before, after = (
        [
            line.split(",")[5]
            for line in tool("-i", "-", "-f", "framemd5", "-", feed=data).decode().splitlines()
            if line[0] != "#"
        ]
        for data in (clip, done.stdout)
    )
    assert after[::2] == before
    assert not list(spool.iterdir())
    proved("Pipes", f"{form} in, {out} out, 25 to 50", "framemd5", "source frames bit for bit", ffmpeg=ffmpeg)


def test_a_reader_that_goes_away_ends_vfi_with_141(tmp_path: Path, weights: Path) -> None:
    clip = tool("-f", "lavfi", "-i", "testsrc2=s=320x240:r=10:d=0.5", "-c:v", "ffv1", "-f", "nut", "-")
    read, write = os.pipe()
    os.close(read)
    environment = {**os.environ, "VFI_WEIGHTS": str(weights), "TMPDIR": str(tmp_path)}
    command = [sys.executable, "-m", "interp_cli", "upsample", "-", "-o", "-", "-f", "nut", "-c", "ffv1", "-x", "2"]
    done = subprocess.run(command, input=clip, stdout=write, stderr=subprocess.PIPE, env=environment, check=False)
    os.close(write)
    assert done.returncode == 141
    assert b"Traceback" not in done.stderr and not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "feed", "code", "sentence"),
    [
        ("- --fps 50", b"x", 2, "give one with -o"),
        ("- --fps 50 -o -", b"x", 2, "needs a format"),
        ("- --fps 50 -o - -f nut --json", b"x", 2, "--json"),
        ("- x.mp4 --fps 50 -o new/", b"x", 2, "only input"),
        ("- --fps 50 -o - -f nonsense", b"x", 2, "no format that vfi writes"),
        ("- --fps 50 -o - -f nut", b"", 3, "standard input is empty"),
        ("- --fps 50 -o - -f nut", b"not a video" * 99, 3, "standard input is not a video file"),
    ],
)
def test_pipes_that_cannot_be_meant(
    arguments: str, feed: bytes, code: int, sentence: str, tmp_path: Path, weights: Path
) -> None:
    done = vfi("upsample", *arguments.split(), weights=weights, feed=feed, tmp=tmp_path, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (code, b"")
    assert sentence in done.stderr.decode() and not list(tmp_path.iterdir())


def test_a_named_result_of_a_pipe_and_a_format_for_an_unknown_ending(
    tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clip = tool("-f", "lavfi", "-i", "testsrc2=s=64x48:r=10:d=0.5", "-c:v", "ffv1", "-f", "nut", "-")
    out, spool = tmp_path / "o.unknown", tmp_path / "spool"
    spool.mkdir()
    (tmp_path / "fed").write_bytes(clip)
    monkeypatch.setenv("VFI_WEIGHTS", str(weights))
    monkeypatch.setattr(tempfile, "tempdir", str(spool))
    with (tmp_path / "fed").open() as fed:
        monkeypatch.setattr(sys, "stdin", fed)
        code = command_line(["upsample", "-", "-x", "2", "-o", str(out), "-f", "mkv", "--json"], Session())
    told = capsys.readouterr()
    assert code == 0, told.err
    facts = json.loads(told.out)
    (tmp_path / "fed").unlink()
    assert (facts["input"], facts["output"], facts["frames"]) == ("standard input", str(out), 10)
    assert out.read_bytes()[:4] == b"\x1aE\xdf\xa3"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["o.unknown", "spool"] and not list(spool.iterdir())

"""EXR in and out: its linear light becomes code values by the curve of sRGB, and half floats of linear light again."""

from __future__ import annotations

import base64
import re
import struct
import subprocess
import zlib
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from conftest import Proved, tool
from numpy.typing import NDArray
from whole_files import convert

from interp_cli.errors import InputError, UsageError
from interp_cli.job.job import Job, prepare
from interp_cli.job.notes import notes_of
from interp_cli.job.output import container_of
from interp_cli.job.stills import make_stills
from interp_cli.job.stop import Stop
from interp_cli.media.ffmpeg import Ffmpeg
from interp_cli.media.images import read_image, write_image
from interp_cli.media.probe import probe
from interp_cli.media.types import PIXEL_FORMATS, Planes
from interp_cli.options import EngineOptions, InputLimits
from interp_cli.progress import Silent

LAYOUTS = {1: "gray", 3: "gbrp", 4: "gbrap"}
COARSE = 1e-6  # of light: what one of 65536 codes is where the curve is a line
# 32 x 32, half floats, by OpenEXR: R rises in four steps to the right, G downwards, B is 1/2.
OTHERS = {
    "piz": (
        "c-"
        "kw|H)LdDU|>kjNX*Mi%_#;lax#lc7|elUP7I6;5Won<?ieCL7$OYG`MCu}sl~;a`FSX8kR(e=Vo73nW?o8uIYUx@g;6Gh00RQZLv"
        "c!GaY0UEB|&vLnR%)HMJcI8NGz}u3NkBFa~z8cQj<%95=%1k8Pam{6H6Faz`7gki<65|Q}ZCkJE!KA0JW7Fr7>_IS%Iu1JTs*v1I"
        ">t%%7Rpe;*z4wymSU$u=>P2kRvj46Vp=};usMo?FI&K1DgXolF)zvO6_O-"
        "#E39zACUbA%42b~|33<bA~@W_;UM|{{J;9o|2Y2}^QGSj{+A|meuw@3)4%P1eg_Ktw@Uy3K<OGb"
    ),
    "pxr24": (
        "c-"
        "kw|H)LdDU|>kjNX*Mi%_#;lax#lc7|elUP7I6;5Won<?ieCL7$OYG`MCu}sl~;a`FSX8kR)qLVo73nW?o8uIYUx@g;6Gh00RQZLv"
        "c!GaY0UEB|&vLnR%)HMJcI8NGz}u3NkBFa~z8cQj<%95=%1k8Pam{6H6Faz`7gki<65|Q}ZCkJE!KA0JW7Fr7>_IS%Iu1JTs*v1I"
        ">t%%7Rpe;*z4wymSU$u=>P2kRvj46Vp=}(x8E|nGs>4D-"
        "c)2y*;;(_ke)_%fY}YlX&jbr!Hiic5w3cC(#w|X;zCFD;UqezilcW?f&t*SbhG-@7JEncdrflv-OetpQn$GAN|Ka_X5X3P)Gzr4K"
        "w6oP!w>!cz%=nCV}_$2CEslH+pb!e?B$w!TX9|&z5B{9N=fDIeokH_x|1bFR$<TJ*lo2!YEo@pOe@1CHoTplK5$L4<7#G)H%<!5d"
        "aB5pTh"
    ),
    "b44": (
        "c-rlf!Ab)`42J(LB1I5<1APOr7muPIJPN(^CX7328<=K>nNZu?;xl;=pU&;Jva3A^J@l|lm_WWvl0OWyyuK+00Lr-"
        "$A(!gFaZ=pYxd#;3TCww|z07zogVHZTq?FjpuXuBLYK@u+i}i1K^{Wx%0<B%{+;R%etpBZZEc6^L#ZJ_$5O_uIJ_RauY?M8w&Kt!"
        "^(_P)AG7`yl{3D6hZOhRV!;VC^WWrYGe@5s!5Ryig8P1z}Bbz07VP=GvqMcNo0iPHQuik%7rc9ZRNmbA3qvzE3|M}H(I`r=z`es="
        "#>t(%`z5#loZFc"
    ),
    "dwaa": (
        "c-"
        "kw|H)LdDU|>kjNX*Mi%_#;lax#lc7|elUP7I6;5Won<?ieCL7$OYG`MCu}sl~;a`FSX8kR(S+Vo73nW?o8uIYUx@g;6Gh00RQZLv"
        "c!GaY0UEB|&vLnR%)HMJcI8NGz}u3NkBFa~z8cQj<%95=%1k8Pam{6H6Faz`7gki<65|Q}ZCkJE!KA0JW7Fr7>_IS%Iu1JTs*v1I"
        ">t%%7Rpe;*z4wymSU$u=>P2kRvj46Vp=};usMoy#Qh+2JAorN@p?P2L@;~4DbQNUxd+}L50zY!Gw|FKQIRVLu})Ms$dcDK2Q;7tx"
        "&M{<B|4k_9@2eWOuM0k<2}Htuy*Z&z}45b|@T}@Xa&9_sXt0vc>;S{xjKd<Hr)WKT*}m$;H9W&d$ls$+gMO&ZV`^&bhg<wZX0X8H"
        "Iz3lX=U7AMcmBCpPU=vh|KttL+&Xnj`gB0{|^zgyj"
    ),
}


def curve(light: NDArray[Any]) -> NDArray[Any]:
    """IEC 61966-2-1, from light to code, both from 0 to 1."""
    light = light.astype(np.float64)
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * np.maximum(light, 0.0031308) ** (1 / 2.4) - 0.055)


def light_of(code: NDArray[Any]) -> NDArray[Any]:
    """The inverse."""
    return np.where(code <= 0.04045, code / 12.92, ((code + 0.055) / 1.055) ** 2.4)


def write(path: Path, light: NDArray[Any], *options: object) -> Path:
    """An EXR of (planes, rows, columns): Y, or G, B, R and perhaps A, by ffmpeg's encoder."""
    path.parent.mkdir(exist_ok=True)
    count, rows, columns = light.shape
    layout = ("-f", "rawvideo", "-pixel_format", f"{LAYOUTS[count]}f32le", "-video_size", f"{columns}x{rows}")
    kept = ("-vf", "setparams=alpha_mode=premultiplied") if count == 4 else ()  # or it would multiply once more
    tool(*layout, "-i", "-", *kept, "-frames:v", 1, "-update", 1, *options, path, feed=light.astype("<f4").tobytes())
    return path


def read(path: Path, shape: Sequence[int]) -> NDArray[np.float16]:
    """The half floats of a picture, by ffmpeg's decoder."""
    return np.frombuffer(tool("-i", path, "-f", "rawvideo", "-"), "<f2").reshape(shape)


def square(n: int, planes: int = 3) -> NDArray[np.float16]:
    """Light from 0 to 1 to the right, and a square that moves by `n`."""
    light = np.tile(np.linspace(0, 1, 48) ** 2.2, (planes, 32, 1))
    light[:, 8:20, 4 + n : 16 + n] = 0.8
    if planes == 4:
        light[3] = np.linspace(0.25, 1, 32)[:, None]
        light[:3] *= light[3]
    return light.astype(np.float16)


def patched(path: Path, name: bytes, value: bytes) -> Path:
    """The file with another value of an attribute."""
    data = bytearray(path.read_bytes())
    at = data.index(b"\0", data.index(name + b"\0") + len(name) + 1) + 5
    data[at : at + len(value)] = value
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("kind", ["half", "float"])
@pytest.mark.parametrize("compression", ["none", "rle", "zip1", "zip16"])
def test_light_becomes_the_code_of_srgb(kind: str, compression: str, ffmpeg: Ffmpeg, tmp_path: Path) -> None:
    light = np.random.default_rng(3).random((3, 19, 33)).astype(np.float16)
    write(tmp_path / "a.exr", light, "-format", kind, "-compression", compression)
    found = read_image(str(tmp_path / "a.exr"), ffmpeg=ffmpeg)
    assert found.format.name == "gbrp16le"
    assert np.abs(np.stack(found.data) - curve(light) * 65535).max() < 0.51


@pytest.mark.parametrize("name", OTHERS)
def test_what_other_programs_compress_is_read(name: str, ffmpeg: Ffmpeg, tmp_path: Path, proved: Proved) -> None:
    (tmp_path / "a.exr").write_bytes(zlib.decompress(base64.b85decode(OTHERS[name])))
    green, blue, red = read_image(str(tmp_path / "a.exr"), ffmpeg=ffmpeg).data
    steps = np.repeat(curve(np.arange(4) / 4) * 65535, 8)
    most = 700 if name == "dwaa" else 1  # that one is lossy
    assert np.abs(red - steps).max() < most and np.abs(green - steps[:, None]).max() < most
    assert np.abs(blue - curve(np.array(0.5)) * 65535).max() < most
    proved("Image sequences", f"exr by OpenEXR, {name}", "arithmetic", "the light of the file", ffmpeg=ffmpeg)


@pytest.mark.parametrize("planes", [1, 3, 4])
def test_a_row_of_exr_comes_out_again(
    planes: int, ffmpeg: Ffmpeg, tmp_path: Path, blending: None, proved: Proved
) -> None:
    sources = [square(n, planes) for n in range(3)]
    for n, light in enumerate(sources):
        write(tmp_path / "in" / f"f_{n}.exr", light, "-format", "half", "-compression", "zip16")
    out = tmp_path / "out" / "%03d.exr"
    convert(tmp_path / "in", out, ffmpeg=ffmpeg)
    for n, light in enumerate(sources):
        found = read(tmp_path / "out" / f"{2 * n + 1:03d}.exr", light.shape)
        if planes == 4:  # two roundings more, of a colour without alpha
            assert np.abs(found.astype(float) - light).max() < 6e-4 and np.abs(found[3] - light[3]).max() < 6e-4
        else:
            assert np.array_equal(found[light > 0.005], light[light > 0.005])
            assert np.abs(found.astype(float) - light).max() < COARSE
        made = read(tmp_path / "out" / f"{2 * n + 2:03d}.exr", light.shape)
        assert np.array_equal(made[..., 24:], found[..., 24:])  # where nothing moves
    named = {1: "Y", 3: "RGB", 4: "RGBA"}[planes]
    result = "within the rounding of a half float" if planes == 4 else "the same half floats; below 0.005 within 1e-6"
    proved("Image sequences", f"exr, {named}, half, in and out", "ffmpeg's decoder", result, ffmpeg=ffmpeg)


def test_colour_is_multiplied_by_alpha_as_light(ffmpeg: Ffmpeg, tmp_path: Path, proved: Proved) -> None:
    """A red of 0.5 that covers a quarter is 0.125 in the file."""
    light = np.zeros((4, 8, 8), np.float16)
    light[2, :, :4], light[3, :, :4] = 0.125, 0.25
    write(tmp_path / "a.exr", light, "-format", "half")
    green, _, red, alpha = read_image(str(tmp_path / "a.exr"), ffmpeg=ffmpeg).data
    assert set(red[:, :4].flat) == {round(float(curve(np.array(0.5))) * 65535)} and not green.any()
    assert set(alpha[:, :4].flat) == {round(0.25 * 65535)} and not alpha[:, 4:].any() and not red[:, 4:].any()
    write_image(str(tmp_path / "b.exr"), Planes(0, (green, green, red, alpha), PIXEL_FORMATS["gbrap16le"]))
    assert np.abs(read(tmp_path / "b.exr", light.shape).astype(float) - light).max() < 1.3e-4
    result = "straight alpha, and back, to a step of a half float"
    proved("Alpha", "exr, premultiplied in linear light", "arithmetic", result, ffmpeg=ffmpeg)


def test_what_has_no_code_is_clipped_and_that_is_said_once(ffmpeg: Ffmpeg, tmp_path: Path, proved: Proved) -> None:
    light = np.zeros((3, 8, 8), np.float16)
    light[0, 0, :5] = (-1, 1, 4, np.inf, np.nan)
    for n in range(2):
        write(tmp_path / "in" / f"{n}.exr", light, "-format", "half")
    found = read_image(str(tmp_path / "in" / "0.exr"), ffmpeg=ffmpeg)
    assert found.data[0][0, :5].tolist() == [0, 65535, 65535, 65535, 0]
    work = prepare(Job(input=str(tmp_path / "in"), output=str(tmp_path / "o.mkv"), rate="2x", ffmpeg=ffmpeg.path))
    assert sum("light below 0 or above 1 is clipped" in note for note in notes_of(work)) == 1
    proved("Image sequences", "exr, light below 0 and above 1", "arithmetic", "clipped, and said", ffmpeg=ffmpeg)


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("deep", [False, True])
def test_code_becomes_light(channels: int, deep: bool, ffmpeg: Ffmpeg, tmp_path: Path, blending: None) -> None:
    """Every code of 8 bits, or 4096 of 16; fully covered where there is alpha."""
    peak, size = (65535, 64) if deep else (255, 16)
    codes = np.linspace(0, peak, size * size).round().astype(np.uint16 if deep else np.uint8).reshape(size, size)
    image = np.dstack([codes, codes[::-1], codes.T, np.full_like(codes, peak)][:channels])
    (tmp_path / "in").mkdir()
    for n in range(2):
        cv2.imwrite(str(tmp_path / "in" / f"{n}.png"), image)
    convert(tmp_path / "in", tmp_path / "out" / "%d.exr", ffmpeg=ffmpeg)
    found = read(tmp_path / "out" / "3.exr", (channels, size, size))
    wanted = [codes] if channels == 1 else [codes[::-1], codes, codes.T, np.full_like(codes, peak)][:channels]
    for n, plane in enumerate(wanted):
        assert np.array_equal(found[n], (plane / peak if n == 3 else light_of(plane / peak)).astype(np.float16))


def test_a_video_becomes_light(ffmpeg: Ffmpeg, tmp_path: Path, blending: None, proved: Proved) -> None:
    """Grey steps in yuv420p of tv range, lossless, whose RGB is known; pixels of 4:3 keep their shape."""
    luma = np.repeat(np.arange(16, 236, 4, dtype=np.uint8), 4)[:216]
    raw = np.tile(luma, (32, 1)).tobytes() + bytes([128]) * (108 * 16 * 2)
    labels = ("-vf", "setparams=colorspace=bt709:range=tv,setsar=4/3")
    layout = ("-f", "rawvideo", "-pixel_format", "yuv420p", "-video_size", "216x32", "-r", 10)
    tool(*layout, "-i", "-", "-c:v", "ffv1", *labels, tmp_path / "a.mkv", feed=raw * 3)
    convert(tmp_path / "a.mkv", tmp_path / "out" / "%d.exr", ffmpeg=ffmpeg)
    found = read(tmp_path / "out" / "2.exr", (3, 32, 216)).astype(float)
    assert np.abs(curve(found) - (luma - 16.0) / 219).max() < 1 / 2000
    info = probe(str(tmp_path / "out"), ffmpeg=ffmpeg, limits=InputLimits())
    assert info.video.sar == Fraction(4, 3)
    told = subprocess.run([ffmpeg.path, "-i", tmp_path / "out" / "2.exr"], capture_output=True, text=True, check=False)
    assert "SAR 4:3" in told.stderr
    proved("Image sequences", "YUV to exr", "arithmetic", "light within 1/2000 of the code; SAR kept", ffmpeg=ffmpeg)


def test_pq_is_not_taken_for_the_curve_of_srgb(wheel: Ffmpeg, tmp_path: Path) -> None:
    hdr = "format=yuv420p10le,setparams=color_trc=smpte2084:colorspace=bt2020nc:color_primaries=bt2020:range=tv"
    tool("-f", "lavfi", "-i", f"testsrc2=s=64x48:r=10:d=0.3,{hdr}", "-c:v", "ffv1", tmp_path / "a.mkv")
    with pytest.raises(UsageError, match=r"smpte2084 .* choose png or tiff"):
        prepare(Job(input=str(tmp_path / "a.mkv"), output=str(tmp_path / "o%d.exr"), rate="2x", ffmpeg=wheel.path))


def test_the_picture_between_two_in_exr(tmp_path: Path, blending: None) -> None:
    for name, value in (("a.exr", 0.2), ("b.exr", 0.2)):
        write(tmp_path / name, np.full((3, 32, 32), value, np.float16), "-format", "half")
    a, b, out = (str(tmp_path / name) for name in ("a.exr", "b.exr", "m.exr"))
    half = [Fraction(1, 2)]
    make_stills(a, b, half, out, engine=EngineOptions(), overwrite=False, progress=Silent(), stop=Stop())
    assert np.abs(read(tmp_path / "m.exr", (3, 32, 32)).astype(float) - 0.2).max() < 2e-4


@pytest.mark.parametrize("share", [0.3, 0.6, 0.99])
def test_a_picture_that_is_cut_off_is_refused(share: float, ffmpeg: Ffmpeg, tmp_path: Path) -> None:
    """ffmpeg alone would fill it up with black and say nothing."""
    path = write(tmp_path / "a.exr", square(0), "-compression", "zip1")
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(InputError, match=r"a\.exr is incomplete: part of the picture is missing"):
        read_image(str(path), ffmpeg=ffmpeg)


def test_no_flipped_bits_do_harm(ffmpeg: Ffmpeg, tmp_path: Path) -> None:
    """Each is refused with a sentence, or read."""
    path, chance = write(tmp_path / "a.exr", square(0), "-compression", "rle"), np.random.default_rng(2)
    whole = path.read_bytes()
    for k in range(60):
        data = bytearray(whole)
        for at in chance.integers(0, 700 if k % 6 else len(data), 3):
            data[at] ^= 1 << chance.integers(8)
        path.write_bytes(data)
        try:
            read_image(str(path), ffmpeg=ffmpeg, max_pixels=10_000)
        except InputError as error:
            assert "\n" not in str(error)


def test_a_damaged_picture_is_refused(ffmpeg: Ffmpeg, tmp_path: Path) -> None:
    path = write(tmp_path / "a.exr", square(0), "-compression", "zip16")
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 40] = bytes(40)
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"a\.exr is damaged, or an EXR that ffmpeg cannot read"):
        read_image(str(path), ffmpeg=ffmpeg)


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        (b"displayWindow", struct.pack("<4i", 2, 2, 49, 33), "does not begin at 0, 0"),
        (b"compression", b"\x08", "dwaa or dwab, which ffmpeg reads wrongly"),
        (b"compression", b"\x63", "in a way that ffmpeg does not read"),
        (b"channels", b"X", r"has no channels R, G, B \(or Y alone\)"),
        (b"channels", b"B\0" + struct.pack("<i", 1), "not all half or all float"),
        (b"dataWindow", struct.pack("<4i", 0, 0, 65535, 65535), "are allowed"),
    ],
)
def test_what_ffmpeg_would_read_wrongly_is_refused_from_the_header(
    name: bytes, value: bytes, sentence: str, wheel: Ffmpeg, tmp_path: Path
) -> None:
    for n in range(3):
        write(tmp_path / f"{n}.exr", square(0))
    patched(tmp_path / "2.exr", name, value)
    with pytest.raises(InputError, match=rf"2\.exr .*{sentence}"):
        probe(str(tmp_path), ffmpeg=wheel, limits=InputLimits())
    with pytest.raises(InputError, match=sentence):
        read_image(str(tmp_path / "2.exr"), ffmpeg=wheel)


@pytest.mark.parametrize("suffix", [".hdr", ".pfm"])
def test_other_floating_point_is_refused_and_told_what_to_become(suffix: str, wheel: Ffmpeg, tmp_path: Path) -> None:
    layout = ("-f", "rawvideo", "-pixel_format", "gbrpf32le", "-video_size", "16x16")
    source = tmp_path / f"a{suffix}"
    tool(*layout, "-i", "-", "-frames:v", 1, "-update", 1, source, feed=bytes(16 * 16 * 12))
    sentence = rf"a\{suffix} holds linear light as \{suffix}, which vfi reads as \.exr alone: make an \.exr of it first"
    with pytest.raises(InputError, match=sentence):
        read_image(str(source))
    for text in (source, tmp_path, tmp_path / "*"):
        with pytest.raises(InputError, match=sentence):
            probe(str(text), ffmpeg=wheel, limits=InputLimits())


@pytest.mark.parametrize(
    ("name", "many", "one"),
    [("a.hdr", "a_%05d.exr", "a.exr"), ("a_%03d.pfm", "a_%03d.exr", "a_%03d.exr")],
)
def test_other_floating_point_as_a_result_is_named_an_exr(name: str, many: str, one: str, tmp_path: Path) -> None:
    """Of a video a pattern, of two pictures what was asked for."""
    with pytest.raises(UsageError, match=rf"vfi writes no \.\w+: name it .*/{many}, which holds linear light too"):
        container_of(tmp_path / name, None)
    for picture in ("a.png", "b.png"):
        cv2.imwrite(str(tmp_path / picture), np.zeros((8, 8, 3), np.uint8))
    a, b, out = (str(tmp_path / place) for place in ("a.png", "b.png", name))
    how: dict[str, Any] = {"engine": EngineOptions(), "overwrite": False, "progress": Silent(), "stop": Stop()}
    advice = re.escape(one) if "%" not in one else r"a_001\.exr"
    with pytest.raises(UsageError, match=rf"name it .*/{advice}"):
        make_stills(a, b, [Fraction(1, 2)], out, **how)


@pytest.mark.parametrize("suffix", [".exr", ".tiff", ".png"])
def test_one_picture_as_the_result_of_a_video_is_told_to_be_a_pattern(suffix: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=rf"would be one picture: give a pattern for many, such as .*/a_%05d\{suffix}"):
        container_of(tmp_path / f"a{suffix}", None)
    assert container_of(tmp_path / f"a_%05d{suffix}", None) == "image2"

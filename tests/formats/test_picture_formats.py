"""Pictures that vfi does not take as they are: floating point (EXR) and animated WebP; what it says holds good."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import Proved, tool
from whole_files import convert, frames

from interp_cli.errors import InputError, UsageError
from interp_cli.job.stills import make_stills
from interp_cli.job.stop import Stop
from interp_cli.media.ffmpeg import Ffmpeg
from interp_cli.media.images import read_image
from interp_cli.media.probe import probe
from interp_cli.media.streams import container_for
from interp_cli.options import EngineOptions, InputLimits
from interp_cli.progress import Silent

LIGHT = np.concatenate([np.linspace(0, 1, 63), [4.0]]).astype("<f4").reshape(8, 8)


def exr(folder: Path) -> Path:
    """64 greys of linear light from 0 to 1, the last one brighter."""
    raw = ("-f", "rawvideo", "-pixel_format", "gbrpf32le", "-video_size", "8x8", "-i", "-")
    tool(*raw, "-frames:v", 1, "-update", 1, folder / "a.exr", feed=LIGHT.tobytes() * 3)
    return folder / "a.exr"


def obeyed(sentence: str, ffmpeg: Ffmpeg, folder: Path) -> None:
    """Run the line of ffmpeg that a sentence advises."""
    found = re.search(r"with ffmpeg (-i [^()]*)", sentence)
    assert found is not None
    program, *line = [ffmpeg.path, "-nostdin", "-v", "error", "-y", *shlex.split(found[1])]
    subprocess.run([program, *line[:-1], "-update", "1", line[-1]], cwd=folder, check=True)


def test_floating_point_is_refused_and_the_advice_both_ways_is_right(
    ffmpeg: Ffmpeg, tmp_path: Path, proved: Proved
) -> None:
    source = exr(tmp_path)
    with pytest.raises(InputError, match="holds linear light in floating point") as caught:
        probe(str(source), ffmpeg=ffmpeg, limits=InputLimits())
    with pytest.raises(InputError, match=r"a\.exr holds linear light .* -pix_fmt rgb48le a\.tiff"):
        probe(str(tmp_path), ffmpeg=ffmpeg, limits=InputLimits())
    with pytest.raises(InputError, match=r"a\.exr holds linear light .* -pix_fmt rgb48le a\.tiff"):
        read_image(str(source))
    obeyed(str(caught.value), ffmpeg, tmp_path)
    code = cv2.imread(str(tmp_path / "a.tiff"), cv2.IMREAD_UNCHANGED)[..., 1].ravel() / 65535
    srgb = np.where(LIGHT <= 0.0031308, 12.92 * LIGHT, 1.055 * LIGHT ** (1 / 2.4) - 0.055).ravel().clip(0, 1)
    assert np.abs(code - srgb).max() < 16 / 65535

    with pytest.raises(UsageError, match=r"vfi writes no \.exr: name it .*a\.tiff, which holds 16 bits") as told:
        container_for(str(source))
    source.unlink()
    obeyed(str(told.value), ffmpeg, tmp_path)
    back = np.frombuffer(tool("-i", source, "-f", "rawvideo", "-pix_fmt", "gbrpf32le", "-"), "<f4")[:64]
    assert np.abs(back - LIGHT.ravel().clip(0, 1)).max() < 5e-4
    result = "refused; the ffmpeg lines that are advised are right to 16 of 65536 steps"
    proved("Image sequences", "EXR, in and out", "the curve of sRGB, computed", result, ffmpeg=ffmpeg)


def test_the_picture_between_two_is_not_written_as_floating_point(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        cv2.imwrite(str(tmp_path / name), np.zeros((8, 8, 3), np.uint8))
    with pytest.raises(UsageError, match=r"vfi writes no \.exr"):
        make_stills(
            str(tmp_path / "a.png"), str(tmp_path / "b.png"), [], str(tmp_path / "m.exr"), engine=EngineOptions(),
            overwrite=False, progress=Silent(), stop=Stop(),
        )  # fmt: skip


@pytest.fixture
def animated(tmp_path: Path) -> Path:
    lossless = ("-c:v", "libwebp_anim", "-lossless", 1, "-pix_fmt", "bgra")
    tool("-f", "lavfi", "-i", "testsrc2=s=64x48:r=10:d=0.4", *lossless, tmp_path / "a.webp")
    return tmp_path / "a.webp"


@pytest.mark.usefixtures("blending")
def test_animated_webp_is_read_by_an_ffmpeg_that_can_and_refused_with_another(
    animated: Path, ffmpeg: Ffmpeg, tmp_path: Path, proved: Proved
) -> None:
    if ffmpeg.version < (9, 0):
        with pytest.raises(
            InputError, match=r"is an animated WebP, which ffmpeg reads from 9\.0 on: make it an \.apng"
        ):
            probe(str(animated), ffmpeg=ffmpeg, limits=InputLimits())
        result = "refused with a sentence"
    else:
        convert(animated, tmp_path / "o.mkv", ffmpeg=ffmpeg, codec="ffv1")
        raw = tool("-i", animated, "-f", "rawvideo", "-pix_fmt", "rgba", "-")
        source = np.frombuffer(raw, np.uint8).reshape(4, 48, 64, 4)
        assert all(np.array_equal(a, b) for a, b in zip(frames(tmp_path / "o.mkv", "rgba")[::2], source, strict=True))
        result = "every source frame as it was"
    proved("Image sequences", "animated WebP as input", "RGBA by PyAV and ffmpeg", result, ffmpeg=ffmpeg)


def test_animated_webp_is_no_single_picture(animated: Path, ffmpeg: Ffmpeg) -> None:
    """OpenCV would read its first frame and say nothing."""
    with pytest.raises(InputError, match="is an animated WebP, and one picture is needed"):
        read_image(str(animated))
    with pytest.raises(InputError, match="is an animated WebP"):
        probe(str(animated.parent), ffmpeg=ffmpeg, limits=InputLimits())

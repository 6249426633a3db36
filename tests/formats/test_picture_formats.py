"""Animated WebP: taken where ffmpeg can read it, and never for the one picture that OpenCV sees in it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conftest import Proved, tool
from whole_files import convert, frames

from interp_cli.errors import InputError
from interp_cli.media.ffmpeg import Ffmpeg
from interp_cli.media.images import read_image
from interp_cli.media.probe import probe
from interp_cli.options import InputLimits


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

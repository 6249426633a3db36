"""The rivals of the quality benchmark are what they claim to be: on a plain pan each finds the frame that was there."""

import json
import sys
from fractions import Fraction
from pathlib import Path

import cv2
import imageio_ffmpeg
import numpy as np
import pytest

from interp_cli.media.types import Color, Planes, pixel_format
from interp_cli.quality.evaluate import mean_score, score_sample
from interp_cli.quality.frames import Sample
from interp_cli.timeline import Target

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "bench"))
try:
    import record
    import rivals
finally:
    sys.path.pop(0)

YUV420 = pixel_format("yuv420p")
FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()


def pan(*, gap: int, kept: int = 5, speed: int = 2, form: str = "yuv420p") -> Sample:
    """A textured picture that moves right by `speed` px a frame, cut out of a larger one: the truth is exact."""
    pixels = pixel_format(form)
    noise = np.random.default_rng(7).random((30, 60)).astype(np.float32)
    wide = np.clip(cv2.resize(noise, (480, 240), interpolation=cv2.INTER_CUBIC), 0, 1)

    def frame(n: int) -> Planes:
        start = 100 - speed * n
        luma = wide[20:164, start : start + 240] * pixels.peak
        chroma = [
            cv2.resize(luma, shape[::-1], interpolation=cv2.INTER_AREA) for shape in pixels.plane_shapes(240, 144)[1:3]
        ]
        data = tuple(np.ascontiguousarray(np.rint(plane)).astype(pixels.dtype) for plane in (luma, *chroma))
        return Planes(n, data, pixels)

    lefts = range(1, kept - 2)
    targets = [(left, k) for left in lefts for k in range(1, gap)]
    return Sample(
        name="pan",
        kept=tuple(frame(n * gap) for n in range(kept)),
        targets=tuple(
            Target(n=left * gap + k, pts=left * gap + k, left=left, t=Fraction(k, gap)) for left, k in targets
        ),
        true=tuple(frame(left * gap + k) for left, k in targets),
        color=Color(),
        gap=gap,
    )


@pytest.mark.parametrize("name", ["minterpolate", "dis"])
@pytest.mark.parametrize(("gap", "form"), [(2, "yuv420p"), (4, "yuv420p"), (2, "yuv420p10le")])
def test_a_rival_that_follows_motion_rebuilds_a_pan(name: str, gap: int, form: str) -> None:
    sample = pan(gap=gap, form=form)
    methods = rivals.rivals(FFMPEG)
    score = mean_score(score_sample(methods[name], sample))
    blend = mean_score(score_sample(methods["blend"], sample))
    assert score.luma_psnr > blend.luma_psnr + 5


def test_blending_is_the_weighted_mean_of_each_plane() -> None:
    first, second = (
        Planes(0, tuple(np.full(shape, value, np.uint8) for shape in YUV420.plane_shapes(8, 6)), YUV420)
        for value in (40, 80)
    )
    assert {int(plane[0, 0]) for plane in rivals.blend(first, second, Fraction(1, 4)).data} == {50}


def test_minterpolate_is_lined_up_by_its_kept_frames_and_not_by_hope() -> None:
    sample = pan(gap=2)
    strangers = [Planes(0, tuple(255 - plane for plane in planes.data), YUV420) for planes in sample.kept] * 3
    with pytest.raises(RuntimeError, match="not found"):
        rivals._offset(strangers, sample)


def test_a_failing_ffmpeg_is_reported_with_its_own_words() -> None:
    with pytest.raises(RuntimeError, match=r"[Oo]ption"):
        list(rivals.minterpolate(FFMPEG, "no_such_option=1")(pan(gap=2)))


def test_a_record_says_where_its_numbers_come_from(tmp_path: Path) -> None:
    record.write(tmp_path / "deep" / "result.json", {**record.surroundings(FFMPEG), "psnr": 30.5})
    read = json.loads((tmp_path / "deep" / "result.json").read_text(encoding="utf-8"))
    assert read["psnr"] == 30.5
    assert read["machine"]["cores"] >= 1
    assert read["ffmpeg"].startswith("ffmpeg version")
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["result.json"]

"""The rivals of the benchmarks are what they claim to be: on a plain pan each finds the frame that was there."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import cv2
import imageio_ffmpeg
import numpy as np
import pytest
import torch

from interp_cli.media.ffmpeg import find_ffmpeg
from interp_cli.media.types import Color, Planes, pixel_format
from interp_cli.quality.evaluate import mean_score, score_sample
from interp_cli.quality.frames import Sample
from interp_cli.speed.surroundings import surroundings
from interp_cli.speed.timing import Stage
from interp_cli.timeline import Target

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "bench"))
try:
    import record
    import rife46
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
    record.write(
        tmp_path / "deep" / "result.json", {**surroundings(find_ffmpeg(FFMPEG), checkout=record.ROOT), "psnr": 30.5}
    )
    read = json.loads((tmp_path / "deep" / "result.json").read_text(encoding="utf-8"))
    assert read["psnr"] == 30.5
    commit = subprocess.run(
        ["git", "-C", record.ROOT, "rev-parse", "HEAD"], capture_output=True, text=True
    ).stdout.strip()
    assert (read["commit"] or "").removesuffix(" with local changes") == commit
    assert read["machine"]["cores"] >= 1
    assert read["ffmpeg"].startswith("ffmpeg version")
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["result.json"]


def test_the_layout_of_rife_blends_both_frames_where_it_sees_no_motion_whatever_their_size() -> None:
    layout = rife46.make_layout()
    for block in layout.blocks:
        torch.nn.init.zeros_(block.leave[0].weight)
    I0, I1 = torch.rand(2, 2, 3, 50, 75)
    with torch.inference_mode():
        assert torch.allclose(layout(I0, I1, 0.5), (I0 + I1) / 2, atol=1e-5)


def test_the_layout_of_rife_moves_both_frames_by_what_its_blocks_add_up_to() -> None:
    layout = rife46.make_layout()
    for block in layout.blocks:
        torch.nn.init.zeros_(block.leave[0].weight)
        bias = torch.zeros(6, 4)  # of flow to I0 and I1 (x, y), mask, and one that is not used; 4 pixels each
        bias[0], bias[2], bias[4] = 1, -1, 20
        block.leave[0].bias.data = bias.flatten()
    I0, I1 = torch.rand(2, 1, 3, 64, 96)
    with torch.inference_mode():
        made = layout(I0, I1, 0.5)
    shift = 8 + 4 + 2 + 1  # px: one at the size of each block; the mask says that only I0 counts
    assert torch.allclose(made[..., :-shift], I0[..., shift:], atol=1e-4)


def test_the_layout_of_rife_has_as_many_weights_as_its_description_adds_up_to() -> None:
    total = 0
    for inputs, c in ((7, 192), (12, 128), (12, 96), (12, 64)):
        total += 9 * inputs * c // 2 + c // 2 + 9 * c // 2 * c + c  # two strided convolutions
        total += 8 * (9 * c * c + c + c)  # eight residual ones, each with a scale per channel
        total += 16 * c * 24 + 24  # to four times six channels, at twice the size
    assert sum(p.numel() for p in rife46.make_layout().parameters()) == total


def test_the_fastest_way_of_the_layout_is_the_one_that_is_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses = {"slow": 0.05, "quick": 0.0}

    def ways(pictures: list[torch.Tensor], device: str) -> Iterator[tuple[str, Stage]]:
        for name, pause in pauses.items():
            run = lambda pause=pause: time.sleep(pause)  # noqa: E731
            yield name, Stage(name=name, frames=len(pictures) - 1, counts="made", run=run)

    monkeypatch.setattr(rife46, "_ways", ways)
    stage, way = rife46.rife_stage(pan(gap=2).kept, Color(), device="cpu")
    assert (stage.name, stage.frames, way) == ("quick", 4, "quick")


def test_every_way_of_the_layout_runs_on_pictures_of_the_clip(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rife46, "network_dtype", lambda precision, device: torch.bfloat16)
    pictures = [torch.rand(1, 3, 32, 48) for _ in range(2)]
    ways = dict(rife46._ways(pictures, "cpu"))
    assert list(ways) == ["float32", "float32 channels_last", "bfloat16 channels_last"]
    for stage in ways.values():
        stage.run()


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
@pytest.mark.skipif(os.name == "nt", reason="shell scripts are for Unix")
def test_the_check_of_a_gpu_says_in_one_sentence_that_there_is_none(tmp_path: Path) -> None:
    argv = [str(ROOT / "bench" / "gpu.sh"), str(ROOT / "examples"), str(tmp_path / "results")]
    child = subprocess.run(argv, env={**os.environ, "PYTHON": sys.executable}, capture_output=True, text=True)
    assert child.returncode == 8
    assert child.stdout == "" and len(child.stderr.splitlines()) == 1
    assert "no CUDA device" in child.stderr
    assert list(tmp_path.iterdir()) == []

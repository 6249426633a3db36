"""On a CUDA device: frames are the CPU's but for rounding, whatever the batch; jobs finish, also in little memory;
NVDEC decodes to the bit, and NVENC holds every frame, where they are.

Run by bench/gpu.sh. Everything here is marked gpu, and left out where there is no such device.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import small_clips
import torch
from numpy.typing import NDArray
from whole_files import frames as decoded

from interp_cli.errors import DeviceError, VfiError
from interp_cli.job.job import Job, run
from interp_cli.job.network import make_interpolator
from interp_cli.media.decode import decode, why_not_on_gpu
from interp_cli.media.ffmpeg import find_ffmpeg
from interp_cli.media.probe import probe, scan
from interp_cli.media.types import Color, Planes, pixel_format
from interp_cli.options import Codec, EncodeOptions, EngineOptions, Mode, Precision
from interp_cli.timeline import Target

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device"),
]
YUV420 = pixel_format("yuv420p")
SIZE = (480, 270)  # px
TARGETS = [Target(n=n, pts=n, left=n // 4, t=Fraction(n % 4, 4)) for n in range(12)]


def pan() -> list[Planes]:
    """Four frames of a textured picture that moves by 3 px right and 1 px down."""
    noise = np.random.default_rng(7).random((70, 120)).astype(np.float32)
    wide = np.clip(cv2.resize(noise, (960, 560), interpolation=cv2.INTER_CUBIC), 0, 1)
    pictures = []
    for n in range(4):
        luma = wide[100 - n : 100 - n + SIZE[1], 200 - 3 * n : 200 - 3 * n + SIZE[0]] * 219 + 16
        shapes = YUV420.plane_shapes(*SIZE)[1:]
        chroma = [cv2.resize(luma, shape[::-1], interpolation=cv2.INTER_AREA) for shape in shapes]
        data = tuple(np.ascontiguousarray(np.rint(plane)).astype(np.uint8) for plane in (luma, *chroma))
        pictures.append(Planes(n, data, YUV420))
    return pictures


def made(**options: Any) -> list[NDArray[Any]]:
    """The luma of all output frames."""
    settings = EngineOptions(scene_detect=False, **options)
    interpolator, _, _ = make_interpolator(settings, note=lambda text: pytest.fail(text))
    return [planes.data[0] for planes in interpolator.run(iter(pan()), TARGETS, color=Color())]


def worst(a: list[NDArray[Any]], b: list[NDArray[Any]]) -> float:
    """The largest mean difference of any frame, code values."""
    return max(float(np.abs(x.astype(int) - y).mean()) for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize(("precision", "most"), [(Precision.FP32, 0.1), (Precision.FP16, 0.5), (Precision.BF16, 1.0)])
def test_frames_of_the_gpu_are_those_of_the_cpu_but_for_rounding(precision: Precision, most: float) -> None:
    on_cpu = made(device="cpu", precision=Precision.FP32)
    on_gpu = made(device="cuda", precision=precision)
    assert len(on_gpu) == len(TARGETS)
    assert worst(on_cpu, on_gpu) < most


@pytest.mark.parametrize("mode", [Mode.DIRECT, Mode.BISECT])
def test_a_batch_changes_no_more_than_rounding(mode: Mode) -> None:
    alone = made(device="cuda", precision=Precision.FP32, batch=1, mode=mode)
    together = made(device="cuda", precision=Precision.FP32, batch=8, mode=mode)
    assert worst(alone, together) < 0.1


@pytest.fixture
def little_memory() -> Iterator[None]:
    """This process may use 400 MB of the GPU at most."""
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction(4e8 / total)
    yield
    torch.cuda.set_per_process_memory_fraction(1.0)


def test_where_the_gpus_memory_runs_out_the_same_frames_are_made_with_less(little_memory: None) -> None:
    told: list[str] = []
    options = EngineOptions(device="cuda", precision=Precision.FP32, batch=16, scene_detect=False)
    interpolator, _, _ = make_interpolator(options, note=told.append)
    big = [
        Planes(p.pts, tuple(cv2.resize(plane, None, fx=4, fy=4) for plane in p.data), YUV420) for p in pan()
    ]  # 1920 x 1080
    out = list(interpolator.run(iter(big), TARGETS, color=Color()))
    assert len(out) == len(TARGETS)
    assert told and all("memory" in text for text in told)


def test_a_job_on_the_gpu_writes_every_frame_of_its_plan(tmp_path: Path) -> None:
    clip = small_clips.clip(tmp_path / "clip.mp4", size="320x180")
    job = Job(
        input=str(clip),
        output=str(tmp_path / "out.mkv"),
        rate="2x",
        engine=EngineOptions(device="cuda"),
        encode=EncodeOptions(),
    )
    result = run(job)
    assert result.device == "cuda"
    assert len(decoded(tmp_path / "out.mkv")) == result.frames == 50


def test_a_gpu_that_is_not_there_is_refused_though_another_is() -> None:
    count = torch.cuda.device_count()
    with pytest.raises(DeviceError, match=f"torch sees {count} CUDA device"):
        make_interpolator(EngineOptions(device=f"cuda:{count}"), note=print)


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuvj420p", "yuv420p10le"])
@pytest.mark.parametrize("codec", ["libx264", "libx265"])
def test_nvdec_gives_the_frames_of_the_processor(pix_fmt: str, codec: str, tmp_path: Path) -> None:
    clip = small_clips.clip(
        tmp_path / "in.mkv", size="320x192", sound=False, codec=("-c:v", codec, "-pix_fmt", pix_fmt, "-bf", "2")
    )
    ffmpeg = find_ffmpeg()
    info = replace(probe(str(clip), ffmpeg=ffmpeg), gpu=0)
    timeline = scan(info, ffmpeg=ffmpeg)
    if reason := why_not_on_gpu(info, timeline, ffmpeg=ffmpeg):
        assert "not those of the processor" not in reason
        pytest.skip(reason)
    with decode(info, timeline, ffmpeg=ffmpeg) as frames:
        found = [hashlib.md5(b"".join(plane.tobytes() for plane in planes.data)).hexdigest() for planes in frames]
    assert found == small_clips.frame_sums(clip)


@pytest.mark.parametrize("codec", ["h264_nvenc", "hevc_nvenc", "av1_nvenc"])
def test_nvenc_holds_every_frame(codec: str, tmp_path: Path) -> None:
    clip = small_clips.clip(tmp_path / "in.mp4", size="320x192")
    out = tmp_path / "out.mp4"
    encode = EncodeOptions(codec=Codec(codec))
    try:
        run(Job(input=str(clip), output=str(out), rate="2x", engine=EngineOptions(device="cuda"), encode=encode))
    except VfiError as error:
        pytest.skip(str(error))
    given, found = decoded(clip), decoded(out)
    assert len(found) == 50
    assert worst(given, found[::2]) < 3

"""On one machine the same input gives the same pixels, however many threads make them and in batches of any size."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_clips import TINY, ffmpeg, frame_sums

from interp_cli.cli.entry import run
from interp_cli.cli.grammar import Session
from interp_cli.engine.interpolate import Interpolator
from interp_cli.media.types import Color, Planes, pixel_format
from interp_cli.model.network import IFNet, lowered
from interp_cli.options import EngineOptions, Mode
from interp_cli.timeline import Target

RAW = np.random.default_rng(2).integers(0, 256, (4, 6 * 24 * 16), dtype=np.uint8)  # 4 frames of 48 x 32, yuv420p


def frames() -> list[Planes]:
    """Noise: motion that no network can follow, with the largest steps between pixels."""
    y, u, v = RAW[:, :1536].reshape(4, 32, 48), RAW[:, 1536:1920].reshape(4, 16, 24), RAW[:, 1920:].reshape(4, 16, 24)
    return [Planes(k, (y[k], u[k], v[k]), pixel_format("yuv420p")) for k in range(4)]


def made(dtype: torch.dtype, mode: Mode, *, workers: int, batch: int | None) -> bytes:
    torch.manual_seed(4)
    network = lowered(IFNet(TINY).eval(), dtype)
    engine = Interpolator(
        network, dtype=dtype, options=EngineOptions(mode=mode, batch=batch, scene_detect=False), workers=workers
    )
    targets = [Target(n=n, pts=n, left=n // 4, t=Fraction(n % 4, 4)) for n in range(13)]
    out = engine.run(iter(frames()), targets, color=Color())
    return b"".join(plane.tobytes() for planes in out for plane in planes.data)


@settings(max_examples=12, deadline=None)
@given(
    dtype=st.sampled_from([torch.float32, torch.bfloat16]),
    mode=st.sampled_from([Mode.DIRECT, Mode.BISECT]),
    workers=st.integers(1, 5),
    batch=st.none() | st.integers(1, 6),
)
def test_neither_threads_nor_batches_change_a_pixel(
    dtype: torch.dtype, mode: Mode, workers: int, batch: int | None
) -> None:
    assert made(dtype, mode, workers=workers, batch=batch) == made(dtype, mode, workers=1, batch=1)


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_shipped_weights_give_the_same_frames_with_any_threads_and_batch(
    precision: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("VFI_WEIGHTS", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    clip = tmp_path / "clip.mkv"
    picture = "testsrc2=s=320x180:r=25,scroll=h=0.03:v=0.02,rotate=0.1*n"
    ffmpeg("-f", "lavfi", "-i", picture, "-frames:v", "6", "-c:v", "ffv1", "-pix_fmt", "yuv420p", clip)
    seen = []
    for threads, batch in (("1", "1"), ("1", "1"), ("2", "3"), ("4", "2"), ("16", "auto"), ("auto", "auto")):
        out = tmp_path / f"{threads}-{batch}.mkv"
        words = ["upsample", str(clip), "--factor", "4", "-c", "ffv1", "--precision", precision, "--device", "cpu"]
        words += ["--threads", threads, "--batch", batch, "-q", "-y", "-o", str(out), "--no-scene-detect"]
        assert run(words, Session()) == 0
        seen.append((frame_sums(out), out.read_bytes() if batch == "1" else None))
    assert seen[0] == seen[1]
    assert all(sums == seen[0][0] for sums, _ in seen)

"""On one machine the same input gives the same pixels, however many threads make them and in batches of any size."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_clips import ffmpeg, frame_sums, weights

from interp_cli.cli.entry import run
from interp_cli.cli.grammar import Session
from interp_cli.job.network import make_interpolator
from interp_cli.media.types import Color, Planes, pixel_format
from interp_cli.options import EngineOptions, Mode, Precision
from interp_cli.timeline import Target

RAW = np.random.default_rng(2).integers(0, 256, (4, 6 * 24 * 16), dtype=np.uint8)  # 4 frames of 48 x 32, yuv420p


def frames() -> list[Planes]:
    """Noise: motion that no network can follow, with the largest steps between pixels."""
    y, u, v = RAW[:, :1536].reshape(4, 32, 48), RAW[:, 1536:1920].reshape(4, 16, 24), RAW[:, 1920:].reshape(4, 16, 24)
    return [Planes(k, (y[k], u[k], v[k]), pixel_format("yuv420p")) for k in range(4)]


def made(precision: str, mode: Mode, *, threads: int, batch: int | None) -> bytes:
    options = EngineOptions(
        device="cpu", precision=Precision(precision), mode=mode, threads=threads, batch=batch, scene_detect=False
    )
    engine, _, _ = make_interpolator(options, note=print)
    targets = [Target(n=n, pts=n, left=n // 4, t=Fraction(n % 4, 4)) for n in range(13)]
    out = engine.run(iter(frames()), targets, color=Color())
    return b"".join(plane.tobytes() for planes in out for plane in planes.data)


@pytest.fixture(scope="module", autouse=True)
def tiny_weights(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A very small network is called "fast"."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VFI_WEIGHTS", str(weights(tmp_path_factory.mktemp("weights"))))
        yield


@settings(max_examples=12, deadline=None)
@given(
    precision=st.sampled_from(["fp32", "bf16"]),
    mode=st.sampled_from([Mode.DIRECT, Mode.BISECT]),
    threads=st.integers(1, 5),
    batch=st.none() | st.integers(1, 6),
)
def test_neither_threads_nor_batches_change_a_pixel(
    precision: str, mode: Mode, threads: int, batch: int | None
) -> None:
    assert made(precision, mode, threads=threads, batch=batch) == made(precision, mode, threads=1, batch=1)


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

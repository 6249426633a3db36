"""How well motion is rebuilt where a source repeats its frames: on twos, on threes, and 24 in 30 frames per second.

Of every clip some frames are replaced by the one before. `vfi` gives the clip back at its own rate, once with --dedup
auto and once with off, and makes it of the distinct frames alone, which is the best that it can do. The frames that had
been replaced are compared with the true ones (PSNR of luma; the mean over frames).

    python bench/repeats.py --clips DIR [--crf 20] [--height 360] [--frames 48]      # without --crf nothing is lost
"""

from __future__ import annotations

import argparse
import subprocess
from fractions import Fraction
from itertools import islice
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory

import cv2
import numpy as np

from interp_cli import weights
from interp_cli.engine.interpolate import Interpolator, network_dtype
from interp_cli.errors import VfiError
from interp_cli.media.decode import decode
from interp_cli.media.ffmpeg import Ffmpeg, find_ffmpeg
from interp_cli.media.probe import probe, scan
from interp_cli.media.types import Color, Planes, pixel_format
from interp_cli.options import Dedup, EngineOptions, InputLimits, Precision
from interp_cli.quality.frames import find_material
from interp_cli.quality.metrics import psnr
from interp_cli.timeline import Target

PATTERNS = {  # which frame stands at place n
    "twos": lambda n: n - n % 2,
    "threes": lambda n: n - n % 3,
    "24 in 30": lambda n: n - (n % 5 == 4),
}


def main() -> None:
    """Print a row per clip and pattern, and the means."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=Path, required=True, help="a folder of clips, or one")
    parser.add_argument("--every", type=int, default=1, help="take every N-th clip")
    parser.add_argument("--frames", type=int, default=48)
    parser.add_argument("--height", type=int, default=360, help="px; larger clips are made smaller")
    parser.add_argument("--crf", type=int, help="compress the repeating clip with x264")
    options = parser.parse_args()
    ffmpeg = find_ffmpeg()
    network, entry = weights.load("fast", device="cpu")
    dtype = network_dtype(Precision.AUTO, "cpu")
    print(f"weights {entry.name}, crf {options.crf}; dB of luma PSNR of the frames that had been replaced")
    print(f"{'':32} {'':9} distinct   auto    off  found")
    rows: dict[str, list[tuple[float, float, float]]] = {}
    for clip in find_material(options.clips)[0][:: options.every]:
        try:
            true = _frames(clip, options, ffmpeg)
        except VfiError as error:
            print(f"left out: {error}")
            continue
        for name, pattern in PATTERNS.items():
            seen = [Planes(n, true[pattern(n)].data, true[0].format) for n in range(len(true))]
            if options.crf is not None:
                seen = _compressed(seen, options.crf, ffmpeg)

            def interpolator(dedup: Dedup) -> Interpolator:
                settings = EngineOptions(dedup=dedup, scene_detect=False)
                return Interpolator(network, dtype=dtype, options=settings, workers=2)

            last = max(n for n in range(len(true)) if pattern(n) == n)
            replaced = [n for n in range(6, last) if pattern(n) != n]
            distinct = [p for n, p in enumerate(seen) if pattern(n) == n]
            numbers = [n for n in range(len(true)) if pattern(n) == n]
            targets = [_between(numbers, n) for n in replaced]
            best = _score(interpolator(Dedup.OFF), distinct, targets, [true[n] for n in replaced])
            same = [Target(n=n, pts=n, left=n, t=Fraction(0)) for n in range(len(true))]
            scores, found = [], 0
            for dedup in Dedup:
                engine = interpolator(dedup)
                made = list(engine.run(iter(seen), same, color=Color()))
                scores.append(fmean(_luma_psnr(made[n], true[n]) for n in replaced))
                found = len(engine.repeated & set(replaced)) if dedup is Dedup.AUTO else found
            rows.setdefault(name, []).append((best, *scores))
            print(
                f"{clip.name:32.32} {name:9} {best:7.2f} {scores[0]:7.2f} {scores[1]:6.2f}  {found}/{len(replaced)}",
                flush=True,
            )
    for name, found_rows in rows.items():
        means = [fmean(column) for column in zip(*found_rows, strict=True)]
        print(f"{'mean of ' + str(len(found_rows)):32} {name:9} {means[0]:7.2f} {means[1]:7.2f} {means[2]:6.2f}")


def _between(numbers: list[int], n: int) -> Target:
    left = max(k for k, number in enumerate(numbers) if number <= n)
    a, b = numbers[left], numbers[left + 1]
    return Target(n=n, pts=n, left=left, t=Fraction(n - a, b - a))


def _score(engine: Interpolator, kept: list[Planes], targets: list[Target], true: list[Planes]) -> float:
    made = engine.run(iter(kept), targets, color=Color())
    return fmean(_luma_psnr(m, t) for m, t in zip(made, true, strict=True))


def _luma_psnr(a: Planes, b: Planes) -> float:
    return psnr(a.data[0], b.data[0], peak=b.format.peak)


def _frames(clip: Path, options: argparse.Namespace, ffmpeg: Ffmpeg) -> list[Planes]:
    info = probe(str(clip), ffmpeg=ffmpeg, limits=InputLimits())
    timeline = scan(info, ffmpeg=ffmpeg)
    with decode(info, timeline, ffmpeg=ffmpeg) as frames:
        return [_smaller(p, n, options.height) for n, p in enumerate(islice(frames, options.frames))]


def _smaller(planes: Planes, n: int, height: int) -> Planes:
    shrink = max(1.0, min(planes.width, planes.height) / height)
    width, height = (round(side / shrink / 2) * 2 for side in (planes.width, planes.height))
    sizes = ((width, height), (width // 2, height // 2), (width // 2, height // 2))
    data = tuple(
        np.ascontiguousarray(cv2.resize(plane, size, interpolation=cv2.INTER_AREA))
        for plane, size in zip(planes.data[:3], sizes, strict=True)
    )
    return Planes(n, data, pixel_format("yuv420p"))


def _compressed(frames: list[Planes], crf: int, ffmpeg: Ffmpeg) -> list[Planes]:
    """`frames` through x264 and back."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "clip.mkv"
        raw = Path(folder) / "clip.yuv"
        raw.write_bytes(b"".join(plane.tobytes() for frame in frames for plane in frame.data))
        size = f"{frames[0].width}x{frames[0].height}"
        given = ["-f", "rawvideo", "-pix_fmt", "yuv420p", "-s", size, "-r", "24", "-i", str(raw)]
        kept = ["-c:v", "libx264", "-crf", str(crf), str(path)]
        subprocess.run([ffmpeg.path, "-v", "error", *given, *kept], check=True)
        info = probe(str(path), ffmpeg=ffmpeg, limits=InputLimits())
        timeline = scan(info, ffmpeg=ffmpeg)
        with decode(info, timeline, ffmpeg=ffmpeg) as decoded:
            return [Planes(n, p.data, p.format) for n, p in enumerate(decoded)]


if __name__ == "__main__":
    main()

"""Precision and recall of cuts: vfi's detector, PySceneDetect's AdaptiveDetector, and ffmpeg's scene score.

Joins of clips at known places (hard cuts, also on the first and last pair, amid motion that is four times as fast, and
in the dark) and what looks like a cut and is none (flashes, fades, cross-fades, fast pans, fast motion, plain shots).
All methods see the same frames of 256 x 144 px. vfi runs as it ships; the others with the best of a few thresholds,
chosen on these very joins. PySceneDetect is no dependency of vfi: pip install scenedetect, or go without.

    python bench/cuts.py --clips DIR [--leave-out NAME ...]    # name the clips that cut by themselves
"""

from __future__ import annotations

import argparse
import random
import re
import subprocess
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from interp_cli.engine.scenes import CutDetector, thumbnail
from interp_cli.errors import VfiError
from interp_cli.media.decode import decode
from interp_cli.media.ffmpeg import Ffmpeg, find_ffmpeg
from interp_cli.media.probe import probe, scan
from interp_cli.media.types import Planes, pixel_format
from interp_cli.options import EngineOptions, InputLimits
from interp_cli.quality.frames import find_material

WIDTH, HEIGHT, LENGTH = 256, 144, 48
YUV = pixel_format("yuv420p")

Frame = NDArray[np.uint8]  # (HEIGHT * 3 / 2, WIDTH): yuv420p, as OpenCV has it
Case = tuple[str, str, list[Frame], set[int]]  # kind, name, frames, left frames of its cuts
Method = Callable[[list[Frame]], set[int]]


def main() -> None:
    """Print a table of kinds, and precision and recall of every method."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=Path, required=True)
    parser.add_argument("--leave-out", nargs="*", default=[], metavar="NAME", help="clips that cut by themselves")
    parser.add_argument("--show", action="store_true", help="name every mistake of vfi")
    options = parser.parse_args()
    ffmpeg = find_ffmpeg()
    shots = dict(_shots(options.clips, set(options.leave_out), ffmpeg))
    cases = list(_cases(shots))
    pairs, cuts = sum(len(frames) - 1 for _, _, frames, _ in cases), sum(len(true) for *_, true in cases)
    print(f"{len(shots)} clips, {len(cases)} joins, {pairs} pairs, {cuts} cuts")
    for name, method in _methods(ffmpeg).items():
        results = {key: [] for key in method}
        for kind, case, frames, true in cases:
            for key, run in method.items():
                found = run(frames)
                results[key].append((kind, len(true & found), len(true - found), len(found - true)))
                if options.show and name == "vfi" and found != true:
                    print(f"  {kind}, {case}: missed {sorted(true - found)}, false {sorted(found - true)}")
        best = max(results, key=lambda key: _f1(results[key]))
        print(f"{name} ({best}): {_said(results[best])}", flush=True)
        for kind in dict.fromkeys(kind for kind, *_ in results[best]):
            rows = [row for row in results[best] if row[0] == kind]
            _, hits, missed, wrong = (sum(c) if n else "" for n, c in enumerate(zip(*rows, strict=True)))
            print(f"    {kind:24} found {hits:4} missed {missed:4} false {wrong:4}")


def _f1(rows: Sequence[tuple[str, int, int, int]]) -> float:
    hits, missed, wrong = (sum(row[n] for row in rows) for n in (1, 2, 3))
    return 2 * hits / max(1, 2 * hits + missed + wrong)


def _said(rows: Sequence[tuple[str, int, int, int]]) -> str:
    hits, missed, wrong = (sum(row[n] for row in rows) for n in (1, 2, 3))
    return f"precision {hits / max(1, hits + wrong):.4f}, recall {hits / max(1, hits + missed):.4f}"


def _shots(folder: Path, left_out: set[str], ffmpeg: Ffmpeg) -> Iterator[tuple[str, list[Frame]]]:
    for clip in find_material(folder)[0]:
        if clip.name in left_out:
            continue
        try:
            info = probe(str(clip), ffmpeg=ffmpeg, limits=InputLimits())
            timeline = scan(info, ffmpeg=ffmpeg)
            with decode(info, timeline, ffmpeg=ffmpeg) as frames:
                shot = [_small(planes) for planes in islice(frames, LENGTH)]
        except VfiError as error:
            print(f"left out: {error}")
            continue
        if len(shot) == LENGTH:
            yield clip.name, shot


def _small(planes: Planes) -> Frame:
    luma, *chroma = (
        cv2.resize(plane, (WIDTH >> (n > 0), HEIGHT >> (n > 0)), interpolation=cv2.INTER_AREA).astype(np.float32)
        * (255 / planes.format.peak)
        for n, plane in enumerate(planes.data[:3])
    )
    parts = [luma, *(part.reshape(-1, WIDTH) for part in chroma)]
    return np.concatenate(parts).round().astype(np.uint8)


def _cases(shots: dict[str, list[Frame]]) -> Iterator[Case]:
    rng = random.Random(1)
    names = list(shots)
    rng.shuffle(names)
    for a, b in zip(names, [*names[1:], names[0]], strict=True):
        first, second, case = shots[a], shots[b], f"{a} to {b}"
        n, m = rng.randint(6, 20), rng.randint(6, 20)
        yield "cut", case, first[:n] + second[:m], {n - 1}
        yield "cut on the first pair", case, first[:1] + second[:m], {0}
        yield "cut on the last pair", case, first[:n] + second[:1], {n - 1}
        yield "shot of 4 frames", case, first[:n] + second[:4] + first[30:42], {n - 1, n + 3}
        yield "cut in fast motion", case, first[::4] + second[::4], {11}
        dark = [_faded(frame, 0.25) for frame in first[:n] + second[:m]]
        yield "cut in the dark", case, dark, {n - 1}
        for length in (1, 2):
            flash = [*first[:24]]
            flash[12 : 12 + length] = [_to_white(frame, 0.8) for frame in flash[12 : 12 + length]]
            yield f"flash of {length}", a, flash, set()
        out = [_faded(frame, max(0.0, 1 - k / 12)) for k, frame in enumerate(first[12:26])]
        come = [_faded(frame, min(1.0, k / 12)) for k, frame in enumerate(second[:14])]
        yield "fade out and in", case, first[:12] + out + come + second[14:24], set()
        mixed = [_mixed(x, y, k / 13) for k, (x, y) in enumerate(zip(first[12:24], second[:12], strict=True), start=1)]
        yield "cross-fade", case, first[:12] + mixed + second[12:24], set()
        yield "fast pan", a, _pan(first[0], rng.randint(12, 24)), set()
        yield "fast motion", a, first[::4], set()
        yield "plain", a, first, set()


def _faded(frame: Frame, light: float) -> Frame:
    out = frame.astype(np.float32)
    out[:HEIGHT] = 16 + (out[:HEIGHT] - 16) * light
    out[HEIGHT:] = 128 + (out[HEIGHT:] - 128) * light
    return out.round().clip(0, 255).astype(np.uint8)


def _to_white(frame: Frame, share: float) -> Frame:
    white = np.full_like(frame, 235)
    white[HEIGHT:] = 128
    return _mixed(frame, white, share)


def _mixed(a: Frame, b: Frame, share: float) -> Frame:
    return (a * (1 - share) + b * share).round().astype(np.uint8)


def _pan(frame: Frame, step: int) -> list[Frame]:
    """A camera over the middle of a picture that is made three times as large, `step` px per frame and back."""
    planes = [frame[:HEIGHT], *(frame[HEIGHT:].reshape(2, HEIGHT // 2, WIDTH // 2))]
    large = [cv2.resize(plane, None, fx=3, fy=3, interpolation=cv2.INTER_CUBIC) for plane in planes]
    most = 2 * WIDTH - step
    places = [x & ~1 for x in range(0, most, step)]
    out = []
    for x in (places + places[::-1])[:LENGTH]:
        luma = large[0][HEIGHT : 2 * HEIGHT, x : x + WIDTH]
        chroma = [p[HEIGHT // 2 : HEIGHT, x // 2 : (x + WIDTH) // 2].reshape(-1, WIDTH) for p in large[1:]]
        out.append(np.concatenate([luma, *chroma]))
    return out


def _methods(ffmpeg: Ffmpeg) -> dict[str, dict[str, Method]]:
    methods: dict[str, dict[str, Method]] = {"vfi": {"as it ships": _vfi}}
    scores: dict[int, list[float]] = {}

    def above(threshold: float) -> Method:
        def run(frames: list[Frame]) -> set[int]:
            if id(frames) not in scores:
                scores[id(frames)] = _scene_scores(frames, ffmpeg)
            return {n - 1 for n, score in enumerate(scores[id(frames)]) if n and score > threshold}

        return run

    methods["ffmpeg's scene score"] = {f"above {x}": above(x) for x in (0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5)}
    try:
        from scenedetect import AdaptiveDetector, FrameTimecode
    except ImportError:
        print("PySceneDetect is not installed: left out")
        return methods

    def adaptive(ratio: float, least: int) -> Method:
        def run(frames: list[Frame]) -> set[int]:
            detector: Any = AdaptiveDetector(adaptive_threshold=ratio, min_scene_len=least)
            found = []
            for n, frame in enumerate(frames):
                found += detector.process_frame(FrameTimecode(n, 25.0), cv2.cvtColor(frame, cv2.COLOR_YUV2BGR_I420))
            found += detector.post_process(FrameTimecode(len(frames) - 1, 25.0))
            return {cut.frame_num - 1 for cut in found}

        return run

    methods["PySceneDetect's AdaptiveDetector"] = {
        f"ratio {ratio}, scenes of {least} frames": adaptive(ratio, least)
        for ratio, least in ((3.0, 15), (3.0, 1), (2.0, 1), (4.0, 1))
    }
    return methods


def _vfi(frames: list[Frame]) -> set[int]:
    detector = CutDetector(EngineOptions().scene_threshold)
    for n, frame in enumerate(frames):
        luma, u, v = frame[:HEIGHT], *frame[HEIGHT:].reshape(2, HEIGHT // 2, WIDTH // 2)
        detector.add(thumbnail(Planes(n, (luma, u, v), YUV)))
    detector.end()
    return {n for n in range(len(frames) - 1) if detector.is_cut(n)}


def _scene_scores(frames: list[Frame], ffmpeg: Ffmpeg) -> list[float]:
    given = ["-f", "rawvideo", "-pix_fmt", "yuv420p", "-s", f"{WIDTH}x{HEIGHT}", "-r", "25", "-i", "-"]
    asked = ["-vf", "select='gte(scene,0)',metadata=print:file=-", "-f", "null", "-"]
    raw = b"".join(frame.tobytes() for frame in frames)
    done = subprocess.run([ffmpeg.path, "-v", "error", *given, *asked], input=raw, capture_output=True, check=True)
    return [float(x) for x in re.findall(r"scene_score=([0-9.]+)", done.stdout.decode())]


if __name__ == "__main__":
    main()

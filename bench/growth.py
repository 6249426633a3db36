"""How the time of `vfi upsample --factor 2` grows with a clip's length and with its size, and what memory it takes.

Whole commands are timed, start-up and x264 included. A line is fitted to the time over the length: its slope is the
time of a second of video, its start what a job costs by itself, and its R2 is 1 where every point lies on it. Sizes are
compared by the time of a pixel that is made, without that start.

    python bench/growth.py                                      # examples/clip.mp4
    python bench/growth.py --clip film.mp4 --seconds 2 4 6 8 10 --size 360 --sizes 360 480 720 1080
    python bench/growth.py --clip film.mp4 --seconds 10 60 --size 480 --sizes 480 --json growth.json
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
import record

from interp_cli.job.stop import Stop
from interp_cli.media.ffmpeg import Ffmpeg, find_ffmpeg
from interp_cli.options import EncodeOptions, EngineOptions, InputLimits
from interp_cli.speed.material import Asked, look_at, material
from interp_cli.speed.memory import peak_memory
from interp_cli.speed.surroundings import surroundings

Point = dict[str, float]


def timed(clip: str, ffmpeg: Ffmpeg, *, seconds: str, lines: int) -> Point:
    """One run of the command on that much of the clip, at that many rows of pixels."""
    asked = Asked(
        clip=clip,
        seconds=Fraction(seconds),
        factor=Fraction(2),
        engine=EngineOptions(),
        encode=EncodeOptions(),
        limits=InputLimits(),
        ffmpeg=ffmpeg,
    )
    with material(asked, look_at(asked), lines=lines, stop=Stop()) as held:
        out, video = held.folder / "out.mkv", held.work.info.video
        command = [sys.executable, "-m", "interp_cli", "upsample", held.clip, "--factor", "2", "-o", str(out), "-q"]
        begun = time.monotonic()
        child = subprocess.Popen([*command, "--ffmpeg", ffmpeg.path])
        with peak_memory(child.pid) as peak:
            status = child.wait()
        taken = time.monotonic() - begun
        if status:
            sys.exit(f"vfi ended with code {status}")
        made = held.work.plan.frames / 2 * video.width * video.height / 1e6
    point = {"seconds": float(asked.seconds), "lines": lines, "made_megapixels": made, "taken": taken}
    print(f"{lines}p, {seconds} s: {taken:.2f} s, {peak.bytes / 1e6:.0f} MB at the height", flush=True)
    return {**point, "bytes": peak.bytes}


def fit(points: list[Point]) -> Point:
    """A line through the time taken over the length: its start (s), its slope, and R2."""
    x, y = (np.array([point[key] for point in points]) for key in ("seconds", "taken"))
    slope, start = np.polyfit(x, y, 1)
    missed = np.square(y - start - slope * x).sum() / np.square(y - y.mean()).sum()
    return {"start": float(start), "slope": float(slope), "R2": float(1 - missed)}


def main() -> None:
    """Run the benchmark."""
    given = _arguments()
    ffmpeg, clip = find_ffmpeg(given.ffmpeg), given.clip or str(record.ROOT / "examples" / "clip.mp4")
    longer = [timed(clip, ffmpeg, seconds=seconds, lines=given.size) for seconds in given.seconds]
    line = fit(longer)
    print(f"{line['start']:.2f} s and {line['slope']:.3f} s for each second of video, R2 {line['R2']:.4f}")
    larger = [timed(clip, ffmpeg, seconds=given.seconds[0], lines=lines) for lines in given.sizes]
    for point in larger:
        each = (point["taken"] - line["start"]) / point["made_megapixels"]
        print(f"{point['lines']}p: {each:.4f} s for a million pixels made")
    if given.json:
        settings = {key: str(value) for key, value in vars(given).items() if value is not None}
        found = {"lengths": longer, "line": line, "sizes": larger}
        record.write(given.json, {**surroundings(ffmpeg, checkout=record.ROOT), "settings": settings, **found})


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clip", help="video to use (examples/clip.mp4)")
    parser.add_argument("--seconds", nargs="+", default=["2", "4", "6", "8", "10"], help="lengths (2 4 6 8 10)")
    parser.add_argument("--size", type=int, default=360, help="rows of pixels at these lengths (360)")
    parser.add_argument(
        "--sizes",
        type=int,
        nargs="+",
        default=[360, 480, 720, 1080],
        help="rows at the first length (360 480 720 1080)",
    )
    parser.add_argument("--ffmpeg", help="ffmpeg to use (found as vfi finds it)")
    parser.add_argument("--json", type=Path, help="file for all timings, with commit and machine")
    return parser.parse_args()


if __name__ == "__main__":
    main()

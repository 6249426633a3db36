"""Time `vfi upsample --factor 2` against `ffmpeg -vf minterpolate` on the same clip, end to end, encoding included.

Runs alternate (vfi, ffmpeg, vfi, ffmpeg, ...) so that a machine that slows down slows both; the ratio is taken within
each pair of runs. Start-up is included. Both encode with x264, crf 16, preset medium, and copy the sound.

    python bench/speed.py                                   # examples/clip.mp4, 3 pairs of runs
    python bench/speed.py --clip film.mp4 --height 480 --seconds 10 --runs 5 --json speed.json
    python bench/speed.py --clip film.mp4 --minterpolate mi_mode=mci:mc_mode=aobmc:me_mode=bidir:vsbmc=1
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import record

from interp_cli.media.ffmpeg import find_ffmpeg
from interp_cli.media.probe import probe, scan

ENCODE = ["-c:v", "libx264", "-crf", "16", "-preset", "medium", "-c:a", "copy"]


def main() -> None:
    """Run the benchmark."""
    options = _arguments()
    ffmpeg = find_ffmpeg(options.ffmpeg)
    with tempfile.TemporaryDirectory(prefix="vfi-speed-") as name:
        folder = Path(name)
        clip = _prepare(options, ffmpeg.path, folder)
        info = probe(str(clip), ffmpeg=ffmpeg)
        timeline = scan(info, ffmpeg=ffmpeg)
        facts = {"frames": len(timeline), "size": f"{info.video.width}x{info.video.height}", "fps": str(timeline.rate)}
        print(
            f"{options.clip.name}: {facts['frames']} frames, {facts['size']}, {float(timeline.rate):.3f} fps",
            flush=True,
        )
        commands = {
            "vfi": _vfi(options, clip, folder / "vfi.mp4", ffmpeg.path),
            "minterpolate": _minterpolate(options, clip, folder / "minterpolate.mp4", ffmpeg.path, 2 * timeline.rate),
        }
        times = _alternate(commands, options.runs)
    summary = _summary(times, made=len(timeline))
    _print(summary)
    if options.json:
        shown = {key: " ".join(argv) for key, argv in commands.items()}
        measured = {"clip": {"name": options.clip.name, **facts}, "commands": shown, "seconds": times, **summary}
        record.write(options.json, {**record.surroundings(ffmpeg.path), **measured})


def _prepare(options: argparse.Namespace, ffmpeg: str, folder: Path) -> Path:
    """The clip itself, or a copy of the wanted height and length; a short clip is repeated."""
    if options.height is None and options.seconds is None:
        return Path(options.clip)
    argv = [ffmpeg, "-v", "error", "-nostdin"]
    if options.seconds is not None:
        argv += ["-stream_loop", "-1"]
    argv += ["-i", f"file:{options.clip}"]
    if options.seconds is not None:
        argv += ["-t", str(options.seconds)]
    if options.height is not None:
        argv += ["-vf", f"scale=-2:{options.height}:flags=area"]
    clip = folder / "source.mp4"
    subprocess.run([*argv, "-c:v", "libx264", "-crf", "12", "-preset", "fast", f"file:{clip}"], check=True)
    return clip


def _vfi(options: argparse.Namespace, clip: Path, out: Path, ffmpeg: str) -> list[str]:
    program = shutil.which("vfi", path=str(Path(sys.executable).parent)) or shutil.which("vfi") or "vfi"
    argv = [program, "upsample", str(clip), "--factor", "2", "-o", str(out), "-y", "-q", "--ffmpeg", ffmpeg]
    argv += ["--codec", "h264", "--crf", "16", "--preset", "medium"]
    return argv + (options.vfi_args.split() if options.vfi_args else [])


def _minterpolate(options: argparse.Namespace, clip: Path, out: Path, ffmpeg: str, rate: Fraction) -> list[str]:
    wanted = f"minterpolate=fps={rate.numerator}/{rate.denominator}:{options.minterpolate}"
    return [ffmpeg, "-v", "error", "-nostdin", "-y", "-i", f"file:{clip}", "-vf", wanted, *ENCODE, f"file:{out}"]


def _alternate(commands: dict[str, list[str]], runs: int) -> dict[str, list[float]]:
    """Seconds of wall time of every command in every run, in turns."""
    times: dict[str, list[float]] = {name: [] for name in commands}
    for number in range(runs):
        for name, argv in commands.items():
            begun = time.perf_counter()
            subprocess.run(argv, check=True, stdout=subprocess.DEVNULL)
            times[name].append(round(time.perf_counter() - begun, 3))
        print(f"run {number + 1}: " + ", ".join(f"{name} {seen[-1]:.2f} s" for name, seen in times.items()), flush=True)
    return times


def _summary(times: dict[str, list[float]], *, made: int) -> dict[str, Any]:
    ratios = [rival / ours for ours, rival in zip(times["vfi"], times["minterpolate"], strict=True)]
    per_frame = {name: statistics.median(seen) / made for name, seen in times.items()}
    return {
        "median_seconds": {name: statistics.median(seen) for name, seen in times.items()},
        "seconds_per_made_frame": {name: round(value, 5) for name, value in per_frame.items()},
        "ratio": {"median": statistics.median(ratios), "lowest": min(ratios), "highest": max(ratios)},
    }


def _print(summary: dict[str, Any]) -> None:
    for name, seconds in summary["median_seconds"].items():
        print(f"{name:13} median {seconds:7.2f} s, {summary['seconds_per_made_frame'][name]:.4f} s per made frame")
    ratio = summary["ratio"]
    print(f"vfi is {ratio['median']:.2f} times as fast ({ratio['lowest']:.2f} to {ratio['highest']:.2f})")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clip", type=Path, default=record.ROOT / "examples/clip.mp4", help="video to use")
    parser.add_argument("--height", type=int, help="scale the clip to this height first (px)")
    parser.add_argument("--seconds", type=float, help="cut or repeat the clip to this length first")
    parser.add_argument("--runs", type=int, default=3, help="pairs of runs (3)")
    parser.add_argument("--minterpolate", default="mi_mode=mci", help="options of ffmpeg's filter (mi_mode=mci)")
    parser.add_argument("--vfi-args", help="further options for vfi, in one string, for example '--precision bf16'")
    parser.add_argument("--ffmpeg", help="ffmpeg for both sides (found as vfi finds it)")
    parser.add_argument("--json", type=Path, help="file for all times, with commit and machine")
    return parser.parse_args()


if __name__ == "__main__":
    main()

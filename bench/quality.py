"""Score a weights file against blending, ffmpeg's minterpolate and OpenCV's DIS flow, on the same frames, in one run.

Of every clip some frames are taken out (every second one, or 7 of 8 with --gap 8), rebuilt, and compared with the ones
taken out. Only every 2nd (8th) frame is seen by a method. All methods get and give the planes of the source.

    python bench/quality.py                                # ../shared/data/val or the folder named by --clips
    python bench/quality.py --clips DIR --weights weights/new.safetensors --cache /tmp/rivals --json result.json
    python bench/quality.py --clips DIR --gap 8 --frames 14 --short-side 360 --mode bisect
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from statistics import fmean
from typing import Any

import record
import rivals

from interp_cli.errors import VfiError
from interp_cli.media.ffmpeg import Ffmpeg, find_ffmpeg
from interp_cli.options import Dedup, EngineOptions, Mode, Precision, Tta
from interp_cli.quality.evaluate import Rebuild, Score, engine, mean_score, score_sample
from interp_cli.quality.frames import Sample, clip_samples, find_material
from interp_cli.speed.surroundings import surroundings

OURS = "vfi"
EASY_DB = 42.0  # dB of luma PSNR: a clip that minterpolate rebuilds better than this is called easy


def main() -> None:
    """Run the benchmark."""
    options = _arguments()
    ffmpeg = find_ffmpeg(options.ffmpeg)
    cache = Cache(options.cache, ffmpeg=ffmpeg.version_text)
    others = rivals.rivals(ffmpeg.path)
    ours = None if options.rivals_only else _ours(options)
    clips, _ = find_material(options.clips)
    rows: list[dict[str, Any]] = []
    started = time.monotonic()
    for clip in clips:
        if options.minutes and time.monotonic() - started > 60 * options.minutes:
            print(f"stopped after {options.minutes} minutes with {len(rows)} of {len(clips)} clips", flush=True)
            break
        try:
            rows.append(_score_clip(clip, options, ffmpeg, others=others, ours=ours, cache=cache))
        except VfiError as error:
            print(f"left out: {error}", flush=True)
            continue
        print(_row(rows[-1], first=len(rows) == 1), flush=True)
    summary = _summary(rows)
    print(_report(summary))
    if options.json:
        settings = {key: str(value) for key, value in vars(options).items() if value is not None}
        around = surroundings(ffmpeg, checkout=record.ROOT)
        record.write(options.json, {**around, "settings": settings, "summary": summary, "clips": rows})


class Cache:
    """Scores of rivals by clip, frames and method, kept in a folder, since they do not change with our weights."""

    def __init__(self, folder: Path | None, *, ffmpeg: str) -> None:
        self.folder = folder
        self.ffmpeg = ffmpeg

    def scores(self, method: str, clip: Path, settings: str, compute: Callable[[], list[Score]]) -> list[Score]:
        """The kept scores, or those that `compute` gives, which are then kept."""
        if self.folder is None:
            return compute()
        text = f"{rivals.VERSION} {method} {self.ffmpeg} {settings} {hashlib.sha256(clip.read_bytes()).hexdigest()}"
        path = self.folder / f"{clip.stem}-{method}-{hashlib.sha256(text.encode()).hexdigest()[:16]}.json"
        if path.exists():
            return [Score(**item) for item in json.loads(path.read_text(encoding="utf-8"))["scores"]]
        scores = compute()
        record.write(path, {"key": text, "scores": [asdict(score) for score in scores]})
        return scores


def _score_clip(
    clip: Path,
    options: argparse.Namespace,
    ffmpeg: Ffmpeg,
    *,
    others: dict[str, Rebuild],
    ours: Rebuild | None,
    cache: Cache,
) -> dict[str, Any]:
    """Mean scores of every method on one clip, as JSON values."""
    frames = options.frames or None
    samples = list(
        clip_samples(clip, ffmpeg=ffmpeg, gap=options.gap, frames=frames, short_side=options.short_side or None)
    )
    settings = f"gap={options.gap} frames={frames} short_side={options.short_side} {rivals.MINTERPOLATE}"
    result: dict[str, Any] = {"clip": clip.name, "size": f"{samples[0].kept[0].width}x{samples[0].kept[0].height}"}
    for name, rebuild in others.items():
        result[name] = asdict(mean_score(cache.scores(name, clip, settings, _scorer(rebuild, samples))))
    if ours is not None:
        begun = time.monotonic()
        scores = _scorer(ours, samples)()
        result[OURS] = asdict(mean_score(scores))
        result["seconds"] = round(time.monotonic() - begun, 2)
        times = [target.t for sample in samples for target in sample.targets]
        result["by_time"] = {
            str(t): mean_score(score for score, at in zip(scores, times, strict=True) if at == t).luma_psnr
            for t in sorted(set(times))
        }
    return result


def _scorer(rebuild: Rebuild, samples: list[Sample]) -> Callable[[], list[Score]]:
    return lambda: [score for sample in samples for score in score_sample(rebuild, sample)]


def _ours(options: argparse.Namespace) -> Rebuild:

    from interp_cli import weights
    from interp_cli.engine.interpolate import Interpolator, network_dtype

    network, entry = weights.load(options.weights, device=options.device)
    print(f"weights: {entry.name}, {entry.sha256[:16]}", flush=True)
    settings = EngineOptions(
        model=options.weights,
        device=options.device,
        precision=Precision(options.precision),
        tta=Tta(options.tta),
        mode=Mode(options.mode),
        scene_detect=options.scene_detect,
        dedup=Dedup.OFF,
    )
    dtype = network_dtype(settings.precision, options.device)
    return engine(Interpolator(network, device=options.device, dtype=dtype, options=settings))


def _summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Means over clips, each clip alike, and how ours stands against each rival."""
    methods = [name for name in ("blend", "minterpolate", "dis", OURS) if rows and name in rows[0]]
    measures = ("luma_psnr", "luma_ssim", "rgb_psnr", "rgb_ssim")
    summary: dict[str, Any] = {
        "clips": len(rows),
        "frames": sum(row[methods[0]]["frames"] for row in rows) if rows else 0,
    }
    summary["mean"] = {name: {m: fmean(row[name][m] for row in rows) for m in measures} for name in methods}
    if OURS not in methods:
        return summary
    easy = [row for row in rows if row["minterpolate"]["luma_psnr"] > EASY_DB]
    summary["against"] = {
        name: {
            "psnr_gain": fmean(_gain(row, name) for row in rows),
            "psnr_better_share": fmean(_gain(row, name) > 0 for row in rows),
            "ssim_better_share": fmean(row[OURS]["luma_ssim"] > row[name]["luma_ssim"] for row in rows),
            "easy_clips": len(easy),
            "easy_psnr_gain": fmean(_gain(row, name) for row in easy) if easy else None,
        }
        for name in methods
        if name != OURS
    }
    both = [all(row[OURS]["luma_ssim"] > row[name]["luma_ssim"] for name in ("minterpolate", "dis")) for row in rows]
    summary["ssim_better_than_minterpolate_and_dis_share"] = fmean(both)
    times = [t for t in rows[0]["by_time"] if all(t in row["by_time"] for row in rows)]
    summary["by_time"] = {t: fmean(row["by_time"][t] for row in rows) for t in times}
    return summary


def _gain(row: dict[str, Any], name: str) -> float:
    return float(row[OURS]["luma_psnr"] - row[name]["luma_psnr"])


def _row(row: dict[str, Any], *, first: bool) -> str:
    methods = [name for name in ("blend", "minterpolate", "dis", OURS) if name in row]
    cells = "  ".join(f"{row[name]['luma_psnr']:5.2f} {row[name]['luma_ssim']:.4f}" for name in methods)
    head = f"{'luma PSNR (dB), SSIM':42}" + "  ".join(f"{name:>12}" for name in methods) + "\n" if first else ""
    return f"{head}{row['clip'][:30]:30}  {row['size']:>9} {cells}"


def _report(summary: dict[str, Any]) -> str:
    lines = [f"\n{summary['clips']} clips, {summary['frames']} frames; means over clips"]
    for name, mean in summary["mean"].items():
        in_luma = f"luma {mean['luma_psnr']:.3f} dB {mean['luma_ssim']:.4f}"
        lines.append(f"  {name:13} {in_luma}   RGB {mean['rgb_psnr']:.3f} dB {mean['rgb_ssim']:.4f}")
    for name, item in summary.get("against", {}).items():
        easy = (
            ""
            if item["easy_psnr_gain"] is None
            else f"; easy clips ({item['easy_clips']}) {item['easy_psnr_gain']:+.2f} dB"
        )
        shares = f"PSNR better on {item['psnr_better_share']:.0%}, SSIM on {item['ssim_better_share']:.0%}"
        lines.append(f"  vfi against {name:13} {item['psnr_gain']:+.3f} dB; {shares}{easy}")
    if "against" in summary:
        share = summary["ssim_better_than_minterpolate_and_dis_share"]
        lines.append(f"  SSIM better than minterpolate and DIS both: {share:.0%} of clips")
    if len(summary.get("by_time", {})) > 1:
        lines.append("  vfi, luma by t: " + "  ".join(f"{t} {db:.2f}" for t, db in summary["by_time"].items()) + " dB")
    return "\n".join(lines)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=Path, default=record.ROOT.parent / "shared/data/val", help="folder of videos")
    parser.add_argument("--weights", default="fast", help="name in the manifest or .safetensors file (default: fast)")
    parser.add_argument(
        "--gap", type=int, default=2, choices=range(2, 33), metavar="G", help="keep every G-th frame (2)"
    )
    parser.add_argument("--frames", type=int, default=8, help="frames to rebuild per clip, 0 = all (8)")
    parser.add_argument(
        "--short-side", type=int, default=480, help="px, larger clips are made smaller, 0 = never (480)"
    )
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:N or mps (cpu)")
    parser.add_argument(
        "--precision", default="auto", choices=["auto", "fp32", "fp16", "bf16"], help="arithmetic (auto)"
    )
    parser.add_argument("--tta", default="none", choices=["none", "flip", "full"], help="test-time augmentation (none)")
    parser.add_argument(
        "--mode", default="auto", choices=["auto", "bisect", "direct"], help="how times are reached (auto)"
    )
    parser.add_argument("--no-scene-detect", dest="scene_detect", action="store_false", help="treat no pair as a cut")
    parser.add_argument("--rivals-only", action="store_true", help="do not score vfi")
    parser.add_argument("--cache", type=Path, help="folder that keeps the rivals' scores between runs")
    parser.add_argument("--minutes", type=float, help="start no further clip after this time")
    parser.add_argument("--ffmpeg", help="ffmpeg to use (found as vfi finds it)")
    parser.add_argument("--json", type=Path, help="file for all scores, with commit and machine")
    return parser.parse_args()


if __name__ == "__main__":
    main()

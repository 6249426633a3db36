"""Train and export weights: `python -m interp_cli.train shots | run | export`.

python -m interp_cli.train shots clips/*.mp4 --out shots --lines 360 --frames 90
python -m interp_cli.train run --data shots --val shots-val --out runs/fast.pt --preset fast --minutes 90
python -m interp_cli.train run ... --resume
python -m interp_cli.train export runs/fast.pt --out weights/fast.safetensors --origin "how it was trained"
"""

import argparse
import json
import os
from pathlib import Path

# Before torch loads: spinning OpenMP threads cost a factor of 10 to 50 beside any other busy process.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("GOMP_SPINCOUNT", "0")

from interp_cli.errors import VfiError
from interp_cli.model.network import PRESETS
from interp_cli.train.export import export
from interp_cli.train.loop import Recipe, train
from interp_cli.train.shots import make_shots


def main() -> None:
    """Run one of the three steps; an error that a person can mend ends in one sentence."""
    options = _parser().parse_args()
    try:
        if options.step == "shots":
            make_shots(options.clips, options.out, lines=options.lines, frames=options.frames)
        elif options.step == "run":
            train(_recipe(options), resume=options.resume)
        else:
            entry = export(options.checkpoint, options.out, origin=options.origin, scores=json.loads(options.scores))
            print(f"{entry.path}: {entry.bytes} bytes, sha256 {entry.sha256}")
    except VfiError as error:
        raise SystemExit(f"vfi: {error}") from error


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m interp_cli.train", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    steps = parser.add_subparsers(dest="step", required=True)
    shots = steps.add_parser("shots", help="decode clips into .npy shots, once")
    shots.add_argument("clips", nargs="+", type=Path)
    shots.add_argument("--out", type=Path, required=True)
    shots.add_argument("--lines", type=int, default=360, help="short side, px (default: %(default)s)")
    shots.add_argument("--frames", type=int, default=90, help="most frames of a clip (default: %(default)s)")
    run = steps.add_parser("run", help="train")
    run.add_argument("--data", nargs="+", required=True, help="folders of shots")
    run.add_argument("--val", help="folder of validation shots")
    run.add_argument("--out", required=True, help="checkpoint; the log stands beside it as .jsonl")
    run.add_argument("--preset", choices=sorted(PRESETS), default="fast")
    run.add_argument("--start", help="checkpoint to take weights from")
    run.add_argument("--resume", action="store_true", help="go on from --out")
    run.add_argument("--minutes", type=float, default=10)
    run.add_argument("--rate", type=float, default=1e-3, help="highest learning rate (default: %(default)s)")
    run.add_argument("--flow", nargs=2, type=float, default=(0.02, 0.0005), help="weight of known flow, first and last")
    run.add_argument("--crops", nargs="+", default=["128x16", "192x7"], help="SIDExBATCH, in turn")
    run.add_argument("--synthetic", type=float, default=0.5, help="share of each batch (default: %(default)s)")
    run.add_argument("--device", default="cpu")
    run.add_argument("--workers", type=int, default=1, help="processes of one thread each (default: %(default)s)")
    run.add_argument("--seed", type=int, default=1)
    out = steps.add_parser("export", help="write a checkpoint as weights, with its manifest row")
    out.add_argument("checkpoint", type=Path)
    out.add_argument("--out", type=Path, required=True, help="weights/NAME.safetensors")
    out.add_argument("--origin", required=True, help="how and on what it was trained")
    out.add_argument("--scores", default="{}", help="JSON object")
    return parser


def _recipe(options: argparse.Namespace) -> Recipe:
    crops = tuple((int(side), int(batch)) for side, batch in (c.split("x") for c in options.crops))
    return Recipe(
        data=tuple(options.data),
        val=options.val,
        out=options.out,
        preset=options.preset,
        start=options.start,
        minutes=options.minutes,
        rate=options.rate,
        flow=(options.flow[0], options.flow[1]),
        crops=crops,
        synthetic_share=options.synthetic,
        device=options.device,
        workers=options.workers,
        seed=options.seed,
    )


if __name__ == "__main__":
    main()

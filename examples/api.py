"""vfi from Python, on arrays: no video file, no ffmpeg. Ten pictures of the clip become forty.

python examples/api.py OUT_FOLDER [MODEL]
"""

import sys
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from interp_cli import weights
from interp_cli.engine.interpolate import Interpolator
from interp_cli.media.types import Color, Planes, pixel_format
from interp_cli.model.seam import Network
from interp_cli.options import EngineOptions
from interp_cli.timeline import Timeline, make_plan

Picture = NDArray[np.uint8]  # rows, columns, (B, G, R), as OpenCV has them


def interpolated(
    pictures: Sequence[Picture], network: Network, *, source: Fraction, rate: Fraction
) -> Iterator[Picture]:
    """`pictures`, taken at `source` frames/s, at `rate` frames/s; those on an output time come out as they are."""
    step = Fraction(1, source)  # s
    times = Timeline(time_base=step, pts=tuple(range(len(pictures))), end_pts=len(pictures))
    plan = make_plan(times, rate)
    gbr = pixel_format("gbrp")  # one array for each of green, blue, red
    planes = (
        Planes(n, tuple(np.ascontiguousarray(picture[..., c]) for c in (1, 0, 2)), gbr)
        for n, picture in enumerate(pictures)
    )
    engine = Interpolator(network, options=EngineOptions())
    for made in engine.run(planes, plan.targets(), color=Color(range="pc", matrix="gbr")):
        green, blue, red = made.data
        yield np.dstack([blue, green, red])


def first_pictures(path: Path, count: int) -> list[Picture]:
    """The first `count` pictures of a video."""
    video = cv2.VideoCapture(str(path))
    return [np.asarray(video.read()[1], np.uint8) for _ in range(count)]


def main() -> None:
    """Read, interpolate four times the rate, write numbered PNG files."""
    out, model = Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else EngineOptions().model
    out.mkdir(parents=True, exist_ok=True)
    network, entry = weights.load(model)
    pictures = first_pictures(Path(__file__).with_name("clip.mp4"), 10)
    made = interpolated(pictures, network, source=Fraction(30), rate=Fraction(120))
    count = sum(cv2.imwrite(str(out / f"{n:03d}.png"), picture) for n, picture in enumerate(made))
    print(f"{count} pictures made of {len(pictures)} with {entry.name}, in {out}")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main()

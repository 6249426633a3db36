"""One size of a clip, measured: material, stages in turns, verdict."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from interp_cli.job.facts import exact
from interp_cli.job.network import device_text, processors
from interp_cli.job.stop import Stop
from interp_cli.media.types import MediaInfo
from interp_cli.speed.material import Asked, material
from interp_cli.speed.stages import stages
from interp_cli.speed.timing import Stage, Timing, alternate
from interp_cli.speed.verdict import Verdict
from interp_cli.timeline import decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What one size came to."""

    width: int  # px
    height: int
    source_frames: int
    source_rate: Fraction  # frames/s
    rate: Fraction  # of the result
    encoding: str  # "libx264 crf 16 preset medium, yuv420p"
    weights: str
    sha256: str
    decoder: str  # "cpu" or "cuda:0"
    device: str  # "cpu torch.float32"
    verdict: Verdict

    def lines(self) -> Iterator[str]:
        """In words."""
        rates = f"{decimal(self.source_rate)} to {decimal(self.rate)} fps"
        yield f"{self.width}x{self.height}, {self.source_frames} frames, {rates}, {self.encoding}"
        yield f"{self.weights} on {self.device}"
        yield from self.verdict.lines()

    def facts(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "width": self.width,
            "height": self.height,
            "source_frames": self.source_frames,
            "source_rate": exact(self.source_rate),
            "rate": exact(self.rate),
            "encoding": self.encoding,
            "weights": {"name": self.weights, "sha256": self.sha256},
            "decoder": self.decoder,
            "device": self.device,
            **self.verdict.facts(),
        }


def measure(
    asked: Asked, info: MediaInfo, *, lines: int, runs: int, rival: bool, told: Callable[[str], None], stop: Stop
) -> Measured:
    """Time everything `runs` times at `lines` rows of pixels; `told` hears of every timing. Raises any VfiError.

    `rival` is whether ffmpeg's minterpolate is timed too.
    """

    def tell(stage: Stage, timing: Timing) -> None:
        told(f"{lines}p: {stage.name} took {timing.seconds:.2f} s for {stage.frames} {stage.counts} frames")

    if info.video.height < lines:
        told(f"{lines}p: the clip has {info.video.height} lines and is enlarged")
    with material(asked, info, lines=lines, stop=stop) as held:
        todo, weights = stages(held, rival=rival, note=told, stop=stop)
        timings = alternate(todo, runs, after=tell)
        work = held.work
        return Measured(
            width=work.info.video.width,
            height=work.info.video.height,
            source_frames=len(work.timeline),
            source_rate=work.source_rate,
            rate=work.plan.rate,
            encoding=work.encoding.description,
            weights=weights.name,
            sha256=weights.sha256,
            decoder="cpu" if work.info.gpu is None else f"cuda:{work.info.gpu}",
            device=device_text(asked.engine),
            verdict=Verdict(stages=todo, timings=timings, processors=processors()),
        )

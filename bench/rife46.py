"""Time vfi's engine against a network of RIFE 4.6's layout in torch, in turns, on the same frames.

The layout stands here with random weights, which speed does not depend on. It gets every help: pictures are on the
device as RGB tensors before the clock starts and stay there afterwards, while vfi's engine is timed with all that it
does to planes in memory, cuts and overlays included. Of plain and channels_last float32, and channels_last half
precision where the machine has it, the fastest counts.

    python bench/rife46.py                                    # examples/clip.mp4 at 480p
    python bench/rife46.py --clip film.mp4 --size 720 --runs 5 --json rife46.json
    python bench/rife46.py --clip film.mp4 --size 1080 --device cuda
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import record
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from interp_cli.engine.interpolate import network_dtype
from interp_cli.job.network import choose_device, processors
from interp_cli.job.stop import Stop
from interp_cli.media.ffmpeg import find_ffmpeg
from interp_cli.media.rgb import rgb
from interp_cli.media.types import Color, Planes
from interp_cli.options import EncodeOptions, EngineOptions, InputLimits, Precision
from interp_cli.speed.material import Asked, Material, look_at, material
from interp_cli.speed.stages import ENGINE, Engine
from interp_cli.speed.surroundings import surroundings
from interp_cli.speed.timing import Stage, Timing, alternate, rates, timed, times_as_fast

RIFE = "RIFE 4.6 layout"
CHANNELS = (192, 128, 96, 64)  # of the four blocks, from coarse to fine
SHRINK = (8, 4, 2, 1)  # how many times smaller than the frame each block works
MULTIPLE = 32  # px: what the sides of a frame are padded to


class Residual(nn.Module):
    """A convolution that is scaled channel by channel and added to what it saw."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)
        self.scale = nn.Parameter(torch.ones(1, channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return F.leaky_relu(self.conv(x) * self.scale + x, 0.2, inplace=True)


class Block(nn.Module):
    """Both frames and what is known of the motion so far -> flow (N, 4, H, W; px) and mask (N, 1, H, W) to add."""

    def __init__(self, inputs: int, channels: int, shrink: int) -> None:
        super().__init__()
        self.shrink = shrink
        self.enter = nn.Sequential(
            nn.Conv2d(inputs, channels // 2, 3, stride=2, padding=1),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(channels // 2, channels, 3, stride=2, padding=1),
            nn.LeakyReLU(0.2, inplace=True),
        )
        self.body = nn.Sequential(*(Residual(channels) for _ in range(8)))
        self.leave = nn.Sequential(nn.ConvTranspose2d(channels, 24, 4, stride=2, padding=1), nn.PixelShuffle(2))

    def forward(self, x: Tensor, flow: Tensor | None) -> tuple[Tensor, Tensor]:
        x = _resized(x, 1 / self.shrink)
        if flow is not None:
            x = torch.cat((x, _resized(flow, 1 / self.shrink) / self.shrink), 1)
        out = _resized(self.leave(self.body(self.enter(x))), self.shrink)
        return out[:, :4] * self.shrink, out[:, 4:5]


class Layout(nn.Module):
    """I0, I1 (N, 3, H, W in [0, 1]) and t -> I_t: flow and mask from coarse to fine, then two warps and a blend."""

    def __init__(self) -> None:
        super().__init__()
        inputs = (7, 12, 12, 12)  # I0, I1, t; from the second block on warped frames, t, mask and flow
        self.blocks = nn.ModuleList(map(Block, inputs, CHANNELS, SHRINK))

    def forward(self, I0: Tensor, I1: Tensor, t: float) -> Tensor:
        height, width = I0.shape[2:]
        pad = (0, -width % MULTIPLE, 0, -height % MULTIPLE)
        I0, I1 = F.pad(I0, pad), F.pad(I1, pad)
        time = torch.full_like(I0[:, :1], t)
        flow, mask = self.blocks[0](torch.cat((I0, I1, time), 1), None)
        w0, w1 = warp(I0, flow[:, :2]), warp(I1, flow[:, 2:])
        for block in self.blocks[1:]:
            more, better = block(torch.cat((w0, w1, time, mask), 1), flow)
            flow, mask = flow + more, mask + better
            w0, w1 = warp(I0, flow[:, :2]), warp(I1, flow[:, 2:])
        M = torch.sigmoid(mask)
        return (M * w0 + (1 - M) * w1)[:, :, :height, :width]


def warp(I: Tensor, flow: Tensor) -> Tensor:
    """`I` where `flow` (N, 2, H, W; px, x first) points at, bilinear; the border goes on."""
    height, width = I.shape[2:]
    ys, xs = torch.meshgrid(
        torch.arange(height, device=I.device, dtype=flow.dtype),
        torch.arange(width, device=I.device, dtype=flow.dtype),
        indexing="ij",
    )
    x = (xs + flow[:, 0]) * (2 / max(width - 1, 1)) - 1
    y = (ys + flow[:, 1]) * (2 / max(height - 1, 1)) - 1
    grid = torch.stack((x, y), -1).to(I.dtype)
    return F.grid_sample(I, grid, mode="bilinear", padding_mode="border", align_corners=True)


def _resized(x: Tensor, times: float) -> Tensor:
    return x if times == 1 else F.interpolate(x, scale_factor=times, mode="bilinear", align_corners=False)


def make_layout() -> Layout:
    """The layout with random weights whose flows are small, as real ones mostly are: warps then stay in the cache."""
    torch.manual_seed(0)
    layout = Layout()
    for block in layout.blocks:
        nn.init.normal_(block.leave[0].weight, std=1e-3)
        nn.init.zeros_(block.leave[0].bias)
    return layout.eval()


# ---- timing it


def rife_stage(frames: Sequence[Planes], color: Color, *, device: str) -> tuple[Stage, str]:
    """The fastest way to run the layout on the pairs of `frames`, found by trying each, and that way's name."""
    pictures = [torch.from_numpy(rgb(planes, color)).permute(2, 0, 1)[None].contiguous() for planes in frames]
    stages = dict(_ways(pictures, device))
    for stage in stages.values():
        timed(stage)  # the first time takes longer
    best = min(stages, key=lambda name: timed(stages[name]).seconds)
    return stages[best], best


def _ways(pictures: list[Tensor], device: str) -> Iterator[tuple[str, Stage]]:
    half = network_dtype(Precision.AUTO, device)
    ways = [("float32", torch.float32, torch.contiguous_format), ("float32", torch.float32, torch.channels_last)]
    if half is not torch.float32:
        ways.append((str(half).removeprefix("torch."), half, torch.channels_last))
    for name, dtype, memory in ways:
        layout = make_layout().to(device, dtype).to(memory_format=memory)
        ready = [picture.to(device, dtype).contiguous(memory_format=memory) for picture in pictures]

        def run(layout: Layout = layout, ready: list[Tensor] = ready) -> None:
            torch.set_num_threads(processors())  # vfi's engine has set its own number
            with torch.inference_mode():
                for left, right in pairwise(ready):
                    layout(left, right, 0.5)
            if device.startswith("cuda"):
                torch.cuda.synchronize(device)

        yield (
            f"{name}{' channels_last' if memory is torch.channels_last else ''}",
            Stage(name=RIFE, frames=len(ready) - 1, counts="made", run=run),
        )


def compare(held: Material, *, options: EngineOptions, pairs: int, runs: int) -> dict[str, Any]:
    """Frames per second of both, and the ratio, as JSON values; each timing is told as it comes."""
    engine = Engine(held, options, note=print, stop=Stop())
    made = engine.frames()[1]
    ours = Stage(name=ENGINE, frames=made, counts="made", run=engine.timed)
    theirs, way = rife_stage(held.frames[: pairs + 1], held.work.info.video.color, device=choose_device(options.device))

    def tell(stage: Stage, timing: Timing) -> None:
        print(f"{stage.name}: {timing.seconds / stage.frames:.4f} s per made frame", flush=True)

    timings = alternate([ours, theirs], runs, after=tell)
    ratio = times_as_fast(ours, timings[ENGINE], theirs, timings[RIFE])
    per_second = {stage.name: asdict(rates(stage, timings[stage.name])) for stage in (ours, theirs)}
    print(f"{RIFE} is fastest in {way}")
    print(f"vfi is {ratio.median:.2f} times as fast ({ratio.lowest:.2f} to {ratio.highest:.2f})")
    seen = {name: [asdict(timing) for timing in row] for name, row in timings.items()}
    return {"way": way, "made_frames_per_s": per_second, "times_as_fast": asdict(ratio), "runs": seen}


def main() -> None:
    """Run the benchmark."""
    given = _arguments()
    ffmpeg, options = find_ffmpeg(given.ffmpeg), EngineOptions(device=given.device, model=given.weights)
    asked = Asked(
        clip=given.clip or str(record.ROOT / "examples" / "clip.mp4"),
        seconds=Fraction(given.seconds),
        factor=Fraction(2),
        engine=options,
        encode=EncodeOptions(),
        limits=InputLimits(),
        ffmpeg=ffmpeg,
    )
    with material(asked, look_at(asked), lines=given.size, stop=Stop()) as held:
        found = compare(held, options=options, pairs=given.pairs, runs=given.runs)
    if given.json:
        settings = {key: str(value) for key, value in vars(given).items() if value is not None}
        record.write(given.json, {**surroundings(ffmpeg, checkout=record.ROOT), "settings": settings, **found})


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clip", help="video to use (examples/clip.mp4)")
    parser.add_argument("--size", type=int, default=480, help="rows of pixels that it is scaled to (480)")
    parser.add_argument("--seconds", default="2", help="length that it is cut or repeated to (2)")
    parser.add_argument("--pairs", type=int, default=12, help="frames that the layout makes in a run (12)")
    parser.add_argument("--runs", type=int, default=3, help="runs of each (3)")
    parser.add_argument("--weights", default="fast", help="of vfi (fast)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (auto)")
    parser.add_argument("--ffmpeg", help="ffmpeg to use (found as vfi finds it)")
    parser.add_argument("--json", type=Path, help="file for all timings, with commit and machine")
    return parser.parse_args()


if __name__ == "__main__":
    main()

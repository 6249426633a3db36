"""What is timed: decoding, making frames, encoding, each alone; vfi as a whole; and what it is compared with."""

from __future__ import annotations

import json
import sys
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interp_cli.errors import ExitCode, InputError, VfiError
from interp_cli.job.stop import Stop
from interp_cli.media.children import started
from interp_cli.media.decode import decode
from interp_cli.media.ffmpeg import Output, file_url, run, source
from interp_cli.media.types import Planes
from interp_cli.options import EngineOptions
from interp_cli.speed.material import Material
from interp_cli.speed.memory import peak_memory
from interp_cli.speed.surroundings import CHECKOUT
from interp_cli.speed.timing import Facts, Stage

if TYPE_CHECKING:
    from interp_cli.weights import WeightsEntry

DECODE, ENGINE, ONE_BY_ONE, ENCODE, WHOLE, RIVAL = (
    "decode",
    "engine",
    "frame by frame",
    "encode",
    "vfi upsample",
    "minterpolate",
)
_WARM_FRAMES = 6  # source frames after which everything is recorded and allocated


class Engine:
    """The engine on frames in memory, with nothing around it. `workers` as in `make_interpolator`."""

    def __init__(
        self,
        material: Material,
        options: EngineOptions,
        *,
        note: Callable[[str], None],
        stop: Stop,
        workers: int | None = None,
    ) -> None:
        from interp_cli.job.network import make_interpolator
        from interp_cli.job.segments import LONGEST_DRAWING

        with stop.deferred():  # torch is imported, whose C code would print what interrupts it
            self._interpolator, self.weights, self._device = make_interpolator(options, note=note, workers=workers)
            import torch
        stop.check()
        self._threads = torch.get_num_threads()
        self._cuda = torch.cuda if self._device.startswith("cuda") else None
        self._material = material
        self._longest = LONGEST_DRAWING // material.work.part.time_base

    def frames(self, first: int | None = None) -> tuple[list[Planes], int]:
        """All output frames between the first source frames (None: all that are held), and how many were made."""
        made = self._interpolator.made
        out = list(self._run(first))
        return out, self._interpolator.made - made

    def timed(self) -> Facts:
        """All frames once, and the GPU's memory at its height (bytes), if there is one."""
        if self._cuda is not None:
            self._cuda.reset_peak_memory_stats(self._device)
        deque(self._run(), maxlen=0)
        return {} if self._cuda is None else {"gpu_bytes": self._cuda.max_memory_allocated(self._device)}

    def _run(self, first: int | None = None) -> Iterator[Planes]:
        import torch

        torch.set_num_threads(self._threads)  # another engine may have set it since
        held = self._material.frames[:first]
        targets = (target for target in self._material.targets if target.left < len(held) - 1)
        color = self._material.work.info.video.color
        return self._interpolator.run(iter(held), targets, color=color, longest=self._longest)


def stages(
    material: Material, *, rival: bool, note: Callable[[str], None], stop: Stop
) -> tuple[list[Stage], WeightsEntry]:
    """Everything to time, after the engines have warmed up, and the weights. Raises any VfiError."""
    work, options = material.work, material.work.job.engine
    engine = Engine(material, options, note=note, stop=stop)
    one_by_one = Engine(material, replace(options, batch=1), note=note, stop=stop, workers=1)
    one_by_one.frames(_WARM_FRAMES)
    out, made = engine.frames()
    if not made:
        raise InputError(f"no frame of {Path(work.job.input).name} has to be made: give a clip that moves")
    empty = material.folder / "settings.toml"
    empty.touch()
    todo = [
        Stage(name=DECODE, frames=len(work.timeline), counts="source", run=lambda: _decode(material)),
        Stage(name=ENGINE, frames=made, counts="made", run=engine.timed),
        Stage(name=ONE_BY_ONE, frames=made, counts="made", run=one_by_one.timed),
        Stage(name=ENCODE, frames=len(out), counts="output", run=lambda: _encode(material, out)),
        Stage(name=WHOLE, frames=work.plan.frames, counts="output", run=lambda: _whole(material, empty)),
        Stage(name=RIVAL, frames=work.plan.frames, counts="output", run=lambda: _minterpolate(material)),
    ]
    return todo if rival else todo[:-1], engine.weights


def _decode(material: Material) -> None:
    work = material.work
    with decode(work.info, work.timeline, ffmpeg=work.ffmpeg) as frames:
        deque(frames, maxlen=0)


def _encode(material: Material, frames: list[Planes]) -> None:
    from interp_cli.job.segments import encoder_of

    with encoder_of(material.work, material.folder / "encoded.nut") as encoder:
        for planes in frames:
            encoder.write(planes)


def command(material: Material, settings: Path) -> list[str]:
    """`vfi upsample` of the material, as a user would call it, with every setting of the measurement."""
    job = material.work.job
    engine, encode = job.engine, job.encode
    model = str(Path(engine.model).absolute()) if engine.model.endswith(".safetensors") else engine.model
    argv = [sys.executable, "-m", "interp_cli", "upsample", job.input, "-o", str(job.output), "-y", "--fresh"]
    argv += ["--config", str(settings), "--ffmpeg", material.work.ffmpeg.path, "--hwaccel", job.hwaccel]
    argv += ["--factor", str(job.rate).removesuffix("x")]
    argv += ["-m", model, "--device", engine.device, "--precision", engine.precision, "--mode", engine.mode]
    argv += ["--batch", str(engine.batch or "auto"), "--threads", str(engine.threads or "auto")]
    argv += ["--tta", engine.tta, "--scale", engine.scale, "--dedup", engine.dedup]
    given = {"--codec": encode.codec, "--crf": encode.crf, "--preset": encode.preset, "--pix-fmt": encode.pix_fmt}
    argv += [word for name, value in given.items() if value is not None for word in (name, str(value))]
    argv += [word for key, value in encode.ffmpeg_args for word in ("--ffmpeg-arg", f"{key}={value}")]
    return [*map(str, argv), "--json", "--progress", "json"]


def _whole(material: Material, settings: Path) -> Facts:
    """Run it; seconds from the first frame to the finished file, frames made, and memory at its height (bytes)."""
    with (
        started(command(material, settings), cwd=CHECKOUT) as running,  # where this very package is found first
        peak_memory(running.pid) as peak,
    ):
        outcome = running.read()
        status, said = running.finish()
    if status:
        error = VfiError(f"vfi upsample ended with code {status}: {said[-1].removeprefix('vfi: ') if said else ''}")
        with suppress(ValueError):
            error.exit_code = ExitCode(status)
        raise error
    end = next(event for event in map(_event, reversed(said)) if event.get("event") == "end")
    made = json.loads(outcome)["made"]
    return {"working_seconds": end["done"] / end["frames_per_s"], "made": made, "peak_bytes": peak.bytes}


def _event(line: str) -> dict[str, Any]:
    with suppress(ValueError):
        event = json.loads(line)
        if isinstance(event, dict):
            return event
    return {}


def _minterpolate(material: Material) -> None:
    """ffmpeg's own filter, from the same file, with the same encoder and settings."""
    work, video, out = material.work, material.work.info.video, material.folder / "minterpolate.nut"
    options = work.encoding.output_options(width=video.width, height=video.height, sar=video.sar)
    rate = work.plan.rate
    filters = [f"minterpolate=fps={rate.numerator}/{rate.denominator}:mi_mode=mci", *filter(None, [options.get("vf")])]
    written = Output(file_url(out), (f"0:{video.index}",), {**options, "vf": ",".join(filters)})
    run(
        work.ffmpeg,
        [source(material.clip, work.info.reading)],
        [written],
        doing=f"interpolate {material.clip}",
        grows=out,
    )

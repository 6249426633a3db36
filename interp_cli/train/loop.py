"""The training loop: by the clock or by steps, in one process or several, ended by a signal at the next step."""

from __future__ import annotations

import json
import math
import os
import shlex
import signal
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import Tensor, distributed
from torch.multiprocessing.spawn import ProcessException, spawn

from interp_cli.errors import DeviceError, InterruptedBySignal, OutputError, StoppedError
from interp_cli.job.stop import Stop
from interp_cli.train.batches import Batch, batch
from interp_cli.train.blending import Crops, Pool, blend_score
from interp_cli.train.data import Sampler
from interp_cli.train.export import export
from interp_cli.train.recipe import Recipe
from interp_cli.train.run import Beginning, Run, share_gradients
from interp_cli.train.shots import Note, Shot, digest, load_shots, on_device
from interp_cli.weights import WeightsEntry

_LOGGED = 100  # steps between two lines of the log
_READ = 20  # steps between two looks at the loss, each of which waits for a GPU
_SAID = "error"  # the file in which a worker says why it stopped


def train(
    recipe: Recipe, begin: Beginning | None = None, *, stop: Stop | None = None, note: Note = print
) -> WeightsEntry:
    """The exported weights, after training by `recipe` until its time is over or its steps are done.

    `note` gets a line for every line of the log. Raises InputError, WeightsError, UsageError, DeviceError, OutputError,
    StoppedError, and, once the checkpoint was written, InterruptedBySignal when `stop` asks for the end.
    """
    begin, stop = begin or Beginning(), stop or Stop()
    Run(recipe).begin(begin)  # what cannot be meant is refused before anything is read
    held_out = _load(recipe.val, recipe, note)
    shots = _load(recipe.data, recipe, note)
    if {(s.source, s.steps) for s in shots} & {(s.source, s.steps) for s in held_out}:
        note("some of --val is trained on too: its scores say little")
    Sampler(shots, gaps=recipe.gaps, device=torch.device("cpu")).check(recipe.crops)
    try:
        recipe.log.parent.mkdir(parents=True, exist_ok=True)
        if begin.resume is None:
            recipe.log.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"{recipe.out} cannot be written ({error.strerror}): give another --out") from error
    loop = Loop(recipe, begin, shots, held_out, note)
    with stop.deferred():
        if recipe.workers == 1:
            loop.run(0, lambda: stop.signum is not None)
        else:
            _in_processes(loop, stop)
    try:
        stop.check()
    except InterruptedBySignal as error:
        if recipe.checkpoint.exists():
            error.add(f"go on with vfi train --resume {shlex.quote(str(recipe.checkpoint))}")
        raise
    last = _last_line(recipe.log)
    spent = {name: last[name] for name in ("steps", "samples", "minutes")}
    return export(recipe, **spent, shots=shots, score=last.get("val_psnr"))


def _load(paths: tuple[str, ...], recipe: Recipe, note: Note) -> list[Shot]:
    return load_shots(paths, short_side=recipe.short_side, frames=recipe.frames, note=note) if paths else []


def _last_line(log: Path) -> dict[str, Any]:
    line: dict[str, Any] = json.loads(log.read_text(encoding="utf-8").splitlines()[-1])
    return line


@dataclass(slots=True)
class Loop:
    """What every worker needs to run the same loop."""

    recipe: Recipe
    begin: Beginning
    shots: list[Shot]
    held_out: list[Shot]
    note: Note
    judged: Pool | None = None  # what the engine makes of what is held out, for the blend

    def run(self, rank: int, stopping: Callable[[], bool]) -> None:
        """Train until the end, or until `stopping` in any worker; the first worker writes checkpoint and log."""
        recipe, first = self.recipe, rank == 0
        run = Run(recipe, shots=digest(self.shots))
        told = run.begin(self.begin)
        if first:
            self._write_beginning(run, told)
        draw = self._drawing(run, rank)
        last, saved, smooth = time.monotonic(), run.minutes, dict[str, float]()
        stopped = False
        while not stopped and run.progress < 1:
            try:
                made = draw(run.step)
                terms = run.backward(made)
            except torch.OutOfMemoryError as error:
                raise DeviceError(f"{recipe.device} has too little memory: give smaller --crops") from error
            now = time.monotonic()
            run.minutes, last = run.minutes + (now - last) / 60, now
            stopped = share_gradients(run, stopping())
            run.update(len(made.t))
            if run.step % _READ == 0 or run.step == 1:
                run.check()
                for name, value in terms.items():
                    smooth[name] = 0.8 * smooth.get(name, value.item()) + 0.2 * value.item()
            if run.step % _LOGGED == 0 and first:
                self._write(run, **_rounded(smooth))
            if not stopped and run.progress < 1 and run.minutes - saved >= recipe.save_every:
                saved = run.minutes
                if first:
                    self._keep(run, **self._score(run), **_rounded(smooth))
                if recipe.workers > 1:
                    distributed.barrier()
        if first:
            self._keep(run, **({} if stopped else self._score(run)), **_rounded(smooth))

    def _drawing(self, run: Run, rank: int) -> Callable[[int], Batch | Crops]:
        """What gives the batch of a step."""
        recipe = self.recipe
        if recipe.part == "flow":
            sampler = Sampler(on_device(self.shots, run.device), gaps=recipe.gaps, device=run.device)
            return lambda step: batch(sampler, recipe, step=step, rank=rank)
        pool = self._pool(run, self.shots)

        def crops(step: int) -> Crops:
            pool.begin(f"{recipe.seed} {step} {rank}")
            side, whole = recipe.crops[step % len(recipe.crops)]
            return pool.crops(max(1, round(whole / recipe.workers)), side)

        return crops

    def _pool(self, run: Run, shots: list[Shot]) -> Pool:
        """What the engine makes of `shots`: on the CPU, whose kernels make it fast."""
        return Pool(shots, run.averaged().to("cpu"), self.recipe, run.device)

    def _keep(self, run: Run, **facts: float) -> None:
        run.check()
        run.save()
        self._write(run, **facts)

    def _write_beginning(self, run: Run, told: str) -> None:
        frames = sum(len(shot.frames) for shot in self.shots)
        score = self._score(run)
        for text in filter(None, (told, f"{len(self.shots)} shots, {frames} frames")):
            self.note(text)
        recipe = json.loads(self.recipe.to_json())
        self._write(run, **score, told=told, bf16=run.autocast, shots=len(self.shots), frames=frames, recipe=recipe)

    def _score(self, run: Run) -> dict[str, float]:
        if not self.held_out:
            return {}
        if self.recipe.part == "flow":
            return {"val_psnr": round(validate(run, self.held_out), 3)}
        if self.judged is None:
            self.judged = self._pool(run, self.held_out)
        return {"val_psnr": round(blend_score(run.averaged().blend, self.judged), 3)}

    def _write(self, run: Run, **facts: Any) -> None:
        """One line of the log, and its numbers for people."""
        line = {"steps": run.step, "samples": run.samples, "minutes": round(run.minutes, 2), **facts}
        try:
            with self.recipe.log.open("a", encoding="utf-8") as f:
                f.write(json.dumps(line) + "\n")
        except OSError as error:
            raise StoppedError(f"{self.recipe.log} cannot be written ({error.strerror})") from error
        numbers = {name: value for name, value in line.items() if isinstance(value, float | int) and name != "bf16"}
        self.note(", ".join(f"{name} {value}" for name, value in numbers.items()))


def validate(run: Run, shots: list[Shot]) -> float:
    """Mean over shots of the PSNR (dB) of rebuilt middle frames, RGB, with the averaged weights."""
    network, scores = run.averaged(), []
    multiple = network.limits.multiple_of
    with torch.inference_mode():
        for shot in shots:
            here = []
            for first in range(0, len(shot.frames) - 2, max(2, len(shot.frames) // 3)):
                I = shot.frames[first : first + 3].to(run.device).permute(0, 3, 1, 2).float() / 255
                h, w = (side // multiple * multiple for side in I.shape[-2:])
                I = I[:, :, :h, :w]
                out = network(I[:1], I[2:], torch.full((1,), 0.5, device=run.device)).clamp(0, 1)
                here.append(_psnr(out, I[1:2]))
            scores.append(sum(here) / len(here))
    return sum(scores) / len(scores)


def _psnr(a: Tensor, b: Tensor) -> float:
    return -10 * math.log10((a - b).square().mean().item() + 1e-10)


def _rounded(terms: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 5) for name, value in terms.items()}


def _in_processes(loop: Loop, stop: Stop) -> None:
    """The loop in `workers` processes of one thread each; a request to stop is handed on to all of them."""
    with tempfile.TemporaryDirectory() as meeting:
        environment = {"MASTER_ADDR": "127.0.0.1", "GLOO_SOCKET_IFNAME": "lo"}
        os.environ.update({k: os.environ.get(k, v) for k, v in environment.items()})
        workers = spawn(_worker, (loop, meeting), loop.recipe.workers, join=False)  # type: ignore[no-untyped-call]

        def hand_on() -> None:
            for process in workers.processes:
                process.terminate()

        try:
            with stop.deferred(hand_on):
                while not workers.join(1):
                    pass
        except ProcessException:
            stop.check()
            said = Path(meeting, _SAID)
            if said.exists():
                raise StoppedError(said.read_text(encoding="utf-8")) from None
            raise


def _worker(rank: int, loop: Loop, meeting: str) -> None:
    asked: list[int] = []

    def ask(signum: int, _frame: FrameType | None) -> None:
        asked.append(signum)

    for signum in (signal.SIGINT, signal.SIGTERM):  # the first also when the parent dies
        signal.signal(signum, ask)
    torch.set_num_threads(1)
    place = Path(meeting, "meeting").as_uri()
    distributed.init_process_group("gloo", place, world_size=loop.recipe.workers, rank=rank)
    try:
        loop.run(rank, lambda: bool(asked))
    except StoppedError as error:
        Path(meeting, _SAID).write_text(str(error), encoding="utf-8")
        raise
    finally:
        distributed.destroy_process_group()

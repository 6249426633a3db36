"""The training loop: student and privileged teacher, real and synthetic triplets, by the clock."""

import json
import math
import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, distributed, nn
from torch.multiprocessing.spawn import spawn

from interp_cli.checkpoints import read_checkpoint
from interp_cli.model.network import PRESETS, IFNet, Synthesis, compose, placed
from interp_cli.model.teacher import Teacher
from interp_cli.train.data import Sampler, load_shots
from interp_cli.train.losses import distillation, flow_at_full_size, known_flow, laplacian, relative, root_mean_square
from interp_cli.train.synthetic import moving_layers


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Everything that decides a run."""

    data: tuple[str, ...]  # folders of .npy shots
    out: str  # checkpoint, torch format; export makes the .safetensors
    val: str | None = None  # folder of .npy validation shots
    preset: str = "fast"
    start: str | None = None  # a checkpoint to take weights from
    minutes: float = 10.0
    crops: tuple[tuple[int, int], ...] = ((128, 16), (192, 7))  # (side, batch), drawn in turn; half is synthetic
    rate: float = 1e-3
    warm_up: int = 100  # steps
    weight_decay: float = 1e-4
    clip: float = 1.0
    ema: float = 0.999
    distil: float = 0.005
    flow: tuple[float, float] = (0.02, 0.0005)  # weight of known flow: at the start, falling to the end
    synthetic_share: float = 0.5
    save_every: float = 5.0  # minutes
    seed: int = 1
    device: str = "cpu"
    autocast: bool = True  # bfloat16
    workers: int = 1  # processes of one thread each that share every batch: on a CPU faster than threads


class Run:
    """State of one training run: everything that a checkpoint holds."""

    def __init__(self, recipe: Recipe) -> None:
        self.recipe, self.device = recipe, torch.device(recipe.device)
        torch.manual_seed(recipe.seed)  # the same in every worker: they begin with the same weights
        self.student = placed(IFNet(PRESETS[recipe.preset]), self.device)
        self.teacher = placed(Teacher(), self.device)
        self.ema = {k: v.detach().clone() for k, v in self.student.state_dict().items()}
        parameters = [*self.student.parameters(), *self.teacher.parameters()]
        self.parameters = parameters
        self.optimiser = torch.optim.AdamW(parameters, recipe.rate, (0.9, 0.99), weight_decay=recipe.weight_decay)
        self.step, self.samples, self.minutes = 0, 0, 0.0
        self.log = Path(recipe.out).with_suffix(".jsonl")

    def load(self, path: str, *, resume: bool) -> None:
        """Take weights from a checkpoint; with `resume`, the whole state."""
        state = read_checkpoint(Path(path))
        self.student.load_state_dict(state["student" if resume else "ema"])
        self.ema = {k: v.to(self.device).clone() for k, v in state["ema"].items()}
        if "teacher" in state:
            self.teacher.load_state_dict(state["teacher"])
        if resume:
            self.optimiser.load_state_dict(state["optimiser"])
            self.step, self.samples, self.minutes = state["step"], state["samples"], state["minutes"]

    def save(self) -> None:
        """Write the checkpoint, whole or not at all."""
        state = {
            "student": self.student.state_dict(), "teacher": self.teacher.state_dict(), "ema": self.ema,
            "optimiser": self.optimiser.state_dict(), "sizes": json.dumps(self.student.sizes.to_dict()),
            "step": self.step, "samples": self.samples, "minutes": self.minutes,
            "recipe": json.dumps(asdict(self.recipe)),
        }  # fmt: skip
        target = Path(self.recipe.out)
        beside = target.with_suffix(".tmp")
        torch.save(state, beside)
        beside.replace(target)

    def set_rate(self) -> None:
        """Warm-up by steps, then cosine by the clock."""
        warm = min(1.0, (self.step + 1) / self.recipe.warm_up)
        fall = 0.5 * (1 + math.cos(math.pi * min(1.0, self.progress)))
        for group in self.optimiser.param_groups:
            group["lr"] = self.recipe.rate * warm * (0.01 + 0.99 * fall)

    @property
    def progress(self) -> float:
        """Share of the time that is spent."""
        return self.minutes / self.recipe.minutes

    def average(self) -> None:
        """Move the averaged weights toward the student's."""
        decay = min(self.recipe.ema, self.step / (self.step + 20))
        with torch.no_grad():
            for name, value in self.student.state_dict().items():
                self.ema[name].lerp_(value, 1 - decay)

    def share(self) -> None:
        """Average gradients and the clock over all workers."""
        if self.recipe.workers == 1:
            return
        clock = torch.tensor([self.minutes], device=self.device)
        flat = torch.cat([p.grad.flatten() for p in self.parameters if p.grad is not None] + [clock])
        distributed.all_reduce(flat)
        flat /= self.recipe.workers
        at = 0
        for p in self.parameters:
            if p.grad is not None:
                p.grad.copy_(flat[at : at + p.numel()].view_as(p))
                at += p.numel()
        self.minutes = float(flat[-1])

    def write(self, **facts: Any) -> None:
        """One line of the log, on stdout too."""
        line = json.dumps({"step": self.step, "samples": self.samples, "minutes": round(self.minutes, 2), **facts})
        with self.log.open("a") as f:
            f.write(line + "\n")
        print(line, flush=True)


@dataclass(slots=True)
class Batch:
    """Real triplets first, then synthetic ones; `flow` and `valid` belong to the last `len(flow)` samples."""

    I0: Tensor
    I1: Tensor
    I_t: Tensor
    t: Tensor
    flow: Tensor
    valid: Tensor


def batches(sampler: Sampler, recipe: Recipe, device: torch.device, seed: int) -> Iterator[Batch]:
    """One worker's share of batches, for ever; the crop sizes take turns, the number of layers is drawn."""
    generator = torch.Generator(device).manual_seed(seed)
    while True:
        for side, whole in recipe.crops:
            count = max(1, round(whole / recipe.workers))
            chance = sampler.random.random()  # the share is right on average even where it is less than one sample
            made = min(int(count * recipe.synthetic_share + chance), count - 1)
            real = sampler.triplets(count - made, side)
            if not made:
                none = real.I0.new_zeros((0, 4, side, side))
                I0, I1, I_t = (_joined(x, x[:0]) for x in (real.I0, real.I1, real.I_t))
                yield Batch(I0, I1, I_t, real.t, flow=none, valid=none)
                continue
            layers = sampler.random.randint(1, 4)
            t = sampler.random.choice((0.25, 0.5, 0.5, 0.75, sampler.random.uniform(0.05, 0.95)))
            textures = sampler.textures(made, layers, side)
            drawn = moving_layers(textures, torch.full((made,), t, device=device), layers=layers, generator=generator)
            yield Batch(
                I0=_joined(real.I0, drawn.I0),
                I1=_joined(real.I1, drawn.I1),
                I_t=_joined(real.I_t, drawn.I_t),
                t=torch.cat((real.t, drawn.t)),
                flow=drawn.flow,
                valid=drawn.valid,
            )


def _joined(real: Tensor, made: Tensor) -> Tensor:
    return torch.cat((real, made)).contiguous(memory_format=torch.channels_last)


def losses(run: Run, b: Batch) -> dict[str, Tensor]:
    """The terms of the loss, weighted; their sum is minimised."""
    recipe, student = run.recipe, run.student
    with torch.autocast(run.device.type, torch.bfloat16, enabled=recipe.autocast):
        f0, f1 = student.encode(b.I0), student.encode(b.I1)
        estimates = student.estimates(f0, f1, b.t)
        result = student.finish(f0, f1, b.t, estimates[-1])
        better: Synthesis = run.teacher(b.I0, b.I1, b.I_t, result)
    sampling = student.limits.sampling
    blend = compose(b.I0, b.I1, Synthesis(result.F_t0, result.F_t1, result.M, None), sampling)
    taught = compose(b.I0, b.I1, better)
    flows = [flow_at_full_size(e, b.I0.shape[-2]) for e in estimates]
    flows.append(torch.cat((result.F_t0, result.F_t1), 1))
    known = len(b.flow)
    weight = recipe.flow[0] * (1 - min(1.0, run.progress)) ** 2 + recipe.flow[1]
    terms = {
        "blend": relative(laplacian(blend, b.I_t)),
        "rms": relative(root_mean_square(blend, b.I_t)),
        "teacher": 0.5 * relative(laplacian(taught, b.I_t)),
        "distil": recipe.distil * distillation(flows, b.I_t, blend.detach(), taught, better),
    }
    if result.R is not None:
        terms["frame"] = relative(laplacian(blend + result.R, b.I_t))
    if known:
        terms["flow"] = weight * known_flow([f[-known:] for f in flows], b.flow, b.valid)
    return terms


def validate(run: Run, shots: list[NDArray[Any]]) -> float:
    """Mean over shots of the PSNR (dB) of rebuilt middle frames, RGB, with the averaged weights."""
    network = placed(IFNet(run.student.sizes), run.device).eval()
    network.load_state_dict(run.ema)
    scores = []
    with torch.inference_mode():
        for shot in shots:
            here = []
            for first in range(1, len(shot) - 2, max(2, len(shot) // 3)):
                I = torch.from_numpy(np.array(shot[first : first + 3])).to(run.device).permute(0, 3, 1, 2).float() / 255
                h, w = (s // 32 * 32 for s in I.shape[-2:])
                I = I[:, :, :h, :w]
                out = network(I[:1], I[2:], torch.full((1,), 0.5, device=run.device)).clamp(0, 1)
                here.append(-10 * math.log10((out - I[1:2]).square().mean().item() + 1e-10))
            scores.append(sum(here) / len(here))
    return sum(scores) / len(scores)


def train(recipe: Recipe, *, resume: bool = False) -> None:
    """Train by `recipe` until its time is over; checkpoints go to `recipe.out`, the log beside it."""
    if recipe.workers == 1:
        _train(0, recipe, resume)
        return
    with tempfile.TemporaryDirectory() as meeting:
        environment = {"MASTER_ADDR": "127.0.0.1", "GLOO_SOCKET_IFNAME": "lo"}
        os.environ.update({k: os.environ.get(k, v) for k, v in environment.items()})
        arguments = (recipe, resume, f"file://{meeting}/meeting")
        spawn(_worker, arguments, recipe.workers)  # type: ignore[no-untyped-call]


def _worker(rank: int, recipe: Recipe, resume: bool, meeting: str) -> None:
    if recipe.device == "cpu":
        torch.set_num_threads(1)
    distributed.init_process_group("gloo", meeting, world_size=recipe.workers, rank=rank)
    try:
        _train(rank, recipe, resume)
    finally:
        distributed.destroy_process_group()


def _train(rank: int, recipe: Recipe, resume: bool) -> None:
    run = Run(recipe)
    if resume and Path(recipe.out).exists():
        run.load(recipe.out, resume=True)
    elif recipe.start:
        run.load(recipe.start, resume=False)
    seed = recipe.seed + run.step + 1_000_003 * rank
    sampler = Sampler(load_shots([Path(d) for d in recipe.data], device=run.device), seed=seed)
    val = [np.load(p, mmap_mode="r") for p in sorted(Path(recipe.val).glob("*.npy"))] if recipe.val else []
    if val and rank == 0:
        run.write(val_psnr=round(validate(run, val), 3))
    last, saved = time.monotonic(), run.minutes
    smooth: dict[str, float] = {}
    for batch in batches(sampler, recipe, run.device, seed):
        run.set_rate()
        terms = losses(run, batch)
        total = sum(terms.values(), torch.zeros((), device=run.device))
        run.optimiser.zero_grad(set_to_none=True)
        total.backward()  # type: ignore[no-untyped-call]
        now = time.monotonic()
        run.minutes, last = run.minutes + (now - last) / 60, now
        run.share()
        nn.utils.clip_grad_norm_(run.parameters, recipe.clip)
        run.optimiser.step()
        run.step += 1
        run.samples += len(batch.t) * recipe.workers
        run.average()
        if run.step % 20 == 0:
            for name, value in terms.items():
                smooth[name] = 0.8 * smooth.get(name, value.item()) + 0.2 * value.item()
        if run.step % 100 == 0 and rank == 0:
            run.write(**{k: round(v, 5) for k, v in smooth.items()})
        done = run.minutes >= recipe.minutes
        if done or run.minutes - saved >= recipe.save_every:
            saved = run.minutes
            if rank == 0:
                run.save()
                if val:
                    run.write(val_psnr=round(validate(run, val), 3))
            if recipe.workers > 1:
                distributed.barrier()
            last = time.monotonic()
        if done:
            return

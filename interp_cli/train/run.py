"""The state of one training run: networks, averaged weights, optimiser, clock; and one step of it."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, distributed, nn

from interp_cli.checkpoints import from_checkpoint, read_checkpoint, write_checkpoint
from interp_cli.engine.way import network_dtype
from interp_cli.errors import StoppedError, UsageError, WeightsError
from interp_cli.model.network import PRESETS, IFNet, compose, placed
from interp_cli.model.seam import Synthesis
from interp_cli.model.teacher import Teacher
from interp_cli.options import Precision
from interp_cli.train.batches import Batch
from interp_cli.train.blending import Crops, blend_losses
from interp_cli.train.losses import distillation, flow_at_full_size, known_flow, laplacian, relative, root_mean_square
from interp_cli.train.recipe import Recipe
from interp_cli.weights import find, tensors_of

_NAMED = 3  # of the tensors that were not taken


@dataclass(frozen=True, slots=True, kw_only=True)
class Beginning:
    """What a run begins with: nothing, weights, or a checkpoint to go on from."""

    init: str | None = None
    resume: Path | None = None


class Run:
    """Everything that a checkpoint holds. `shots` is the digest of what is trained on."""

    def __init__(self, recipe: Recipe, *, shots: str = "") -> None:
        if recipe.preset not in PRESETS:
            known = " or ".join(sorted(PRESETS))
            raise UsageError(f"there is no preset {recipe.preset!r}: give {known} with --preset")
        self.recipe, self.device, self.shots = recipe, torch.device(recipe.device), shots
        torch.manual_seed(recipe.seed)  # the same in every worker: they begin with the same weights
        self.student = placed(IFNet(PRESETS[recipe.preset]), self.device)
        if recipe.part == "blend" and self.student.blending is None:
            raise UsageError(f"preset {recipe.preset} has no learned blend: leave --part blend out")
        self.teacher = placed(Teacher(), self.device) if recipe.teacher and recipe.part == "flow" else None
        self.ema = {k: v.detach().clone() for k, v in self.student.state_dict().items()}
        learning = (self.student.blending,) if recipe.part == "blend" else (self.student, self.teacher)
        self.parameters = [p for n in learning if n is not None for p in n.parameters()]
        self.optimiser = torch.optim.AdamW(self.parameters, recipe.rate, (0.9, 0.99), weight_decay=recipe.weight_decay)
        self.autocast = _autocast(recipe)
        self.step, self.samples, self.minutes = 0, 0, 0.0
        self._refused, self._checked = torch.zeros((), dtype=torch.int64, device=self.device), 0

    def begin(self, beginning: Beginning) -> str:
        """Take what the run begins with; what is to be said about it. Raises WeightsError."""
        if beginning.resume is None:
            return self._take(beginning.init) if beginning.init else ""
        same = self._load(beginning.resume)
        return "" if same else f"{beginning.resume} was made on other shots: training goes on with these"

    def _take(self, source: str) -> str:
        """Take every tensor that fits from weights (a name or a .safetensors file) or a checkpoint; what was taken."""
        is_checkpoint = Path(source).suffix in (".ckpt", ".pt")
        given = from_checkpoint(Path(source)).state_dict() if is_checkpoint else tensors_of(find(source))
        own = self.student.state_dict()
        fitting = {k: v.float() for k, v in given.items() if k in own and v.shape == own[k].shape}
        if not fitting:
            raise WeightsError(f"nothing in {source} fits a network of preset {self.recipe.preset}: leave --init out")
        self.student.load_state_dict({**own, **fitting})
        self.ema = {k: v.detach().clone() for k, v in self.student.state_dict().items()}
        told = f"{len(fitting)} of the network's {len(own)} tensors begin as in {source}"
        told += _names("; these begin anew", [k for k in own if k not in fitting])
        return told + _names("; these of the file have no place", sorted(k for k in given if k not in fitting))

    def _load(self, path: Path) -> bool:
        """Go on from a checkpoint; whether it was made on the same shots. Raises WeightsError."""
        state = read_checkpoint(path)
        try:
            self.student.load_state_dict(state["student"])
            self.ema = {k: v.to(self.device).clone() for k, v in state["ema"].items()}
            if self.teacher is not None:
                self.teacher.load_state_dict(state["teacher"])
            self.optimiser.load_state_dict(state["optimiser"])
            self.step, self.samples, self.minutes = state["step"], state["samples"], state["minutes"]
            self._checked = self.step
        except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
            raise WeightsError(f"{path} is of another network than this vfi's: take its weights with --init") from error
        return bool(state.get("shots") == self.shots)

    def save(self) -> None:
        """Write the checkpoint, whole or not at all. Raises StoppedError."""
        state = {
            "student": self.student.state_dict(), "ema": self.ema, "optimiser": self.optimiser.state_dict(),
            "sizes": json.dumps(self.student.sizes.to_dict()), "recipe": self.recipe.to_json(), "shots": self.shots,
            "step": self.step, "samples": self.samples, "minutes": self.minutes,
        }  # fmt: skip
        if self.teacher is not None:
            state["teacher"] = self.teacher.state_dict()
        write_checkpoint(self.recipe.checkpoint, state)

    def averaged(self) -> IFNet:
        """A network with the averaged weights."""
        network = placed(IFNet(self.student.sizes), self.device).eval()
        network.load_state_dict(self.ema)
        return network

    @property
    def progress(self) -> float:
        """Share of the time, or of the steps, that is spent."""
        if self.recipe.steps is not None:
            return self.step / self.recipe.steps
        return self.minutes / (self.recipe.minutes or 1)

    def backward(self, batch: Batch | Crops) -> dict[str, Tensor]:
        """Find the gradients of one step; the terms of its loss."""
        self._set_rate()
        if isinstance(batch, Batch):
            terms = losses(self, batch)
        else:
            terms = blend_losses(self.student.blend, batch, bf16=self.autocast)
        self.optimiser.zero_grad(set_to_none=True)
        sum(terms.values(), torch.zeros((), device=self.device)).backward()  # type: ignore[no-untyped-call]
        return terms

    def update(self, samples: int) -> None:
        """Follow the gradients, which `samples` samples gave in each worker."""
        fine = nn.utils.clip_grad_norm_(self.parameters, self.recipe.clip).isfinite()
        self._refused += ~fine  # counted where it is: reading it would let a GPU wait
        for p in self.parameters:
            if p.grad is not None:  # one bad batch must not spoil all weights
                p.grad.copy_(torch.where(fine, p.grad, 0))
        self.optimiser.step()
        self.step += 1
        self.samples += samples * self.recipe.workers
        self._average()

    def check(self) -> None:
        """Raises StoppedError if most steps since the last check had gradients that are no numbers."""
        steps, refused = self.step - self._checked, int(self._refused)
        self._checked = self.step
        self._refused.zero_()
        if refused * 2 > steps:
            last = self.recipe.checkpoint
            way = f"go on from {last} with --resume and a lower --rate" if last.exists() else "give a lower --rate"
            raise StoppedError(f"training diverged: gradients are no longer numbers at step {self.step}; {way}")

    def _set_rate(self) -> None:
        """Warm-up by steps, then cosine by the share that is spent."""
        warm = min(1.0, (self.step + 1) / self.recipe.warm_up)
        fall = 0.5 * (1 + math.cos(math.pi * min(1.0, self.progress)))
        for group in self.optimiser.param_groups:
            group["lr"] = self.recipe.rate * warm * (0.01 + 0.99 * fall)

    def _average(self) -> None:
        """Move the averaged weights toward the student's."""
        decay = min(self.recipe.ema, self.step / (self.step + 20))
        with torch.no_grad():
            for name, value in self.student.state_dict().items():
                self.ema[name].lerp_(value, 1 - decay)


def share_gradients(run: Run, stopping: bool) -> bool:
    """Average gradients and the clock over all workers; whether one of them was asked to stop."""
    if run.recipe.workers == 1:
        return stopping
    facts = torch.tensor([run.minutes, float(stopping)], device=run.device)
    flat = torch.cat([p.grad.flatten() for p in run.parameters if p.grad is not None] + [facts])
    distributed.all_reduce(flat)
    flat /= run.recipe.workers
    at = 0
    for p in run.parameters:
        if p.grad is not None:
            p.grad.copy_(flat[at : at + p.numel()].view_as(p))
            at += p.numel()
    run.minutes = float(flat[-2])
    return float(flat[-1]) > 0


def losses(run: Run, b: Batch) -> dict[str, Tensor]:
    """The terms of the loss, weighted; their sum is minimised."""
    recipe, student = run.recipe, run.student
    with torch.autocast(run.device.type, torch.bfloat16, enabled=run.autocast):
        f0, f1 = student.encode(b.I0), student.encode(b.I1)
        estimates = student.estimates(f0, f1, b.t)
        result = student.finish(f0, f1, b.t, estimates[-1]).enlarged()
        better = None if run.teacher is None else run.teacher(b.I0, b.I1, b.I_t, result)
    sampling = student.limits.sampling
    blend = compose(b.I0, b.I1, Synthesis(result.F_t0, result.F_t1, result.M, None), sampling)
    flows = [flow_at_full_size(e, b.I0.shape[-2]) for e in estimates]
    flows.append(torch.cat((result.F_t0, result.F_t1), 1))
    terms = {"blend": relative(laplacian(blend, b.I_t)), "rms": relative(root_mean_square(blend, b.I_t))}
    if better is not None:
        taught = compose(b.I0, b.I1, better)
        terms["teacher"] = 0.5 * relative(laplacian(taught, b.I_t))
        terms["distil"] = recipe.distil * distillation(flows, b.I_t, blend.detach(), taught, better)
    if result.R is not None:
        terms["frame"] = relative(laplacian(blend + result.R, b.I_t))
    if known := len(b.flow):
        weight = recipe.flow[0] * (1 - min(1.0, run.progress)) ** 2 + recipe.flow[1]
        terms["flow"] = weight * known_flow([f[-known:] for f in flows], b.flow, b.valid)
    return terms


def _autocast(recipe: Recipe) -> bool:
    """Whether convolutions compute in bfloat16: if asked for, on CUDA, and on a CPU made for it."""
    if recipe.precision is Precision.AUTO and recipe.device.startswith("cuda"):
        return True
    return network_dtype(recipe.precision, recipe.device) is torch.bfloat16


def _names(told: str, names: list[str]) -> str:
    """`told` and some of `names`; "" without any."""
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"{told}: {', '.join(names[:_NAMED])}{more}" if names else ""


def recipe_of(checkpoint: Path) -> Recipe:
    """What a checkpoint was made by. Raises WeightsError."""
    try:
        return Recipe.from_json(read_checkpoint(checkpoint)["recipe"])
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise WeightsError(
            f"{checkpoint} was not made by this vfi's training: take its weights with --init, or import them"
        ) from error

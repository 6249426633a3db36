"""`vfi train`: weights from videos."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from interp_cli.cli import shared
from interp_cli.cli.grammar import DEVICE, Session, VfiCommand, option, together
from interp_cli.cli.weights import facts_of
from interp_cli.errors import OutputError, UsageError, WeightsError, printable
from interp_cli.options import Precision

if TYPE_CHECKING:
    from interp_cli.train.recipe import Recipe

_MOST_SIDE = 2048  # px, of a crop; crops are multiples of 32
_SEVERAL = ("--data", "--val", "--crops", "--gaps")
_DATA, _RESULT, _RECIPE, _WHERE = "What it learns from", "Result", "How it learns", "Where it runs"


class _Several(VfiCommand):
    """A command without arguments, whose options `_SEVERAL` take every word up to the next option."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As click does, after `--data a b` became `--data a --data b`."""
        return super().parse_args(ctx, list(_repeated(args)))


def _repeated(args: list[str]) -> Iterator[str]:
    name, first = "", False
    for word in args:
        if word.startswith("-"):
            name, first = (word if word in _SEVERAL else ""), True
        elif name:
            if not first:
                yield name
            first = False
        yield word


def _crop(text: str) -> tuple[int, int]:
    """ "192x7" as (192, 7)."""
    side, _, count = text.partition("x")
    if not (side.isdecimal() and count.isdecimal()) or int(side) % 32 or not 32 <= int(side) <= _MOST_SIDE:
        raise UsageError(f"{text!r} is not SIDExBATCH: give a side in px that 32 divides, and a number, such as 192x7")
    if not 1 <= int(count) <= 4096:
        raise UsageError(f"a batch of {count} cannot be meant: give a number from 1 to 4096, such as {side}x8")
    return int(side), int(count)


def _gap(text: str) -> tuple[int, float]:
    """ "4" as (4, 1.0), "4:0.2" as (4, 0.2)."""
    gap, _, often = text.partition(":")
    try:
        value = (int(gap), float(often or 1))
    except ValueError:
        value = (0, 0.0)
    if not 2 <= value[0] <= 32 or not 0 < value[1] <= 1e6:
        raise UsageError(f"{text!r} is not a gap: give frames from 2 to 32, and how often after a colon, such as 4:0.2")
    return value


_data_options = together(
    option(
        "--data", section=_DATA, multiple=True, type=click.Path(), metavar="PATH...",
        help="Videos, packed shots (.npy: frames, height, width, 3; RGB, 8 bits), and folders of either. They are cut "
        "where the picture cuts.",
    ),
    option(
        "--val", section=_DATA, multiple=True, type=click.Path(), metavar="PATH...",
        help="The same, never trained on: scored at the start, at checkpoints and at the end.",
    ),
    option(
        "--short-side", section=_DATA, type=click.IntRange(32), default=360, show_default=True, metavar="PX",
        help="Make larger videos smaller.",
    ),
    option(
        "--frames", section=_DATA, type=click.IntRange(0), default=90, show_default=True, metavar="N",
        help="Frames taken from the beginning of each video; 0: all. They stay in memory.",
    ),
    option(
        "--gaps", section=_DATA, multiple=True, metavar="N[:WEIGHT]...",
        help="Frames from the first to the last of a triplet, and how often; without weights all as often.  [default: "
        "2:0.76 3:0.06 4:0.12 6:0.03 8:0.03]",
    ),
    option(
        "--synthetic", section=_DATA, type=click.FloatRange(0, 1), default=0.5, show_default=True, metavar="SHARE",
        help="Share of each batch with made motion, which is known exactly.",
    ),
)  # fmt: skip

_result_options = together(
    option(
        "--out", section=_RESULT, type=click.Path(), metavar="FILE",
        help="The weights, NAME.safetensors. NAME.ckpt (checkpoint), NAME.jsonl (log) and NAME.md (card) stand beside "
        "them.  [default with --resume: beside the checkpoint]",
    ),
    option(
        "--minutes", section=_RESULT, type=click.FloatRange(0, min_open=True), metavar="M",
        help="End after so long, all parts of a resumed run together; reading the data does not count.",
    ),
    option(
        "--steps", section=_RESULT, type=click.IntRange(1), metavar="N",
        help="End after so many steps, in place of --minutes.",
    ),
    option(
        "--resume", section=_RESULT, type=click.Path(path_type=Path), metavar="CKPT",
        help="Go on from a checkpoint, with its options where none are given here.",
    ),
    option(
        "--init", section=_RESULT, metavar="NAME|FILE",
        help="Begin with the weights of another network or checkpoint, as far as they fit; the rest begins anew.",
    ),
    option("--licence", section=_RESULT, metavar="TEXT", default="unknown", show_default=True, help="Of the weights."),
    shared.overwrite_option,
)  # fmt: skip

_recipe_options = together(
    option(
        "--preset", section=_RECIPE, metavar="fast|base|deep", default="fast", show_default=True,
        help="Sizes of the network.",
    ),
    option(
        "--part", section=_RECIPE, type=click.Choice(["flow", "blend"]), default="flow", show_default=True,
        help="What learns; blend: how two warped frames become one, on what the flow of --init makes of the videos.",
    ),
    option(
        "--rate", section=_RECIPE, type=click.FloatRange(0, 1, min_open=True), default=1e-3, show_default=True,
        metavar="X",
        help="Highest learning rate, reached after 100 steps and then falling to a hundredth as half a cosine.",
    ),
    option(
        "--crops", section=_RECIPE, multiple=True, metavar="SIDExBATCH...",
        help="Side in px, a multiple of 32, and samples of a batch; several take turns.  [default: 128x16 192x7]",
    ),
    option(
        "--teacher/--no-teacher", section=_RECIPE, default=True, show_default=True,
        help="Distil from a teacher that sees the true frame.",
    ),
    option(
        "--flow", section=_RECIPE, nargs=2, type=click.FloatRange(0), default=(0.02, 0.0005), show_default=True,
        metavar="FIRST LAST", help="Weight of the known flow of made motion, from beginning to end.",
    ),
    option(
        "--seed", section=_RECIPE, type=click.IntRange(0), default=1, show_default=True, metavar="N",
        help="Of all chance.",
    ),
)  # fmt: skip

_where_options = together(
    option(
        "--device", section=_WHERE, type=DEVICE, default="auto", show_default=True, envvar="VFI_DEVICE",
        metavar="auto|cpu|cuda[:N]|mps", help="Where it runs.",
    ),
    option(
        "--precision", section=_WHERE, type=click.Choice(["auto", "fp32", "bf16"]), default="auto", show_default=True,
        help="Arithmetic of convolutions; auto: bf16 on CUDA and on a CPU made for it, else fp32.",
    ),
    option(
        "--workers", section=_WHERE, type=click.IntRange(1, 64), default=1, show_default=True, metavar="N",
        help="Processes of one thread each that share every batch: on a CPU as many as it has cores are fastest.",
    ),
)  # fmt: skip


@click.command(cls=_Several)
@_data_options
@_result_options
@_recipe_options
@_where_options
@shared.quiet_option
@shared.json_option
@shared.verbose_option
@click.pass_context
def train(ctx: click.Context, /, **values: Any) -> None:
    """Train weights on videos, for -m of the other commands.

    One of --minutes and --steps says when it ends. Ctrl-C ends it earlier: the checkpoint is written, and --resume goes
    on from there, on a CPU with the same numbers as a run without a break.

    \b
    Examples:
      vfi train --data clips/ --val held-out/ --out own.safetensors --preset fast --minutes 30
      vfi train --resume own.ckpt
      vfi train --resume own.ckpt --minutes 60 -y
      vfi train --data a.mp4 b.mp4 --out big.safetensors --preset base --part blend --init fast --steps 2000 --gaps 2 4
    """
    from interp_cli.train.loop import train as run
    from interp_cli.train.run import Beginning

    note = _silent if values["quiet"] else _note
    recipe = _recipe(ctx, note)
    _check_free(recipe, values["resume"], overwrite=values["overwrite"])
    if not recipe.val:
        note("no --val: nothing is held out, so there are no scores")
    begin = Beginning(init=values["init"], resume=values["resume"])
    session = ctx.ensure_object(Session)
    entry = run(recipe, begin, stop=session.stop, note=note)
    if values["as_json"]:
        click.echo(json.dumps({**facts_of(entry), "checkpoint": str(recipe.checkpoint), "card": str(recipe.card)}))
    elif not values["quiet"]:
        click.echo(f"{click.format_filename(entry.path)}: {entry.params} parameters, sha256 {entry.sha256}")


def _note(text: str) -> None:
    click.echo(f"vfi: {printable(text)}", err=True)


def _silent(_text: str) -> None:
    pass


def _recipe(ctx: click.Context, note: Any) -> Recipe:
    """What the options ask for, over what the checkpoint that is to go on was made with. Raises UsageError."""
    from interp_cli.job.network import choose_device
    from interp_cli.train.recipe import Recipe, changes
    from interp_cli.train.run import recipe_of

    given = _given(ctx)
    resume: Path | None = ctx.params["resume"]
    if resume is None:
        missing = [f"--{name}" for name in ("data", "out") if name not in given]
        if missing:
            raise UsageError(f"{' and '.join(missing)} must be given, unless --resume goes on from a checkpoint")
        given = {"device": "auto", **given}
        recipe = Recipe(**{**given, "device": choose_device(given["device"])})
    else:
        if ctx.params["init"] is not None:
            raise UsageError("--resume takes everything from its checkpoint: leave --init out")
        stored = recipe_of(resume)
        over = {"minutes": None, "steps": None} if given.keys() & {"minutes", "steps"} else {}
        recipe = replace(stored, **{"out": str(resume.with_suffix(".safetensors")), **over, **given})
        recipe = replace(recipe, device=choose_device(recipe.device))
        changed = [name for name in changes(stored, recipe) if name != "out"]
        if changed:
            note(f"other than before: {', '.join(name.replace('_', ' ') for name in changed)}")
    if (recipe.minutes is None) == (recipe.steps is None):
        raise UsageError("say when to end: with either --minutes or --steps")
    if Path(recipe.out).suffix != ".safetensors":
        raise UsageError(f"{recipe.out} is not the name of weights: give --out one that ends in .safetensors")
    if recipe.part == "blend" and resume is None and ctx.params["init"] is None:
        raise UsageError("--part blend learns on what a flow makes: name its weights with --init, such as --init fast")
    if recipe.workers > 1 and recipe.device != "cpu":
        raise UsageError(f"--workers are for a CPU: leave them out on {recipe.device}, or give --device cpu")
    return recipe


def _given(ctx: click.Context) -> dict[str, Any]:
    """The fields of the recipe that are no defaults."""
    names = {
        "data": "data", "val": "val", "short_side": "short_side", "frames": "frames", "gaps": "gaps",
        "synthetic": "synthetic_share", "out": "out", "minutes": "minutes", "steps": "steps", "licence": "licence",
        "preset": "preset", "part": "part", "rate": "rate", "crops": "crops", "teacher": "teacher", "flow": "flow",
        "seed": "seed", "device": "device", "precision": "precision", "workers": "workers",
    }  # fmt: skip
    given = {
        field: ctx.params[name]
        for name, field in names.items()
        if ctx.get_parameter_source(name) is not ParameterSource.DEFAULT
    }
    read: dict[str, Callable[[Any], Any]] = {
        "gaps": lambda words: tuple(map(_gap, words)), "crops": lambda words: tuple(map(_crop, words)),
        "precision": Precision,
    }  # fmt: skip
    return {**given, **{field: convert(given[field]) for field, convert in read.items() if field in given}}


def _check_free(recipe: Recipe, resume: Path | None, *, overwrite: bool) -> None:
    """Raises OutputError where the run would write over something."""
    from interp_cli.weights import entries_in

    folder = Path(recipe.out).parent
    try:
        entries_in(folder)
    except WeightsError as error:
        raise OutputError(f"{error}: the new weights are to be listed there") from error
    own = resume is not None and recipe.checkpoint.exists() and recipe.checkpoint.samefile(resume)
    places = [Path(recipe.out), recipe.card, *([] if own else [recipe.checkpoint])]
    taken = next((place for place in places if place.exists()), None)
    if taken is not None and not overwrite:
        more = f", or go on with --resume {recipe.checkpoint}" if recipe.checkpoint.exists() and not own else ""
        raise OutputError(f"{taken} exists: replace it with -y, give another --out{more}")

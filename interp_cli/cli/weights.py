"""`vfi weights`: what is installed, and whether it is whole, without torch; and bringing more in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from interp_cli.cli import shared
from interp_cli.cli.grammar import VfiCommand, VfiGroup, option
from interp_cli.errors import WeightsError

if TYPE_CHECKING:
    from interp_cli.weights import WeightsEntry


@click.group(cls=VfiGroup)
def weights() -> None:
    """List and verify the weights that are installed, and import more.

    \b
      vfi weights list
      vfi weights verify
      vfi weights import run.ckpt --name mine
    """


@weights.command("list", cls=VfiCommand)
@shared.json_option
@shared.verbose_option
def list_(as_json: bool) -> int:
    """List the weights that -m can name.

    \b
      vfi weights list
    """
    from interp_cli.weights import entries
    from interp_cli.weights import folders as weights_folders

    found = entries()
    if as_json:
        rows = [facts_of(entry) for entry in found]
        click.echo(json.dumps({"weights": rows, "folders": [str(folder) for folder in weights_folders()]}))
        return 0
    for entry in found:
        click.echo(
            f"{entry.name:12} {entry.params / 1e6:6.2f} M parameters  {entry.network}  {entry.licence}  {entry.path}"
        )
    if not found:
        raise WeightsError("no weights are installed: reinstall vfi, or set VFI_WEIGHTS to the folder that holds them")
    return 0


@weights.command("verify", cls=VfiCommand)
@click.argument("names", nargs=-1, metavar="[NAME|FILE]...")
@shared.json_option
@shared.verbose_option
def verify(names: tuple[str, ...], as_json: bool) -> int:
    """Check size, sha256, header and values of weights; of all of them if none is named.

    \b
      vfi weights verify
      vfi weights verify fast own.safetensors
    """
    from interp_cli.weights import entries, find
    from interp_cli.weights import verify as problems_of

    chosen = [find(name) for name in names] if names else list(entries())
    if not chosen:
        raise WeightsError("no weights are installed: reinstall vfi, or set VFI_WEIGHTS to the folder that holds them")
    problems = {entry.name: problems_of(entry) for entry in chosen}
    if as_json:
        click.echo(json.dumps({"weights": [{**facts_of(entry), "problems": problems[entry.name]} for entry in chosen]}))
    else:
        for entry in chosen:
            if not problems[entry.name]:
                click.echo(f"{entry.name:12} good  sha256 {entry.sha256}")
    wrong = [problem for found in problems.values() for problem in found]
    if wrong:
        raise WeightsError(f"{'; '.join(wrong)}: reinstall vfi, or choose others with -m")
    return 0


@weights.command("import", cls=VfiCommand)
@click.argument("checkpoint", type=click.Path(), metavar="CHECKPOINT")
@option("--name", metavar="NAME", help="What -m will call them.  [default: the file's name]")
@option(
    "--out",
    type=click.Path(),
    metavar="FOLDER",
    help="Where they go.  [default: VFI_WEIGHTS, then vfi/weights in $XDG_DATA_HOME or ~/.local/share]",
)
@option("--licence", metavar="TEXT", help="Under which licence.  [default: what a .safetensors file says, or unknown]")
@option("--origin", metavar="TEXT", help="Where they are from.  [default: what a .safetensors file says, or its name]")
@shared.overwrite_option
@shared.json_option
@shared.verbose_option
def import_(
    checkpoint: str, name: str | None, out: str | None, licence: str | None, origin: str | None,
    overwrite: bool, as_json: bool,
) -> int:  # fmt: skip
    """Make a checkpoint of vfi's own training, or a .safetensors file of vfi, weights that -m can name.

    They must fit the network exactly. No code that a file may hold is run.

    \b
      vfi weights import run.ckpt --name mine --licence MIT
      vfi weights import mine.safetensors --out weights/ -y
    """
    from interp_cli.checkpoints import bring_in

    folder = None if out is None else Path(out)
    entry = bring_in(Path(checkpoint), name=name, folder=folder, licence=licence, origin=origin, overwrite=overwrite)
    if as_json:
        click.echo(json.dumps(facts_of(entry)))
    else:
        click.echo(f"{entry.name:12} {entry.params / 1e6:6.2f} M parameters  sha256 {entry.sha256}  {entry.path}")
    return 0


def facts_of(entry: WeightsEntry) -> dict[str, Any]:
    """What --json says of weights."""
    return {
        "name": entry.name,
        "path": str(entry.path),
        "sha256": entry.sha256,
        "bytes": entry.bytes,
        "network": entry.network,
        "params": entry.params,
        "licence": entry.licence,
        "origin": entry.origin,
        "scores": entry.scores,
    }

"""`vfi weights`: what is installed, and whether it is whole. torch is not needed."""

from __future__ import annotations

import json
from typing import Any

import click

from interp_cli.cli import shared
from interp_cli.cli.grammar import VfiCommand, VfiGroup
from interp_cli.errors import WeightsError


@click.group(cls=VfiGroup)
def weights() -> None:
    """List and verify the weights that are installed.

    \b
      vfi weights list
      vfi weights verify
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
        rows = [_facts(entry) for entry in found]
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
        click.echo(json.dumps({"weights": [{**_facts(entry), "problems": problems[entry.name]} for entry in chosen]}))
    else:
        for entry in chosen:
            if not problems[entry.name]:
                click.echo(f"{entry.name:12} good  sha256 {entry.sha256}")
    wrong = [problem for found in problems.values() for problem in found]
    if wrong:
        raise WeightsError(f"{'; '.join(wrong)}: reinstall vfi, or choose others with -m")
    return 0


def _facts(entry: Any) -> dict[str, Any]:
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

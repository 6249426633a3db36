"""`vfi completion`: the script that teaches a shell to complete vfi's command line."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from interp_cli.cli.grammar import VfiCommand


@click.command(cls=VfiCommand)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> int:
    """Print a completion script for your shell.

    \b
      vfi completion bash >> ~/.bashrc
      vfi completion zsh >> ~/.zshrc
      vfi completion fish > ~/.config/fish/completions/vfi.fish
    """
    kind = get_completion_class(shell)
    if kind is None:
        raise click.UsageError(f"there is no completion for {shell}", ctx)
    click.echo(kind(ctx.find_root().command, {}, "vfi", "_VFI_COMPLETE").source())
    return 0

"""Write docs/cli.md from the help texts of the commands themselves. Run it after every change of options.

python docs/make_cli_reference.py           # writes docs/cli.md
python docs/make_cli_reference.py --check   # exit code 1 when docs/cli.md is not current
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

import interp_cli.cli

PLACE = Path(__file__).with_name("cli.md")
WIDTH = 100  # characters

HEAD = """# Command reference

Written by `python docs/make_cli_reference.py` from `vfi --help` and the help of every command; do not edit by hand.
What the exit codes mean stands in the [README](../README.md#exit-codes).
"""


def the_group() -> click.Group:
    """The top-level group of interp_cli.cli."""
    found = {id(item): item for item in vars(interp_cli.cli).values() if isinstance(item, click.Group)}
    (group,) = [item for item in found.values() if item.name == "vfi"]
    return group


def commands(command: click.Command, parent: click.Context | None = None) -> Iterator[tuple[str, str]]:
    """(path, help text) of `command` and everything below it, such as ("vfi weights list", "Usage: ...")."""
    own: dict[str, Any] = {**command.context_settings, "terminal_width": WIDTH, "max_content_width": WIDTH}
    context = click.Context(command, parent=parent, info_name=command.name, color=False, **own)
    yield context.command_path, click.unstyle(context.get_help()).rstrip()
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            if below is not None and not below.hidden:
                yield from commands(below, context)


def reference() -> str:
    """The whole document."""
    parts = [f"## {path}\n\n```text\n{text}\n```\n" for path, text in commands(the_group())]
    return "\n".join([HEAD, *parts])


def main() -> None:
    """Write the document, or check it."""
    if "--check" in sys.argv[1:]:
        current = PLACE.is_file() and PLACE.read_text(encoding="utf-8") == reference()
        sys.exit(0 if current else f"{PLACE} is not current: run python docs/make_cli_reference.py")
    PLACE.write_text(reference(), encoding="utf-8")


if __name__ == "__main__":
    main()

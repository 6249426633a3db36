"""`-` as input and output of a command: stored files in their place, whose names no message shows."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from interp_cli.cli.grammar import Session
from interp_cli.errors import UsageError, VfiError


@dataclass(slots=True, kw_only=True)
class Piped:
    """The inputs and the output of a command, with files in place of `-`."""

    inputs: tuple[str, ...]
    output: str | None
    temporary: bool = False  # whether one of them is a pipe
    send: Callable[[], None] = lambda: None  # the finished result to standard output
    names: dict[str, str] = field(default_factory=dict)  # of the stored files, and what they stand for

    def shown(self, text: str) -> str:
        """`text` for people."""
        for path, name in self.names.items():
            text = text.replace(json.dumps(path)[1:-1], name).replace(path, name)
        return text


@contextmanager
def piped(session: Session, inputs: tuple[str, ...], values: dict[str, Any]) -> Iterator[Piped]:
    """The files to work with, as long as the block lasts. Raises UsageError for what cannot be piped together."""
    output, format, dry_run = values["output"], values["format"], values["dry_run"]
    if "-" not in inputs and output != "-":
        yield Piped(inputs=inputs, output=output)
        return
    _check(inputs, output, values)
    from interp_cli.job import pipes
    from interp_cli.job.output import check_output, container_of, is_folder

    beside = None
    if output != "-" and not is_folder(output):
        check_output(output, inputs=inputs, overwrite=values["overwrite"], fresh=values["fresh"])
        container_of(output, format)
        beside = Path(output).parent
    elif output == "-":
        container_of("stdout", format)
    own = Piped(inputs=inputs, output=output, temporary=True)
    with ExitStack() as stack:
        if output == "-" and not dry_run:
            descriptor = stack.enter_context(pipes.video_stdout())
        folder = stack.enter_context(pipes.spool_folder(session.stop, beside if beside and beside.is_dir() else None))
        if session.verbosity:
            click.echo(f"vfi: what is piped is stored in {folder}; there is nothing to resume afterwards", err=True)
        if output == "-":
            finished = folder / "stdout"
            own.output, own.names[str(finished)] = str(finished), pipes.STDOUT
            own.send = (lambda: None) if dry_run else lambda: pipes.send(finished, descriptor)
        if inputs == ("-",):
            stored = pipes.store_stdin(folder)
            own.inputs, own.names[str(stored)] = (str(stored),), pipes.STDIN
        try:
            yield own
        except VfiError as error:
            error.args = (own.shown(str(error)), *error.args[1:])
            raise


def _check(inputs: tuple[str, ...], output: str | None, values: dict[str, Any]) -> None:
    if "-" in inputs and len(inputs) > 1:
        raise UsageError("standard input can only be read by itself: give - as the only input")
    if output is None:
        raise UsageError("a result of standard input has no name of its own: give one with -o, or -o - with -f nut")
    if output != "-":
        return
    if len(inputs) > 1:
        raise UsageError(
            f"{len(inputs)} inputs cannot all go to standard output: give a folder with -o, such as -o new/"
        )
    if values["format"] is None:
        raise UsageError("standard output needs a format: add -f nut, -f matroska or -f yuv4mpegpipe")
    if values["as_json"] and not values["dry_run"]:
        raise UsageError("standard output is where the video goes, so it cannot take --json: leave one of them out")

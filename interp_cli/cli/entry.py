"""The top: the group `vfi`, every outcome as an exit code and a sentence, and signals."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType
from typing import NoReturn

import click

import interp_cli
from interp_cli.cli import settings
from interp_cli.cli.bench_command import bench_command
from interp_cli.cli.completion import completion
from interp_cli.cli.convert import resume, slowmo, upsample
from interp_cli.cli.eval_command import eval_command
from interp_cli.cli.frames import frames
from interp_cli.cli.grammar import Session, VfiGroup
from interp_cli.cli.look import doctor, probe
from interp_cli.cli.train import train
from interp_cli.cli.weights import weights
from interp_cli.errors import (
    DownstreamClosed,
    ExitCode,
    FfmpegError,
    InterruptedBySignal,
    StoppedError,
    VfiError,
    printable,
)
from interp_cli.job.stop import leave

_SHOWN_LINES = 5  # of a failed ffmpeg

_EPILOG = """\b
Exit codes:
  0    done
  1    a bug in vfi, or a result that is not as planned: please report it
  2    usage: an option, or a combination of options, that cannot be meant
  3    the input is missing, unreadable or unsupported
  4    the output exists, is not writable, or is the input itself
  5    ffmpeg or an optional package is missing or too old
  6    weights missing, corrupt or of another network
  7    ffmpeg failed; its last lines are shown
  8    no such device, or too little memory even for one frame in tiles
  9    stopped part-way, for example by a full disk; the same command goes on
  129  the terminal was closed (SIGHUP)
  130  interrupted with Ctrl-C
  141  the reader of standard output went away
  143  ended by SIGTERM

\b
Every option has an environment variable, such as VFI_UPSAMPLE_CRF for
vfi upsample --crf; VFI_DEVICE, VFI_FFMPEG and VFI_WEIGHTS hold for all
commands. A config file may set options too: see --config of a command.
"""


@click.group(
    "vfi",
    cls=VfiGroup,
    epilog=_EPILOG,
    context_settings={"auto_envvar_prefix": "VFI", "max_content_width": 100},
)
@click.version_option(
    interp_cli.__version__, prog_name="vfi", message="%(prog)s %(version)s", help="Show the version and exit."
)
def vfi() -> None:
    """Raise the frame rate of videos, or slow them down, by making the frames between theirs.

    \b
      vfi upsample clip.mp4 --fps 60
      vfi slowmo clip.mp4 --factor 8
      vfi frames a.png b.png -n 7 -o between/
    """


for _command in (
    upsample,
    slowmo,
    resume,
    frames,
    probe,
    eval_command,
    bench_command,
    train,
    doctor,
    weights,
    completion,
):
    vfi.add_command(_command)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and leave with its exit code."""
    quieten_threads()
    if sys.stderr is None:  # closed with 2>&-: work on without a word
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123 - for the life of the process
    session = Session()
    with _signals(session):
        code = run(arguments, session)
    if session.stop.signum is not None or "torch" in sys.modules:
        _leave_at_once(code)
    sys.exit(code)


def _leave_at_once(code: int) -> NoReturn:
    """End the process without taking it apart, for all that has to be closed or removed has been.

    Python would take torch apart for half a second. Where an import of torch was interrupted, it would remember that
    and end as if by SIGINT, whatever we say; where one goes on in a thread, it would wait for it.
    """
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):
            stream.flush()
    leave(code)


def run(arguments: Sequence[str] | None, session: Session) -> int:
    """The exit code of one command line; what went wrong has been told on stderr."""
    try:
        value = vfi.main(
            args=None if arguments is None else list(arguments),
            prog_name="vfi",
            standalone_mode=False,
            obj=session,
            color=settings.wants_color(),
        )
    except Exception as error:
        if isinstance(error, DownstreamClosed | StoppedError):
            _forget_stdout()
        return tell(_as_ours(error, session), session)
    return value if isinstance(value, int) else 0


def _as_ours(error: Exception, session: Session) -> Exception:
    """Foreign exceptions that are no bugs, as ours."""
    if isinstance(error, click.Abort):
        return InterruptedBySignal(session.stop.signum or signal.SIGINT)
    return error


def tell(error: Exception, session: Session) -> int:
    """Say on stderr what `error` is about, as one sentence if it is no bug; the exit code."""
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        error.show()
        return int(ExitCode.USAGE)
    if isinstance(error, click.ClickException):
        _say(_usage_sentence(error))
        return int(ExitCode.USAGE)
    known = isinstance(error, VfiError) and error.exit_code is not ExitCode.BUG
    if not isinstance(error, DownstreamClosed):
        _say(str(error) if isinstance(error, VfiError) else f"this is a bug ({type(error).__name__}: {error})")
    if isinstance(error, FfmpegError) and len(error.last_lines) > 1:
        for line in error.last_lines[-_SHOWN_LINES:]:
            click.echo(f"  ffmpeg: {printable(line)}", err=True)
    if session.verbosity or not known:
        import traceback

        click.echo("".join(traceback.format_exception(error)).rstrip(), err=True)
    if not known:
        _say("please report this, with the command line and the output of `vfi doctor`")
    return int(error.exit_code) if isinstance(error, VfiError) else int(ExitCode.BUG)


def _usage_sentence(error: click.ClickException) -> str:
    text = " ".join(error.format_message().split()).rstrip(".")
    where = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx is not None else "vfi"
    ending = "" if text.endswith("?") else ";"
    return f"{text[:1].lower()}{text[1:]}{ending} see {where} --help"


def _say(text: str) -> None:
    color = settings.wants_color()
    with suppress(OSError):
        click.echo(f"{click.style('vfi:', fg='red', bold=True)} {printable(text)}", err=True, color=color)


def _forget_stdout() -> None:
    """What is still in stdout's buffer has no reader: Python must not try again, and complain, when it exits."""
    with suppress(OSError, ValueError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def quieten_threads() -> None:
    """Before torch and numpy load: threads that spin while they wait starve ffmpeg, and each other in containers.

    Those of numpy's OpenBLAS spin for 0.2 s when they are begun, and vfi gives them nothing to do.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("GOMP_SPINCOUNT", "0")
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


@contextmanager
def _signals(session: Session) -> Iterator[None]:
    """SIGINT, SIGTERM and SIGHUP (a closed terminal; Windows: SIGBREAK) ask the session to stop."""

    def handle(signum: int, _frame: FrameType | None) -> None:
        session.stop.request(int(signal.SIGINT) if signum == getattr(signal, "SIGBREAK", None) else signum)

    numbers = [signal.SIGINT, signal.SIGTERM]
    if sys.platform == "win32":
        numbers.append(signal.SIGBREAK)
    elif signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup asks to be left alone
        numbers.append(signal.SIGHUP)
    before = {number: signal.signal(number, handle) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

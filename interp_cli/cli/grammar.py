"""How commands are written: options in sections, values that explain themselves, and a session that commands share."""

from __future__ import annotations

import errno
import re
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from fractions import Fraction
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from interp_cli.cli import settings
from interp_cli.errors import DownstreamClosed, InterruptedBySignal, StoppedError, UsageError
from interp_cli.job.stop import Stop
from interp_cli.media.choice import parse_spec
from interp_cli.options import MOST_THREADS, Codec, check_device_name
from interp_cli.timeline import parse_rate, parse_time

Decorated = TypeVar("Decorated", bound=Callable[..., Any])


@dataclass(slots=True)
class Session:
    """What holds for one call of vfi."""

    stop: Stop = field(default_factory=Stop)
    verbosity: int = 0


class Option(click.Option):
    """An option that stands in a section of the help text."""

    def __init__(self, *args: Any, section: str = "Options", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.section = section


def together(*decorators: Any) -> Callable[[Decorated], Decorated]:
    """Several decorators as one; the first comes first in help."""

    def decorate(function: Decorated) -> Decorated:
        for decorator in reversed(decorators):
            function = decorator(function)
        return function

    return decorate


def option(*names: str, section: str = "Options", **attributes: Any) -> Callable[[Decorated], Decorated]:
    """click.option, in `section`."""
    return click.option(*names, cls=Option, section=section, **attributes)


def one_of(ctx: click.Context, *names: str) -> list[Any]:
    """The values of options that exclude one another, without those that a stronger source overrules.

    What was typed overrules the environment, and that the config file.
    """
    order = [ParameterSource.COMMANDLINE, ParameterSource.ENVIRONMENT, ParameterSource.DEFAULT_MAP]
    given = {name: ctx.get_parameter_source(name) for name in names if ctx.params[name] is not None}
    strongest = next((source for source in order if source in given.values()), None)
    return [ctx.params[name] if given.get(name) is strongest and name in given else None for name in names]


@contextmanager
def _meaning_kept(ctx: click.Context | None = None) -> Iterator[None]:
    """KeyboardInterrupt (which our signal handlers raise too) and closed pipes as errors of ours.

    click.Command.main turns the one into Abort and the other into exit code 1.
    """
    try:
        yield
    except KeyboardInterrupt as error:
        session = None if ctx is None else ctx.find_object(Session)
        raise InterruptedBySignal((session and session.stop.signum) or signal.SIGINT) from error
    except BrokenPipeError as error:
        raise DownstreamClosed("the reader of standard output went away") from error
    except OSError as error:
        if error.errno == errno.ENOSPC and error.filename is None:
            raise StoppedError("nothing more can be written: the disk is full") from error
        raise


class _Interruptible(click.Command):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        # for each command, not only the top: click keeps the help option that was made for the first context it saw
        kwargs["context_settings"] = {"help_option_names": ["-h", "--help"], **kwargs.get("context_settings", {})}
        super().__init__(*args, **kwargs)

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """As click does, which may print help or the version here."""
        with _meaning_kept(parent):
            return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        """As click does."""
        with _meaning_kept(ctx):
            return super().invoke(ctx)


class VfiCommand(_Interruptible):
    """A command whose help shows its options in sections, and that reads the config file."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params.append(settings.config_option())

    def invoke(self, ctx: click.Context) -> Any:
        """Say where values come from if asked to, then run."""
        session = ctx.ensure_object(Session)
        if session.verbosity:
            settings.start_log(session.verbosity)
            for line in settings.origins(ctx):
                click.echo(f"vfi: {line}", err=True)
        return super().invoke(ctx)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Sections in the order in which they first appear; what has no section comes last."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx) if isinstance(param, click.Option) else None
            if record is not None:
                sections.setdefault(getattr(param, "section", "Options"), []).append(record)
        sections["Options"] = sections.pop("Options", [])
        for name, records in sections.items():
            if records:
                with formatter.section(name):
                    formatter.write_dl(records)


class VfiGroup(_Interruptible, click.Group):
    """The group `vfi`, or one below it."""


def verbosity(ctx: click.Context, _param: click.Parameter, value: int) -> None:
    """Callback of -v."""
    ctx.ensure_object(Session).verbosity = value


class _Value(click.ParamType[Any]):
    """A value that a function of ours reads; its UsageError becomes click's, which names the option."""

    def __init__(self, name: str, read: Callable[[str], Any]) -> None:
        self.name, self._read = name, read

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The value; a value that was read already is passed on."""
        if not isinstance(value, str | int | float) or isinstance(value, bool):
            return value
        try:
            return self._read(str(value))
        except UsageError as error:
            self.fail(str(error), param, ctx)


def _rate(text: str) -> str:
    if text.strip().lower().endswith(("x", "×")):  # whether the product is a usable rate shows when the source is known
        _factor(text.strip()[:-1])
    else:
        parse_rate(text, Fraction(30))
    return text


def _plain_rate(text: str) -> Fraction:
    if text.strip().lower().endswith(("x", "×")):
        raise UsageError(f"{text!r} is a factor, and pictures have no rate to multiply: give a rate, such as 24")
    return parse_rate(text, Fraction(30)).value


def _fraction(text: str) -> Fraction:
    if len(text) > 40 or "e" in text.lower():  # 1e999999999 would be worked out, digit by digit
        raise ValueError(text)
    return Fraction(text)


def _factor(text: str) -> Fraction:
    try:
        value = _fraction(text)
    except (ValueError, ZeroDivisionError):
        raise UsageError(f"{text!r} is not a factor: give a number above 0, such as 2") from None
    if value <= 0:
        raise UsageError(f"a factor of {text} cannot be meant: give a number above 0, such as 2")
    return value


def _pixels(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,12}", text) or int(text) < 1:
        raise UsageError(f"{text!r} is not a number of pixels: give one from 1 to 999999999999, such as 67108864")
    return int(text)


def _length(text: str) -> Fraction:
    value = parse_time(text)
    if value <= 0:
        raise UsageError(
            f"a longest duration of {text} would refuse every input: give a time above 0, such as 48:00:00"
        )
    return value


def _sizes(text: str) -> tuple[int, ...]:
    lines = [word.strip().lower().removesuffix("p") for word in text.split(",")]
    if not all(re.fullmatch(r"[0-9]{2,4}", word) and int(word) >= 32 and int(word) % 2 == 0 for word in lines):
        raise UsageError(f"{text!r} is no list of sizes: give even numbers of lines from 32, such as 480p,720p,1080p")
    return tuple(map(int, lines))


def _between(text: str) -> Fraction:
    try:
        value = _fraction(text)
    except (ValueError, ZeroDivisionError):
        value = Fraction(0)
    if not 0 < value < 1:
        raise UsageError(f"{text} is not between the two pictures: give a time between 0 and 1, such as 0.5 or 1/3")
    return value


def _batch(text: str) -> int | None:
    if text == "auto":
        return None
    if not text.isdecimal() or int(text) < 1:
        raise UsageError(f"{text!r} is not a batch size: give auto or a number from 1")
    return int(text)


def _threads(text: str) -> int | None:
    if text == "auto":
        return None
    if not text.isdecimal() or not 1 <= int(text) <= MOST_THREADS:
        raise UsageError(f"{text!r} is not a number of threads: give auto or a number from 1 to {MOST_THREADS}")
    return int(text)


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    key = key.strip().lstrip("-")
    if not (key and equals):
        raise UsageError(f"{text!r} is not KEY=VALUE: write for example tune=grain")
    return key, value


def _spec(text: str) -> str:
    return parse_spec(text).text


RATE = _Value("rate", _rate)
PLAIN_RATE = _Value("rate", _plain_rate)
FACTOR = _Value("factor", _factor)
TIME = _Value("time", parse_time)
LENGTH = _Value("time", _length)
PIXELS = _Value("pixels", _pixels)
SIZES = _Value("sizes", _sizes)
BETWEEN = _Value("time", _between)
BATCH = _Value("auto|n", _batch)
THREADS = _Value("auto|n", _threads)
DEVICE = _Value("device", check_device_name)
SPEC = _Value("spec", _spec)
PAIR = _Value("key=value", _pair)


def _codec(text: str) -> str:
    name = _CODEC_ALIASES.get(text.lower(), text.lower())
    if name not in list(Codec):
        raise UsageError(f"{text!r} is not one of {', '.join(Codec)}")
    return name


_CODEC_ALIASES = {"x264": "h264", "libx264": "h264", "avc": "h264", "x265": "hevc", "libx265": "hevc", "h265": "hevc"}
CODEC = _Value("codec", _codec)


def choice(values: type[StrEnum]) -> click.Choice[str]:
    """One of the words of an enum."""
    return click.Choice([member.value for member in values])

"""What stands behind a command line: environment, config file, and where each value came from.

flag > environment (VFI_UPSAMPLE_CRF, and VFI_DEVICE, VFI_FFMPEG, VFI_WEIGHTS) > config file > default
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from interp_cli.errors import printable


def wants_color() -> bool | None:
    """Whether output is coloured: NO_COLOR and TERM=dumb say no, FORCE_COLOR yes, None leaves it to the terminal."""
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return False if os.environ.get("TERM") == "dumb" else None


def config_option() -> click.Option:
    """--config, which every command has."""
    return click.Option(
        ["--config"],
        type=click.Path(dir_okay=False),
        is_eager=True,
        expose_value=False,
        callback=_read_config,
        envvar="VFI_CONFIG",
        help="Settings to start from.  [default: vfi/config.toml in $XDG_CONFIG_HOME or ~/.config]",
    )


def _read_config(ctx: click.Context, _param: click.Parameter, value: str | None) -> None:
    place = Path(value) if value else _usual_place()
    if place is None or ctx.resilient_parsing:
        return
    import tomllib

    try:
        with place.open("rb") as file:
            content = tomllib.load(file)
    except OSError as error:
        raise click.UsageError(f"the config file {place} cannot be read: {error.strerror}", ctx) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise click.UsageError(f"the config file {place} is not TOML: {error}", ctx) from error
    ctx.default_map = _defaults(ctx, content, place)
    ctx.meta["interp_cli.config"] = str(place)


def _usual_place() -> Path | None:
    root = os.environ.get("XDG_CONFIG_HOME")
    place = (Path(root) if root else Path("~/.config").expanduser()) / "vfi" / "config.toml"
    return place if place.is_file() else None


def _defaults(ctx: click.Context, content: dict[str, Any], place: Path) -> dict[str, Any]:
    """What the file says for the command of `ctx`: keys at the top for all commands, then the command's own table.

    A key at the top may be an option of another command; a table's key, and any key of none, must be known.
    """
    path = ctx.command_path.split()[1:]
    own = _names(ctx.command)
    everyones = _all_names(ctx.find_root().command)
    found: dict[str, Any] = {}
    for key, value in content.items():
        if isinstance(value, dict):
            continue
        name = key.replace("-", "_")
        if name in own:
            found[own[name]] = value
        elif name not in everyones:
            raise click.UsageError(_unknown(key, everyones, place), ctx)
    table: Any = content
    for step in path:
        table = table.get(step, {}) if isinstance(table, dict) else {}
    for key, value in table.items() if table is not content and isinstance(table, dict) else ():
        if (name := key.replace("-", "_")) not in own:
            raise click.UsageError(_unknown(key, own, place), ctx)
        found[own[name]] = value
    return found


def _unknown(key: str, known: dict[str, str], place: Path) -> str:
    close = get_close_matches(key.replace("-", "_"), known, n=1)
    hint = f"; did you mean {close[0].replace('_', '-')}?" if close else ""
    return f"the config file {place} sets {key}, which is no option{hint}"


def _names(command: click.Command) -> dict[str, str]:
    """Long option names without dashes, "pix_fmt", to parameter names; those of the command line alone left out."""
    found = {}
    for param in command.params:
        if isinstance(param, click.Option) and param.name and param.expose_value and not param.is_eager:
            names = [text for text in param.opts if text.startswith("--")]
            found.update({text[2:].replace("-", "_"): param.name for text in names})
    return found


def _all_names(command: click.Command) -> dict[str, str]:
    found = _names(command)
    if isinstance(command, click.Group):
        for below in command.commands.values():
            found.update(_all_names(below))
    return found


def origins(ctx: click.Context) -> Iterator[str]:
    """For every value that is not a default: what it is and where it came from."""
    for param in ctx.command.params:
        source = ctx.get_parameter_source(param.name or "")
        if source in (None, ParameterSource.DEFAULT) or not isinstance(param, click.Option) or not param.expose_value:
            continue
        name = max(param.opts, key=len)
        if source is ParameterSource.ENVIRONMENT:
            where = f"environment variable {_variable(param, ctx)}"
        elif source is ParameterSource.DEFAULT_MAP:
            where = f"config file {ctx.meta['interp_cli.config']}"
        else:
            where = "command line"
        yield f"{name} = {_shown(ctx.params[param.name or ''])} (from {where})"
    if folder := os.environ.get("VFI_WEIGHTS"):
        yield f"weights are looked for in {folder} (from environment variable VFI_WEIGHTS)"


def _variable(param: click.Option, ctx: click.Context) -> str:
    named = [param.envvar] if isinstance(param.envvar, str) else list(param.envvar or ())
    auto = f"{ctx.auto_envvar_prefix}_{(param.name or '').upper()}"
    return next((name for name in (*named, auto) if os.environ.get(name)), auto)


def _shown(value: Any) -> str:
    return ", ".join(map(_shown, value)) if isinstance(value, tuple | list) else str(value)


def start_log(verbosity: int) -> None:
    """From now on show ffmpeg's command lines on stderr (-v), and what ffmpeg itself says (-vv)."""
    from interp_cli.media.children import log_children

    def show(prefix: str) -> Callable[[str], None]:
        return lambda line: print(f"{prefix}: {printable(line)}", file=sys.stderr, flush=True)

    log_children(commands=show("vfi: runs"), lines=show("ffmpeg") if verbosity > 1 else None)

"""What decides the frames of a job, as text that can be compared; and the job itself as JSON, for `vfi resume`."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, fields, is_dataclass
from enum import StrEnum
from fractions import Fraction
from importlib.metadata import version
from types import NoneType, UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

import interp_cli
from interp_cli.errors import InputError, OutputError
from interp_cli.job.identity import Identity
from interp_cli.job.network import processors
from interp_cli.job.prepare import Job, Prepared
from interp_cli.media.fields import deinterlacer

_ELSEWHERE = {
    "input",
    "output",
    "overwrite",
    "protected",
    "fresh",
    "verify",
    "limits",
    "hwaccel",
    "ffmpeg",
    "scenes_in",  # its cuts are in the key, whatever its name
    "scenes_out",
    "format",
    "temporary",
}  # no byte depends on it

Kind = TypeVar("Kind")


def key_of(work: Prepared, *, device: str) -> dict[str, str]:
    """Everything that decides the bytes of the result: options, input, plan, weights, encoder and versions.

    `device` says where and in what arithmetic the network runs.
    """
    options = {k: v for k, v in stored(work.job).items() if k not in _ELSEWHERE}
    options["engine"] = {k: v for k, v in options["engine"].items() if k != "threads"}
    video, bounds = work.info.video, [[s.targets.start, s.first_source, s.last_source] for s in work.plan.segments]
    return {
        **dict(_flat(options)),
        "input size": f"{work.identity.size} bytes",
        "input time": f"{work.identity.mtime_ns} ns",
        "input content": work.identity.ends_sha256,
        "rate": str(work.plan.rate),
        "frames": str(work.plan.frames),
        "times": _digest([str(work.part.time_base), *map(str, work.part.pts), str(work.part.end_pts)]),
        "segments": _digest(bounds),
        "cuts": "looked for" if work.cuts is None else f"{len(work.cuts)} given, {_digest(sorted(work.cuts))}",
        "weights": work.weights.sha256,
        "encoder": json.dumps(
            work.encoding.output_options(width=video.width, height=video.height, sar=video.sar), sort_keys=True
        ),
        **({"encoder's header": work.encoding.header} if work.encoding.header else {}),
        "deinterlacer": deinterlacer(video) if work.fields else "none",
        "container": work.container,
        "last step": "" if work.rendering is None else json.dumps(asdict(work.rendering), sort_keys=True, default=str),
        "streams": json.dumps([asdict(fate) for fate in work.fates], default=str),
        "device": device,
        "processor cores": str(processors()),  # x264 splits its work by them, and other parts are other bytes
        "torch version": version("torch"),
        "ffmpeg version": work.ffmpeg.version_text,
        "vfi version": interp_cli.__version__,
    }


def check_unchanged(work: Prepared) -> None:
    """Raises InputError when the input is no longer the file that was prepared for."""
    try:
        now = Identity.of(work.info.path, content=False)
    except OSError as error:
        raise InputError(f"{work.job.input} went away while vfi was reading it ({error.strerror})") from error
    if (now.size, now.mtime_ns, now.listing) != (work.identity.size, work.identity.mtime_ns, work.identity.listing):
        raise InputError(f"{work.job.input} was changed while vfi was reading it: wait until it is complete")


def stored(job: Job) -> dict[str, Any]:
    """`job` as plain values, with the full names of its files."""
    values: dict[str, Any] = json.loads(json.dumps(asdict(job), default=str))
    names = {name: values[name] for name in ("input", "scenes_in", "scenes_out") if values[name] is not None}
    full = {name: os.path.abspath(path) for name, path in names.items()}  # noqa: PTH100
    return {**values, **full, "protected": [], "fresh": False}


def restored(values: Mapping[str, Any]) -> Job:
    """The inverse of `stored`. Raises OutputError for values of another version of vfi."""
    try:
        return _restored(Job, values)
    except (KeyError, TypeError, ValueError) as error:
        raise OutputError(f"this job was begun by another version of vfi ({error}): start it anew") from error


def _restored(kind: type[Kind], values: Mapping[str, Any]) -> Kind:
    hints = get_type_hints(kind)
    known = {f.name for f in fields(kind)}  # type: ignore[arg-type]
    return kind(**{name: _value(hints[name], value) for name, value in values.items() if name in known})


def _value(kind: Any, value: Any) -> Any:
    if get_origin(kind) is UnionType:
        return None if value is None else _value(next(k for k in get_args(kind) if k is not NoneType), value)
    if is_dataclass(kind) and isinstance(kind, type):
        return _restored(kind, value)
    if get_origin(kind) is tuple:
        inner = get_args(kind)
        kinds = [inner[0]] * len(value) if inner[1:] == (...,) else inner
        return tuple(_value(k, v) for k, v in zip(kinds, value, strict=True))
    return kind(value) if kind is Fraction or (isinstance(kind, type) and issubclass(kind, StrEnum)) else value


def _flat(values: Mapping[str, Any], before: str = "") -> list[tuple[str, str]]:
    """Names with spaces, as people say them: {"encode": {"crf": 16}} is ("encode crf", "16")."""
    flat: list[tuple[str, str]] = []
    for name, value in values.items():
        said = f"{before}{name.replace('_', ' ')}"
        flat += _flat(value, f"{said} ") if isinstance(value, dict) else [(said, str(value))]
    return flat


def _digest(values: list[Any]) -> str:
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()

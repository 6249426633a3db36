"""docs/formats.md, written from what tests proved."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

_HEAD = """# What was proved of every kind of video

Written by `pytest tests/formats -n 0 -m "slow or not slow" --formats docs/formats.md`, one row per case. A row stands
here only if its test passed. The oracle is what the result was held against; it is never vfi itself. Rows without a
version hold for every ffmpeg that was tried ({programs}).
"""


@dataclass(frozen=True, slots=True, order=True)
class Row:
    """One case that a test proved."""

    group: str  # a heading: "Rates", "Colour", ...
    case: str
    oracle: str
    result: str
    program: str  # version of the ffmpeg, "" if none took part


def table(rows: Iterable[Row]) -> str:
    """The whole document; cases in the order in which they came, equal results of several ffmpegs in one row."""
    rows = list(dict.fromkeys(rows))
    programs = sorted({row.program for row in rows if row.program})
    groups = sorted({row.group for row in rows})
    lines = [_HEAD.format(programs=", ".join(programs) or "none")]
    for group in groups:
        lines += [f"## {group}", "", "| case | oracle | result |", "|---|---|---|"]
        lines += [f"| {case} | {oracle} | {result} |" for case, oracle, result in _merged(rows, group, programs)]
        lines.append("")
    return "\n".join(lines)


def _merged(rows: list[Row], group: str, programs: list[str]) -> Iterable[tuple[str, str, str]]:
    cases = dict.fromkeys((row.case, row.oracle) for row in rows if row.group == group)
    for case, oracle in cases:
        found: dict[str, list[str]] = {}
        for row in rows:
            if (row.group, row.case, row.oracle) == (group, case, oracle):
                found.setdefault(row.result, []).append(row.program)
        for result, tried in found.items():
            everywhere = "" in tried or sorted(tried) == programs
            yield _cell(case), _cell(oracle), _cell(result if everywhere else f"{result} ({', '.join(tried)})")


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")

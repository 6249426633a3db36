"""Writes what a benchmark found."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


def write(path: Path, record: dict[str, Any]) -> None:
    """The record as JSON, appearing whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.write_text(json.dumps(record, indent=1, sort_keys=False) + "\n", encoding="utf-8")
    beside.replace(path)

"""Hatchling's part of building the package: the kernels go into the wheel. Without a C compiler there are none."""

from __future__ import annotations

import importlib.util
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from packaging.tags import platform_tags


class Kernels(BuildHookInterface[Any]):
    """A wheel with kernels fits one kind of machine, and any Python 3."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called before a wheel is made; for an editable installation the library lies beside its sources."""
        spec = importlib.util.spec_from_file_location("build_kernels", Path(__file__).with_name("build.py"))
        if spec is None or spec.loader is None:
            raise ImportError("interp_cli/kernels/build.py is missing")
        kernels = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(kernels)
        made = kernels.build(kernels.HERE if version == "editable" else Path(tempfile.mkdtemp()))
        if made is None:
            self.app.display_warning("no C compiler: vfi will work, but make frames several times slower on a CPU")
            return
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{next(platform_tags())}"
        if version != "editable":
            build_data["force_include"][str(made)] = f"interp_cli/kernels/{kernels.library()}"

"""The plan of the house holds: lower rooms never import higher ones, and every foreign thing has one gate.

Imports are read with `ast`, so nothing has to be imported, and imports inside functions count like any other.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1] / "interp_cli"

RANK = {
    "errors": 0,
    "timeline": 1,
    "options": 1,
    "progress": 1,
    "media": 2,
    "kernels": 1,
    "model": 2,
    "engine": 3,
    "weights": 3,
    "checkpoints": 4,
    "job": 4,
    "job.cluster": 5,
    "quality": 5,
    "speed": 5,
    "train": 5,
    "cli": 6,
}
APART = [
    {"media", "model"},
    {"engine", "weights"},
    {"checkpoints", "job"},
]  # of one rank; know nothing of each other

GATES = {
    "subprocess": {"media/children.py", "kernels/build.py"},
    "ffmpeg": {"media/ffmpeg.py"},
    "imageio_ffmpeg": {"media/ffmpeg.py"},
    "safetensors": {"weights.py"},
    "click": {"cli/"},
    "tqdm": {"progress.py"},
    "ray": {"job/cluster.py"},
}
TORCHLESS = ("errors", "timeline", "options", "progress", "media")
STARTS_WITHOUT_TORCH = (
    "cli",
    "weights",
    "checkpoints",
    "quality",
    "speed",
)  # as long as no function of theirs is called


@dataclass(frozen=True)
class Import:
    """One import statement's target, and whether it runs when the importing module is imported."""

    module: str  # dotted path within its file's package, as "media/probe.py"
    target: str
    at_start: bool
    line: int


def room_of(parts: list[str]) -> str | None:
    """The room that a module of interp_cli belongs to; None for the package itself, which holds only the version."""
    if parts in ([], ["__init__"]):
        return None
    if parts[:2] == ["job", "cluster"]:
        return "job.cluster"
    return "cli" if parts[0] == "__main__" else parts[0]


def files() -> list[str]:
    return sorted(path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*.py"))


def parts_of(file: str) -> list[str]:
    parts = file.removesuffix(".py").split("/")
    return parts[:-1] if parts[-1] == "__init__" else parts


@cache
def tree_of(file: str) -> ast.Module:
    return ast.parse((ROOT / file).read_text(encoding="utf-8"), filename=file)


def imports(file: str, tree: ast.Module | None = None) -> Iterator[Import]:
    package = parts_of(file) if file.endswith("__init__.py") else parts_of(file)[:-1]
    for node, at_start in walk(tree or tree_of(file), at_start=True):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(file, alias.name, at_start, node.lineno)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                base = ".".join(["interp_cli", *package[: len(package) - node.level + 1], *filter(None, [node.module])])
            for alias in node.names:
                yield Import(file, f"{base}.{alias.name}", at_start, node.lineno)


def walk(node: ast.AST, *, at_start: bool) -> Iterator[tuple[ast.AST, bool]]:
    yield node, at_start
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
        at_start = False
    if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
        for child in node.body:
            yield from walk(child, at_start=False)
        for child in node.orelse:
            yield from walk(child, at_start=at_start)
        return
    for child in ast.iter_child_nodes(node):
        yield from walk(child, at_start=at_start)


def own_parts(target: str) -> list[str] | None:
    """The parts below interp_cli of an imported name, or None for a foreign module."""
    head, *rest = target.split(".")
    return rest if head == "interp_cli" else None


def complaint(found: Import, why: str) -> str:
    return f"interp_cli/{found.module}:{found.line} imports {found.target}: {why}"


def test_every_module_stands_in_a_room_of_the_plan() -> None:
    rooms = {room_of(parts_of(file)) for file in files()} - {None}
    assert rooms <= RANK.keys()


def test_lower_rooms_never_import_higher_ones() -> None:
    wrong = []
    for file in files():
        here = room_of(parts_of(file))
        for found in imports(file):
            parts = own_parts(found.target)
            there = None if parts is None else room_of(parts)
            if here is None or there is None or there not in RANK:  # a name of the package itself, such as __version__
                continue
            if RANK[there] > RANK[here] and not (here == "job" and there == "job.cluster" and not found.at_start):
                wrong.append(complaint(found, f"{there} is above {here}"))
            if here != there and any({here, there} == pair for pair in APART):
                wrong.append(complaint(found, f"{there} and {here} know nothing of each other"))
    assert not wrong, "\n".join(wrong)


def test_rooms_do_not_import_each_other_in_a_circle() -> None:
    below: dict[str, set[str]] = {room: set() for room in RANK}
    for file in files():
        here = room_of(parts_of(file))
        for found in imports(file):
            there = room_of(own_parts(found.target) or [])
            if here in RANK and there in RANK and here != there and {here, there} != {"job", "job.cluster"}:
                below[str(here)].add(str(there))
    while below:
        free = {room for room, others in below.items() if not others & below.keys()}
        assert free, f"these rooms import each other in a circle: {below}"
        below = {room: others for room, others in below.items() if room not in free}


@pytest.mark.parametrize("foreign", sorted(GATES))
def test_a_foreign_thing_is_imported_through_one_gate(foreign: str) -> None:
    wrong = [
        complaint(found, f"only {', '.join(sorted(GATES[foreign]))} may")
        for file in files()
        for found in imports(file)
        if found.target.split(".")[0] == foreign and not any(file.startswith(gate) for gate in GATES[foreign])
    ]
    assert not wrong, "\n".join(wrong)


def test_nothing_starts_a_program_or_a_shell_behind_the_gate() -> None:
    starts = {"system", "popen", "startfile", "fork", "forkpty", "posix_spawn", "posix_spawnp"}
    wrong = []
    for file in files():
        for node in ast.walk(tree_of(file)):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "os":
                name = node.attr
                if name in starts or name.startswith(("exec", "spawn")):
                    wrong.append(f"interp_cli/{file}:{node.lineno} uses os.{name}")
            if isinstance(node, ast.keyword) and node.arg == "shell":
                wrong.append(f"interp_cli/{file}:{node.value.lineno} passes shell=")
        wrong += [
            complaint(found, "it starts programs")
            for found in imports(file)
            if found.target.split(".")[0] in {"pty", "popen2", "commands"}
        ]
    assert not wrong, "\n".join(wrong)


def test_pickles_are_read_in_one_place_and_never_unsafely() -> None:
    wrong = []
    for file in files():
        for node in ast.walk(tree_of(file)):
            if not (isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load"):
                continue
            if file != "checkpoints.py":
                wrong.append(f"interp_cli/{file}:{node.lineno} calls torch.load")
            safe = [key for key in node.keywords if key.arg == "weights_only" and ast.unparse(key.value) == "True"]
            if not safe:
                wrong.append(f"interp_cli/{file}:{node.lineno} calls torch.load without weights_only=True")
        wrong += [
            complaint(found, "pickles can run code")
            for found in imports(file)
            if found.target.split(".")[0] in {"pickle", "dill", "joblib", "shelve"}
        ]
    assert not wrong, "\n".join(wrong)


def test_torch_is_out_of_reach_of_media_and_below() -> None:
    wrong = [
        complaint(found, "this room never uses torch")
        for file in files()
        if room_of(parts_of(file)) in TORCHLESS
        for found in imports(file)
        if found.target.split(".")[0] == "torch"
    ]
    assert not wrong, "\n".join(wrong)


def test_importing_the_command_line_does_not_import_torch() -> None:
    modules = {".".join(parts_of(file)): file for file in files()}
    for room in STARTS_WITHOUT_TORCH:
        seen: set[str] = set()
        waiting = [name for name in modules if name == room or name.startswith(f"{room}.")]
        while waiting:
            name = waiting.pop()
            if name in seen:
                continue
            seen.add(name)
            for found in imports(modules[name]):
                if not found.at_start:
                    continue
                assert found.target.split(".")[0] != "torch", complaint(found, f"{room} must start without torch")
                parts = own_parts(found.target) or []
                steps = [".".join(parts[:n]) for n in range(1, len(parts) + 1)]
                waiting += [step for step in steps if step in modules]


def test_modules_are_never_imported_by_computed_names() -> None:
    wrong = [
        f"interp_cli/{file}:{node.lineno} calls {ast.unparse(node.func)}"
        for file in files()
        for node in ast.walk(tree_of(file))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) in {"__import__", "importlib.import_module", "import_module"}
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("banned", ["utils", "util", "helpers", "helper", "common", "misc"])
def test_no_module_is_a_drawer_for_odds_and_ends(banned: str) -> None:
    assert not [file for file in files() if banned in parts_of(file)]


def test_the_reader_of_imports_sees_every_form() -> None:
    source = (
        "import a.b as c\nfrom d import e\nfrom . import near\nfrom ..timeline import Plan\n"
        "def f():\n    import torch\nif TYPE_CHECKING:\n    from x import y\nclass C:\n    import z\n"
    )
    found = {item.target: item.at_start for item in imports("media/probe.py", ast.parse(source))}
    assert found == {
        "a.b": True,
        "d.e": True,
        "interp_cli.media.near": True,
        "interp_cli.timeline.Plan": True,
        "torch": False,
        "x.y": False,
        "z": True,
    }

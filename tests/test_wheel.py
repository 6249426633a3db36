"""What is shipped: the wheel holds the code and the weights, and both are found where the wheel puts them."""

import configparser
import os
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
NOT_CODE = {"__pycache__"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory, quick_compiler: str) -> Iterator[Path]:
    pytest.importorskip("hatchling", reason="hatchling builds the wheel")
    from hatchling.builders.wheel import WheelBuilder

    folder = tmp_path_factory.mktemp("wheel")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CC", quick_compiler)
        yield Path(next(WheelBuilder(str(ROOT)).build(directory=str(folder), versions=["standard"])))


@pytest.fixture(scope="module")
def unpacked(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def in_fresh_python(code: str, *, path: Path) -> str:
    """Standard output of `code` in a new interpreter that finds interp_cli in `path` first, from a foreign folder."""
    environment = {**os.environ, "VFI_WEIGHTS": "", "PYTHONPATH": str(path), "PYTHONDONTWRITEBYTECODE": "1"}
    environment["XDG_DATA_HOME"] = environment["LOCALAPPDATA"] = str(path.parent / "no-data")
    argv = [sys.executable, "-c", code]
    child = subprocess.run(argv, env=environment, cwd=path.parent, capture_output=True, text=True, check=False)
    assert child.returncode == 0, child.stderr
    return child.stdout.strip()


def test_the_wheel_holds_every_module_of_the_package(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        shipped = {name for name in archive.namelist() if name.endswith(".py")}
    sources = {path.relative_to(ROOT).as_posix() for path in (ROOT / "interp_cli").rglob("*.py")}
    assert shipped == sources


def test_the_wheel_holds_every_file_of_the_weights_folder_inside_the_package(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        shipped = {name: archive.read(name) for name in archive.namelist() if name.startswith("interp_cli/weights/")}
    kept = [path for path in (ROOT / "weights").rglob("*") if path.is_file() and not NOT_CODE & set(path.parts)]
    assert {f"interp_cli/weights/{path.relative_to(ROOT / 'weights').as_posix()}" for path in kept} == shipped.keys()
    for path in kept:
        assert shipped[f"interp_cli/weights/{path.relative_to(ROOT / 'weights').as_posix()}"] == path.read_bytes()


def test_the_wheel_holds_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        tops = {name.split("/")[0] for name in archive.namelist()}
        strays = [name for name in archive.namelist() if name.endswith((".pyc", ".pt", ".pth", ".mp4"))]
    assert {top for top in tops if not top.endswith(".dist-info")} == {"interp_cli"}
    assert not strays


def test_the_wheel_gives_the_vfi_command_and_the_licence(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        points = next(name for name in names if name.endswith(".dist-info/entry_points.txt"))
        parser = configparser.ConfigParser()
        parser.read_string(archive.read(points).decode())
        metadata = archive.read(next(name for name in names if name.endswith(".dist-info/METADATA"))).decode()
    assert parser["console_scripts"]["vfi"] == "interp_cli.cli:main"
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert "License-Expression: MIT" in metadata


def test_the_installed_code_says_the_version_of_the_project() -> None:
    import interp_cli

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert interp_cli.__version__ == project["version"]


LIST = "from interp_cli import weights; print(weights.__file__); print(*(e.path for e in weights.entries()), sep='\\n')"


@pytest.mark.parametrize("layout", ["wheel", "checkout"])
def test_weights_are_found_and_whole_in_both_layouts(layout: str, request: pytest.FixtureRequest) -> None:
    if not (ROOT / "weights" / "manifest.json").is_file():
        pytest.skip("this checkout has no weights yet")
    root = request.getfixturevalue("unpacked") if layout == "wheel" else ROOT
    place = root / "interp_cli" / "weights" if layout == "wheel" else root / "weights"
    module, *paths = in_fresh_python(LIST, path=root).splitlines()
    assert Path(module) == root / "interp_cli" / "weights.py"
    assert paths
    assert {Path(path).parent for path in paths} == {place}
    check = "from interp_cli import weights; print([p for e in weights.entries() for p in weights.verify(e)])"
    assert in_fresh_python(check, path=root) == "[]"


def test_listing_and_verifying_weights_does_not_import_torch() -> None:
    code = (
        "import sys; from interp_cli import weights; [weights.verify(e) for e in weights.entries()];"
        "print('torch' in sys.modules)"
    )
    assert in_fresh_python(code, path=ROOT) == "False"


def test_every_dependency_has_an_exact_version_in_the_constraints() -> None:
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    pins = {}
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            requirement = Requirement(line)
            (specifier,) = requirement.specifier
            assert specifier.operator == "==", f"not an exact version: {line}"
            assert canonicalize_name(requirement.name) not in pins, f"twice: {line}"
            pins[canonicalize_name(requirement.name)] = specifier.version
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = [wanted for name in ("test", "dev") for wanted in project["optional-dependencies"][name]]
    for text in [*project["dependencies"], *extras]:
        wanted = Requirement(text)
        name = canonicalize_name(wanted.name)
        if name != project["name"]:
            assert name in pins, f"constraints.txt has no version of {name}"
            assert wanted.specifier.contains(pins[name]), f"{text} is not met by {pins[name]}"


def test_packages_that_dependencies_bring_in_are_pinned_too() -> None:
    from importlib.metadata import PackageNotFoundError, requires

    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = {canonicalize_name(line.split("==")[0]) for line in lines if "==" in line}
    for pin in sorted(pins):
        try:
            needs = [Requirement(text) for text in requires(pin) or []]
        except PackageNotFoundError:  # a development tool that is not installed here
            continue
        for need in needs:
            name = canonicalize_name(need.name)
            from_torch = pin == "torch" and name.startswith(("nvidia-", "cuda-", "triton"))  # torch pins them itself
            if not from_torch and (need.marker is None or need.marker.evaluate({"extra": ""})):
                assert name in pins, f"{pin} needs {name}, which constraints.txt does not pin"


def test_the_lock_has_the_constraints_versions_with_a_hash_of_every_file() -> None:
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    constraints = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = {canonicalize_name(line.split("==")[0]): line.split("==")[1] for line in constraints if "==" in line}
    locked = {}
    for name in ("requirements.lock", "requirements-cuda.lock"):
        for entry in (ROOT / name).read_text(encoding="utf-8").replace("\\\n", "").splitlines():
            if entry and not entry.startswith("#"):
                requirement, *hashes = entry.split("--hash=sha256:")
                assert hashes and all(len(text.strip()) == 64 for text in hashes), f"no hashes: {requirement}"
                (specifier,) = Requirement(requirement.strip()).specifier
                locked[canonicalize_name(Requirement(requirement.strip()).name)] = specifier.version
    from_torch = {name for name in locked if name.startswith(("nvidia-", "cuda-", "triton"))}
    assert {name: locked[name] for name in locked.keys() - from_torch} == pins, "run .ci/lock"
    assert from_torch


def test_a_module_called_test_is_not_run_by_what_ffmpeg_python_brings_in(tmp_path: Path) -> None:
    (tmp_path / "test.py").write_text("raise SystemExit('test.py was run')")
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import warnings; warnings.simplefilter('ignore')\n"
        "import ffmpeg; ffmpeg.output(ffmpeg.input('a'), 'b').compile()\n"
        "print([name for name in sys.modules if name.startswith(('test', 'future.standard_library'))])"
    )
    assert in_fresh_python(code, path=ROOT) == "[]"

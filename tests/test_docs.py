"""What the documents say is so: install lines, commands, options, exit codes, links, and the command reference."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest

from interp_cli.errors import ExitCode

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "weights").glob("*.md")])

sys.path.insert(0, str(ROOT / "docs"))
try:
    import make_cli_reference
finally:
    sys.path.pop(0)


HELP = dict(make_cli_reference.commands(make_cli_reference.the_group()))
COMMANDS = [path for path in HELP if path != "vfi"]


def options_of(path: str) -> set[str]:
    """Every option string of the command called `path`, such as {"-o", "--output"}."""
    command: click.Command = make_cli_reference.the_group()
    for name in path.split()[1:]:
        assert isinstance(command, click.Group)
        command = command.commands[name]
    strings = {text for param in command.params for text in (*param.opts, *param.secondary_opts)}
    return {text for text in strings if text.startswith("-")} | {"--help", "-h"}


def shell_lines(text: str) -> list[str]:
    """The lines of every ```sh block, without their comments."""
    blocks = re.findall(r"```sh\n(.*?)```", text, flags=re.DOTALL)
    return [line.split("  #")[0].strip() for block in blocks for line in block.splitlines() if line.strip()]


def vfi_calls(text: str) -> list[list[str]]:
    """The words of every call of vfi in the shell blocks of a document."""
    calls = []
    for line in shell_lines(text):
        for part in re.split(r"&&|\|\||>>|;", line):
            words = shlex.split(part, comments=True)
            if words[:1] == ["vfi"]:
                calls.append(words)
    return calls


def test_the_readme_has_the_two_install_lines_word_for_word() -> None:
    lines = shell_lines(README)
    assert "pip install -c constraints.txt . && vfi upsample examples/clip.mp4 --fps 60" in lines
    assert "pip install -c constraints.txt '.[test]' && pytest" in lines


def test_continuous_integration_runs_the_readmes_test_command() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    assert "pip install -c constraints.txt '.[test]' && pytest" in script
    assert os.access(ROOT / ".ci" / "run", os.X_OK)


def test_the_readmes_table_of_exit_codes_is_the_enum() -> None:
    section = README.split("## Exit codes")[1].split("\n## ")[0]
    codes = [int(code) for code in re.findall(r"^\| (\d+) \|", section, flags=re.MULTILINE)]
    assert codes == sorted(codes)
    assert set(codes) == {int(code) for code in ExitCode}


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md"])
def test_commands_and_options_that_documents_show_exist(document: str) -> None:
    for words in vfi_calls((ROOT / document).read_text(encoding="utf-8")):
        names = [word for word in words[1:] if not word.startswith("-")]
        path = next((p for n in (2, 1) if (p := " ".join(["vfi", *names[:n]])) in HELP), None)
        assert path, f"no such command: {shlex.join(words)}"
        used = {word.split("=")[0] for word in words if re.match(r"--?[a-z]", word)}
        assert used <= options_of(path), f"{path} has no {used - options_of(path)}: {shlex.join(words)}"


def test_options_that_the_readme_explains_exist() -> None:
    section = README.split("## Options at a glance")[1].split("\n## ")[0]
    known = set().union(*(options_of(path) for path in HELP))
    cells = [line.split(" | ")[0] for line in section.splitlines() if line.startswith("| `")]
    explained = {text for cell in cells for text in re.findall(r"(?<![\w-])--?[a-z][a-z-]*", cell)}
    assert explained
    assert explained <= known, explained - known


def test_every_command_is_named_in_the_readme() -> None:
    missing = [path for path in COMMANDS if is_leaf(path) and path.split()[1] not in README]
    assert not missing


def is_leaf(path: str) -> bool:
    return not any(other.startswith(f"{path} ") for other in HELP)


@pytest.mark.parametrize("path", COMMANDS)
def test_every_command_has_a_help_text_with_an_example(path: str) -> None:
    text = HELP[path]
    if is_leaf(path):
        examples = [line.strip() for line in text.splitlines() if re.match(rf"\s+(\$ )?{path}\b", line)]
        assert examples, f"{path} --help shows no example of its use:\n{text}"
        for example in examples:
            words = shlex.split(example.removeprefix("$ ").split("  ")[0], comments=True)
            used = {word.split("=")[0] for word in words if re.match(r"--?[a-z]", word)}
            assert used <= options_of(path), f"{example}: there is no {used - options_of(path)}"


@pytest.mark.parametrize("path", HELP)
def test_every_option_is_explained(path: str) -> None:
    command: click.Command = make_cli_reference.the_group()
    for name in path.split()[1:]:
        assert isinstance(command, click.Group)
        command = command.commands[name]
    silent = [param.name for param in command.params if isinstance(param, click.Option) and not param.help]
    assert not silent


def test_the_command_reference_is_current() -> None:
    place = ROOT / "docs" / "cli.md"
    advice = "run python docs/make_cli_reference.py"
    assert place.is_file(), advice
    assert place.read_text(encoding="utf-8") == make_cli_reference.reference(), advice


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_between_documents_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#][^)]*)\)", document.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (document.parent / target.split("#")[0]).exists(), f"{document.name} links to {target}"


@pytest.mark.parametrize("script", ["growth", "quality", "rife46"])
def test_benchmarks_say_how_they_are_used(script: str) -> None:
    argv = [sys.executable, str(ROOT / "bench" / f"{script}.py"), "--help"]
    beside = {**os.environ, "PYTHONSAFEPATH": ""}  # they import what is beside them
    child = subprocess.run(argv, env=beside, capture_output=True, text=True, check=True)
    assert f"bench/{script}.py" in child.stdout


@pytest.mark.parametrize("script", [".ci/run", "bench/gpu.sh", "examples/quickstart.sh", "examples/batch.sh"])
def test_shell_scripts_parse_and_can_be_run(script: str) -> None:
    if os.name == "nt":
        pytest.skip("shell scripts are for Unix")
    assert os.access(ROOT / script, os.X_OK)
    subprocess.run(["bash", "-n", str(ROOT / script)], check=True)

"""The command line: exit codes, sentences, settings, names; what is wrong is said before anything is written."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import small_clips

from interp_cli import __version__
from interp_cli.cli.entry import run
from interp_cli.cli.grammar import Session
from interp_cli.errors import ExitCode, FfmpegError, VfiError

VFI = [sys.executable, "-m", "interp_cli"]


@pytest.fixture(scope="module")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("media")
    small_clips.clip(folder / "clip.mp4", seconds="0.4")
    small_clips.weights(folder / "weights")
    return folder


@pytest.fixture(autouse=True)
def no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, shared_folder: Path) -> None:
    for name in [name for name in os.environ if name.startswith("VFI_") and name != "VFI_FFMPEG"]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "no-config"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "no-data"))
    monkeypatch.setenv("VFI_WEIGHTS", str(shared_folder / "weights"))
    monkeypatch.delenv("FORCE_COLOR", raising=False)


@pytest.fixture
def clip(shared_folder: Path, tmp_path: Path) -> Path:
    """A clip alone in a folder of its own."""
    place = tmp_path / "work" / "clip.mp4"
    place.parent.mkdir()
    place.write_bytes((shared_folder / "clip.mp4").read_bytes())
    return place


def vfi(*arguments: str | Path) -> int:
    return run([str(argument) for argument in arguments], Session())


def sentence(text: str) -> str:
    """The one line that stderr must hold."""
    lines = text.splitlines()
    assert len(lines) == 1, text
    assert lines[0].startswith("vfi: ")
    assert "Traceback" not in text
    return lines[0]


# ---- bad input


BAD = {  # what is wrong: (words after "upsample", exit code, part of the sentence)
    "no such file": ("{folder}/none.mp4 --fps 50", ExitCode.INPUT, "does not exist"),
    "a folder": ("{folder}/folder.mp4 --fps 50", ExitCode.INPUT, "is a folder"),
    "a text file": ("{folder}/letter.txt --fps 50", ExitCode.INPUT, "letter.txt"),
    "a text file with a video's name": ("{folder}/letter.mp4 --fps 50", ExitCode.INPUT, "letter.mp4"),
    "sound alone": ("{folder}/sound.wav --fps 50", ExitCode.INPUT, "video"),
    "a truncated file": ("{folder}/short.mp4 --fps 50", ExitCode.INPUT, "short.mp4"),
    "zero bytes": ("{folder}/empty.mp4 --fps 50", ExitCode.INPUT, "empty"),
    "standard input": ("- --fps 50", ExitCode.USAGE, "standard input"),
    "no rate": ("{clip} --fps 0", ExitCode.USAGE, "--fps"),
    "a factor of nothing": ("{clip} --factor 0", ExitCode.USAGE, "--factor"),
    "neither rate nor factor": ("{clip}", ExitCode.USAGE, "--fps"),
    "rate and factor": ("{clip} --fps 50 --factor 2", ExitCode.USAGE, "--factor"),
    "no input": ("--fps 50", ExitCode.USAGE, "input"),
    "a start past the end": ("{clip} --fps 50 --start 1:00", ExitCode.USAGE, "--start"),
    "the output is the input": ("{clip} --fps 50 -y -o {clip}", ExitCode.OUTPUT, "input itself"),
    "the output exists": ("{clip} --fps 50 -o {folder}/there.mp4", ExitCode.OUTPUT, "-y"),
    "the output is below a file": ("{clip} --fps 50 -o {clip}/out.mp4", ExitCode.OUTPUT, "folder"),
    "the output's folder is missing": ("{clip} --fps 50 -o {folder}/no/x.mp4", ExitCode.OUTPUT, "no does not exist"),
    "the output is no regular file": ("{clip} --fps 50 -y -o /dev/null", ExitCode.OUTPUT, "regular"),
    "the output's place takes no files": ("{clip} --fps 50 -o /proc/out.mp4", ExitCode.OUTPUT, "/proc"),
    "standard output": ("{clip} --fps 50 -o -", ExitCode.USAGE, "standard output"),
    "an unknown container": ("{clip} --fps 50 -o {folder}/out.xyz", ExitCode.USAGE, "mp4"),
    "several inputs for one name": ("{clip} {clip} --fps 50 -o {folder}/out.mp4", ExitCode.USAGE, "folder"),
    "unknown weights": ("{clip} --fps 50 -m none", ExitCode.WEIGHTS, "none"),
    "no such ffmpeg": ("{clip} --fps 50 --ffmpeg {folder}/no-ffmpeg", ExitCode.MISSING_TOOL, "no-ffmpeg"),
    "no such device": ("{clip} --fps 50 --device cuda:99", ExitCode.DEVICE, "cuda:99"),
    "no thread at all": ("{clip} --fps 50 --threads 0", ExitCode.USAGE, "--threads"),
    "a device that is none": ("{clip} --fps 50 --device toaster", ExitCode.USAGE, "toaster"),
    "times that bisection cannot reach": ("{clip} --fps 60 --mode bisect", ExitCode.USAGE, "bisect"),
    "a codec for another container": ("{clip} --fps 50 -c ffv1 -o {folder}/out.mp4", ExitCode.USAGE, "ffv1"),
}


def bad_files(folder: Path, clip: Path) -> None:
    folder.mkdir()
    (folder / "letter.txt").write_text("Dear Sir or Madam,\n" * 50)
    (folder / "letter.mp4").write_text("Dear Sir or Madam,\n" * 50)
    (folder / "empty.mp4").touch()
    (folder / "folder.mp4").mkdir()
    (folder / "short.mp4").write_bytes(clip.read_bytes()[:3000])
    (folder / "there.mp4").write_text("precious")
    small_clips.ffmpeg("-f", "lavfi", "-i", "sine=duration=0.2", folder / "sound.wav")


@pytest.mark.parametrize("case", BAD)
def test_bad_input_ends_in_one_sentence_with_its_code_and_leaves_nothing(
    case: str, clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words, code, part = BAD[case]
    if os.name == "nt" and ("/dev/" in words or "/proc/" in words):
        pytest.skip("Unix places")
    bad_files(tmp_path / "bad", clip)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    assert vfi("upsample", *words.format(folder=tmp_path / "bad", clip=clip).split()) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert part in sentence(err)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()} == before
    assert not list(tmp_path.rglob(".*"))


def test_bad_input_in_a_process_of_its_own_ends_the_same(tmp_path: Path) -> None:
    for arguments, code in ([["upsample", "none.mp4", "--fps", "60"], 3], [["upsample", "--fsp", "60"], 2]):
        child = subprocess.run([*VFI, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert child.returncode == code
        assert child.stdout == ""
        sentence(child.stderr)
    assert not list(tmp_path.glob(".*"))


# ---- usage


def test_a_misspelt_option_gets_a_suggestion(capsys: pytest.CaptureFixture[str]) -> None:
    assert vfi("upsample", "x.mp4", "--fsp", "60") == ExitCode.USAGE
    assert "--fps" in sentence(capsys.readouterr().err)


def test_a_misspelt_command_gets_a_suggestion(capsys: pytest.CaptureFixture[str]) -> None:
    assert vfi("upsmaple") == ExitCode.USAGE
    assert "upsample" in sentence(capsys.readouterr().err)


def test_vfi_alone_shows_help_and_exits_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert vfi() == ExitCode.USAGE
    assert "Usage: vfi" in capsys.readouterr().err


@pytest.mark.parametrize("flag", ["-h", "--help"])
@pytest.mark.parametrize(
    "command", ["upsample", "slowmo", "frames", "probe", "train", "doctor", "weights", "completion"]
)
def test_every_command_has_both_help_flags(command: str, flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert vfi(command, flag) == 0
    assert capsys.readouterr().out.startswith(f"Usage: vfi {command}")


def test_help_names_every_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert vfi("--help") == 0
    section = capsys.readouterr().out.split("Exit codes:")[1]
    named = {int(code) for code in re.findall(r"^ +(\d+)  ", section, flags=re.MULTILINE)}
    assert named == {int(code) for code in ExitCode}


def test_version_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert vfi("--version") == 0
    assert capsys.readouterr().out == f"vfi {__version__}\n"


def test_help_is_fast_and_imports_nothing_heavy() -> None:
    code = (
        "import sys; sys.argv = ['vfi', '--help']\n"
        "from interp_cli.cli import main\n"
        "try:\n    main()\n"
        "finally:\n    print(*sorted({'torch', 'numpy', 'cv2', 'ffmpeg', 'tqdm'} & set(sys.modules)), file=sys.stderr)"
    )
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert child.stderr.strip() == ""
    seconds = []
    for _ in range(5):
        begun = time.perf_counter()
        subprocess.run([*VFI, "--help"], capture_output=True, check=True)
        seconds.append(time.perf_counter() - begun)
    assert min(seconds) < 0.3


@pytest.mark.parametrize(
    "arguments", [["probe", "clip.mp4"], ["upsample", "clip.mp4", "--fps", "50", "--dry-run"], ["weights", "verify"]]
)
def test_looking_and_planning_import_no_torch(arguments: list[str], shared_folder: Path) -> None:
    code = (
        f"import sys; sys.argv = ['vfi', *{arguments!r}]\n"
        "from interp_cli.cli import main\n"
        "try:\n    main()\n"
        "finally:\n    print('torch' in sys.modules, file=sys.stderr)"
    )
    child = subprocess.run([sys.executable, "-c", code], cwd=shared_folder, capture_output=True, text=True, check=False)
    assert child.returncode == 0, child.stderr
    assert child.stderr.splitlines()[-1] == "False"


# ---- outcomes


def test_a_bug_shows_its_traceback_and_asks_for_a_report(
    clip: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr("interp_cli.job.prepare.prepare", broken)
    assert vfi("upsample", clip, "--fps", "50") == ExitCode.BUG
    err = capsys.readouterr().err
    assert "Traceback" in err
    assert "report" in err


def test_ffmpegs_last_lines_are_shown_and_v_adds_the_traceback(
    clip: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise FfmpegError("ffmpeg could not encode it", returncode=1, last_lines=("first", "second"))

    monkeypatch.setattr("interp_cli.job.prepare.prepare", fails)
    assert vfi("upsample", clip, "--fps", "50") == ExitCode.FFMPEG
    err = capsys.readouterr().err
    assert err.splitlines() == ["vfi: ffmpeg could not encode it", "  ffmpeg: first", "  ffmpeg: second"]
    assert vfi("upsample", clip, "--fps", "50", "-v") == ExitCode.FFMPEG
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize("error", [VfiError.__subclasses__()], ids=["all"])
def test_every_error_class_has_a_documented_code(error: list[type[VfiError]]) -> None:
    assert all(kind.exit_code in set(ExitCode) for kind in error)


@pytest.mark.skipif(os.name == "nt", reason="Unix pipes")
def test_a_closed_pipe_ends_quietly_with_141(tmp_path: Path) -> None:
    for arguments in (["--help"], ["weights", "list", "--json"], ["completion", "zsh"]):
        reader, writer = os.pipe()
        os.close(reader)
        with os.fdopen(writer, "wb") as gone:
            child = subprocess.run([*VFI, *arguments], stdout=gone, stderr=subprocess.PIPE, text=True, check=False)
        assert (child.returncode, child.stderr) == (141, ""), arguments


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_behind_stdout_is_told() -> None:
    with Path("/dev/full").open("wb") as full:
        child = subprocess.run([*VFI, "completion", "zsh"], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert child.returncode == ExitCode.STOPPED
    sentence(child.stderr)


@pytest.mark.parametrize(
    ("settings", "colored"),
    [
        ({}, False),
        ({"FORCE_COLOR": "1"}, True),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
        ({"NO_COLOR": ""}, False),
    ],
)
def test_color_follows_the_environment(settings: dict[str, str], colored: bool) -> None:
    environment = {**os.environ, **settings}
    child = subprocess.run([*VFI, "probe", "none.mp4"], env=environment, capture_output=True, text=True, check=False)
    assert child.returncode == ExitCode.INPUT
    assert ("\x1b[" in child.stderr) is colored


# ---- settings


def plan_of(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> dict[str, object]:
    assert vfi("upsample", *arguments, "--dry-run", "--json") == 0, capsys.readouterr().err
    plan = json.loads(capsys.readouterr().out)
    assert isinstance(plan, dict)
    return plan


def test_flag_beats_environment_beats_config_beats_default(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "no-config" / "vfi" / "config.toml"
    config.parent.mkdir(parents=True)

    def rate(*arguments: str) -> object:
        return plan_of(capsys, clip, *arguments)["rate"]

    config.write_text('[upsample]\nfps = 30\ncrf = 20\nffmpeg-arg = ["tune=grain"]\n')
    assert rate() == "30/1"
    assert "crf 20" in str(plan_of(capsys, clip)["encoder"])
    monkeypatch.setenv("VFI_UPSAMPLE_FPS", "40")
    assert rate() == "40/1"
    assert rate("--fps", "50") == "50/1"
    other = tmp_path / "other.toml"
    other.write_text("fps = 48\ntimes = 3\n".replace("times = 3\n", ""))
    monkeypatch.delenv("VFI_UPSAMPLE_FPS")
    assert rate("--config", str(other)) == "48/1"


@pytest.mark.parametrize(
    ("content", "part"),
    [("fsp = 60\n", "fps"), ("[upsample]\ncrff = 3\n", "crf"), ("fps = \n", "TOML"), ("fps = 0\n", "--fps")],
)
def test_a_wrong_config_file_is_a_usage_error(
    content: str, part: str, clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "config.toml"
    config.write_text(content)
    assert vfi("upsample", clip, "--config", config, "--dry-run") == ExitCode.USAGE
    assert part in sentence(capsys.readouterr().err)


def test_a_config_file_that_is_asked_for_must_exist(clip: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert vfi("upsample", clip, "--config", "none.toml", "--fps", "50") == ExitCode.USAGE
    assert "none.toml" in sentence(capsys.readouterr().err)


def test_v_tells_where_values_come_from_and_what_runs(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "own.toml"
    config.write_text("crf = 20\n")
    monkeypatch.setenv("VFI_DEVICE", "cpu")
    assert vfi("upsample", clip, "--fps", "50", "--config", config, "--dry-run", "-v") == 0
    err = capsys.readouterr().err
    assert "--fps = 50 (from command line)" in err
    assert "--device = cpu (from environment variable VFI_DEVICE)" in err
    assert f"--crf = 20.0 (from config file {config})" in err
    assert "--preset" not in err
    assert "framecrc" in err  # ffmpeg's own command line


# ---- plans, names, looking


@pytest.mark.parametrize(
    ("spec", "said"),
    [("s", "matches no stream of"), ("0:9", "matches no stream of"), ("x", "names no streams"), ("1", "only input 0")],
)
def test_a_wrong_map_is_one_sentence_before_any_work(
    spec: str, said: str, clip: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert vfi("upsample", clip, "--fps", "50", "--map", spec) == ExitCode.USAGE
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("vfi: ") and said in last and list(clip.parent.iterdir()) == [clip]


def test_the_plan_names_each_stream_and_what_becomes_of_it(clip: Path, capsys: pytest.CaptureFixture[str]) -> None:
    named, chapters = clip.with_name("named.mkv"), clip.with_name("chapters.txt")
    chapters.write_text(";FFMETADATA1\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=200\ntitle=one\n")
    tags = ("-metadata:s:a:0", "language=deu", "-metadata:s:a:0", "title=Ton", "-metadata:s:a:1", "language=eng")
    maps = ("-map", "0", "-map", "0:a", "-c", "copy")
    small_clips.ffmpeg("-i", clip, "-f", "ffmetadata", "-i", chapters, "-map_chapters", "1", *maps, *tags, named)
    assert vfi("upsample", named, "--fps", "50", "-o", clip.with_name("o.avi"), "--map", "-a:1", "--dry-run") == 0
    plan = capsys.readouterr().out
    assert "\naudio     aac (deu, Ton) becomes ac3: avi files cannot hold aac (stream 1)\n" in plan
    assert "\naudio     aac (eng) left out: not chosen by --map (stream 2)\n" in plan
    assert "\nchapters  1 left out: avi files cannot hold any\n" in plan
    assert "\nnote      the chapters are left out: avi files cannot hold any\n" in plan
    assert (
        vfi("upsample", named, "--fps", "50", "-o", clip.with_name("o.mkv"), "--no-audio", "--dry-run", "--json") == 0
    )
    facts = json.loads(capsys.readouterr().out)["streams"]
    told = {"kind": "audio", "codec": "aac", "action": "drop", "to_codec": None, "reason": "--no-audio"}
    assert facts[0] == {**told, "index": 1, "language": "deu", "title": "Ton"} and facts[1]["language"] == "eng"


def test_a_dry_run_tells_the_plan_and_writes_nothing(clip: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert vfi("upsample", clip, "--fps", "60", "--dry-run") == 0
    out, _ = capsys.readouterr()
    for part in (
        "h264",
        "64 x 48",
        "25 fps",
        "60 fps",
        "copied",
        "made",
        "libx264",
        "aac",
        "an estimate",
        "clip_60fps.mp4",
    ):
        assert part in out
    assert list(clip.parent.iterdir()) == [clip]


def test_the_plan_as_json_has_exact_rates(clip: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan = plan_of(capsys, clip, "--fps", "59.94")
    assert plan["rate"] == "60000/1001"
    assert plan["frames"] == 24  # 0.4 s
    assert plan["copied"] + plan["made"] == plan["frames"]  # type: ignore[operator]
    assert Path(str(plan["output"])).name == "clip_59.94fps.mp4"
    assert "60000/1001" in str(plan["notes"])
    source = plan["source"]
    assert isinstance(source, dict)
    assert (source["rate"], source["frames"], source["duration"]) == ("25/1", 10, "2/5")


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (["upsample", "--fps", "60"], "clip_60fps.mp4"),
        (["upsample", "--fps", "23.976"], "clip_23.976fps.mp4"),
        (["upsample", "--multi", "2"], "clip_50fps.mp4"),
        (["upsample", "-x", "2.5"], "clip_62.5fps.mp4"),
        (["upsample", "--fps", "2x", "-c", "ffv1"], "clip_50fps.mkv"),
        (["upsample", "--fps", "2x", "-c", "prores"], "clip_50fps.mov"),
        (["upsample", "--fps", "2x", "-c", "hevc"], "clip_50fps.mp4"),
        (["slowmo", "--factor", "8"], "clip_slow8x.mp4"),
        (["slowmo", "-x", "2.5", "--fps", "50"], "clip_slow2.5x.mp4"),
    ],
)
def test_the_default_name_says_what_was_done(
    arguments: list[str], name: str, clip: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert vfi(arguments[0], "-i", clip, *arguments[1:], "--dry-run", "--json") == 0
    assert json.loads(capsys.readouterr().out)["output"] == str(clip.parent / name)


def test_a_folder_as_output_takes_the_default_name(
    clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "to").mkdir()
    plan = plan_of(capsys, clip, "--fps", "50", "-o", tmp_path / "to")
    assert plan["output"] == str(tmp_path / "to" / "clip_50fps.mp4")


def test_several_inputs_go_on_after_one_fails_and_end_with_its_code(
    clip: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert vfi("upsample", "none.mp4", clip, "--fps", "50", "--dry-run", "--json") == ExitCode.INPUT
    out, err = capsys.readouterr()
    outcomes = json.loads(out)["results"]
    assert outcomes[0]["exit_code"] == ExitCode.INPUT
    assert outcomes[1]["frames"] == 20
    assert err.splitlines()[-1] == "vfi: 1 done, 1 failed (none.mp4)"


@pytest.mark.parametrize(
    ("inputs", "advice"),
    [
        (["f_1.png", "f_2.png"], "a pattern in quotes, such as 'f_*.png'"),
        (["a.mp4", "f_1.png"], "-o, such as out.mp4/"),
    ],
)
def test_many_inputs_for_one_file_are_refused_with_what_was_probably_meant(
    inputs: list[str], advice: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert vfi("upsample", *inputs, "-x", "2", "-o", "out.mp4") == ExitCode.USAGE
    assert advice in sentence(capsys.readouterr().err)


def test_probe_tells_what_a_file_holds(clip: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert vfi("probe", clip) == 0
    assert "25 fps, constant" in capsys.readouterr().out
    assert vfi("probe", clip, "--json") == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["video"]["width"] == 64
    assert facts["streams"][0]["codec"] == "aac"
    assert facts["rate"] == "25/1"


def test_weights_are_listed_and_verified(shared_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert vfi("weights", "list") == 0
    assert capsys.readouterr().out.startswith("fast ")
    assert vfi("weights", "verify", "--json") == 0
    assert json.loads(capsys.readouterr().out)["weights"][0]["problems"] == []


def test_changed_weights_fail_verification_with_6(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], shared_folder: Path
) -> None:
    folder = tmp_path / "changed"
    folder.mkdir()
    for path in (shared_folder / "weights").iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    content = bytearray((folder / "fast.safetensors").read_bytes())
    content[-1] ^= 1
    (folder / "fast.safetensors").write_bytes(content)
    monkeypatch.setenv("VFI_WEIGHTS", str(folder))
    assert vfi("weights", "verify", "fast") == ExitCode.WEIGHTS
    assert "sha256" in sentence(capsys.readouterr().err)


def test_doctor_tells_versions_and_paths(capsys: pytest.CaptureFixture[str]) -> None:
    assert vfi("doctor", "--json") == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["vfi"]["version"] == __version__
    assert facts["torch"]["version"]
    assert facts["ffmpeg"]["encoders"]["libx264"] in (True, False)
    assert facts["weights"][0]["state"] == "good"
    assert vfi("doctor") == 0
    assert "ffmpeg" in capsys.readouterr().out


def test_doctor_without_ffmpeg_says_so_with_5(capsys: pytest.CaptureFixture[str]) -> None:
    assert vfi("doctor", "--ffmpeg", "/none/ffmpeg", "--json") == ExitCode.MISSING_TOOL
    assert "error" in json.loads(capsys.readouterr().out)["ffmpeg"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script_for_the_shell(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert vfi("completion", shell) == 0
    assert "_VFI_COMPLETE" in capsys.readouterr().out


def test_the_shell_is_told_the_commands() -> None:
    environment = {**os.environ, "_VFI_COMPLETE": "bash_complete", "COMP_WORDS": "vfi up", "COMP_CWORD": "1"}
    child = subprocess.run(VFI, env=environment, capture_output=True, text=True, check=False)
    assert "upsample" in child.stdout


def test_a_torch_that_cannot_be_loaded_is_told_of_once(clip: Path, tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("raise ImportError('libc10.so is broken')")
    run = subprocess.run(
        [*VFI, "upsample", str(clip), "--factor", "2", "-o", str(tmp_path / "out.mp4")],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *filter(None, sys.path)])},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == 1
    assert "this is a bug (ImportError: libc10.so is broken)" in run.stderr
    assert run.stderr.count("Traceback") == 1
    assert not list(tmp_path.glob("*out*"))


def test_threads_do_not_spin_unless_the_user_wants_it(monkeypatch: pytest.MonkeyPatch) -> None:
    from interp_cli.cli.entry import quieten_threads

    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    monkeypatch.setenv("GOMP_SPINCOUNT", "7")
    quieten_threads()
    assert (os.environ["OMP_WAIT_POLICY"], os.environ["GOMP_SPINCOUNT"]) == ("PASSIVE", "7")
    assert os.environ["OPENBLAS_NUM_THREADS"] == "1"


def test_a_signal_before_any_work_ends_with_its_code() -> None:
    code = (
        "import os, signal, sys; sys.argv = ['vfi', 'probe', 'x.mp4']\n"
        "import interp_cli.job.output as output\n"
        "output.check_input = lambda path: os.kill(os.getpid(), getattr(signal, sys.stdin.read()))\n"
        "from interp_cli.cli import main\nmain()"
    )
    for name, status in (("SIGINT", -signal.SIGINT), ("SIGTERM", 143)):  # a shell says 130
        child = subprocess.run([sys.executable, "-c", code], input=name, capture_output=True, text=True, check=False)
        assert child.returncode == status
        assert sentence(child.stderr) == f"vfi: interrupted by {signal.Signals[name].name}"


def test_results_that_are_there_can_be_left_out(clip: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = clip.with_name("other.mp4")
    other.write_bytes(clip.read_bytes())
    there = clip.with_name("clip_50fps.mp4")
    there.write_text("mine")
    batch = ("upsample", clip, other, "--fps", "50", "--dry-run", "--json")
    assert vfi(*batch) == ExitCode.OUTPUT
    capsys.readouterr()
    assert vfi(*batch, "--skip-existing") == 0
    said = capsys.readouterr()
    first, second = json.loads(said.out)["results"]
    assert first == {"input": str(clip), "output": str(there), "skipped": True}
    assert second["output"].endswith("other_50fps.mp4")
    assert "is there already" in said.err and said.err.endswith("vfi: 1 done, 1 there already, 0 failed\n")
    assert vfi("upsample", clip, "--fps", "50", "--skip-existing") == 0
    assert there.read_text() == "mine"
    assert vfi(*batch, "--skip-existing", "-y") == ExitCode.USAGE


def test_what_one_file_failed_of_is_told_as_json_too(clip: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert vfi("upsample", "none.mp4", "--fps", "50", "--json") == ExitCode.INPUT
    outcome = json.loads(capsys.readouterr().out)
    assert outcome["input"] == "none.mp4" and outcome["exit_code"] == ExitCode.INPUT and "none.mp4" in outcome["error"]


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_ctrl_c_ends_a_loop_of_a_shell_too() -> None:
    code = (
        "import sys, time; sys.argv = ['vfi', 'probe', 'x.mp4']\n"
        "import interp_cli.job.output as output\n"
        "output.check_input = lambda path: (print('ready', flush=True), time.sleep(60))\n"
        "from interp_cli.cli import main\nmain()"
    )
    loop = 'for n in 1 2; do "$0" -c "$1" || echo ended with $?; done'
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "start_new_session": True}
    with subprocess.Popen(["bash", "-c", loop, sys.executable, code], **pipes) as bash:  # type: ignore[call-overload]
        assert bash.stdout.readline() == "ready\n"
        os.killpg(bash.pid, signal.SIGINT)  # as a terminal does
        rest, said = bash.communicate(timeout=30)
    assert rest == "" and sentence(said) == "vfi: interrupted by SIGINT"
    assert bash.returncode == -signal.SIGINT


def test_what_is_typed_overrules_the_other_way_to_say_the_rate(
    clip: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("VFI_UPSAMPLE_FACTOR", "3")
    assert plan_of(capsys, clip)["rate"] == "75/1"
    assert plan_of(capsys, clip, "--fps", "60")["rate"] == "60/1"
    assert vfi("upsample", clip, "--fps", "60", "--factor", "2", "--dry-run") == ExitCode.USAGE


def test_no_result_replaces_another_input_of_the_same_batch(clip: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = clip.with_name("clip_50fps.mp4")
    other.write_bytes(clip.read_bytes())
    assert vfi("upsample", clip, other, "--fps", "50", "-y", "--dry-run", "--json") == ExitCode.OUTPUT
    outcomes = json.loads(capsys.readouterr().out)["results"]
    assert "another input" in outcomes[0]["error"]
    assert "error" not in outcomes[1]


@pytest.mark.parametrize(("asked", "encoder"), [("H264", "libx264"), ("x265", "libx265"), ("libx264", "libx264")])
def test_codecs_go_by_the_names_that_people_type(
    asked: str, encoder: str, clip: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert encoder in str(plan_of(capsys, clip, "--fps", "50", "-c", asked)["encoder"])


def test_weights_in_a_folder_that_is_none_are_a_weights_error(
    clip: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("VFI_WEIGHTS", "/nope")
    assert vfi("upsample", clip, "--fps", "50", "--dry-run") == ExitCode.WEIGHTS
    assert "VFI_WEIGHTS" in sentence(capsys.readouterr().err)


def test_a_name_that_is_too_long_is_an_input_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert vfi("upsample", "x" * 300 + ".mp4", "--fps", "50") == ExitCode.INPUT
    sentence(capsys.readouterr().err)

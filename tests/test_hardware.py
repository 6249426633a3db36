"""NVDEC and NVENC: ffmpeg is asked for the right thing, and the processor steps in where the GPU stops.

No GPU is needed: a script that calls the real ffmpeg does on the processor what a GPU would, in the layout of pixels
that a GPU would, and fails as one does. With a real one, test_gpu.py runs.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import H264, PICTURE, MakeClip
from test_decode import digest, framemd5
from whole_files import convert

from interp_cli.errors import DeviceError, FfmpegError, InputError, UsageError
from interp_cli.job import segments
from interp_cli.job.job import Job, prepare
from interp_cli.job.key import key_of
from interp_cli.job.output import result_path
from interp_cli.media.children import log_children, stop_children
from interp_cli.media.decode import decode, why_not_on_gpu
from interp_cli.media.encode import with_times
from interp_cli.media.encoding import choose_encoding
from interp_cli.media.ffmpeg import Ffmpeg, encoder_formats, find_ffmpeg
from interp_cli.media.probe import probe, scan
from interp_cli.options import Codec, EncodeOptions, EngineOptions, Hwaccel

no_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
NVENC = ("h264_nvenc", "hevc_nvenc", "av1_nvenc")
PRETENDING = """#!{python}
import os, subprocess, sys

argv = [{real!r}, *sys.argv[1:]]
if "-h" in argv and "nvenc" in argv[-1]:
    print("Encoder", argv[-1].partition("=")[2], "[as if]")
    print("    Supported pixel formats: yuv420p nv12 p010le yuv444p p016le yuv444p16le bgr0 cuda")
    sys.exit()

def without(name, value=None):
    k = argv.index(name)
    assert value in (None, argv[k + 1]), argv
    del argv[k : k + 2]

if "-hwaccel" in argv:
    without("-hwaccel", "cuda")
    without("-hwaccel_device")
    without("-threads", "1")
    argv.remove("-xerror")
    filters = argv.index("-vf") + 1
    moved = "{before}scale=in_range=pc:out_range=pc:flags=bitexact+accurate_rnd:sws_dither=none,"
    for given in ("format=nv12", "format=p010le"):
        argv[filters] = argv[filters].replace(given, moved + given)
    if {stop} and "rawvideo" in argv:
        argv[-1:-1] = ["-frames:v", str({stop})]
        sys.exit(subprocess.call(argv) or {code})
twin = dict(h264_nvenc="libx264", hevc_nvenc="libx265", av1_nvenc="libaom-av1")
for k, word in enumerate(argv):
    if word in twin:
        argv[k] = twin[word]
        without("-rc", "vbr")
        without("-b:v", "0")
        without("-preset")
        if "-gpu" in argv:
            without("-gpu")
        argv[argv.index("-cq")] = "-crf"
        argv[-1:-1] = ["-cpu-used", "8"] if "av1" in word else ["-preset", "ultrafast"]
        argv = ["yuv420p10le" if a == "p010le" else a for a in argv]
os.execv(argv[0], argv)
"""
Pretender = Callable[..., Ffmpeg]


@pytest.fixture
def pretender(tmp_path: Path, ffmpeg: Ffmpeg) -> Pretender:
    """pretender(stop=10): an ffmpeg whose GPU ends with `code` after so many frames, if not 0; filters go `before`."""

    def make(*, stop: int = 0, code: int = 1, before: str = "") -> Ffmpeg:
        path = tmp_path / "ffmpeg"
        script = PRETENDING.format(python=sys.executable, real=ffmpeg.path, stop=stop, code=code, before=before)
        path.write_text(script)
        path.chmod(0o755)
        return replace(find_ffmpeg(str(path)), version=ffmpeg.version)

    return make


@pytest.fixture
def commands() -> list[str]:
    """Every command line that is run from now on."""
    lines: list[str] = []
    log_children(commands=lines.append)
    return lines


CLIPS = {
    "yuv420p": (*PICTURE, *H264),
    "yuvj420p": (*PICTURE, *H264[:-2], "-pix_fmt", "yuvj420p", "-color_range", "pc"),
    "yuv420p10le": (*PICTURE, "-c:v", "libx265", "-x265-params", "log-level=error", "-pix_fmt", "yuv420p10le"),
}


@pytest.mark.parametrize("pix_fmt", CLIPS)
@pytest.mark.parametrize("frames", [None, range(13, 29)])
def test_what_nvdec_hands_out_becomes_the_frames_of_the_processor(
    pix_fmt: str, frames: range | None, pretender: Pretender, make_clip: MakeClip, commands: list[str]
) -> None:
    path, program = make_clip("gpu.mkv", *CLIPS[pix_fmt]), pretender()
    info = replace(probe(str(path), ffmpeg=program), gpu=1)
    timeline = scan(info, ffmpeg=program)
    commands.clear()
    with decode(info, timeline, ffmpeg=program, frames=frames) as decoded:
        found = [digest(planes) for planes in decoded]
    assert found == framemd5(path, pix_fmt)[frames.start if frames else 0 :][: len(found)]
    assert len(found) == (16 if frames else 48)
    (command,) = commands
    assert "-hwaccel cuda -hwaccel_device 1" in command
    assert why_not_on_gpu(info, timeline, ffmpeg=program) is None


@pytest.mark.parametrize("frames", [None, range(5, 40)])
def test_the_processor_goes_on_where_a_gpu_stops(
    frames: range | None, pretender: Pretender, plain_mp4: Path, commands: list[str]
) -> None:
    program = pretender(stop=10)
    info = replace(probe(str(plain_mp4), ffmpeg=program), gpu=0)
    timeline = scan(info, ffmpeg=program)
    commands.clear()
    with decode(info, timeline, ffmpeg=program, frames=frames) as decoded:
        planes = list(decoded)
    wanted = frames or range(48)
    assert [digest(p) for p in planes] == framemd5(plain_mp4, "yuv420p")[wanted.start : wanted.stop]
    assert [p.pts for p in planes] == list(timeline.pts[wanted.start : wanted.stop])
    assert ["-hwaccel" in command for command in commands] == [True, False]


@pytest.mark.parametrize("stop", [0, 10])
@pytest.mark.parametrize("frames", [None, range(7, 61)])
def test_fields_are_the_same_from_a_gpu(
    stop: int, frames: range | None, pretender: Pretender, make_clip: MakeClip, commands: list[str]
) -> None:
    interlaced = ("-vf", "tinterlace=interleave_top,setfield=tff", "-flags", "+ildct+ilme", "-x264-params", "tff=1")
    path = make_clip("fields.mkv", *PICTURE[:-1], "testsrc2=s=160x96:r=50:d=2", *H264, *interlaced)
    program = pretender(stop=stop)
    found = []
    for gpu in (None, 0):
        info = replace(probe(str(path), ffmpeg=program), gpu=gpu)
        timeline = scan(info, ffmpeg=program).in_fields()
        commands.clear()
        with decode(info, timeline, ffmpeg=program, frames=frames, fields=True) as decoded:
            found.append([digest(planes) for planes in decoded])
    assert ["-hwaccel" in command for command in commands] == ([True, False] if stop else [True])
    assert len(found[0]) == (54 if frames else 100)
    assert found[0] == found[1]


@pytest.mark.once
def test_frames_that_a_gpu_loses_without_a_word_end_the_job(pretender: Pretender, plain_mp4: Path) -> None:
    program = pretender(stop=40, code=0)
    info = replace(probe(str(plain_mp4), ffmpeg=program), gpu=0)
    with (
        decode(info, scan(info, ffmpeg=program), ffmpeg=program) as decoded,
        pytest.raises(InputError, match=r"\(40 of 48 frames\): try --hwaccel none"),
    ):
        list(decoded)


def test_more_frames_than_announced_are_noticed_after_a_gpu_stopped(pretender: Pretender, plain_mp4: Path) -> None:
    program = pretender(stop=10)
    info = replace(probe(str(plain_mp4), ffmpeg=program), gpu=0)
    timeline = scan(info, ffmpeg=program)
    with (
        decode(info, replace(timeline, pts=timeline.pts[:-1]), ffmpeg=program) as decoded,
        pytest.raises(InputError, match="more frames than the 47"),
    ):
        list(decoded)


@pytest.mark.once
def test_whoever_ends_the_gpus_decoder_ends_the_job(pretender: Pretender, plain_mp4: Path, commands: list[str]) -> None:
    program = pretender()
    info = replace(probe(str(plain_mp4), ffmpeg=program), gpu=0)
    timeline = scan(info, ffmpeg=program)
    commands.clear()
    with decode(info, timeline, ffmpeg=program) as decoded:
        next(decoded)
        stop_children()
        with pytest.raises(FfmpegError, match="ended by SIG"):
            list(decoded)
    assert len(commands) == 1


@no_gpu
def test_without_a_gpu_the_processor_gives_every_frame(ffmpeg: Ffmpeg, plain_mp4: Path) -> None:
    info = replace(probe(str(plain_mp4), ffmpeg=ffmpeg), gpu=0)
    timeline = scan(info, ffmpeg=ffmpeg)
    with decode(info, timeline, ffmpeg=ffmpeg) as decoded:
        assert [digest(planes) for planes in decoded] == framemd5(plain_mp4, "yuv420p")
    assert why_not_on_gpu(info, timeline, ffmpeg=ffmpeg)


@pytest.mark.once
def test_a_gpu_that_gives_other_frames_is_not_believed(pretender: Pretender, plain_mp4: Path) -> None:
    program = pretender(before="lutyuv=y=val+1,")
    info = replace(probe(str(plain_mp4), ffmpeg=program), gpu=0)
    assert "not those of the processor" in str(why_not_on_gpu(info, scan(info, ffmpeg=program), ffmpeg=program))


@pytest.mark.once
def test_what_nvdec_does_not_know_is_not_asked_of_it(pretender: Pretender, make_clip: MakeClip) -> None:
    program = pretender()
    for codec, pix_fmt in (("libx264", "yuv444p"), ("mpeg2video", "yuv420p"), ("ffv1", "yuv420p")):
        path = make_clip(f"{codec}.mkv", *PICTURE, "-c:v", codec, "-pix_fmt", pix_fmt)
        info = replace(probe(str(path), ffmpeg=program), gpu=0)
        reason = str(why_not_on_gpu(info, scan(info, ffmpeg=program), ffmpeg=program))
        assert reason.startswith("vfi asks NVDEC for h264") and reason.endswith(pix_fmt)


@pytest.mark.once
@pytest.mark.parametrize(
    ("asked", "device", "expected"),
    [
        (Hwaccel.AUTO, "cpu", None),
        (Hwaccel.AUTO, "cuda", 0),
        (Hwaccel.AUTO, "cuda:3", 3),
        (Hwaccel.NONE, "cuda", None),
        (Hwaccel.CUDA, "cpu", 0),
        (Hwaccel.CUDA, "cuda:2", 2),
    ],
)
def test_the_gpu_that_makes_the_frames_decodes_them(
    asked: Hwaccel,
    device: str,
    expected: int | None,
    pretender: Pretender,
    plain_mp4: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(segments, "choose_device", lambda _: device)
    engine = EngineOptions(device=device)
    job = Job(input=str(plain_mp4), output="-.mp4", rate="2x", hwaccel=asked, engine=engine, ffmpeg=pretender().path)
    assert segments.decoder_of(prepare(job)).gpu == expected


@pytest.mark.once
def test_auto_leaves_to_the_processor_what_the_gpu_cannot_and_cuda_says_why(
    pretender: Pretender, plain_mp4: Path, monkeypatch: pytest.MonkeyPatch, blending: None
) -> None:
    monkeypatch.setattr(segments, "choose_device", lambda _: "cuda")
    program = pretender(before="lutyuv=y=val+1,")
    job = Job(input=str(plain_mp4), output="-.mp4", rate="2x", ffmpeg=program.path)
    assert segments.decoder_of(prepare(job)).gpu is None
    with pytest.raises(DeviceError, match=r"not those of the processor\): give auto or none"):
        prepare(replace(job, hwaccel=Hwaccel.CUDA))


@pytest.mark.once
def test_a_job_decoded_by_a_gpu_is_the_same_to_the_byte(
    pretender: Pretender, plain_mp4: Path, tmp_path: Path, commands: list[str], blending: None
) -> None:
    program = pretender()
    results = []
    for asked in (Hwaccel.NONE, Hwaccel.CUDA):
        out = tmp_path / f"{asked}.mkv"
        commands.clear()
        convert(plain_mp4, out, ffmpeg=program, hwaccel=asked)
        results.append(out.read_bytes())
        decoders = [command for command in commands if " -f rawvideo -fps_mode" in command]
        assert ["-hwaccel" in command for command in decoders] == [asked is Hwaccel.CUDA]
    assert results[0] == results[1]


@no_gpu
def test_a_gpu_that_is_asked_for_and_not_there_is_a_sentence(plain_mp4: Path, tmp_path: Path, blending: None) -> None:
    with pytest.raises(DeviceError, match="give auto or none"):
        convert(plain_mp4, tmp_path / "out.mp4", ffmpeg=find_ffmpeg(), hwaccel=Hwaccel.CUDA)
    assert not (tmp_path / "out.mp4").exists()


DEEP = (*PICTURE, "-c:v", "ffv1", "-pix_fmt", "yuv420p10le")


@pytest.mark.once
@pytest.mark.parametrize(
    ("codec", "clip", "expected"),
    [
        ("h264_nvenc", (*PICTURE, *H264), "h264,yuv420p"),
        ("h264_nvenc", DEEP, "h264,yuv420p"),  # which knows 8 bits only
        ("hevc_nvenc", DEEP, "hevc,yuv420p10le"),
        ("hevc_nvenc", (*PICTURE, "-s", "97x61", "-c:v", "ffv1", "-pix_fmt", "yuv444p"), "hevc,yuv444p"),
        ("av1_nvenc", DEEP, "av1,yuv420p10le"),
    ],
)
def test_a_result_of_nvenc_holds_what_was_asked_for(
    codec: str,
    clip: tuple[str, ...],
    expected: str,
    pretender: Pretender,
    make_clip: MakeClip,
    tmp_path: Path,
    blending: None,
) -> None:
    source, out = make_clip("source.mkv", *clip), tmp_path / "out.mp4"
    program = pretender()
    if encoder_formats(program, "libaom-av1") is None:
        pytest.skip("no twin of av1_nvenc is built in")
    done = convert(source, out, ffmpeg=program, codec=codec)
    assert done.frames == 96
    video = probe(str(out), ffmpeg=program).video
    assert f"{video.codec},{video.pix_fmt}" == expected


@no_gpu
@pytest.mark.parametrize("name", NVENC)
@pytest.mark.parametrize(("crf", "preset"), [(None, None), (51, "placebo"), (1, "p1")])
def test_ffmpeg_knows_every_option_of_nvenc(
    name: str, crf: int | None, preset: str | None, ffmpeg: Ffmpeg, plain_mp4: Path
) -> None:
    if encoder_formats(ffmpeg, name) is None:
        pytest.skip(f"{name} is not built in")
    options = EncodeOptions(codec=Codec(name), crf=crf, preset=preset)
    info = probe(str(plain_mp4), ffmpeg=ffmpeg)
    # an unknown option, value or pixel format would be said before the missing driver is
    with pytest.raises(DeviceError, match=rf"{name} does not work here \(Cannot load \S*cuda.*-c {name[:3]}"):
        choose_encoding(info, options, container="mp4", ffmpeg=ffmpeg)


@pytest.mark.once
def test_nvenc_of_another_gpu_does_not_go_on_with_a_job(
    pretender: Pretender, plain_mp4: Path, tmp_path: Path, blending: None
) -> None:
    encode = EncodeOptions(codec=Codec.H264_NVENC)
    job = Job(input=str(plain_mp4), output=str(tmp_path / "out.mp4"), rate="2x", encode=encode, ffmpeg=pretender().path)
    work = prepare(job)
    assert len(work.encoding.header) > 30
    another = replace(work, encoding=replace(work.encoding, header="another"))
    keys = [key_of(w, device="cpu torch.float32") for w in (work, another)]
    assert {name for name in keys[0] if keys[0][name] != keys[1][name]} == {"encoder's header"}


@pytest.mark.once
def test_nvenc_is_that_of_the_gpu_that_makes_the_frames(pretender: Pretender, plain_mp4: Path) -> None:
    def args(device: str, codec: Codec) -> dict[str, str]:
        encode, engine = EncodeOptions(codec=codec), EngineOptions(device=device)
        job = Job(input=str(plain_mp4), output="-.mp4", rate="2x", encode=encode, engine=engine)
        return dict(prepare(replace(job, ffmpeg=program.path)).encoding.args)

    program = pretender()
    assert args("cuda:2", Codec.H264_NVENC)["gpu"] == "2"
    assert "gpu" not in args("cuda", Codec.H264_NVENC) and "gpu" not in args("cuda:2", Codec.H264)


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".ts"])
def test_a_result_of_nvenc_is_named_like_one_of_the_processor(suffix: str) -> None:
    for codec in (Codec.H264_NVENC, Codec.HEVC_NVENC, Codec.AV1_NVENC):
        names = [
            result_path(f"in{suffix}", None, rate=Fraction(60), slow=Fraction(1), codec=c) for c in (codec, codec.plain)
        ]
        assert names[0] == names[1]


def test_uneven_times_go_to_nvenc_without_b_frames() -> None:
    options = [with_times({"c:v": name}, [0, 1, 3], tick=Fraction(1, 30)) for name in ("h264_nvenc", "libx264")]
    assert [o.get("bf") for o in options] == ["0", None]


def test_ten_bits_reach_nvenc_unchanged(ffmpeg: Ffmpeg, tmp_path: Path) -> None:
    # NVENC takes 10 bits as p010le: luma, then chroma in pairs, each value shifted by 6
    planes = np.arange(48 * 32 * 3 // 2, dtype=np.uint16) % 1024
    raw = ("-f", "rawvideo", "-pix_fmt")
    asked = [ffmpeg.path, "-v", "error", *raw, "yuv420p10le", "-s", "48x32", "-i", "-", *raw, "p010le", "-"]
    done = subprocess.run(asked, input=planes.tobytes(), capture_output=True, check=True)
    luma, chroma = planes[: 48 * 32], planes[48 * 32 :].reshape(2, -1).T.ravel()
    assert np.array_equal(np.frombuffer(done.stdout, np.uint16), np.concatenate([luma, chroma]) << 6)


@pytest.mark.once
def test_what_nvenc_cannot_be_asked_for_is_a_sentence(pretender: Pretender, plain_mp4: Path) -> None:
    program = pretender()
    info = probe(str(plain_mp4), ffmpeg=program)

    def choose(container: str = "mp4", **options: object) -> None:
        asked = EncodeOptions(codec=Codec.H264_NVENC, **options)  # type: ignore[arg-type]
        choose_encoding(info, asked, container=container, ffmpeg=program)

    choose()
    with pytest.raises(UsageError, match="no --crf 0: give 1 to 51"):
        choose(crf=0)
    with pytest.raises(UsageError, match="no --preset p8: choose one of p1, p2"):
        choose(preset="p8")
    with pytest.raises(UsageError, match="does not take --pix-fmt yuv420p10le: choose one of yuv420p, yuv444p"):
        choose(pix_fmt="yuv420p10le")
    with pytest.raises(UsageError, match="a webm file does not hold h264"):
        choose(container="webm")

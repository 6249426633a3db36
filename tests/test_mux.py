"""media/mux.py, streams.py, chapters.py: all that came with the video is in the new file, at its time, or is named."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from conftest import H264, LABELS, PICTURE, TONE, MakeClip, chosen, tool
from remuxed import remade, tracks

from interp_cli.errors import FfmpegError, UsageError
from interp_cli.media.chapters import retime
from interp_cli.media.ffmpeg import Ffmpeg
from interp_cli.media.mux import concat_list, container_for, stream_fates
from interp_cli.media.probe import probe, scan
from interp_cli.media.types import MediaInfo, OtherStream, VideoStream
from interp_cli.options import AudioInSlowMotion, Codec, EncodeOptions

SUBTITLES = "1\n00:00:00,500 --> 00:00:01,000\nhello\n\n2\n00:00:01,200 --> 00:00:01,900\nbye\n"
CHAPTERS = (
    ";FFMETADATA1\ntitle=Film\nartist=Me\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=1000\ntitle=one\\=\\\nSTART\\=5\n"
    "[CHAPTER]\nTIMEBASE=1/1000\nSTART=1000\nEND=2000\ntitle=two\n"
)


@pytest.fixture(scope="session")
def full_mkv(make_clip: MakeClip, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """H.264, AAC, subtitles, chapters, an attachment, tags."""
    folder = tmp_path_factory.mktemp("parts")
    (folder / "s.srt").write_text(SUBTITLES)
    (folder / "c.txt").write_text(CHAPTERS)
    (folder / "f.ttf").write_bytes(b"font")
    return make_clip(
        "full.mkv", *PICTURE, *TONE, "-i", folder / "s.srt", "-i", folder / "c.txt", *H264, *LABELS, "-c:a", "aac",
        "-c:s", "srt", "-map", "0", "-map", "1", "-map", "2", "-map_metadata", "3", "-metadata:s:a", "language=deu",
        "-metadata:s:a", "title=Ton", "-metadata:s:s", "language=jpn", "-disposition:s", "forced",
        "-attach", folder / "f.ttf", "-metadata:s:t", "mimetype=application/x-truetype-font",
    )  # fmt: skip


LATE = ("-itsoffset", "0.5", *PICTURE, *TONE, *H264)


SHIFTED = [
    ("late.mp4", (*LATE, "-c:a", "aac"), "mp4", Fraction(60)),
    ("late.mp4", (*LATE, "-c:a", "aac"), "mov", Fraction(60000, 1001)),
    ("late.mkv", (*LATE, "-c:a", "aac"), "mkv", Fraction(48)),
    ("late.ts", (*LATE, "-c:a", "mp2"), "mp4", Fraction(60000, 1001)),
    ("late.ts", (*LATE, "-c:a", "mp2"), "ts", Fraction(50)),
    ("early.mkv", (*PICTURE, "-itsoffset", "0.3", *TONE, *H264, "-c:a", "libopus"), "mkv", Fraction(60)),
    ("early.mkv", (*PICTURE, "-itsoffset", "0.3", *TONE, *H264, "-c:a", "libopus"), "mp4", Fraction(60)),
]


@pytest.mark.parametrize(
    ("name", "arguments", "ending", "rate"),
    chosen(SHIFTED, always=(SHIFTED[0], SHIFTED[3], SHIFTED[6]), once=SHIFTED),
)
def test_sound_stays_in_step_and_is_the_same_packets(
    name: str,
    arguments: tuple[str, ...],
    ending: str,
    rate: Fraction,
    ffmpeg: Ffmpeg,
    make_clip: MakeClip,
    tmp_path: Path,
) -> None:
    path, out = make_clip(name, *arguments), tmp_path / f"out.{ending}"
    info, plan, fates = remade(path, out, ffmpeg, rate=rate)
    assert [fate.action for fate in fates] == ["copy"]
    before, after = tracks(path), tracks(out)
    picture, sound = before[info.video.index], before[fates[0].index]
    assert len(after[0].times) == plan.frames and len(after[1].times) == len(sound.times)
    for n in (0, -1):
        moved = (after[1].times[n] - after[0].times[0]) - (sound.times[n] - picture.times[0])
        assert abs(moved) < Fraction(1, 1000) + (Fraction(1, 1000) if "mkv" in (ending, name[-3:]) else 0)
    if ending == name[-3:] != "ts":
        digests = {tool("-i", p, "-map", "0:a", "-c", "copy", "-f", "md5", "-") for p in (path, out)}
        assert len(digests) == 1


@pytest.mark.parametrize(
    ("ending", "rate"),
    [
        ("mp4", Fraction(60)),
        ("mp4", Fraction(60000, 1001)),
        ("mp4", Fraction(25, 2)),
        ("mov", Fraction(48000, 1001)),
        ("nut", Fraction(60000, 1001)),
    ],
)
def test_every_frame_stands_exactly_on_its_time_across_joins(
    ending: str, rate: Fraction, wheel: Ffmpeg, plain_mp4: Path, tmp_path: Path
) -> None:
    _, plan, _ = remade(plain_mp4, tmp_path / f"out.{ending}", wheel, rate=rate)
    times = tracks(tmp_path / f"out.{ending}")[0].times
    if ending == "nut":
        assert all(abs(t - times[0] - n / rate) < Fraction(1, 20000) for n, t in enumerate(times))
    else:
        assert [t - times[0] for t in times] == [n / rate for n in range(plan.frames)]
    info = probe(str(tmp_path / f"out.{ending}"), ffmpeg=wheel)
    assert scan(info, ffmpeg=wheel).rate == rate


def test_the_list_of_an_hour_of_segments_does_not_drift() -> None:
    rate = Fraction(60000, 1001)
    text = concat_list([(Path(f"segment-{k}.nut"), 1800) for k in range(120)], rate)
    lengths = [int(line.split()[1][:-2]) for line in text.splitlines() if line.startswith("duration")]
    ends = [sum(lengths[: k + 1]) for k in range(120)]
    assert all(abs(end - (k + 1) * 1800 / rate * 10**6) <= Fraction(1, 2) for k, end in enumerate(ends))


def test_everything_in_an_mkv_is_in_the_new_mkv(ffmpeg: Ffmpeg, full_mkv: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.mkv"
    remade(full_mkv, out, ffmpeg)
    info = probe(str(out), ffmpeg=ffmpeg)
    kinds = [("audio", "aac", "deu", "Ton"), ("subtitle", "subrip", "jpn", None), ("attachment", "ttf", None, None)]
    assert [(s.kind, s.codec, s.language, s.title) for s in info.others] == kinds
    assert {k.lower(): v for k, v in info.tags}.items() >= {"title": "Film", "artist": "Me"}.items()
    with av.open(str(out)) as container:
        chapters = container.chapters()
        titles = [(c["start"] * c["time_base"], c["end"] * c["time_base"], c["metadata"]["title"]) for c in chapters]
        assert titles == [(0, 1, "one=\nSTART=5"), (1, 2, "two")]
        assert container.streams[2].disposition & av.stream.Disposition.forced
    assert b"font" in out.read_bytes()
    words = tool("-i", out, "-map", "0:s", "-f", "srt", "-").decode()
    assert "hello" in words and "bye" in words
    before, after = tracks(full_mkv), tracks(out)
    shown = [[t - found[0].times[0] for t in found[2].times] for found in (before, after)]
    assert all(abs(a - b) <= Fraction(1, 1000) for a, b in zip(*shown, strict=True))


def test_what_mp4_cannot_hold_is_converted_or_named(ffmpeg: Ffmpeg, full_mkv: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    _, _, fates = remade(full_mkv, out, ffmpeg)
    assert [(f.action, f.to_codec) for f in fates] == [("copy", None), ("convert", "mov_text"), ("drop", None)]
    assert all(f.reason for f in fates if f.action != "copy")
    info = probe(str(out), ffmpeg=ffmpeg)
    assert [(s.kind, s.codec, s.language) for s in info.others][:2] == [
        ("audio", "aac", "deu"), ("subtitle", "mov_text", "jpn"),
    ]  # fmt: skip
    assert dict(info.tags)["title"] == "Film" and info.chapters == 2
    words = tool("-i", out, "-map", "0:s", "-f", "srt", "-").decode()
    assert "00:00:00,500 --> 00:00:01,000" in words and "bye" in words
    data = out.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")


def test_webm_gets_opus_and_webvtt(wheel: Ffmpeg, full_mkv: Path, tmp_path: Path) -> None:
    remade(full_mkv, tmp_path / "out.webm", wheel, rate=Fraction(24), options=EncodeOptions(preset="8"))
    info = probe(str(tmp_path / "out.webm"), ffmpeg=wheel)
    assert (info.video.codec, [s.codec for s in info.others]) == ("vp9", ["opus", "webvtt"])


def test_a_cover_is_kept_in_mp4(ffmpeg: Ffmpeg, plain_mp4: Path, tmp_path: Path) -> None:
    cover, path, out = tmp_path / "cover.png", tmp_path / "in.mp4", tmp_path / "out.mp4"
    tool("-f", "lavfi", "-i", "color=s=20x20", "-frames:v", "1", cover)
    tool("-i", plain_mp4, "-i", cover, "-map", "0", "-map", "1", "-c", "copy", "-disposition:2", "attached_pic", path)
    remade(path, out, ffmpeg, rate=Fraction(24))
    others = probe(str(out), ffmpeg=ffmpeg).others
    assert [(s.codec, s.attached_picture) for s in others] == [("aac", False), ("png", True)]
    assert tool("-i", out, "-map", "0:2", "-c", "copy", "-f", "image2pipe", "-") == cover.read_bytes()


@pytest.mark.once
def test_a_cover_does_not_move_the_streams_of_an_mkv(ffmpeg: Ffmpeg, plain_mp4: Path, tmp_path: Path) -> None:
    cover, path, out = tmp_path / "cover.png", tmp_path / "in.mp4", tmp_path / "out.mkv"
    tool("-f", "lavfi", "-i", "color=s=20x20", "-frames:v", "1", cover)
    tool("-i", plain_mp4, "-i", cover, "-map", "0", "-map", "1", "-c", "copy", "-disposition:2", "attached_pic", path)
    _, _, fates = remade(path, out, ffmpeg, rate=Fraction(24))
    assert [f.action for f in fates] == ["copy", "copy"]
    assert tracks(out)[0].times[0] < Fraction(3, 100)


@pytest.mark.once
def test_51_side_sound_becomes_opus(ffmpeg: Ffmpeg, make_clip: MakeClip, tmp_path: Path) -> None:
    sound = ("-f", "lavfi", "-i", "anoisesrc=d=1:a=0.1,pan=5.1(side)|FL=c0|FR=c0|FC=c0|LFE=c0|SL=c0|SR=c0")
    path = make_clip("side.mkv", *PICTURE, *sound, *H264, "-c:a", "ac3", "-t", "1")
    remade(path, tmp_path / "out.webm", ffmpeg, rate=Fraction(24), options=EncodeOptions(preset="8"))
    (other,) = probe(str(tmp_path / "out.webm"), ffmpeg=ffmpeg).others
    assert (other.codec, other.channels) == ("opus", 6)


@pytest.mark.parametrize("ending", chosen(["ts", "m2ts"], always=("ts",), once=("m2ts",)))
@pytest.mark.parametrize("sound", chosen(["mp2", "aac", None], always=("aac",), once=("mp2", None)))
def test_mpeg_ts_begins_at_zero(
    sound: str | None, ending: str, ffmpeg: Ffmpeg, make_clip: MakeClip, tmp_path: Path
) -> None:
    heard = (*TONE, "-c:a", sound) if sound else ()
    path = make_clip("begin.mkv", *PICTURE, *heard, *H264)
    remade(path, tmp_path / f"out.{ending}", ffmpeg, rate=Fraction(50))
    timeline = scan(probe(str(tmp_path / f"out.{ending}"), ffmpeg=ffmpeg), ffmpeg=ffmpeg)
    assert 0 <= timeline.start <= Fraction(1, 10) and timeline.rate == 50


@pytest.mark.once
def test_a_new_video_without_alpha_is_not_said_to_have_it(ffmpeg: Ffmpeg, plain_mp4: Path, tmp_path: Path) -> None:
    tool("-i", plain_mp4, "-map", "0:v", "-c", "copy", "-metadata:s:v", "ALPHA_MODE=1", tmp_path / "in.mkv")
    info, _, _ = remade(tmp_path / "in.mkv", tmp_path / "out.mkv", ffmpeg, rate=Fraction(24))
    assert "alpha_mode" in {key.lower() for key, _ in info.video.tags}
    tags = probe(str(tmp_path / "out.mkv"), ffmpeg=ffmpeg).video.tags
    assert "alpha_mode" not in {key.lower() for key, _ in tags}


@pytest.mark.once
def test_apples_tags_are_kept(ffmpeg: Ffmpeg, plain_mp4: Path, tmp_path: Path) -> None:
    tags = ("-movflags", "use_metadata_tags", "-metadata", "com.apple.quicktime.make=Phone", "-metadata", "title=T")
    tool("-i", plain_mp4, "-c", "copy", *tags, tmp_path / "in.mov")
    remade(tmp_path / "in.mov", tmp_path / "out.mp4", ffmpeg, rate=Fraction(24))
    kept = dict(probe(str(tmp_path / "out.mp4"), ffmpeg=ffmpeg).tags)
    assert (kept["com.apple.quicktime.make"], kept["title"]) == ("Phone", "T")


@pytest.mark.once
@pytest.mark.parametrize(
    ("ending", "codec", "expected"),
    [("mov", "pcm_s16le", "pcm_s16le"), ("mp4", "pcm_s24le", "aac"), ("mkv", "pcm_s16be", "pcm_s16be")],
)
def test_pcm_is_kept_where_it_can_be(
    ending: str, codec: str, expected: str, ffmpeg: Ffmpeg, make_clip: MakeClip, tmp_path: Path
) -> None:
    path = make_clip(f"{codec}.mov", *PICTURE, *TONE, *H264, "-c:a", codec)
    remade(path, tmp_path / f"out.{ending}", ffmpeg, rate=Fraction(24))
    assert probe(str(tmp_path / f"out.{ending}"), ffmpeg=ffmpeg).others[0].codec == expected


@pytest.mark.parametrize(
    ("turn", "ending"),
    chosen([(90, "mp4"), (180, "mov"), (270, "mp4")], always=[(90, "mp4")], once=[(180, "mov"), (270, "mp4")]),
)
def test_rotation_is_carried(turn: int, ending: str, ffmpeg: Ffmpeg, plain_mp4: Path, tmp_path: Path) -> None:
    path, out = tmp_path / "turned.mp4", tmp_path / f"out.{ending}"
    tool("-display_rotation", -turn, "-i", plain_mp4, "-c", "copy", path)
    remade(path, out, ffmpeg, rate=Fraction(24))
    assert probe(str(out), ffmpeg=ffmpeg).video.rotation == turn


@pytest.mark.once
def test_colour_and_pixel_shape_reach_the_file(ffmpeg: Ffmpeg, make_clip: MakeClip, tmp_path: Path) -> None:
    path = make_clip("shape.mkv", *PICTURE, *H264, *LABELS, "-vf", "setsar=4/3")
    for name, codec in {"a.mp4": None, "b.mkv": "ffv1", "c.mp4": "hevc"}.items():
        plain = Codec(codec) if codec else None
        options = EncodeOptions(codec=plain, preset=None if codec == "ffv1" else "ultrafast")
        info, _, _ = remade(path, tmp_path / name, ffmpeg, rate=Fraction(24), options=options)
        video = probe(str(tmp_path / name), ffmpeg=ffmpeg).video
        assert replace(video.color, location=None) == replace(info.video.color, location=None)
        assert video.sar == Fraction(4, 3)
    assert b"hvc1" in (tmp_path / "c.mp4").read_bytes()


@pytest.mark.parametrize("ending", chosen(["mkv", "mp4"], always=("mp4",), once=("mkv",)))
def test_a_trimmed_part_has_the_sound_subtitles_and_chapters_of_that_part(
    ending: str, ffmpeg: Ffmpeg, full_mkv: Path, tmp_path: Path
) -> None:
    out = tmp_path / f"out.{ending}"
    _, plan, _ = remade(full_mkv, out, ffmpeg, part=(Fraction(1), Fraction(9, 5)))
    before, after = tracks(full_mkv), tracks(out)
    begin, end = plan.source.start, plan.source.end
    assert after[0].times[0] == min(t for track in after[:1] for t in track.times)
    inside = [t for t in before[1].times if begin <= t < end]
    assert abs(len(after[1].times) - len(inside)) <= 1
    assert abs((after[1].times[0] - after[0].times[0]) - (inside[0] - begin)) < Fraction(2, 1000)
    assert after[1].end - after[0].times[0] <= end - begin + Fraction(25, 1000)
    words = tool("-i", out, "-map", "0:s", "-f", "srt", "-").decode()
    assert "bye" in words and "hello" not in words
    shown = words.split(" --> ")[0].splitlines()[-1]
    assert abs(Fraction(shown[6:].replace(",", ".")) - (Fraction(12, 10) - begin)) < Fraction(25, 1000)
    with av.open(str(out)) as container:
        ends = [(c["end"] * c["time_base"], c["metadata"]["title"][:3]) for c in container.chapters()]
    assert ends[-1][1] == "two" and abs(ends[-1][0] - (end - begin)) < Fraction(2, 1000)


def times(line: str) -> list[Fraction]:
    """Begin and end of "00:00:00,500 --> 00:00:01,000", s."""
    clocks = [part.replace(",", ".").split(":") for part in line.split(" --> ")]
    return [3600 * int(h) + 60 * int(m) + Fraction(s) for h, m, s in clocks]


@pytest.mark.parametrize(
    ("slow", "ending"),
    chosen([(Fraction(8), "mp4"), (Fraction(3, 2), "mkv")], once=[(8, "mp4"), (Fraction(3, 2), "mkv")]),
)
def test_slow_motion_stretches_sound_and_chapters_by_the_factor_and_keeps_the_pitch(
    slow: Fraction, ending: str, ffmpeg: Ffmpeg, full_mkv: Path, tmp_path: Path
) -> None:
    out = tmp_path / f"out.{ending}"
    _, plan, fates = remade(full_mkv, out, ffmpeg, rate=Fraction(24), slow=slow)
    before, after = tracks(full_mkv), tracks(out)
    assert len(after[0].times) == plan.frames
    assert abs((after[1].end - after[0].times[0]) - slow * (before[1].end - before[0].times[0])) < Fraction(50, 1000)
    assert abs(after[1].times[0] - after[0].times[0]) < Fraction(50, 1000)  # as in the source, but for AAC's priming
    assert [f.action for f in fates][:2] == ["convert", "convert" if ending == "mp4" else "copy"]
    with av.open(str(out)) as container:
        assert abs(container.chapters()[-1]["end"] * container.chapters()[-1]["time_base"] - 2 * slow) < Fraction(1, 10)
    raw = np.frombuffer(tool("-i", out, "-map", "0:a", "-ac", "1", "-ar", "8000", "-f", "f32le", "-"), np.float32)
    spectrum = np.abs(np.fft.rfft(raw[2000:10000]))
    assert abs(int(spectrum.argmax()) - 440) <= 5


@pytest.mark.parametrize("ending", chosen(["mkv", "mp4"], always=("mp4",), once=("mkv",)))
@pytest.mark.parametrize("part", [pytest.param(None, marks=pytest.mark.once), (Fraction(1), None)])
def test_slow_motion_stretches_text_subtitles(
    part: tuple[Fraction, None] | None, ending: str, ffmpeg: Ffmpeg, full_mkv: Path, tmp_path: Path
) -> None:
    path, out, slow = tmp_path / f"in.{ending}", tmp_path / f"out.{ending}", Fraction(5, 2)
    tool(
        "-i",
        full_mkv,
        "-map",
        "0:v",
        "-map",
        "0:s",
        "-c",
        "copy",
        *(["-c:s", "mov_text"][: 9 * (ending == "mp4")]),
        path,
    )
    _, _, fates = remade(path, out, ffmpeg, rate=Fraction(24), slow=slow, part=part)
    assert [f.action for f in fates if f.kind == "subtitle"] == ["copy"]
    words = tool("-i", out, "-map", "0:s", "-f", "srt", "-").decode()
    shown = [times(line) for line in words.splitlines() if "-->" in line]
    expected = [(Fraction(1, 2), Fraction(1)), (Fraction(6, 5), Fraction(19, 10))][-len(shown) :]
    assert len(shown) == (1 if part else 2)
    for got, was in zip(shown, expected, strict=True):
        assert all(
            abs(g - slow * (w - (1 if part else 0))) < slow * Fraction(45, 1000) for g, w in zip(got, was, strict=True)
        )


def test_a_failure_says_which_file(wheel: Ffmpeg, plain_mp4: Path, tmp_path: Path) -> None:
    (tmp_path / "out.mp4").mkdir()
    with pytest.raises(FfmpegError, match=r"could not write out\.mp4"):
        remade(plain_mp4, tmp_path / "out.mp4", wheel, rate=Fraction(24))


# ---- decisions


def test_names_say_the_container() -> None:
    names = {"a.mp4": "mp4", "A.M4V": "mp4", "a.mov": "mov", "a.b.mkv": "matroska", "a.webm": "webm", "a.ts": "mpegts"}
    assert {name: container_for(Path(name)) for name in names} == names
    for name in ("a", "a.gif2", "mp4"):
        with pytest.raises(UsageError, match=r"end its name with one of \.mp4"):
            container_for(name)


def holding(**kinds: str) -> MediaInfo:
    video = VideoStream(
        index=0, codec="h264", width=2, height=2, pix_fmt="yuv420p", bit_depth=8, time_base=Fraction(1, 25)
    )
    others = tuple(
        OtherStream(index=n, kind=kind.rstrip("0123456789"), codec=codec)
        for n, (kind, codec) in enumerate(kinds.items(), start=1)
    )
    return MediaInfo(path="x", container="matroska,webm", video=video, others=others)


def test_every_stream_has_a_fate_and_every_change_a_reason() -> None:
    kinds = {
        "audio": "vorbis",
        "subtitle1": "ass",
        "subtitle2": "hdmv_pgs_subtitle",
        "attachment": "ttf",
        "data": "tmcd",
    }
    for container in ("mp4", "mov", "matroska", "webm", "avi", "nut", "mpegts"):
        for slow in (Fraction(1), Fraction(2)):
            fates = stream_fates(holding(**kinds), container=container, slow=slow)
            assert [f.index for f in fates] == [1, 2, 3, 4, 5]
            assert all(f.reason for f in fates if f.action != "copy")
            assert all(f.to_codec for f in fates if f.action == "convert")
            assert "drop" in {f.action for f in fates}


def test_subtitles_that_ffmpeg_cannot_read_are_copied_or_dropped() -> None:
    info = holding(subtitle1="hdmv_text_subtitle", subtitle2="dvb_teletext")
    assert [f.action for f in stream_fates(info, container="matroska")] == ["copy", "drop"]
    text, teletext = (f.reason or "" for f in stream_fates(info, container="mp4"))
    assert text.endswith(": .mkv can") and not teletext.endswith(".mkv can")
    assert not (stream_fates(info, container="matroska")[1].reason or "").endswith(".mkv can")


def test_sound_can_be_left_out_and_says_why() -> None:
    info = holding(audio="aac")
    assert stream_fates(info, container="mp4", audio=False)[0].reason == "--no-audio"
    dropped = stream_fates(info, container="mp4", slow=Fraction(2), slow_audio=AudioInSlowMotion.DROP)[0]
    assert (dropped.action, dropped.reason) == ("drop", "--audio drop")


ENCODERS = {
    "aac": "aac", "mp3": "libmp3lame", "mp2": "mp2", "ac3": "ac3", "eac3": "eac3", "alac": "alac", "flac": "flac",
    "opus": "libopus", "vorbis": "libvorbis", "pcm_s16le": "pcm_s16le", "pcm_s24be": "pcm_s24be", "pcm_u8": "pcm_u8",
    "pcm_f32le": "pcm_f32le", "pcm_alaw": "pcm_alaw", "wavpack": "wavpack", "tta": "tta", "dts": "dca",
    "truehd": "truehd",
}  # fmt: skip
ENDINGS = {"mp4": "mp4", "mov": "mov", "matroska": "mkv", "webm": "webm", "avi": "avi", "nut": "nut", "mpegts": "ts"}


@pytest.mark.parametrize("container", ENDINGS)
def test_ffmpeg_can_indeed_copy_the_sound_that_is_to_be_copied(container: str, wheel: Ffmpeg, tmp_path: Path) -> None:
    for codec, encoder in ENCODERS.items():
        fate = stream_fates(holding(audio=codec), container=container)[0]
        if fate.action == "copy":
            args = ("-f", "lavfi", "-i", "sine=d=0.1:r=48000", "-ac", "2", "-strict", "-2", "-c:a", encoder)
            tool(*args, tmp_path / "in.mkv")
            tool("-i", tmp_path / "in.mkv", "-c", "copy", "-f", container, tmp_path / f"out.{ENDINGS[container]}")


def test_chapters_are_moved_cut_and_stretched() -> None:
    moved = retime(CHAPTERS, zero=Fraction(1, 2), slow=Fraction(2), end=Fraction(2))
    assert moved == (
        ";FFMETADATA1\n[CHAPTER]\nTIMEBASE=1/1000000\nSTART=0\nEND=1000000\ntitle=one\\=\\\nSTART\\=5\n"
        "[CHAPTER]\nTIMEBASE=1/1000000\nSTART=1000000\nEND=2000000\ntitle=two\n"
    )
    assert "[CHAPTER]" not in retime(CHAPTERS, zero=Fraction(5), slow=Fraction(1), end=None)

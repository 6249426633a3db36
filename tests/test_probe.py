"""media/probe.py: what a file holds and when its frames are shown, against PyAV and ffprobe as witnesses."""

import json
import subprocess
from fractions import Fraction
from pathlib import Path

import av
import pytest
from conftest import H264, LABELS, PICTURE, TONE, MakeClip, chosen, tool

from interp_cli.errors import InputError
from interp_cli.media.banner import exact_rate, parse_banner
from interp_cli.media.encoding import choose_encoding
from interp_cli.media.ffmpeg import Ffmpeg
from interp_cli.media.packets import spans
from interp_cli.media.probe import probe, scan
from interp_cli.media.types import Color
from interp_cli.options import Codec, EncodeOptions

# ---- the banner, as real ffmpegs print it

PHONE_5_1 = """\
ffmpeg chatter
Input #0, mov,mp4,m4a,3gp,3g2,mj2, from 'file:IMG_0001.MOV':
  Metadata:
    major_brand     : qt
    title           : He: llo
                    : Stream #0:9: Video: h264
    com.apple.quicktime.location.ISO6709: +52.3-001.1/
  Duration: 00:00:02.00, start: 0.021333, bitrate: 201 kb/s
  Stream #0:0[0x1](und): Video: hevc (Main 10) (hvc1 / 0x31637668), 1 reference frame, yuv420p10le(tv, \
bt2020nc/bt2020/arib-std-b67, progressive, left), 1920x1080 (1920x1088) [SAR 1:1 DAR 16:9], 119 kb/s, 29.97 fps, \
29.97 tbr, 600 tbn (default)
    Metadata:
      handler_name    : Core Media Video
      encoder         : HEVC
    Side data:
      DOVI configuration record: version: 1.0, profile: 8, level: 4, rpu flag: 1, el flag: 0
      displaymatrix: rotation of -90.00 degrees
  Stream #0:1[0x2](deu): Audio: aac (LC) (mp4a / 0x6134706D), 44100 Hz, 5.1(side), fltp, 69 kb/s (default)
    Metadata:
      handler_name    : Core Media Audio
  Stream #0:2[0x3](und): Data: none (mebx / 0x7862656D), 0 kb/s (default)
  Stream #0:3[0x0]: Video: mjpeg (Baseline), 1 reference frame, yuvj444p(pc, bt470bg/unknown/unknown, center), \
64x64 [SAR 1:1 DAR 1:1], 90k tbr, 90k tbn (attached pic)
At least one output file must be specified
"""
TS_9_0 = """\
[mpegts @ 0x5566] chatter
Input #0, mpegts, from 'file:t.ts':
  Duration: 00:00:01.02, start: 1.429089, bitrate: 949 kb/s
  Program 1
    Metadata:
      service_name    : Service01
      service_provider: FFmpeg
  Stream #0:0[0x100]: Video: mpeg2video (Main), 1 reference frame ([2][0][0][0] / 0x0002), yuv420p(tv, top first, \
left), 160x90 [SAR 64:45 DAR 16:9], 25 fps, 25 tbr, 90k tbn, start 1.440000
    Side data:
      CPB properties: bitrate max/min/avg: 0/0/0 buffer size: 49152 vbv_delay: N/A
  Stream #0:1[0x101](eng): Audio: mp2 (mp3float) ([3][0][0][0] / 0x0003), 44100 Hz, mono, fltp, 384 kb/s, start 1.42
  Stream #0:2[0x102](fra): Subtitle: dvb_subtitle ([6][0][0][0] / 0x0006) (hearing impaired)
"""
MKV_9_0 = """\
Input #0, matroska,webm, from 'file:full.mkv':
  Metadata:
    title           : T
  Duration: N/A, start: -0.007000, bitrate: N/A
  Chapters:
    Chapter #0:0: start 0.000000, end 1.000000
      Metadata:
        title           : one
    Chapter #0:1: start 1.000000, end 2.000000
  Stream #0:0: Video: vp9 (Profile 0), 1 reference frame, yuv420p(tv, progressive), 160x90, SAR 1:1 DAR 16:9, \
120 fps, 120 tbr, 1k tbn (default)
    Side data:
      Display Matrix: rotation of 90.00 degrees
  Stream #0:1(jpn): Subtitle: subrip (srt) (forced)
    Metadata:
      title           : signs
  Stream #0:2: Attachment: ttf
    Metadata:
      filename        : f.ttf
Stream mapping:
  Stream #0:0 -> #0:0 (copy)
Output #0, framecrc, to 'pipe:1':
  Stream #0:0: Video: vp9
"""
TIMECODE_9_0 = """\
Input #0, mov,mp4,m4a,3gp,3g2,mj2, from 'file:tc.mov':
  Metadata:
    major_brand     : qt
  Duration: 00:00:01.00, start: 0.000000, bitrate: 49 kb/s
  Stream group #0:0[0x2]: Track Reference:
    Stream #0:0[0x1]: Video: h264 (Constrained Baseline), 1 reference frame (avc1 / 0x31637661), yuv420p(progressive, \
left), 64x48 [SAR 1:1 DAR 4:3], 37 kb/s, 24 fps, 24 tbr, 12288 tbn (default)
      Metadata:
        handler_name    : VideoHandler
        timecode        : 01:00:00:00
      Side data:
        Display Matrix: rotation of -90.00 degrees
    Stream #0:1[0x2](eng): Data: none (tmcd / 0x64636D74), 0 kb/s
      Metadata:
        timecode        : 01:00:00:00
  Stream group #0:1[0x3]: Track Reference:
    Stream #0:1[0x2](eng): Data: none (tmcd / 0x64636D74), 0 kb/s
      Metadata:
        timecode        : 01:00:00:00
    Stream #0:2[0x3](eng): Audio: aac (LC) (mp4a / 0x6134706D), 48000 Hz, mono, fltp, 69 kb/s (default)
"""


def test_streams_that_refer_to_each_other_are_read_once() -> None:
    banner = parse_banner(TIMECODE_9_0.splitlines())
    assert banner is not None and banner.tags == (("major_brand", "qt"),)
    assert [(s.index, s.kind, s.codec) for s in banner.streams] == [
        (0, "video", "h264"), (1, "data", "tmcd"), (2, "audio", "aac"),
    ]  # fmt: skip
    assert banner.streams[0].rotation == 90
    assert dict(banner.streams[0].tags) == {"handler_name": "VideoHandler", "timecode": "01:00:00:00"}


def test_the_banner_of_a_phones_clip_is_read() -> None:
    banner = parse_banner(PHONE_5_1.splitlines())
    assert banner is not None
    assert banner.container == "mov,mp4,m4a,3gp,3g2,mj2" and banner.start == Fraction(21333, 10**6)
    assert dict(banner.tags)["title"] == "He: llo\nStream #0:9: Video: h264"
    assert dict(banner.tags)["com.apple.quicktime.location.ISO6709"] == "+52.3-001.1/"
    video, sound, data, cover = banner.streams
    assert (video.codec, video.rotation, video.rate, video.language) == ("hevc", 90, Fraction(30000, 1001), None)
    hlg = Color(range="tv", matrix="bt2020nc", primaries="bt2020", transfer="arib-std-b67", location="left")
    assert video.color == hlg and dict(video.tags) == {"handler_name": "Core Media Video", "encoder": "HEVC"}
    assert (sound.kind, sound.codec, sound.language, sound.sample_rate, sound.channels) == (
        "audio", "aac", "deu", 44100, 6,
    )  # fmt: skip
    assert (data.kind, data.codec) == ("data", "mebx")
    assert cover.attached_picture and cover.color.range == "pc" and cover.color.primaries is None


def test_the_banner_of_a_broadcast_is_read() -> None:
    banner = parse_banner(TS_9_0.splitlines())
    assert banner is not None and banner.tags == ()
    video, sound, subtitle = banner.streams
    assert (video.codec, video.rate, video.field_order) == ("mpeg2video", 25, "tt")
    assert (sound.codec, sound.language, sound.channels) == ("mp2", "eng", 1)
    assert (subtitle.kind, subtitle.codec, subtitle.language) == ("subtitle", "dvb_subtitle", "fra")


def test_the_banner_ends_where_the_output_begins() -> None:
    banner = parse_banner(MKV_9_0.splitlines())
    assert banner is not None and len(banner.streams) == 3 and banner.chapters == 2
    video, subtitle, font = banner.streams
    assert (video.rotation, video.rate, banner.start) == (270, 120, Fraction(-7, 1000))
    assert (subtitle.other().title, subtitle.language, font.kind, font.codec) == ("signs", "jpn", "attachment", "ttf")
    assert banner.tags == (("title", "T"),)
    assert parse_banner(["file:x: Invalid data found"]) is None


@pytest.mark.parametrize(
    ("printed", "rate"),
    [("23.98", "24000/1001"), ("29.97", "30000/1001"), ("59.94", "60000/1001"), ("25", "25"), ("12.50", "25/2")],
)
def test_printed_rates_are_made_exact(printed: str, rate: str) -> None:
    assert exact_rate(printed) == Fraction(rate)


# ---- real files, against PyAV

VFR = ("-vf", "select='not(mod(n,3))+not(mod(n,4))'", "-fps_mode", "passthrough")
CLIPS: dict[str, tuple[object, ...]] = {
    "cfr.mp4": (*PICTURE, *H264),
    "sound.mkv": (*PICTURE, "-f", "lavfi", "-i", "sine=d=3", *H264, "-c:a", "aac"),
    "vfr.mkv": (*PICTURE, *VFR, *H264),
    "vfr.mp4": (*PICTURE, *VFR, *H264),
    "broadcast.ts": (*PICTURE, *TONE, *H264, "-c:a", "mp2"),
    "late.mp4": ("-itsoffset", "0.5", *PICTURE, *TONE, *H264, "-c:a", "aac"),
    "deep.mkv": (*PICTURE, "-c:v", "ffv1", "-pix_fmt", "yuv422p10le", "-s", "97x61"),
    "one.mp4": (*PICTURE, *H264, "-frames:v", "1"),
    "web.webm": (*PICTURE, "-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8"),
    "old.avi": (*PICTURE, "-c:v", "mpeg4", "-bf", "2"),
    "pixels.mp4": (*PICTURE, *H264, "-vf", "setsar=4/3"),
}


@pytest.mark.parametrize(
    "name", chosen(CLIPS, always=("vfr.mp4", "broadcast.ts", "late.mp4", "deep.mkv", "old.avi"), once=CLIPS)
)
def test_facts_and_times_agree_with_pyav(name: str, ffmpeg: Ffmpeg, make_clip: MakeClip) -> None:
    path = make_clip(name, *CLIPS[name])
    info = probe(str(path), ffmpeg=ffmpeg)
    timeline = scan(info, ffmpeg=ffmpeg)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert (info.video.codec, info.video.width, info.video.height, info.video.pix_fmt) == (
            stream.codec_context.name.removeprefix("lib").replace("vpx-vp9", "vp9"),
            stream.codec_context.width,
            stream.codec_context.height,
            stream.codec_context.pix_fmt,
        )
        assert info.video.time_base == stream.time_base
        assert info.video.sar == (stream.sample_aspect_ratio or 1)
        assert [s.kind for s in info.others] == [s.type for s in container.streams if s is not stream]
        shown = [frame.pts * frame.time_base for frame in container.decode(stream)]
    if name == "old.avi":  # ffmpeg and PyAV place AVI's B-frames differently by a constant
        shown = [t - shown[0] + timeline.start for t in shown]
    tick = info.video.time_base
    assert len(timeline) == len(shown)
    assert all(abs(p * timeline.time_base - t) <= tick for p, t in zip(timeline.pts, shown, strict=True))


def test_a_rounded_constant_rate_is_recognised_and_a_variable_one_is_left_alone(
    ffmpeg: Ffmpeg, make_clip: MakeClip
) -> None:
    lines = {
        n: scan(probe(str(make_clip(n, *CLIPS[n])), ffmpeg=ffmpeg), ffmpeg=ffmpeg) for n in ("sound.mkv", "vfr.mp4")
    }
    assert lines["sound.mkv"].is_cfr and lines["sound.mkv"].rate == Fraction(24000, 1001)
    assert not lines["vfr.mp4"].is_cfr
    source_frames = [n for n in range(48) if not n % 3 or not n % 4]
    assert [Fraction(p * 24000, 1001) * lines["vfr.mp4"].time_base for p in lines["vfr.mp4"].pts] == source_frames


def test_what_the_edit_list_cuts_off_is_not_on_the_time_line(ffmpeg: Ffmpeg, plain_mp4: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.mp4"
    tool("-ss", "1", "-i", plain_mp4, "-c", "copy", cut)
    decoded = tool("-i", cut, "-map", "0:v", "-fps_mode", "passthrough", "-f", "framemd5", "-").decode()
    info = probe(str(cut), ffmpeg=ffmpeg)
    packets = tool("-i", cut, "-map", "0:v", "-c", "copy", "-f", "framecrc", "-").decode()
    frames = [line for line in decoded.splitlines() if not line.startswith("#")]
    assert len(scan(info, ffmpeg=ffmpeg)) == len(frames) < len([p for p in packets.splitlines() if p[0] != "#"])


def test_a_clip_that_starts_between_keyframes_begins_with_its_first_picture(
    ffmpeg: Ffmpeg, make_clip: MakeClip, tmp_path: Path
) -> None:
    whole = make_clip("keys.ts", *PICTURE, *H264, "-g", "12", "-bf", "0")
    torn = tmp_path / "torn.ts"
    data = whole.read_bytes()
    torn.write_bytes(data[: 188 * 3] + data[188 * (len(data) // 188 // 8) :])
    timeline = scan(probe(str(torn), ffmpeg=ffmpeg), ffmpeg=ffmpeg)
    decoded = tool("-copyts", "-i", torn, "-fps_mode", "passthrough", "-f", "framemd5", "-").decode()
    assert len(timeline) == len([line for line in decoded.splitlines() if not line.startswith("#")]) < 48


def test_a_stream_without_times_gets_those_of_its_decoder(ffmpeg: Ffmpeg, plain_mp4: Path, tmp_path: Path) -> None:
    raw = tmp_path / "raw.h264"
    tool("-i", plain_mp4, "-map", "0:v", "-c", "copy", "-bsf:v", "h264_mp4toannexb", raw)
    timeline = scan(probe(str(raw), ffmpeg=ffmpeg), ffmpeg=ffmpeg)
    assert len(timeline) == 48 and timeline.is_cfr


@pytest.mark.parametrize("offset", chosen(["0", "0.5", "10"], always=("0.5",), once=("0", "10")))
def test_joined_recordings_whose_clock_jumps_back_are_refused(
    offset: str, ffmpeg: Ffmpeg, make_clip: MakeClip, tmp_path: Path
) -> None:
    parts = [make_clip(f"{n}.ts", *PICTURE, *H264, "-output_ts_offset", n) for n in (offset, "0")]
    (tmp_path / "joined.ts").write_bytes(b"".join(part.read_bytes() for part in parts))
    info = probe(str(tmp_path / "joined.ts"), ffmpeg=ffmpeg)
    with pytest.raises(InputError, match=r"jumps back, as in joined recordings: remux it with ffmpeg -i .*joined\.ts"):
        scan(info, ffmpeg=ffmpeg)


@pytest.mark.parametrize("turn", [90, 180, 270])
def test_rotation_is_clockwise_as_players_apply_it(
    turn: int, ffmpeg: Ffmpeg, wheel: Ffmpeg, plain_mp4: Path, tmp_path: Path
) -> None:
    path = tmp_path / "turned.mp4"
    tool("-display_rotation", -turn, "-i", plain_mp4, "-c", "copy", path)
    info = probe(str(path), ffmpeg=ffmpeg)
    assert info.video.rotation == turn and (info.video.width, info.video.height) == (160, 90)


@pytest.mark.parametrize("labels", [(), LABELS, ("-color_range", "pc", "-colorspace", "smpte170m")])
def test_colour_labels_are_read(labels: tuple[str, ...], ffmpeg: Ffmpeg, tmp_path: Path) -> None:
    path = tmp_path / "c.mkv"
    tool(
        "-f",
        "lavfi",
        "-i",
        "color=s=32x32:d=0.1,format=yuv420p,setparams=range=pc" if "pc" in labels else "color=s=32x32:d=0.1",
        *H264,
        *labels,
        path,
    )
    color = probe(str(path), ffmpeg=ffmpeg).video.color
    with av.open(str(path)) as container:
        context = container.streams.video[0].codec_context
        assert {None: 0, "tv": 1, "pc": 2}[color.range] == context.color_range
        assert {None: 2, "bt709": 1, "smpte170m": 6}[color.matrix] == context.colorspace
        assert {None: 2, "bt709": 1}[color.primaries] == context.color_primaries


def test_hdr10_metadata_are_read_and_given_to_the_encoder(ffmpeg: Ffmpeg, plain_mp4: Path, tmp_path: Path) -> None:
    told = "master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,1):max-cll=1000,400"
    colors = ("-color_primaries", "bt2020", "-color_trc", "smpte2084", "-colorspace", "bt2020nc")
    x265 = ("-c:v", "libx265", "-preset", "ultrafast", "-x265-params", f"log-level=error:{told}")
    tool(*PICTURE, *x265, "-pix_fmt", "yuv420p10le", *colors, "-t", "0.2", tmp_path / "hdr.mp4")
    info = probe(str(tmp_path / "hdr.mp4"), ffmpeg=ffmpeg)
    assert info.video.mastering and not probe(str(plain_mp4), ffmpeg=ffmpeg).video.mastering
    assert info.video.mastering.light == (1000, 400)
    assert info.video.mastering.luminance == (Fraction(1, 10000), 1000)
    encoding = choose_encoding(info, EncodeOptions(), container="mp4", ffmpeg=ffmpeg)
    assert told in dict(encoding.args)["x265-params"]
    lossless = choose_encoding(info, EncodeOptions(codec=Codec.FFV1), container="matroska", ffmpeg=ffmpeg)
    assert any("HDR10 mastering display" in note for note in lossless.notes)


def test_the_first_real_video_is_chosen_and_a_cover_is_not(ffmpeg: Ffmpeg, plain_mp4: Path, tmp_path: Path) -> None:
    cover, path = tmp_path / "cover.png", tmp_path / "c.mp4"
    tool("-f", "lavfi", "-i", "color=s=20x20", "-frames:v", "1", cover)
    tool("-i", cover, "-i", plain_mp4, "-map", "0", "-map", "1", "-c", "copy", "-disposition:0", "attached_pic", path)
    info = probe(str(path), ffmpeg=ffmpeg)
    assert info.video.width == 160
    assert [s.kind for s in info.others if s.attached_picture] == ["video"]


def test_sound_ends_where_its_last_packet_does(ffmpeg: Ffmpeg, plain_mp4: Path) -> None:
    end = spans(probe(str(plain_mp4), ffmpeg=ffmpeg), (1,), ffmpeg=ffmpeg)[1].end
    with av.open(str(plain_mp4)) as container:
        last = max((p.pts + p.duration) * p.time_base for p in container.demux(audio=0) if p.pts is not None)
    assert end == last


def test_an_ffprobe_beside_it_agrees(ffmpeg: Ffmpeg, make_clip: MakeClip) -> None:
    if ffmpeg.ffprobe is None:
        pytest.skip("no ffprobe beside this ffmpeg")
    path = make_clip("vfr.mkv", *CLIPS["vfr.mkv"])
    command = [ffmpeg.ffprobe, "-v", "error", "-of", "json", "-show_streams", "-show_packets", str(path)]
    said = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    info = probe(str(path), ffmpeg=ffmpeg)
    timeline, stream = scan(info, ffmpeg=ffmpeg), said["streams"][0]
    assert info.video.time_base == Fraction(stream["time_base"]) and info.video.pix_fmt == stream["pix_fmt"]
    assert sorted(Fraction(p["pts_time"]) for p in said["packets"]) == [p * timeline.time_base for p in timeline.pts]


# ---- what is not a video


def broken(kind: str, folder: Path, video: Path) -> Path:
    path = folder / f"{kind}.mp4"
    match kind:
        case "folder":
            path.mkdir()
        case "empty":
            path.touch()
        case "text":
            path.write_text("hello\nworld\n" * 50)
        case "playlist":
            path.write_text(f"#EXTM3U\n#EXTINF:2,\n{video}\n")
        case "list":
            path.write_text(f"ffconcat version 1.0\nfile {video}\n")
        case "subtitles":
            path.write_text("1\n00:00:00,500 --> 00:00:01,000\nhello\n")
        case "picture":
            tool("-f", "lavfi", "-i", "color=s=20x20", "-frames:v", "1", "-c:v", "png", "-f", "image2", path)
        case "sound":
            tool("-f", "lavfi", "-i", "sine=d=0.2", "-c:a", "aac", path)
        case "cut off":
            path.write_bytes(video.read_bytes()[:3000])
        case "noise":
            path.write_bytes(bytes(range(256)) * 40)
    return path


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("missing", "does not exist"),
        ("folder", "is a folder"),
        ("empty", "is empty"),
        ("text", "is not a video file"),
        ("playlist", "is not a video file"),
        ("list", "is not a video file"),
        ("subtitles", "is not a video file"),
        ("picture", "is not a video file"),
        ("noise", "is not a video file"),
        ("sound", "no video to interpolate, only audio"),
        ("cut off", "is incomplete"),
    ],
)
def test_what_is_no_video_gets_one_sentence(
    kind: str, words: str, ffmpeg: Ffmpeg, plain_mp4: Path, tmp_path: Path
) -> None:
    path = broken(kind, tmp_path, plain_mp4)
    with pytest.raises(InputError, match=words) as caught:
        probe(str(path), ffmpeg=ffmpeg)
    assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)


@pytest.mark.once
@pytest.mark.parametrize("name", ["a %03d.mp4", "t:1.mp4", "-x.mp4", "it's.mp4", "ü\n.mp4", "http:example.mp4"])
def test_any_file_name_is_taken_literally(
    name: str, ffmpeg: Ffmpeg, plain_mp4: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(name).write_bytes(plain_mp4.read_bytes())
    assert len(scan(probe(name, ffmpeg=ffmpeg), ffmpeg=ffmpeg)) == 48


def test_brackets_within_brackets_do_not_hide_what_a_stream_is() -> None:
    stream = (
        "  Stream #0:0[0x1]: Video: prores (HQ) (apch / 0x68637061), yuv422p10le(tv, bt709, top coded first (swapped))"
    )
    banner = parse_banner(["Input #0, mov, from 'file:a.mov':", f"{stream}, 1920x1080, 25 fps, 25 tbr, 12800 tbn"])
    assert banner is not None
    (video,) = banner.streams
    assert (video.field_order, video.rate) == ("tb", 25)
    assert video.color == Color(range="tv", matrix="bt709", primaries="bt709", transfer="bt709")

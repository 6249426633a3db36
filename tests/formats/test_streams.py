"""Everything beside the video: each stream is kept, or converted where the container asks for it, and in its time."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from conftest import MakeClip, Proved, chosen, tool
from numpy.typing import NDArray
from remuxed import remade, tracks
from whole_files import convert

from interp_cli.job.notes import notes_of
from interp_cli.job.prepare import Job, prepare
from interp_cli.media.ffmpeg import Ffmpeg
from interp_cli.media.mux import container_for, stream_fates
from interp_cli.media.probe import probe
from interp_cli.media.streams import chapters_lost
from interp_cli.options import EncodeOptions

RATE = 48_000  # Hz
SMALL = ("-f", "lavfi", "-i", "testsrc2=s=64x48:r=24:d=2")
H264 = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p")
VP9, PLAIN = EncodeOptions(preset="8"), EncodeOptions(preset="ultrafast")

TRACKS = [  # encoder, language, disposition
    ("aac", "eng", "default"),
    ("libmp3lame", "deu", "0"),
    ("libopus", "jpn", "dub"),
    ("libvorbis", "fra", "original"),
    ("ac3", "spa", "comment"),
    ("flac", "ita", "visual_impaired"),
    ("alac", "por", "hearing_impaired"),
    ("pcm_s16le", "rus", "0"),
    ("pcm_s24le", "zho", "default"),
]
KEPT = {  # by ending: the codecs that stay as they are, and what becomes of those with and without loss
    "mp4": ("aac mp3 opus ac3 flac alac", "aac", "aac"),
    "mov": ("aac mp3 ac3 alac pcm_s16le pcm_s24le", "aac", "alac"),
    "mkv": ("aac mp3 opus vorbis ac3 flac alac pcm_s16le pcm_s24le", "", ""),
    "webm": ("opus vorbis", "opus", "opus"),
    "avi": ("mp3 ac3 pcm_s16le pcm_s24le", "ac3", "pcm_s24le"),
    "nut": ("aac mp3 opus vorbis ac3 flac pcm_s16le pcm_s24le", "pcm_s16le", "pcm_s24le"),
    "ts": ("aac mp3 opus ac3", "aac", "aac"),
}
LOSSLESS = ("flac", "alac", "pcm_s16le", "pcm_s24le")
FLAGS = {  # what each container can say of a track
    "mp4": {"default", "dub", "comment", "visual_impaired", "hearing_impaired"},
    "mov": {"default"},
    "mkv": {"default", "dub", "original", "comment", "visual_impaired", "hearing_impaired"},
    "webm": {"default"},
    "nut": {"default", "dub", "original", "comment"},
    "ts": {"visual_impaired", "hearing_impaired"},
}
TITLES = {"mp4": "handler_name", "mov": "handler_name", "mkv": "title", "webm": "title", "avi": "title", "nut": "title"}
OTHER_CODES = {"ger": "deu", "chi": "zho"}  # of the same languages, as QuickTime has them
# Framed otherwise in MPEG-TS; without the packet of its priming in AVI, whose sound begins at 0.
OTHER_PACKETS = {("ts", "aac"), ("ts", "opus"), ("avi", "mp3")}


@dataclass
class Sound:
    codec: str
    tags: dict[str, str]
    flags: set[str]
    samples: NDArray[np.float32]  # mono at RATE, from the time of the first picture on


def sounds(path: Path) -> list[Sound]:
    """Every sound track as PyAV decodes it."""
    with av.open(str(path)) as container:
        pictures, parts = [], {stream.index: [] for stream in container.streams.audio}
        for packet in container.demux():
            if packet.stream.type == "video":
                shown = packet.dts if path.suffix == ".avi" else packet.pts  # AVI has no times of showing
                pictures += [] if shown is None else [shown * packet.time_base]
            elif packet.stream.type == "audio":
                parts[packet.stream.index] += packet.decode()
        found = []
        for stream in container.streams.audio:
            frames = parts[stream.index]
            assert all(f.sample_rate == RATE and f.layout.nb_channels == 1 for f in frames)
            before = round((frames[0].time - float(min(pictures))) * RATE)
            whole = np.concatenate([np.zeros(max(0, before), np.float32), *map(waves, frames)])[max(0, -before) :]
            flags = {flag.name for flag in av.stream.Disposition if flag & stream.disposition}
            found.append(Sound(stream.codec_context.codec.name, dict(stream.metadata), flags, whole))
    return found


def waves(frame: av.AudioFrame) -> NDArray[np.float32]:
    """Its samples, from -1 to 1."""
    data = frame.to_ndarray().ravel()
    return data.astype(np.float32) / (2.0 ** (8 * data.itemsize - 1) if data.dtype.kind == "i" else 1)


def lag_of(got: NDArray[np.float32], was: NDArray[np.float32]) -> int:
    """By how many samples `got` comes later than `was`: where they agree best."""
    n = 1 << 18
    agreement = np.fft.irfft(np.fft.rfft(got, n) * np.conj(np.fft.rfft(was, n)), n)
    best = int(agreement.argmax())
    return best - n if best > n // 2 else best


def snr(got: NDArray[np.float32], was: NDArray[np.float32], lag: int) -> float:
    """Of what both have, dB, with `got` moved by `lag` samples."""
    got, was = got[max(0, lag) :], was[max(0, -lag) :]
    length = min(len(got), len(was)) - 2400  # the last 50 ms hold what encoders add
    got, was = got[2400:length], was[2400:length]
    return float(10 * np.log10(np.sum(was**2) / max(1e-12, np.sum((got - was) ** 2))))


def sums(path: Path, *numbers: int, codec: str = "copy") -> list[str]:
    """The md5 of each sound track, of its packets or of its samples in `codec`, by ffmpeg's streamhash."""
    maps = [text for n in numbers for text in ("-map", f"0:a:{n}")]
    text = tool("-i", path, *maps, "-c:a", codec, "-f", "streamhash", "-hash", "md5", "-").decode() if maps else ""
    return [line.split("=")[1] for line in text.split()]


@pytest.fixture(scope="session")
def nine_tracks(make_clip: MakeClip) -> Path:
    """A sweep in each of nine codecs, each of its own course, with language, title and disposition."""
    inputs, maps, options = [], [], []
    for n, (encoder, language, flag) in enumerate(TRACKS):
        sweep = f"aevalsrc=0.5*sin(2*PI*({300 + 100 * n}+{400 + 50 * n}*t)*t):s={RATE}:d=1.5"
        inputs += ["-f", "lavfi", "-i", sweep]
        maps += ["-map", n + 1]
        tags = (f"-metadata:s:a:{n}", f"language={language}", f"-metadata:s:a:{n}", f"title=Track {n}")
        options += [f"-c:a:{n}", encoder, *tags, f"-disposition:a:{n}", flag]
    return make_clip("nine.mkv", *SMALL, *inputs, "-map", 0, *maps, *H264, *options)


@pytest.fixture(scope="session")
def nine_sounds(nine_tracks: Path) -> list[Sound]:
    return sounds(nine_tracks)


@pytest.mark.parametrize("ending", chosen(KEPT, always=("mp4",)))
def test_every_sound_track_is_there_in_its_time_with_its_name(
    ending: str, ffmpeg: Ffmpeg, nine_tracks: Path, nine_sounds: list[Sound], tmp_path: Path, proved: Proved
) -> None:
    out = tmp_path / f"out.{ending}"
    _, _, fates = remade(nine_tracks, out, ffmpeg, rate=Fraction(24), options=VP9 if ending == "webm" else PLAIN)
    kept, lossy, lossless = KEPT[ending]
    after, late, noise = sounds(out), [], {}
    assert len(after) == len(nine_sounds) == len(fates) == len(TRACKS)
    for n, (was, got, fate) in enumerate(zip(nine_sounds, after, fates, strict=True)):
        stays = fate.codec in kept.split()
        becomes = fate.codec if stays else lossless if fate.codec in LOSSLESS else lossy
        assert (fate.action, got.codec.removesuffix("float")) == ("copy" if stays else "convert", becomes)
        assert got.flags >= was.flags & FLAGS.get(ending, set())
        if ending != "avi":  # which has a place for neither
            assert OTHER_CODES.get(got.tags["language"], got.tags["language"]) == TRACKS[n][1]
        if ending in TITLES:
            assert got.tags[TITLES[ending]] == f"Track {n}"
        late.append(lag_of(got.samples, was.samples))
        noise[n] = snr(got.samples, was.samples, late[-1])
    copied = [n for n, f in enumerate(fates) if f.action == "copy" and (ending, f.codec) not in OTHER_PACKETS]
    exact = [n for n, f in enumerate(fates) if f.action == "convert" and f.to_codec in LOSSLESS and f.codec in LOSSLESS]
    assert sums(out, *copied) == sums(nine_tracks, *copied)
    assert sums(out, *exact, codec="pcm_s24le") == sums(nine_tracks, *exact, codec="pcm_s24le")
    assert all(noise[n] > (80 if fates[n].action == "copy" else 20) for n in noise)
    assert max(map(abs, late)) <= 6 * RATE / 1000  # AVI cannot take AC-3's delay of 5.3 ms back
    for n, fate in enumerate(fates):
        case = f"{fate.codec} to {ending}, one of nine tracks"
        told = "the same packets" if n in copied else "the same samples" if n in exact or fate.action == "copy" else ""
        result = f"{fate.action}: {told or f'{fate.to_codec}, the same sound'}, less than 6 ms off"
        proved("Streams: sound", case, "streamhash; cross-correlation of what PyAV decodes", result, ffmpeg=ffmpeg)


# ---- subtitles

SHOWN = ((Fraction(1, 2), Fraction(1)), (Fraction(6, 5), Fraction(19, 10)))  # s
SAID = ("hello, there", "bye")
SRT = "1\n00:00:00,500 --> 00:00:01,000\nhello, there\n\n2\n00:00:01,200 --> 00:00:01,900\nbye\n"
SUBTITLES = ("subrip", "ass", "webvtt", "hdmv_pgs_subtitle", "dvd_subtitle", "dvb_subtitle")
FATES = {  # of SUBTITLES, by ending: k(ept), c(onverted) or l(eft out); what text becomes
    "mkv": ("kkkkkk", ""),
    "mp4": ("ccclkl", "mov_text"),
    "mov": ("ccclll", "mov_text"),
    "webm": ("ccklll", "webvtt"),
    "ts": ("lllllk", ""),
}


def pgs(shown: tuple[tuple[Fraction, Fraction], ...]) -> bytes:
    """A .sup file with a grey bar, and its clearing, for each (from, to)."""

    def segment(time: Fraction, kind: int, data: bytes) -> bytes:
        return b"PG" + struct.pack(">IIBH", round(time * 90_000), 0, kind, len(data)) + data

    wide, high, whole = 16, 8, b""
    bar = (b"\x00" + bytes([0x80 | wide]) + b"\x01\x00\x00") * high
    image = struct.pack(">HBB", 0, 0, 0xC0) + (len(bar) + 4).to_bytes(3, "big") + struct.pack(">HH", wide, high) + bar
    for n, times in enumerate(shown):
        for time, drawn in zip(times, (1, 0), strict=True):
            place = struct.pack(">HBBHH", 0, 0, 0, 20, 30) * drawn
            state = struct.pack(">HHBHBBBB", 64, 48, 0x10, 2 * n + 1 - drawn, 0x80 * drawn, 0, 0, drawn)
            whole += segment(time, 0x16, state + place)
            whole += segment(time, 0x17, struct.pack(">BBHHHH", 1, 0, 20, 30, wide, high))
            if drawn:
                whole += segment(time, 0x14, bytes([0, 0, 1, 200 - 40 * n, 128, 128, 255])) + segment(time, 0x15, image)
            whole += segment(time, 0x80, b"")
    return whole


@pytest.fixture(scope="session")
def six_subtitles(make_clip: MakeClip, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same two subtitles as SubRip, ASS, WebVTT, PGS, DVD and DVB subtitles, in Matroska."""
    folder = tmp_path_factory.mktemp("subtitles")
    (folder / "s.srt").write_text(SRT)
    (folder / "p.sup").write_bytes(pgs(SHOWN))
    inputs = ("-i", folder / "s.srt", "-i", folder / "p.sup")
    codecs = ("srt", "ass", "webvtt", "copy", "dvdsub", "dvbsub")
    maps = [text for n in (1, 1, 1, 2, 2, 2) for text in ("-map", n)]
    told = [text for n, codec in enumerate(codecs) for text in (f"-c:s:{n}", codec)]
    tags = [text for n, (_, code, _) in enumerate(TRACKS[:6]) for text in (f"-metadata:s:s:{n}", f"language={code}")]
    drawn = make_clip("drawn.mkv", *SMALL, *inputs, "-map", 0, *maps, *H264, *told, *tags, "-disposition:s:1", "forced")
    path = folder / "six.mkv"
    with av.open(str(drawn)) as source, av.open(str(path), "w") as out:
        streams = [out.add_stream_from_template(stream) for stream in source.streams]
        for stream, drawn_stream in zip(streams, source.streams, strict=True):
            stream.metadata.update(drawn_stream.metadata)
            stream.disposition = drawn_stream.disposition
        flat, counts = [time for pair in SHOWN for time in pair], [0] * len(streams)
        for packet in source.demux():
            if packet.dts is None:
                continue
            number, count = packet.stream.index, counts[packet.stream.index]
            counts[number] += 1
            if number > 3:  # ffmpeg does not know when a PGS subtitle ends, so the times of what it makes are wrong
                begin, end = SHOWN[count] if number == 5 else (flat[count], flat[count])
                data = with_end(bytes(packet), end - begin) if number == 5 else bytes(packet)
                base, packet = packet.time_base, av.Packet(data)
                packet.time_base = base
                packet.pts = packet.dts = round(begin / base)
                packet.duration = round((end - begin) / base)
            packet.stream = streams[number]
            out.mux(packet)
    return path


def with_end(data: bytes, length: Fraction) -> bytes:
    """A DVD subtitle that says within that it is shown for `length` s."""
    first = int.from_bytes(data[2:4], "big")
    last = int.from_bytes(data[first + 2 : first + 4], "big")
    return data[:last] + round(length * 90_000 / 1024).to_bytes(2, "big") + data[last + 2 :]


def words(path: Path, number: int) -> list[tuple[Fraction, Fraction, str]]:
    """(from, to, text) of each subtitle, s after the first picture, as ffmpeg writes it to SubRip."""
    with av.open(str(path)) as container:
        first = min(p.pts * p.time_base for p in container.demux(video=0) if p.pts is not None)
    found = []
    for block in tool("-copyts", "-i", path, "-map", f"0:s:{number}", "-f", "srt", "-").decode().strip().split("\n\n"):
        _, line, *text = block.splitlines()
        begin, end = (
            3600 * int(h) + 60 * int(m) + Fraction(s.replace(",", ".")) - first
            for h, m, s in (clock.split(":") for clock in line.split(" --> "))
        )
        found.append((begin, end, re.sub("<[^>]*>", "", " ".join(text))))
    return found


def blocks(path: Path, number: int) -> list[tuple[Fraction, bytes]]:
    """(time, bytes) of each packet of a subtitle stream, s after the first picture, as PyAV reads them."""
    with av.open(str(path)) as container:
        first, found = Fraction(10), []
        wanted = container.streams.subtitles[number].index
        for packet in container.demux():
            if packet.pts is not None and packet.stream.type == "video":
                first = min(first, packet.pts * packet.time_base)
            elif packet.pts is not None and packet.stream.index == wanted:
                found.append((packet.pts * packet.time_base, bytes(packet)))
    return [(time - first, data) for time, data in found]


@pytest.mark.parametrize(
    "slow", chosen([Fraction(1), Fraction(5, 2)], always=(1,), once=(Fraction(5, 2),)), ids=["whole speed", "slow"]
)
@pytest.mark.parametrize("ending", chosen(FATES, always=("mp4",)))
def test_subtitles_are_kept_or_converted_or_said_to_be_left_out(
    ending: str, slow: Fraction, ffmpeg: Ffmpeg, six_subtitles: Path, tmp_path: Path, proved: Proved
) -> None:
    out = tmp_path / f"out.{ending}"
    how = VP9 if ending == "webm" else PLAIN
    _, _, fates = remade(six_subtitles, out, ffmpeg, rate=Fraction(24), slow=slow, options=how)
    letters, becomes = FATES[ending]
    if slow != 1:  # a DVD subtitle says within how long it is shown
        letters = letters[:4] + "l" + letters[5:]
    assert [fate.action for fate in fates] == [{"k": "copy", "c": "convert", "l": "drop"}[x] for x in letters]
    assert all(fate.reason for fate in fates if fate.action != "copy")
    kept = [fate for fate in fates if fate.action != "drop"]
    with av.open(str(out)) as container:
        assert len(container.streams.subtitles) == len(kept)
        if ending != "ts":  # which names languages only where the packets say more than they do here
            known = [stream.metadata.get("language", "und") for stream in container.streams.subtitles]
            assert [OTHER_CODES.get(code, code) for code in known] == [TRACKS[fate.index - 1][1] for fate in kept]
        if len(kept) > 1 and ending in ("mkv", "mp4"):
            assert container.streams.subtitles[1].disposition & av.stream.Disposition.forced or ending == "mp4"
    near = Fraction(1, 1000) * (1 + slow)
    speed = "" if slow == 1 else f", {slow} times slower"
    for n, fate in enumerate(kept):
        if fate.codec in ("subrip", "ass", "webvtt"):
            got = words(out, n)
            assert [text for _, _, text in got] == list(SAID)
            for (begin, end, _), (was, until) in zip(got, SHOWN, strict=True):
                assert abs(begin - was * slow) <= near and abs(end - until * slow) <= near
            oracle = "text and times by ffmpeg -f srt"
        else:
            got, was = blocks(out, n), blocks(six_subtitles, fate.index - 1)
            assert [data for _, data in got] == [data for _, data in was]
            assert all(abs(a - b * slow) <= near for (a, _), (b, _) in zip(got, was, strict=True))
            oracle = "packets and times by PyAV"
        result = "kept" if fate.action == "copy" else f"becomes {becomes}"
        proved("Streams: subtitles", f"{fate.codec} to {ending}{speed}", oracle, f"{result}, equal", ffmpeg=ffmpeg)
    for fate in (fate for fate in fates if fate.action == "drop"):
        case = f"{fate.codec} to {ending}{speed}"
        proved("Streams: subtitles", case, "streams by PyAV", f"left out: {fate.reason}", ffmpeg=ffmpeg)


@pytest.mark.parametrize("slow", [Fraction(1), Fraction(8)], ids=["whole speed", "slow"])
@pytest.mark.parametrize("ending", chosen(["mp4", "mkv", "webm"]))
def test_subtitles_of_an_mp4_are_where_they_were(
    ending: str, slow: Fraction, ffmpeg: Ffmpeg, six_subtitles: Path, tmp_path: Path, proved: Proved
) -> None:
    source, out = tmp_path / "in.mp4", tmp_path / f"out.{ending}"
    tool("-i", six_subtitles, "-map", "0:v", "-map", "0:s:0", "-c:v", "copy", "-c:s", "mov_text", source)
    remade(source, out, ffmpeg, rate=Fraction(24), slow=slow, options=VP9 if ending == "webm" else PLAIN)
    got = words(out, 0)
    assert [text for _, _, text in got] == list(SAID)
    for (begin, end, _), (was, until) in zip(got, SHOWN, strict=True):
        assert abs(begin - was * slow) <= Fraction(1 + slow, 1000) and abs(end - until * slow) <= Fraction(
            1 + slow, 1000
        )
    case = f"mov_text to {ending}" + ("" if slow == 1 else f", {slow} times slower")
    proved("Streams: subtitles", case, "text and times by ffmpeg -f srt", "equal", ffmpeg=ffmpeg)


def test_a_slowed_part_has_its_converted_subtitles_at_their_times(
    ffmpeg: Ffmpeg, six_subtitles: Path, tmp_path: Path
) -> None:
    part = (Fraction(1), None)
    remade(
        six_subtitles, tmp_path / "out.mp4", ffmpeg, rate=Fraction(24), slow=Fraction(5, 2), part=part, options=PLAIN
    )
    for n in range(3):
        ((begin, end, text),) = words(tmp_path / "out.mp4", n)
        assert text == "bye"
        assert abs(begin - Fraction(1, 2)) < Fraction(5, 1000) and abs(end - Fraction(9, 4)) < Fraction(5, 1000)


# ---- pictures, fonts, timecode, data


def facts(path: Path) -> list[tuple[str, str, bytes]]:
    """(kind, name, content) of every cover and attachment, as PyAV reads them."""
    found = []
    with av.open(str(path)) as container:
        for stream in container.streams:
            name = stream.metadata.get("filename", "")
            if stream.type == "attachment":
                found.append((stream.metadata.get("mimetype", ""), name, bytes(stream.data)))
            elif stream.type == "video" and stream.disposition & av.stream.Disposition.attached_pic:
                picture = next(bytes(p) for p in container.demux(stream) if p.size)
                found.append((stream.metadata.get("mimetype", "cover"), name, picture))
    return sorted(found)


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """A PNG, a JPEG and what passes for a font."""
    folder = tmp_path_factory.mktemp("pictures")
    for name in ("a.png", "b.jpg"):
        tool("-f", "lavfi", "-i", "testsrc=s=40x40", "-frames:v", 1, folder / name)
    (folder / "f.ttf").write_bytes(b"font")
    return folder / "a.png", folder / "b.jpg", folder / "f.ttf"


@pytest.mark.parametrize("slow", chosen([Fraction(1), Fraction(2)], once=(Fraction(1),)))
def test_covers_go_into_matroska_and_out_of_it(
    slow: Fraction, ffmpeg: Ffmpeg, pictures: tuple[Path, Path, Path], tmp_path: Path, proved: Proved
) -> None:
    png, jpg, _ = pictures
    covers = [text for n in (1, 2) for text in (f"-c:v:{n}", "copy", f"-disposition:v:{n}", "attached_pic")]
    sound = ("-f", "lavfi", "-i", "sine=d=2")
    inputs = (*SMALL, *sound, "-i", png, "-i", jpg)
    maps = ("-map", 0, "-map", 2, "-map", 3, "-map", 1)  # the sound comes last
    tool(*inputs, *maps, "-c:v:0", "libx264", "-pix_fmt:v:0", "yuv420p", *covers, tmp_path / "in.mp4")
    path, contents = tmp_path / "in.mp4", [png.read_bytes(), jpg.read_bytes()]
    for name, pieces in {
        "out.mkv": [("image/jpeg", "cover_2.jpg", contents[1]), ("image/png", "cover.png", contents[0])],
        "again.mkv": [("image/jpeg", "cover_2.jpg", contents[1]), ("image/png", "cover.png", contents[0])],
        "back.mp4": sorted(("cover", "", content) for content in contents),
    }.items():
        _, _, fates = remade(path, tmp_path / name, ffmpeg, rate=Fraction(24), slow=slow, options=PLAIN)
        assert [f.action for f in fates if f.kind == "video"] == ["copy", "copy"]
        assert facts(tmp_path / name) == pieces
        assert tracks(tmp_path / name)[0].times[0] < slow**3 * Fraction(1, 10)  # later each time, by the priming of AAC
        path = tmp_path / name
    for case in ("mp4 to mkv: cover.png, cover_2.jpg", "mkv to mkv: under their names", "mkv to mp4"):
        proved("Streams: other", f"PNG and JPEG covers, {case}", "bytes by PyAV", "equal", ffmpeg=ffmpeg)


@pytest.mark.slow
def test_covers_and_fonts_of_matroska_keep_their_names_or_are_said_to_be_left_out(
    ffmpeg: Ffmpeg, pictures: tuple[Path, Path, Path], tmp_path: Path, proved: Proved
) -> None:
    png, jpg, font = pictures
    attached = [
        (png, "image/png", "small_cover.png"),
        (font, "font/ttf", "f.ttf"),
        (jpg, "image/jpeg", "it's 100%.jpg"),
    ]
    options = []
    for n, (path, mime, name) in enumerate(attached):
        options += ["-attach", path, f"-metadata:s:t:{n}", f"mimetype={mime}", f"-metadata:s:t:{n}", f"filename={name}"]
    tool(*SMALL, *H264, *options, tmp_path / "in.mkv")
    remade(tmp_path / "in.mkv", tmp_path / "out.mkv", ffmpeg, rate=Fraction(24), options=PLAIN)
    assert facts(tmp_path / "out.mkv") == facts(tmp_path / "in.mkv")
    assert len(facts(tmp_path / "out.mkv")) == 3
    proved(
        "Streams: other", "mkv to mkv: fonts, covers of any name", "PyAV", "equal, with names and types", ffmpeg=ffmpeg
    )
    for ending, lost in (("mp4", {"font": ".mkv can"}), ("mov", {"font": ".mkv can", "cover": ".mp4 and .mkv can"})):
        _, _, fates = remade(tmp_path / "in.mkv", tmp_path / f"out.{ending}", ffmpeg, rate=Fraction(24), options=PLAIN)
        reasons = [fate.reason or "" for fate in fates if fate.action == "drop"]
        assert dict.fromkeys(lost, True) == {w: any(w in r and r.endswith(lost[w]) for r in reasons) for w in lost}
        assert len(facts(tmp_path / f"out.{ending}")) == (2 if ending == "mp4" else 0)
        for reason in sorted(set(reasons)):
            proved(
                "Streams: other",
                f"mkv with covers and a font to {ending}",
                "PyAV",
                f"left out: {reason}",
                ffmpeg=ffmpeg,
            )


@pytest.mark.parametrize("ending", chosen(["mov", "mp4", "mkv"], always=("mov",)))
def test_a_timecode_is_left_out_and_said_to_be(ending: str, ffmpeg: Ffmpeg, tmp_path: Path, proved: Proved) -> None:
    tool(*SMALL, *H264, "-timecode", "01:00:00:00", tmp_path / "in.mov")
    with av.open(str(tmp_path / "in.mov")) as container:
        assert [stream.type for stream in container.streams] == ["video", "data"]
    _, _, fates = remade(tmp_path / "in.mov", tmp_path / f"out.{ending}", ffmpeg, rate=Fraction(48), options=PLAIN)
    assert [(f.codec, f.action) for f in fates] == [("tmcd", "drop")] and "counts the source's frames" in str(fates[0])
    with av.open(str(tmp_path / f"out.{ending}")) as container:
        assert [stream.type for stream in container.streams] == ["video"]
        tags = {*container.metadata, *container.streams[0].metadata}
        assert "timecode" not in {key.lower() for key in tags}
    proved("Streams: other", f"timecode (tmcd) to {ending}", "PyAV", f"left out: {fates[0].reason}", ffmpeg=ffmpeg)


@pytest.mark.usefixtures("blending")
def test_a_timecode_that_is_only_a_tag_is_said_to_be_left_out(wheel: Ffmpeg, tmp_path: Path, proved: Proved) -> None:
    path, out = tmp_path / "in.mkv", tmp_path / "out.mkv"
    tool(*SMALL, *H264, "-metadata", "timecode=01:00:00:00", path)
    job = Job(input=str(path), output=str(out), rate="48", ffmpeg=wheel.path)
    said = "the timecode 01:00:00:00 is left out: it counts the source's frames, not the new ones"
    assert said in notes_of(prepare(job))
    remade(path, out, wheel, options=PLAIN)
    with av.open(str(path)) as before, av.open(str(out)) as after:
        assert "timecode" in {key.lower() for key in before.metadata}
        assert "timecode" not in {key.lower() for key in after.metadata}
    proved("Streams: other", "timecode as a tag of mkv", "PyAV", "left out, and said")


@pytest.mark.parametrize("slow", [Fraction(1), Fraction(5, 2)], ids=["whole speed", "slow"])
@pytest.mark.parametrize("ending", chosen(["mp4", "mov", "mkv", "webm", "nut", "avi", "ts"]))
def test_chapters_are_kept_where_a_container_has_them(
    ending: str, slow: Fraction, ffmpeg: Ffmpeg, tmp_path: Path, proved: Proved
) -> None:
    marks = ((0, 700, "one; =#"), (700, 2000, "zwei \u00fc"))
    escaped = [(a, b, name.replace(";", "\\;").replace("=", "\\=").replace("#", "\\#")) for a, b, name in marks]
    text = "".join(f"[CHAPTER]\nTIMEBASE=1/1000\nSTART={a}\nEND={b}\ntitle={name}\n" for a, b, name in escaped)
    (tmp_path / "c.txt").write_text(f";FFMETADATA1\n{text}")
    tool(*SMALL, "-f", "ffmetadata", "-i", tmp_path / "c.txt", "-map_chapters", 1, *H264, tmp_path / "in.mkv")
    out = tmp_path / f"out.{ending}"
    options = VP9 if ending == "webm" else PLAIN
    info, _, _ = remade(tmp_path / "in.mkv", out, ffmpeg, rate=Fraction(24), slow=slow, options=options)
    with av.open(str(out)) as container:
        found = [
            (c["start"] * c["time_base"], c["end"] * c["time_base"], c["metadata"]["title"])
            for c in container.chapters()
        ]
    lost = chapters_lost(info, container_for(out))
    if ending in ("avi", "ts"):
        assert not found and lost == {"avi": "avi files cannot hold any", "ts": "MPEG-TS files cannot hold any"}[ending]
    else:
        assert lost is None and [title for _, _, title in found] == [title for _, _, title in marks]
        for (begin, end, _), (was, until, _) in zip(found, marks, strict=True):
            assert abs(begin - was * slow / 1000) <= 0.002 and abs(end - until * slow / 1000) <= 0.05
    case = f"two chapters to {ending}" + ("" if slow == 1 else f", {slow} times slower")
    proved("Streams: other", case, "PyAV", f"left out: {lost}" if lost else "times and titles equal", ffmpeg=ffmpeg)


@pytest.mark.parametrize(("codec", "ending"), chosen([("bin_data", "mp4"), ("klv", "ts")], once=[("bin_data", "mp4")]))
def test_data_are_kept_packet_for_packet(
    codec: str, ending: str, ffmpeg: Ffmpeg, tmp_path: Path, proved: Proved
) -> None:
    tool(*SMALL, *H264, tmp_path / f"v.{ending}")
    path, out = tmp_path / f"in.{ending}", tmp_path / f"out.{ending}"
    with av.open(str(tmp_path / f"v.{ending}")) as source, av.open(str(path), "w") as made:
        video, data = made.add_stream_from_template(source.streams[0]), made.add_data_stream(codec)
        for n, packet in enumerate(p for p in source.demux() if p.dts is not None):
            told = av.Packet(b"\x06\x0e\x2b\x34 fact %d" % n)
            told.pts = told.dts = packet.pts
            told.time_base, told.duration, told.stream, packet.stream = packet.time_base, packet.duration, data, video
            made.mux(told)
            made.mux(packet)
    _, _, fates = remade(path, out, ffmpeg, rate=Fraction(48), options=PLAIN)
    name = "gpmd" if ending == "mp4" else codec
    assert [(f.kind, f.codec, f.action) for f in fates] == [("data", name, "copy")]
    before, after = payload(path), payload(out)
    assert len(after) == 48 and [data for _, data in after] == [data for _, data in before]
    assert all(abs(a - b) <= Fraction(1, 1000) for (a, _), (b, _) in zip(after, before, strict=True))
    proved("Streams: other", f"{name} data in {ending}", "packets and times by PyAV", "equal", ffmpeg=ffmpeg)
    slowed = stream_fates(probe(str(path), ffmpeg=ffmpeg), container=container_for(path), slow=Fraction(2))
    assert [(fate.action, fate.reason) for fate in slowed] == [("drop", "data cannot be slowed down")]


def payload(path: Path) -> list[tuple[Fraction, bytes]]:
    """(time, bytes) of each packet of data, s after the first picture."""
    with av.open(str(path)) as container:
        packets = [(p.stream.type, p.pts * p.time_base, bytes(p)) for p in container.demux() if p.pts is not None]
    first = min(time for kind, time, _ in packets if kind == "video")
    return [(time - first, data) for kind, time, data in packets if kind == "data"]


# ---- slow motion, and a choice of streams


def flash_and_beep(ending: str, late: Fraction, folder: Path) -> Path:
    """2 s: black, then white from 1 s on, where a beep of 50 ms has its middle, a chapter and a subtitle begin.

    The sound track begins `late` s after the picture.
    """
    path, begin = folder / f"in.{ending}", Fraction(39, 40) - late
    (folder / "s.srt").write_text("1\n00:00:01,000 --> 00:00:01,400\nnow\n")
    marks = "".join(
        f"[CHAPTER]\nTIMEBASE=1/1\nSTART={n}\nEND={n + 1}\ntitle={name}\n" for n, name in enumerate(("before", "after"))
    )
    (folder / "c.txt").write_text(f";FFMETADATA1\n{marks}")
    beep = f"if(between(t,{float(begin)},{float(begin) + 0.05}),0.5*sin(2*PI*1000*t),0)"
    codecs = ("-c:a", "aac", "-c:s", "mov_text") if ending == "mp4" else ("-c:a", "pcm_s16le", "-c:s", "srt")
    tool(
        "-f", "lavfi", "-i", "color=black:s=64x48:r=24:d=1,tpad=stop_mode=add:stop_duration=1:color=white",
        "-itsoffset", float(late), "-f", "lavfi", "-i", f"aevalsrc='{beep}':s={RATE}:d={float(2 - late)}",
        "-i", folder / "s.srt", "-f", "ffmetadata", "-i", folder / "c.txt", "-map", 0, "-map", 1, "-map", 2,
        "-map_chapters", 3, *H264, *codecs, path,
    )  # fmt: skip
    return path


@pytest.mark.usefixtures("blending")
@pytest.mark.parametrize("late", chosen([Fraction(0), Fraction(3, 10)], always=(Fraction(3, 10),)))
@pytest.mark.parametrize("ending", chosen(["mkv", "mp4"], always=("mp4",)))
@pytest.mark.parametrize("slow", chosen([Fraction(2), Fraction(5, 2), Fraction(8)], once=(Fraction(5, 2),)))
def test_slow_motion_stretches_sound_subtitles_and_chapters_alike(
    slow: Fraction, ending: str, late: Fraction, ffmpeg: Ffmpeg, tmp_path: Path, proved: Proved
) -> None:
    out = tmp_path / f"out.{ending}"
    made = convert(flash_and_beep(ending, late, tmp_path), out, ffmpeg=ffmpeg, rate=None, slow=slow, preset="ultrafast")
    with av.open(str(out)) as container:
        shown = [(frame.time, frame.to_ndarray(format="gray").mean()) for frame in container.decode(video=0)]
        chapters = [
            (c["start"] * c["time_base"], c["end"] * c["time_base"], c["metadata"]["title"])
            for c in container.chapters()
        ]
    flash = next(time for time, light in shown if light > 200) - shown[0][0]
    assert abs(flash - slow) <= 0.001 and len(shown) == made.frames == 48 * slow
    (sound,) = sounds(out)
    energy = np.cumsum(sound.samples.astype(np.float64) ** 2)
    beep = float(np.searchsorted(energy, energy[-1] / 2)) / RATE
    assert abs(beep - flash) <= (0.020 if slow < 8 else 0.035)  # atempo moves what is short by that much either way
    pitch = int(np.abs(np.fft.rfft(sound.samples)).argmax()) * RATE / len(sound.samples)
    assert abs(pitch - 1000) <= 20
    assert abs(len(sound.samples) / RATE - len(shown) / 24) <= 1 / 24
    assert [title for _, _, title in chapters] == ["before", "after"]
    for (begin, end, _), wanted in zip(chapters, ((0, slow), (slow, 2 * slow)), strict=True):
        assert max(abs(begin - wanted[0]), abs(end - wanted[1])) <= Fraction(2, 1000)
    ((begin, end, text),) = words(out, 0)
    assert text == "now"
    assert max(abs(begin - slow), abs(end - slow * Fraction(14, 10))) <= Fraction(1 + slow, 1000)
    case = f"{slow} times slower ({ending}), sound that begins {float(late):g} s late"
    told = f"beep within {20 if slow < 8 else 35} ms of the flash, pitch, length, chapter and subtitle right"
    proved("Streams: slow motion", case, "flash, beep, chapters by PyAV; ffmpeg -f srt", told, ffmpeg=ffmpeg)


@pytest.mark.once
@pytest.mark.usefixtures("blending")
def test_only_chosen_streams_are_in_the_result(
    ffmpeg: Ffmpeg, six_subtitles: Path, tmp_path: Path, proved: Proved
) -> None:
    out = tmp_path / "out.mkv"
    made = convert(six_subtitles, out, ffmpeg=ffmpeg, map=("s", "-s:1", "a?", "-m:language:jpn"), preset="ultrafast")
    assert [fate.action for fate in made.fates] == ["copy", "drop", "drop", "copy", "copy", "copy"]
    with av.open(str(out)) as container:
        assert [s.metadata["language"] for s in container.streams.subtitles] == ["eng", "fra", "spa", "ita"]
    assert blocks(out, 1) == blocks(six_subtitles, 3)
    proved("Streams: choice", "--map s --map -s:1 --map a? --map -m:language:jpn", "PyAV", "as ffmpeg", ffmpeg=ffmpeg)

"""Everything beside the video: each stream is kept, or converted where the container asks for it, and in its time."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from conftest import MakeClip, Proved, tool
from numpy.typing import NDArray
from remuxed import remade

from interp_cli.media.ffmpeg import Ffmpeg
from interp_cli.options import EncodeOptions

RATE = 48_000  # Hz
SMALL = ("-f", "lavfi", "-i", "testsrc2=s=64x48:r=24:d=1.5")
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
            if packet.stream.type == "video" and packet.dts is not None:
                shown = (
                    packet.dts if path.suffix == ".avi" else packet.pts
                )  # AVI has no times of showing: frames in order
                pictures.append(shown * packet.time_base)
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


@pytest.mark.parametrize(
    "ending", [name if name in ("mp4", "mkv", "webm") else pytest.param(name, marks=pytest.mark.slow) for name in KEPT]
)
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

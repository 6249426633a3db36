"""Bad inputs, made anew and always the same: cut off, flipped, misnamed, empty, pointing elsewhere, promising too much.

    python tests/corpus.py DIR

writes DIR/inputs and, for what the inputs would like to read, DIR/secret. Kinds that OpenCV reads are in DIR/pictures.
"""

import io
import pickle
import random
import struct
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

import imageio_ffmpeg

CUTS = 10  # places at which each container is cut off
FLIPS = 4  # copies of each container with flipped bits: two in the header, two anywhere
SOCKET = "http://127.0.0.1:9/x"  # where nobody listens
EXACT = ("-fflags", "+bitexact", "-flags:v", "+bitexact", "-flags:a", "+bitexact", "-map_metadata", "-1")
PICTURE = ("-f", "lavfi", "-i", "testsrc2=s=64x48:r=25:d=0.32")
TONE = ("-f", "lavfi", "-i", "sine=d=0.3")
H264 = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-threads", "1")
CONTAINERS: dict[str, tuple[str, ...]] = {
    "mp4": (*TONE, *H264, "-c:a", "aac"),
    "mov": (*TONE, "-c:v", "mjpeg", "-pix_fmt", "yuvj420p", "-c:a", "pcm_s16le"),
    "mkv": (*TONE, *H264, "-c:a", "flac"),
    "webm": (*TONE, "-c:v", "libvpx", "-deadline", "realtime", "-threads", "1", "-c:a", "libopus"),
    "ts": (*TONE, *H264, "-c:a", "mp2"),
    "avi": (*TONE, "-c:v", "mpeg4", "-c:a", "mp3"),
    "flv": (*TONE, "-c:v", "flv1", "-c:a", "mp3", "-ar", "44100"),
    "nut": (*TONE, "-c:v", "ffv1", "-c:a", "pcm_s16le"),
    "ogg": (*TONE, "-c:v", "libtheora", "-c:a", "libvorbis"),
    "gif": (),
    "mpg": (*TONE, "-c:v", "mpeg2video", "-c:a", "mp2"),
    "m4v": ("-c:v", "mpeg4", "-f", "m4v"),
    "y4m": ("-pix_fmt", "yuv420p"),
    "mxf": ("-c:v", "mpeg2video", "-pix_fmt", "yuv420p"),
    "wmv": (*TONE, "-c:v", "wmv2", "-c:a", "wmav2"),
}


@dataclass(frozen=True)
class Folders:
    inputs: Path
    pictures: Path
    secret: Path  # no input may make anyone open a file in it


def ffmpeg(*arguments: object) -> None:
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-nostdin", "-v", "error", "-y", *map(str, arguments)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)


def write(folder: Path, *, only: Collection[str] | None = None) -> Folders:
    """Write everything; `only`: of what takes ffmpeg long to make, only these names."""
    folders = Folders(folder / "inputs", folder / "pictures", folder / "secret")
    for each in (folders.inputs, folders.pictures, folders.secret, folder / "seeds"):
        each.mkdir(parents=True, exist_ok=True)
    seeds = {}
    for kind, options in CONTAINERS.items():
        path = folder / "seeds" / f"seed.{kind}"
        ffmpeg(*PICTURE, *options, *EXACT, path)
        seeds[kind] = path.read_bytes()
    (folders.secret / "secret.mp4").write_bytes(seeds["mp4"])
    (folders.secret / "secret.ts").write_bytes(seeds["ts"])
    (folders.secret / "secret.txt").write_text("the secret\n" * 20)
    for kinds in (cut_off, flipped, misnamed, junk, playlists, bombs, promises):
        for name, content in kinds(seeds, folders):
            (folders.inputs / name).write_bytes(content)
    for name, content in made(seeds, folders, only):
        (folders.inputs / name).write_bytes(content)
    for name in NAMES:
        Path(folders.inputs, name.decode(errors="surrogateescape")).write_bytes(seeds["mp4"])
    for name, content in pictures():
        (folders.pictures / name).write_bytes(content)
    return folders


Made = Iterator[tuple[str, bytes]]
Seeds = dict[str, bytes]


def cut_off(seeds: Seeds, _: Folders) -> Made:
    for kind, whole in seeds.items():
        for k in range(CUTS):
            yield f"cut-{k}.{kind}", whole[: max(1, len(whole) * k // CUTS + 7 * k)]


def flipped(seeds: Seeds, _: Folders) -> Made:
    for kind, whole in seeds.items():
        chance = random.Random(f"flip {kind}")
        for k in range(FLIPS):
            content = bytearray(whole)
            reach = min(len(content), 600) if k < FLIPS // 2 else len(content)
            for _bit in range(8 if k % 2 else 40):
                content[chance.randrange(reach)] ^= 1 << chance.randrange(8)
            yield f"flip-{k}.{kind}", bytes(content)


def misnamed(seeds: Seeds, _: Folders) -> Made:
    for own, name in [("mkv", "mp4"), ("mp4", "mkv"), ("gif", "mov"), ("ts", "avi"), ("flv", "webm"), ("avi", "txt")]:
        yield f"really-{own}.{name}", seeds[own]
    for name in ("png", "jpg", "m3u8", "concat", "sdp", "srt", "wav", "exe", ""):
        yield f"really-mp4{'.' * bool(name)}{name}", seeds["mp4"]


def junk(_: Seeds, __: Folders) -> Made:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo("zeros"), bytes(1_000_000))
    contents = {
        "empty": b"",
        "byte": b"\0",
        "newlines": b"\n" * 5000,
        "zeros": bytes(100_000),
        "noise": random.Random("noise").randbytes(100_000),
        "text": b"Dear Sir or Madam,\n" * 200,
        "zip": packed.getvalue(),
        "pickle": pickle.dumps({"weights": list(range(1000))}),
        "reduce": b"cos\nsystem\n(S'touch /tmp/owned'\ntR.",
        "html": b"<!DOCTYPE html><html><video src='http://127.0.0.1:9/x.mp4'></video></html>",
        "svg": b"<svg xmlns='http://www.w3.org/2000/svg'><image href='file:///etc/passwd'/></svg>",
        "pdf": b"%PDF-1.4\n1 0 obj<</Type/Catalog/OpenAction<</S/URI/URI(http://127.0.0.1:9/)>>>>endobj\n%%EOF",
        "elf": b"\x7fELF\2\1\1" + bytes(2000),
        "script": b"#!/bin/sh\ntouch /tmp/owned\n",
        "json": b'{"a": [' + b"[" * 5000 + b"]" * 5000 + b"]}",
        "matroska-header": b"\x1a\x45\xdf\xa3" + bytes(500),
        "ftyp": b"\0\0\0\x18ftypisom\0\0\2\0isomiso2",
        "riff": b"RIFF\xff\xff\xff\xffAVI LIST\xff\xff\xff\xffhdrl",
        "escapes": b"\x1b]0;owned\x07\x1b[2J" * 100,
    }
    for name, content in contents.items():
        yield f"{name}.mp4", content
    for name in ("text.mkv", "noise.ts", "noise.mpg", "noise.h264", "zeros.mxf", "text.y4m"):
        yield name, contents[name.partition(".")[0]]


def playlists(_: Seeds, folders: Folders) -> Made:
    """Texts that name other files and addresses, each under its own extension and under those of videos."""
    video, text = folders.secret / "secret.mp4", folders.secret / "secret.txt"
    stream = folders.secret / "secret.ts"
    hls = "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:1\n"
    dash = "<MPD xmlns='urn:mpeg:dash:schema:mpd:2011' type='static' mediaPresentationDuration='PT1S'><Period>"
    contents = {
        "hls-file.m3u8": f"{hls}#EXTINF:1,\nfile://{stream}\n#EXT-X-ENDLIST\n",
        "hls-plain.m3u8": f"{hls}#EXTINF:1,\n{stream}\n#EXT-X-ENDLIST\n",
        "hls-passwd.m3u8": f"{hls}#EXTINF:1,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n",
        "hls-http.m3u8": f"{hls}#EXTINF:1,\n{SOCKET}.ts\n#EXT-X-ENDLIST\n",
        "hls-key.m3u8": f'{hls}#EXT-X-KEY:METHOD=AES-128,URI="file://{text}"\n#EXTINF:1,\n{stream}\n#EXT-X-ENDLIST\n',
        "hls-map.m3u8": f'{hls}#EXT-X-MAP:URI="{video}"\n#EXTINF:1,\nconcat:{text}|{stream}\n#EXT-X-ENDLIST\n',
        "hls-master.m3u8": f"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n{SOCKET}.m3u8\n",
        "hls-crypto.m3u8": f"{hls}#EXTINF:1,\ncrypto+file://{stream}\n#EXT-X-ENDLIST\n",
        "concat.ffconcat": f"ffconcat version 1.0\nfile '{video}'\nduration 1\n",
        "concat-http.ffconcat": f"ffconcat version 1.0\nfile '{SOCKET}.mp4'\n",
        "concat-option.ffconcat": f"ffconcat version 1.0\nfile '{video}'\noption protocol_whitelist all\n",
        "concat-relative.ffconcat": "ffconcat version 1.0\nfile ../secret/secret.mp4\n",
        "dash.mpd": f"{dash}<AdaptationSet><Representation id='1' bandwidth='1' mimeType='video/mp4'>"
        f"<BaseURL>file://{video}</BaseURL></Representation></AdaptationSet></Period></MPD>",
        "dash-http.mpd": f"{dash}<AdaptationSet><Representation id='1' bandwidth='1' mimeType='video/mp4'>"
        f"<BaseURL>{SOCKET}</BaseURL></Representation></AdaptationSet></Period></MPD>",
        "dash-entity.mpd": f"<?xml version='1.0'?><!DOCTYPE x [<!ENTITY e SYSTEM 'file://{text}'>]>{dash}&e;</Period></MPD>",
        "session.sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n"
        "a=rtpmap:96 H264/90000\n",
        "film.smil": f"<smil><body><video src='{video}'/><video src='{SOCKET}'/></body></smil>",
        "list.asx": f"<asx version='3.0'><entry><ref href='{SOCKET}'/><ref href='file://{video}'/></entry></asx>",
        "list.xspf": f"<playlist version='1'><trackList><track><location>file://{video}</location></track></trackList></playlist>",
        "list.pls": f"[playlist]\nFile1={video}\nNumberOfEntries=1\nVersion=2\n",
        "list.strm": f"{SOCKET}\n",
        "list.url": f"[InternetShortcut]\nURL=file://{video}\n",
        "list.ram": f"rtsp://127.0.0.1:9/x\nfile://{video}\n",
        "list.wpl": f"<?wpl version='1.0'?><smil><body><seq><media src='{video}'/></seq></body></smil>",
        "ref.asf": f"[Reference]\r\nRef1={SOCKET}\r\n",
        "script.avs": f'FFVideoSource("{video}")\n',
        "script.vpy": f"import vapoursynth\nvapoursynth.core.ffms2.Source('{video}').set_output()\n",
        "graph.lavfi": f"movie={video}",
        "data.ffmetadata": f";FFMETADATA1\ntitle=x\n[CHAPTER]\nTIMEBASE=1/0\nSTART=0\nEND=9\ntitle={video}\n",
        "sheet.cue": f'FILE "{video}" BINARY\nTRACK 01 AUDIO\nINDEX 01 00:00:00\n',
        "subs.idx": f"# VobSub index file, v7 (do not modify this line!)\nid: en, index: 0\n{video}\n",
        "subs.srt": f"1\n00:00:00,000 --> 00:00:01,000\n<font face='{text}'>x</font>\n",
        "subs.ass": f"[Script Info]\nVideo File: {video}\n[Events]\nDialogue: 0,0:00:00.00,0:00:01.00,,,0,0,0,,x\n",
        "subs.vtt": f"WEBVTT\n\nSTYLE\n@import '{SOCKET}';\n\n00:00.000 --> 00:01.000\nx\n",
        "cpl.xml": f"<CompositionPlaylist xmlns='http://www.smpte-ra.org/schemas/2067-3/2016'><Id>{video}</Id>"
        "</CompositionPlaylist>",
        "manifest.ism": f"<SmoothStreamingMedia MajorVersion='2'><StreamIndex Url='{SOCKET}'/></SmoothStreamingMedia>",
    }
    for name, content in contents.items():
        stem, _, suffix = name.rpartition(".")
        yield name, content.encode()
        yield f"{stem}-{suffix}.mp4", content.encode()
    for name in ("hls-file.m3u8", "hls-http.m3u8", "concat.ffconcat", "dash.mpd", "session.sdp", "film.smil"):
        yield f"{name.replace('.', '-')}.mkv", contents[name].encode()


# ---- MP4's boxes


def box(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", 8 + len(body)) + kind + body


def changed(data: bytes, path: str, change: Callable[[bytes], bytes], *, times: int = 1) -> bytes:
    """`data` with the bodies of the boxes at `path` ("moov/trak") changed and, if asked for, repeated.

    What stands before them keeps its place, for their sizes are mended and the index comes last.
    """
    first, _, rest = path.partition("/")
    out, at, found = b"", 0, False
    while at + 8 <= len(data):
        size, kind = struct.unpack(">I4s", data[at : at + 8])
        body = data[at + 8 : at + size]
        if kind == first.encode() and not found:
            found = True
            body = changed(body, rest, change, times=times) if rest else change(body)
            out += box(kind, body) * (1 if rest else times)
        else:
            out += data[at : at + size]
        at += size
    assert found, path
    return out


def patched(at: int, layout: str, *values: int) -> Callable[[bytes], bytes]:
    """A change that writes `values` at a place of the body."""
    packed = struct.pack(layout, *values)
    return lambda body: body[:at] + packed + body[at + len(packed) :]


STBL = "moov/trak/mdia/minf/stbl"


def promises(seeds: Seeds, folders: Folders) -> Made:
    """MP4 and MOV whose index says what is not so, or points to another file."""
    mp4, mov = seeds["mp4"], seeds["mov"]
    yield "samples-1e9.mp4", many_samples(mp4, 1_000_000_000, chunk=1_000_000_000)
    yield "samples-4e9.mp4", many_samples(mp4, 0xFFFFFFFF, chunk=0x7FFFFFFF)
    yield "samples-4e7.mp4", many_samples(mp4, 40_000_000, chunk=40_000_000)
    yield "overlapping.mov", overlapping(width=2, height=2, in_chunk=2_000, chunks=500)
    yield "overlapping-more.mov", overlapping(width=2, height=2, in_chunk=10_000, chunks=2_500)
    yield "stsz-lies.mp4", changed(mp4, f"{STBL}/stsz", patched(8, ">I", 0x7FFFFFFF))
    yield "stco-lies.mp4", changed(mp4, f"{STBL}/stco", patched(4, ">I", 0x7FFFFFFF))
    yield "stco-far.mp4", changed(mp4, f"{STBL}/stco", patched(8, ">I", 0x7FFFFFFF))
    yield "stts-lies.mp4", changed(mp4, f"{STBL}/stts", patched(4, ">I", 0x7FFFFFFF))
    yield "stts-count.mp4", changed(mp4, f"{STBL}/stts", patched(8, ">I", 0x7FFFFFFF))
    yield "stts-days.mp4", changed(mp4, f"{STBL}/stts", patched(12, ">I", 0x7FFFFFFF))
    yield "stts-zero.mp4", changed(mp4, f"{STBL}/stts", patched(12, ">I", 0))
    yield "scale-1.mp4", changed(mp4, "moov/trak/mdia/mdhd", patched(12, ">I", 1))
    yield "scale-0.mp4", changed(mp4, "moov/trak/mdia/mdhd", patched(12, ">I", 0))
    yield "scale-max.mp4", changed(mp4, "moov/trak/mdia/mdhd", patched(12, ">I", 0xFFFFFFFF))
    yield "rate-1e6.mov", changed(mov, "moov/trak/mdia/mdhd", patched(12, ">I", 512_000_000))
    yield "size-65535.mp4", changed(mp4, f"{STBL}/stsd", patched(40, ">HH", 65535, 65535))
    yield "size-65535.mov", changed(mov, f"{STBL}/stsd", patched(40, ">HH", 65535, 65535))
    yield "size-0.mov", changed(mov, f"{STBL}/stsd", patched(40, ">HH", 0, 0))
    yield (
        "raw-65535.mov",
        changed(mov, f"{STBL}/stsd", lambda b: patched(40, ">HH", 65535, 65535)(b).replace(b"jpeg", b"raw ")),
    )
    yield "sof-65535.mov", mov.replace(b"\xff\xc0\0\x11\x08\0\x30\0\x40", b"\xff\xc0\0\x11\x08\xff\xff\xff\xff")
    yield "sof-grows.mov", grows(mov)
    yield "edits-far.mp4", changed(mp4, "moov/trak/edts/elst", patched(12, ">I", 0x7FFFFFFF))
    yield "edits-lie.mp4", changed(mp4, "moov/trak/edts/elst", patched(4, ">I", 0x7FFFFFFF))
    yield "edits-slow.mp4", changed(mp4, "moov/trak/edts/elst", patched(16, ">I", 1))
    yield "streams-1500.mp4", changed(mp4, "moov/trak", lambda body: body, times=1500)
    yield "streams-300.mp4", changed(mp4, "moov/trak", lambda body: body, times=300)
    yield "matrix.mp4", changed(mp4, "moov/trak/tkhd", patched(40, ">9I", *[0x7FFFFFFF] * 9))
    nested = b""
    for _ in range(3000):
        nested = box(b"moov", nested)
    yield "nested.mp4", mp4[:32] + nested
    yield "large-box.mp4", mp4[:32] + struct.pack(">I4sQ", 1, b"moov", 1 << 62) + mp4[32:]
    yield "ends-in-size-0.mp4", mp4 + b"\0\0\0\0moov"
    for name, place in {"file": str(folders.secret / "secret.mp4"), "relative": "../secret/secret.mp4"}.items():
        for kind in ("mp4", "mov"):
            yield f"dref-{name}.{kind}", changed(seeds[kind], "moov/trak/mdia/minf/dinf/dref", elsewhere(place))
    yield "dref-http.mov", changed(mov, "moov/trak/mdia/minf/dinf/dref", elsewhere(SOCKET))
    yield "dref-alias.mov", changed(mov, "moov/trak/mdia/minf/dinf/dref", alias(str(folders.secret / "secret.mp4")))
    for name, place in {"file": f"file://{folders.secret}/secret.mp4", "http": SOCKET}.items():
        link = box(b"rdrf", struct.pack(">I4sI", 0, b"url ", len(place) + 1) + place.encode() + b"\0")
        yield f"reference-{name}.mov", mov[:20] + box(b"moov", box(b"rmra", box(b"rmda", link)))


def many_samples(mp4: bytes, count: int, *, chunk: int) -> bytes:
    """Samples of one byte each, which need no table of sizes."""
    changes = {
        "stsz": struct.pack(">III", 0, 1, count),
        "stts": struct.pack(">IIII", 0, 1, count, 512),
        "stsc": struct.pack(">IIIII", 0, 1, 1, chunk, 1),
    }
    for kind, body in changes.items():
        mp4 = changed(mp4, f"{STBL}/{kind}", lambda _, body=body: body)  # type: ignore[misc]
    return mp4


def overlapping(*, width: int, height: int, in_chunk: int, chunks: int) -> bytes:
    """Millions of pictures that can be decoded in a file of some 130 kB: every chunk is the same."""
    sample, count = 3 * width * height, in_chunk * chunks
    entry = (
        bytes(6) + struct.pack(">H", 1) + bytes(16) + struct.pack(">HHIIIH", width, height, 0x480000, 0x480000, 0, 1)
    )
    entry += bytes(32) + struct.pack(">Hh", 24, -1)
    media = box(b"mdat", bytes(sample * in_chunk))
    tables = box(b"stsd", struct.pack(">II", 0, 1) + box(b"raw ", entry))
    tables += box(b"stts", struct.pack(">IIII", 0, 1, count, 1))
    tables += box(b"stsc", struct.pack(">IIIII", 0, 1, 1, in_chunk, 1))
    tables += box(b"stsz", struct.pack(">III", 0, sample, count))
    tables += box(b"stco", struct.pack(">II", 0, chunks) + struct.pack(">I", 20 + 8) * chunks)
    handler = box(b"hdlr", bytes(4) + b"mhlrvide" + bytes(13))
    header = box(b"mdhd", struct.pack(">IIIII", 0, 0, 0, 1000, count) + bytes(4))
    inner = box(b"minf", box(b"vmhd", bytes(12)) + box(b"stbl", tables))
    track = box(b"trak", box(b"tkhd", bytes(84)) + box(b"mdia", header + handler + inner))
    return box(b"ftyp", b"qt  \0\0\0\0qt  ") + media + box(b"moov", track)


def grows(mov: bytes) -> bytes:
    """From its third picture on it says that it is much larger."""
    mark = b"\xff\xc0\0\x11\x08"
    parts = mov.split(mark)
    return mark.join([*parts[:3], *(b"\x40\0\x40\0" + part[4:] for part in parts[3:])])


def elsewhere(place: str) -> Callable[[bytes], bytes]:
    return lambda _: struct.pack(">II", 0, 1) + box(b"url ", b"\0\0\0\0" + place.encode() + b"\0")


def alias(place: str) -> Callable[[bytes], bytes]:
    """A Mac alias record with the POSIX path as tag 18, and a folder's as tag 2, as QuickTime wrote them."""
    name = place.rsplit("/", 1)[1].encode()
    record = bytearray(150)
    record[50] = len(name)
    record[51 : 51 + len(name)] = name
    for tag, text in ((2, place.replace("/", ":").encode()), (18, place.encode())):
        record += struct.pack(">HH", tag, len(text)) + text + b"\0" * (len(text) % 2)
    record += struct.pack(">HH", 0xFFFF, 0)
    return lambda _: struct.pack(">II", 0, 1) + box(b"alis", b"\0\0\0\0" + bytes(record))


# ---- other headers


def y4m(width: int, height: int, rate: str, *, frames: int = 3, said: str = "C420jpeg") -> bytes:
    size = 3 * width * height // 2 if width * height < 10_000 else 64
    return f"YUV4MPEG2 W{width} H{height} F{rate} Ip A1:1 {said}\n".encode() + (b"FRAME\n" + bytes(size)) * frames


def png(width: int, height: int, *, extra: bytes = b"") -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    animated = chunk(b"acTL", struct.pack(">II", 2, 0)) if extra else b""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + animated + chunk(b"IDAT", zlib.compress(bytes(4096))) + chunk(b"IEND", b"")


def gif(width: int, height: int, *, delay: int = 4, frames: int = 3) -> bytes:
    image = b"\x21\xf9\x04\0" + struct.pack("<H", delay) + b"\0\0\x2c" + struct.pack("<HHHHB", 0, 0, 1, 1, 0)
    image += b"\x02\x02\x44\x01\0"
    return b"GIF89a" + struct.pack("<HH", width, height) + b"\x80\0\0\0\0\0\xff\xff\xff" + image * frames + b"\x3b"


def bombs(seeds: Seeds, _: Folders) -> Made:
    """Headers that promise more than anyone has, outside MP4."""
    yield "size-65535.y4m", y4m(65535, 65535, "25:1")
    yield "size-2e9.y4m", y4m(2_000_000_000, 2_000_000_000, "25:1")
    yield "size-9000.y4m", y4m(9000, 9000, "25:1")
    yield "size-0.y4m", y4m(0, 0, "25:1")
    yield "size-minus.y4m", y4m(-5, -5, "25:1")
    yield "rate-1e6.y4m", y4m(16, 16, "1000000:1")
    yield "rate-2e9.y4m", y4m(16, 16, "2000000000:1")
    yield "rate-slow.y4m", y4m(16, 16, "1:1000000")
    yield "rate-0.y4m", y4m(16, 16, "0:0")
    yield "rate-long.y4m", y4m(16, 16, "9" * 5000 + ":1")
    yield "header-long.y4m", b"YUV4MPEG2 " + b"X" * 100_000
    yield "size-65535.gif", gif(65535, 65535)
    yield "size-20000.gif", gif(20000, 20000)
    yield "delay.gif", gif(16, 16, delay=65535, frames=200)
    yield "delay-0.gif", gif(16, 16, delay=0)
    yield "size-65535.apng", png(65535, 65535, extra=b"a")
    yield "size-2e9.apng", png(0x7FFFFFFF, 0x7FFFFFFF, extra=b"a")
    yield "png-65535.mp4", png(65535, 65535)
    avi = seeds["avi"]
    format_at, stream_at = avi.index(b"strf") + 8, avi.index(b"strh") + 8
    yield "size-65535.avi", patched(format_at + 4, "<ii", 65535, 65535)(avi)
    raw = patched(format_at + 14, "<HI", 24, 0)(avi)  # uncompressed
    yield "raw-65535.avi", patched(format_at + 4, "<ii", 65535, 65535)(raw)
    yield "raw-minus.avi", patched(format_at + 4, "<ii", -65535, -65535)(raw)
    yield "rate-1e6.avi", patched(stream_at + 20, "<II", 1, 1_000_000)(avi)
    yield "rate-0.avi", patched(stream_at + 20, "<II", 0, 0)(avi)
    yield "rate-slow.avi", patched(stream_at + 20, "<II", 1_000_000, 1)(avi)
    yield (
        "frames-1e9.avi",
        patched(avi.index(b"avih") + 8 + 16, "<I", 1_000_000_000)(patched(stream_at + 32, "<I", 1_000_000_000)(avi)),
    )
    yield "streams-1e9.avi", patched(avi.index(b"avih") + 8 + 24, "<I", 1_000_000_000)(avi)
    webm = seeds["webm"]
    start = webm.index(b"\x9d\x01\x2a") + 3
    yield "size-16383.webm", webm[:start] + struct.pack("<HH", 16383, 16383) + webm[start + 4 :]
    yield from matroska_bombs()
    nut = seeds["nut"]
    yield "streams.nut", nut[:25] + b"\xff\xff\xff\x7f" + nut[29:]
    yield "id3.mp3", b"ID3\4\0\0\x7f\x7f\x7f\x7f" + b"APIC\x7f\x7f\x7f\x7f\0\0\0image/png\0\3\0" + png(65535, 65535)
    yield "ogg-pages.ogg", b"".join(seeds["ogg"][:28].replace(b"OggS", b"OggS") for _ in range(2000))
    pat = b"\x47\x40\0\x10\0\0\xb0\xb1\0\1\xc1\0\0" + b"".join(
        struct.pack(">HH", n, 0xE000 | 32 + n) for n in range(1, 43)
    )
    yield "programs.ts", (pat + b"\xff" * 188)[:188] * 500


def matroska_bombs() -> Made:
    head = bytes.fromhex("1a45dfa3 8f 4282 88") + b"matroska" + bytes.fromhex("4287 81 04")
    endless = bytes.fromhex("18538067 01ffffffffffffff")
    yield "nested.mkv", head + endless + bytes.fromhex("1549a966 01ffffffffffffff") * 5000
    yield "attachment.mkv", head + endless + bytes.fromhex("1941a469 10ffffff 61a7 10fffff0 465c 10ffffe0") + bytes(500)
    track = (
        bytes.fromhex("d7 81 01 73c5 81 01 83 81 01 86 8e")
        + b"V_UNCOMPRESSED"
        + bytes.fromhex("e0 88 b0 82 ffff ba 82 ffff")
    )
    entry = bytes.fromhex("ae") + bytes([0x80 | len(track)]) + track
    cluster = bytes.fromhex("1f43b675 89 e7 81 00 a3 84 81 0000 80")
    yield "size-65535.mkv", head + endless + bytes.fromhex("1654ae6b") + bytes([0x80 | len(entry)]) + entry + cluster
    many = b"".join(entry.replace(bytes.fromhex("d78101"), b"\xd7\x81" + bytes([n % 127 + 1])) for n in range(3000))
    size = struct.pack(">I", 0x10000000 | len(many))
    yield "streams-3000.mkv", head + endless + bytes.fromhex("1654ae6b") + size + many + cluster
    yield (
        "late.mkv",
        head
        + endless
        + bytes.fromhex("1654ae6b")
        + bytes([0x80 | len(entry)])
        + entry
        + bytes.fromhex("1f43b675 8e e7 88 7fffffffffffffff a3 84 81 0000 80"),
    )


def made(seeds: Seeds, folders: Folders, only: Collection[str] | None) -> Made:
    """What takes ffmpeg to make: few frames, sound alone, odd sizes, jumps of the clock, tricks with other streams."""
    out = folders.secret.parent / "seeds"
    shift = "setts=pts=PTS+{0}*gte(N\\,4):dts=DTS+{0}*gte(N\\,4)"
    plain = (*PICTURE, *H264)
    cover = ("-f", "lavfi", "-i", "color=s=64x64:d=0.04")
    (out / "tags.txt").write_text(
        ";FFMETADATA1\ntitle=\x1b]0;owned\x07 $(touch /tmp/owned)\\\n%d%s\nartist=" + "a" * 70_000
    )
    chapters = "".join(f"[CHAPTER]\nTIMEBASE=1/1000\nSTART={n}\nEND={n + 1}\ntitle=%n{n}\\\n[x]\n" for n in range(300))
    (out / "chapters.txt").write_text(";FFMETADATA1\n" + chapters)
    (out / "long.srt").write_text("1\n00:00:00,000 --> 99:59:59,000\n" + "{\\fn../../etc/passwd}" * 3000 + "\n")
    (out / "late.srt").write_text("1\n01:00:00,000 --> 01:10:00,000\nlate\n")
    recipes: dict[str, tuple[object, ...]] = {
        "none.mp4": (*plain, "-frames:v", 0),
        "none.mkv": (*plain, "-frames:v", 0),
        "none.avi": (*PICTURE, "-c:v", "mpeg4", "-frames:v", 0),
        "one.mp4": (*plain, "-frames:v", 1),
        "one.mkv": (*plain, "-frames:v", 1),
        "one.gif": (*PICTURE, "-frames:v", 1),
        "one.avi": (*PICTURE, "-c:v", "mpeg4", "-frames:v", 1),
        "one.h264": (*plain, "-frames:v", 1),
        "two.webm": (*PICTURE, "-c:v", "libvpx", "-frames:v", 2),
        "tiny.mkv": ("-f", "lavfi", "-i", "testsrc2=s=2x2:r=25:d=0.2", "-c:v", "ffv1"),
        "dot.mkv": ("-f", "lavfi", "-i", "color=s=1x1:r=25:d=0.2,format=gray", "-c:v", "ffv1"),
        "strip.mkv": ("-f", "lavfi", "-i", "color=s=4096x1:r=25:d=0.1,format=gbrp", "-c:v", "ffv1"),
        "column.mkv": ("-f", "lavfi", "-i", "color=s=1x4096:r=25:d=0.1,format=gray", "-c:v", "png"),
        "large.mp4": ("-f", "lavfi", "-i", "color=s=16384x4352:r=25:d=0.08", *H264),
        "large.mkv": ("-f", "lavfi", "-i", "color=s=12000x12000:r=25:d=0.04,format=gray", "-c:v", "png"),
        "grows.h264": (*plain, "-f", "h264"),
        "float.mkv": ("-f", "lavfi", "-i", "color=s=64x48:d=0.1,format=gbrpf32le", "-c:v", "rawvideo", "-f", "nut"),
        "sound.wav": TONE,
        "sound.mp3": TONE,
        "sound.m4a": TONE,
        "sound.flac": TONE,
        "sound.mkv": (*TONE, "-c:a", "flac"),
        "cover.mp3": (*TONE, *cover, "-map", 0, "-map", 1, "-c:v", "png", "-disposition:v", "attached_pic"),
        "cover.m4a": (*TONE, *cover, "-map", 0, "-map", 1, "-c:v", "png", "-disposition:v", "attached_pic"),
        "gap-days.mkv": (*plain, "-bsf:v", shift.format(10**9)),
        "gap-years.nut": (*plain, "-bsf:v", shift.format(10**14)),
        "gap-years.mp4": (*plain, "-bsf:v", shift.format(10**9)),
        "gap-hours.mkv": (*plain, "-bsf:v", shift.format(25 * 3600 * 30)),
        "back.ts": (*plain, "-bsf:v", shift.format(-90_000 * 3600)),
        "fast.nut": (*plain, "-bsf:v", "setts=time_base=1/1000000:pts=N:dts=N"),
        "same.nut": (*plain, "-bsf:v", "setts=pts=0:dts=0"),
        "tags.mkv": (*PICTURE, "-i", out / "tags.txt", *H264, "-map_metadata", 1),
        "chapters.mkv": (*PICTURE, "-i", out / "chapters.txt", *H264, "-map_chapters", 1),
        "subtitle.mkv": (*PICTURE, "-i", out / "long.srt", *H264, "-c:s", "ass", "-map", 0, "-map", 1),
        "subtitle.mp4": (*PICTURE, "-i", out / "late.srt", *H264, "-c:s", "mov_text", "-map", 0, "-map", 1),
        "attachment.mkv": (
            *(*plain, "-attach", out / "tags.txt", "-metadata:s:t", "mimetype=application/x-font"),
            *("-metadata:s:t", "filename=../../../../tmp/owned"),
        ),
        "two-videos.mkv": (*PICTURE, *cover, *H264, "-map", 0, "-map", 1),
        "rotated.mp4": (*plain, "-metadata:s:v", "rotate=33"),
    }  # fmt: skip
    for name, recipe in recipes.items():
        if only is not None and name not in only:
            continue
        stripped = EXACT[:-2] if "map_metadata" in str(recipe) or "attach" in str(recipe) else EXACT
        ffmpeg(*recipe, *stripped, out / name)
        yield name, (out / name).read_bytes()
    yield "spliced.ts", seeds["ts"] * 3
    yield "spliced.mp4", seeds["mp4"] * 2
    if only is None:
        yield "sizes.h264", (out / "grows.h264").read_bytes() + (out / "one.h264").read_bytes()


NAMES = (
    b"two words.mp4",
    b"quote's \".mp4",
    b"new\nline.mp4",
    b"-x.mp4",
    b"--output=x.mp4",
    b"a:b.mp4",
    b"http:..x.mp4",
    b"concat:a|b.mp4",
    b"%d.mp4",
    b"%03d%s%n.mp4",
    b";rm -rf x;.mp4",
    b"$(touch owned).mp4",
    b"`touch owned`.mp4",
    b"${HOME}.mp4",
    b"a&b|c>d<e.mp4",
    b"*?[a].mp4",
    b"back\\slash.mp4",
    b"tab\tand\x07bell\x1b[31m.mp4",
    b"\xff\xfe\x80.mp4",
    b"cut-utf8-\xc3.mp4",
    b"n" * 251 + b".mp4",
    "\N{MOVIE CAMERA}\N{SNOWMAN}.mp4".encode(),
    "\u202egpm.exe.mp4".encode(),
    "e\u0301.mp4".encode(),
    "ف ي د ي و.mp4".encode(),
    b".hidden.mp4",
    b"trailing .mp4",
    b"#hash=1.mp4",
    b"~.mp4",
    b"@file.mp4",
    b"pipe:0.mp4",
    b"no-suffix",
)  # fmt: skip


def exr(**changed: bytes) -> bytes:
    """The header of an EXR of 8 x 8 px, with some of its attributes as they are `changed`."""
    window = struct.pack("<4i", 0, 0, 7, 7)
    values = {
        "channels": b"".join(name + struct.pack("<iIii", 1, 0, 1, 1) for name in (b"B\0", b"G\0", b"R\0")) + b"\0"
    }
    values |= {"compression": b"\0", "dataWindow": window, "displayWindow": window} | changed
    told = (f"{name}\0kind\0".encode() + struct.pack("<I", len(value)) + value for name, value in values.items())
    return b"\x76\x2f\x31\x01\2\0\0\0" + b"".join(told) + b"\0"


def pictures() -> Made:
    """Pictures whose headers promise too much, and what is none."""
    yield "bomb-65535.png", png(65535, 65535)
    yield "bomb-2e9.png", png(0x7FFFFFFF, 0x7FFFFFFF)
    yield "bomb-9000.png", png(9000, 9000)
    yield "zero.png", png(0, 0)
    yield "cut.png", png(64, 64)[:20]
    jpeg = b"\xff\xd8\xff\xe0\0\x10JFIF\0\1\1\0\0\1\0\1\0\0\xff\xc0\0\x11\x08"
    yield "bomb.jpg", jpeg + b"\xff\xff\xff\xff\3\1\x22\0\2\x11\1\3\x11\1\xff\xd9"
    yield (
        "bomb-progressive.jpg",
        jpeg.replace(b"\xff\xc0", b"\xff\xc2") + b"\xff\xff\xff\xff\3\1\x22\0\2\x11\1\3\x11\1\xff\xd9",
    )
    yield "cut.jpg", jpeg
    yield "far.jpg", jpeg[:20] + bytes(20_000_000) + jpeg[20:] + bytes(20)
    lossless = b"VP8L" + struct.pack("<IBI", 10, 0x2F, 0x0FFFFFFF) + bytes(5)
    yield "bomb-vp8l.webp", b"RIFF" + struct.pack("<I", 4 + len(lossless)) + b"WEBP" + lossless
    yield "cut.webp", b"RIFF\4\0\0\0WEBPVP8L"
    extended = b"VP8X" + struct.pack("<I", 10) + bytes(4) + b"\xff" * 6
    yield "bomb-vp8x.webp", b"RIFF" + struct.pack("<I", 4 + len(extended)) + b"WEBP" + extended
    lossy = b"VP8 " + struct.pack("<I", 12) + bytes(3) + b"\x9d\x01\x2a\xff\x3f\xff\x3f" + bytes(2)
    yield "bomb-vp8.webp", b"RIFF" + struct.pack("<I", 4 + len(lossy)) + b"WEBP" + lossy
    for order, magic in (("<", b"II*\0"), (">", b"MM\0*")):
        sizes = [struct.pack(f"{order}HHII", tag, 4, 1, 100_000) for tag in (256, 257)]
        tags = struct.pack(f"{order}H", 2) + b"".join(sizes) + bytes(4)
        yield f"bomb-{magic[:1].decode().lower()}.tiff", magic + struct.pack(f"{order}I", 8) + tags
    yield "no-end.tiff", b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", 65535) + bytes(100)
    yield "far.tiff", b"II+\0\x08\0\0\0" + struct.pack("<Q", 1 << 63)
    yield "text.png", b"hello"
    yield "bitmap.png", b"BM" + bytes(12) + struct.pack("<IiiHHI", 40, 65535, 65535, 1, 24, 0) + bytes(100)
    yield "anymap.jpg", b"P6\n65535 65535\n255\n" + bytes(100)
    yield "hdr.tiff", b"#?RADIANCE\n\n-Y 65535 +X 65535\n" + bytes(100)
    yield "exr.png", b"\x76\x2f\x31\x01" + bytes(200)
    yield "bomb.exr", exr(displayWindow=struct.pack("<4i", -(1 << 30), 0, 1 << 30, 1 << 30))
    yield "bomb-data.exr", exr(dataWindow=struct.pack("<4i", 0, 0, 0x7FFFFFFE, 0x7FFFFFFE))
    yield "backwards.exr", exr(displayWindow=struct.pack("<4i", 7, 7, 0, 0))
    yield "cut.exr", exr()[:40]
    yield "no-end.exr", exr()[:8] + b"a" * 100_000
    yield "far.exr", exr(comments=bytes(4))[:-1] + b"x\0y\0\xff\xff\xff\xff"


if __name__ == "__main__":
    where = write(Path(sys.argv[1]))
    print(f"{len(list(where.inputs.iterdir()))} inputs and {len(list(where.pictures.iterdir()))} pictures")

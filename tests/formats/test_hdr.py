"""High dynamic range: curves, labels and the mastering metadata reach the result."""

from __future__ import annotations

import struct
from fractions import Fraction
from pathlib import Path

import av
import pytest
from conftest import MakeClip, Proved, chosen
from whole_files import convert

from interp_cli.media.encode import choose_encoding
from interp_cli.media.ffmpeg import Ffmpeg
from interp_cli.media.probe import probe
from interp_cli.options import Codec, EncodeOptions

pytestmark = pytest.mark.usefixtures("blending")

SCREEN = "G(8500,39850)B(6550,2300)R(35400,14600)WP(15635,16450)L(10000000,50)"
PICTURE = ("-f", "lavfi", "-i", "testsrc2=s=160x96:r=10:d=0.4")
WRITTEN = "log-level=error:colorprim=bt2020:colormatrix=bt2020nc:range=limited:chromaloc=2"


def hdr(make_clip: MakeClip, name: str, curve: str, *, screen: str = SCREEN, light: str = "1000,400") -> Path:
    params = f"{WRITTEN}:transfer={curve}"
    if screen:
        params += f":hdr10=1:master-display={screen}:max-cll={light}"
    x265 = ("-c:v", "libx265", "-preset", "ultrafast", "-pix_fmt", "yuv420p10le", "-x265-params", params)
    return make_clip(name, *PICTURE, *x265)


def told(path: Path) -> tuple[list[Fraction] | None, tuple[int, int] | None]:
    """What libavcodec gives with the first frame: red, green, blue, white (x, y), least and most cd/m2; the light."""
    with av.open(str(path)) as container:
        data = {str(s.type).partition(".")[2]: bytes(s) for s in next(container.decode(video=0)).side_data}
    screen = light = None
    if "MASTERING_DISPLAY_METADATA" in data:
        v = struct.unpack("22i", data["MASTERING_DISPLAY_METADATA"])
        screen = [Fraction(v[i], v[i + 1]) for i in range(0, 20, 2)]
    if "CONTENT_LIGHT_LEVEL" in data:
        most, mean = struct.unpack("2I", data["CONTENT_LIGHT_LEVEL"][:8])
        light = (most, mean)
    return screen, light


def labels(path: Path) -> tuple[int, ...]:
    """Range, matrix, primaries, transfer: numbers of ITU-T H.273, but for the range."""
    with av.open(str(path)) as container:
        c = next(container.decode(video=0))
        return int(c.color_range), int(c.colorspace), int(c.color_primaries), int(c.color_trc)


@pytest.mark.parametrize("ending", chosen(["mp4", "mov", "mkv"], always=("mp4",), once=("mov", "mkv")))
def test_hdr10_metadata_reaches_the_result_as_they_were(
    ending: str, ffmpeg: Ffmpeg, make_clip: MakeClip, tmp_path: Path, proved: Proved
) -> None:
    source, out = hdr(make_clip, f"pq.{ending}", "smpte2084"), tmp_path / f"out.{ending}"
    convert(source, out, ffmpeg=ffmpeg, preset="ultrafast")
    screen, light = told(source)
    assert screen is not None and screen[8:] == [Fraction(1, 200), 1000] and light == (1000, 400)
    assert told(out) == (screen, light)
    assert labels(out) == labels(source) == (1, 9, 9, 16)
    assert probe(str(out), ffmpeg=ffmpeg).video.color == probe(str(source), ffmpeg=ffmpeg).video.color
    case = f"HDR10 (PQ, bt2020) HEVC in {ending}: mastering display, light level, labels"
    proved("Colour", case, "side data and labels by PyAV", "equal to the source's", ffmpeg=ffmpeg)


@pytest.mark.once
def test_hlg_keeps_its_curve(ffmpeg: Ffmpeg, make_clip: MakeClip, tmp_path: Path, proved: Proved) -> None:
    source, out = hdr(make_clip, "hlg.mp4", "arib-std-b67", screen=""), tmp_path / "out.mp4"
    convert(source, out, ffmpeg=ffmpeg, preset="ultrafast")
    assert labels(out) == labels(source) == (1, 9, 9, 18)
    assert told(out) == (None, None)
    proved("Colour", "HLG (bt2020) HEVC in mp4: labels", "PyAV", "equal to the source's", ffmpeg=ffmpeg)


@pytest.mark.once
@pytest.mark.parametrize(("codec", "preset", "step"), [("av1", "12", Fraction(1, 65536)), ("h264", "ultrafast", 0)])
def test_other_codecs_carry_hdr10_metadata_as_exactly_as_they_can(
    codec: str, preset: str, step: Fraction, ffmpeg: Ffmpeg, make_clip: MakeClip, tmp_path: Path, proved: Proved
) -> None:
    source, out = hdr(make_clip, "pq.mp4", "smpte2084"), tmp_path / "out.mkv"
    convert(source, out, ffmpeg=ffmpeg, codec=codec, preset=preset)
    (screen, light), (wanted, most) = told(out), told(source)
    assert screen is not None and wanted is not None
    assert light == most
    assert all(abs(a - b) <= step for a, b in zip(screen[:8], wanted[:8], strict=True))
    assert screen[9] == wanted[9] and abs(screen[8] - wanted[8]) <= (Fraction(1, 16384) if step else 0)
    result = "equal, to AV1's units" if step else "equal to the source's"
    proved("Colour", f"HDR10 metadata in {codec} (mkv)", "side data by PyAV", result, ffmpeg=ffmpeg)


@pytest.mark.once
def test_metadata_that_only_the_container_holds_are_read_and_carried(
    ffmpeg: Ffmpeg, wheel: Ffmpeg, make_clip: MakeClip, tmp_path: Path, proved: Proved
) -> None:
    vp9 = ("-c:v", "libvpx-vp9", "-cpu-used", "8", "-b:v", "0", "-crf", "40")
    source = make_clip("pq.webm", "-i", hdr(make_clip, "pq.mp4", "smpte2084"), *vp9)
    assert told(source) != (None, None)
    convert(source, tmp_path / "out.mp4", ffmpeg=ffmpeg, codec="hevc", preset="ultrafast")
    assert told(tmp_path / "out.mp4") == told(hdr(make_clip, "pq.mp4", "smpte2084"))
    proved("Colour", "HDR10 metadata of a WebM file into HEVC in mp4", "side data by PyAV", "equal", ffmpeg=ffmpeg)


@pytest.mark.parametrize(("codec", "container"), [("vp9", "webm"), ("prores", "mov"), ("ffv1", "matroska")])
def test_a_codec_without_a_place_for_hdr10_metadata_is_told_of(
    codec: str, container: str, ffmpeg: Ffmpeg, make_clip: MakeClip
) -> None:
    info = probe(str(hdr(make_clip, "pq.mp4", "smpte2084")), ffmpeg=ffmpeg)
    encoding = choose_encoding(info, EncodeOptions(codec=Codec(codec)), container=container, ffmpeg=ffmpeg)
    assert any("HDR10 mastering display" in note and "-c hevc" in note for note in encoding.notes)
    plain = choose_encoding(info, EncodeOptions(), container="mp4", ffmpeg=ffmpeg)
    assert not any("HDR10" in note for note in plain.notes)


@pytest.mark.once
def test_options_of_the_user_go_with_ours(ffmpeg: Ffmpeg, make_clip: MakeClip, tmp_path: Path) -> None:
    source, out = hdr(make_clip, "pq.mp4", "smpte2084"), tmp_path / "out.mp4"
    own = (("x265-params", "max-cll=500,200:keyint=2"),)
    convert(source, out, ffmpeg=ffmpeg, preset="ultrafast", ffmpeg_args=own)
    screen, light = told(out)
    assert screen == told(source)[0] and light == (500, 200)  # the user's word is the last
    with av.open(str(out)) as container:
        keys = [packet.is_keyframe for packet in container.demux(video=0) if packet.size]
    assert sum(keys) == 4 and len(keys) == 8


@pytest.mark.once
def test_only_a_part_of_the_metadata_is_carried_as_a_part(ffmpeg: Ffmpeg, make_clip: MakeClip, tmp_path: Path) -> None:
    params = f"{WRITTEN}:transfer=smpte2084:max-cll=700,90"
    x265 = ("-c:v", "libx265", "-preset", "ultrafast", "-pix_fmt", "yuv420p10le", "-x265-params", params)
    source, out = make_clip("light.mp4", *PICTURE, *x265), tmp_path / "out.mp4"
    convert(source, out, ffmpeg=ffmpeg, preset="ultrafast")
    assert told(out) == (None, (700, 90))


CURVES = {"PQ": ("smpte2084", 16), "HLG": ("arib-std-b67", 18)}
STEPS = {"hevc": Fraction(0), "h264": Fraction(0), "av1": Fraction(1, 16384)}  # units of AV1, where it rounds


@pytest.mark.slow
@pytest.mark.parametrize("described", [True, False], ids=["mastering display", "labels only"])
@pytest.mark.parametrize("ending", ["mp4", "mkv"])
@pytest.mark.parametrize("codec", STEPS)
@pytest.mark.parametrize("curve", CURVES)
def test_every_codec_keeps_both_curves_in_both_containers(
    curve: str, codec: str, ending: str, described: bool, ffmpeg: Ffmpeg, make_clip: MakeClip, tmp_path: Path,
    proved: Proved,
) -> None:  # fmt: skip
    name, number = CURVES[curve]
    source, out = (
        hdr(make_clip, f"{curve}.{ending}", name, screen=SCREEN if described else ""),
        tmp_path / f"o.{ending}",
    )
    convert(source, out, ffmpeg=ffmpeg, codec=codec, preset="12" if codec == "av1" else "ultrafast")
    assert labels(out) == labels(source) == (1, 9, 9, number)
    (screen, light), (wanted, most) = told(out), told(source)
    assert light == most == ((1000, 400) if described else None)
    assert (screen is None) == (wanted is None) == (not described)
    if screen is not None and wanted is not None:
        assert all(abs(a - b) <= STEPS[codec] for a, b in zip(screen, wanted, strict=True))
    case = f"{curve} as {codec} in {ending}, {'mastering display and light level' if described else 'without metadata'}"
    result = "equal to the source's" if described else "labels equal to the source's, nothing invented"
    proved("Colour", case, "side data and labels by PyAV", result, ffmpeg=ffmpeg)


@pytest.mark.parametrize("ending", chosen(["webm", "mkv"], once=("webm",)))
def test_vp9_keeps_the_labels(ending: str, ffmpeg: Ffmpeg, make_clip: MakeClip, tmp_path: Path, proved: Proved) -> None:
    """They stand in the container, for VP9 itself has no place for the curve and the primaries."""
    source, out = hdr(make_clip, "hlg.mp4", "arib-std-b67", screen=""), tmp_path / f"out.{ending}"
    convert(source, out, ffmpeg=ffmpeg, codec="vp9", preset="ultrafast")
    assert labels(out) == labels(source) == (1, 9, 9, 18)
    proved("Colour", f"HLG (bt2020) VP9 in {ending}: labels", "PyAV", "equal to the source's", ffmpeg=ffmpeg)

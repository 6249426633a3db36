"""media/choice.py: --map chooses what ffmpeg's -map would, of one file whose video is always kept."""

from fractions import Fraction

import pytest

from interp_cli.errors import UsageError
from interp_cli.media.choice import chosen_streams, parse_spec
from interp_cli.media.mux import stream_fates
from interp_cli.media.types import MediaInfo, OtherStream, VideoStream

VIDEO = VideoStream(index=1, codec="h264", width=2, height=2, pix_fmt="yuv420p", bit_depth=8, time_base=Fraction(1, 25))
FILM = MediaInfo(
    path="film.mkv",
    container="matroska,webm",
    video=VIDEO,
    others=(
        OtherStream(index=0, kind="audio", codec="aac", language="eng", title="Stereo: 2.0"),
        OtherStream(index=2, kind="audio", codec="ac3", language="deu", tags=(("BPS", "1"), ("title", "Surround"))),
        OtherStream(index=3, kind="subtitle", codec="subrip", language="eng"),
        OtherStream(index=4, kind="subtitle", codec="ass"),
        OtherStream(index=5, kind="video", codec="mjpeg", attached_picture=True),
        OtherStream(index=6, kind="attachment", codec="ttf"),
        OtherStream(index=7, kind="data", codec="klv"),
        OtherStream(index=8, kind="video", codec="hevc"),
    ),
)
ALL = {0, 2, 3, 4, 5, 6, 7, 8}


def chosen(*texts: str) -> set[int]:
    return set(chosen_streams(FILM, [parse_spec(text) for text in texts]))


@pytest.mark.parametrize(
    ("specs", "numbers"),
    [
        ((), ALL),
        (("0",), ALL),
        (("a",), {0, 2}),
        (("0:a",), {0, 2}),
        (("a:0",), {0}),
        (("0:a:1",), {2}),
        (("0:3",), {3}),
        (("a", "s:1"), {0, 2, 4}),
        (("t", "d"), {6, 7}),
        (("v",), {5, 8}),
        (("V",), {8}),
        (("v:0",), set()),  # the video itself, which is kept in any case
        (("v:1", "v:2"), {5, 8}),
        (("m:language:eng",), {0, 3}),
        (("s:m:language:eng",), {3}),
        (("m:language",), {0, 2, 3}),
        (("m:title:Surround",), {2}),
        (("m:TITLE",), {2}),
        (("-s",), ALL - {3, 4}),
        (("-a:1", "-t"), ALL - {2, 6}),
        (("-0:0",), ALL - {0}),
        (("-v",), ALL - {5, 8}),
        (("-m:language:deu",), ALL - {2}),
        (("0", "-s", "s:0"), {0, 2, 3, 5, 6, 7, 8}),
        (("a", "-a:0"), {2}),
        (("-a:9",), ALL),
        (("a:9?",), set()),
        (("a:0", "m:language:fra?"), {0}),
    ],
)
def test_specs_choose_what_ffmpeg_would(specs: tuple[str, ...], numbers: set[int]) -> None:
    assert chosen(*specs) == numbers


@pytest.mark.parametrize("spec", ["a:2", "s:m:language:deu", "0:9", "m:language:fra", "m:bps:2"])
def test_a_spec_that_matches_nothing_is_said_to(spec: str) -> None:
    with pytest.raises(UsageError, match=r"--map .* matches no stream of film\.mkv.*\? for files that may have none"):
        chosen(spec)


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("", "names no streams"),
        ("-", "names no streams"),
        ("?", "names no streams"),
        ("x", "names no streams"),
        ("a:", "names no streams"),
        ("a:b", "names no streams"),
        ("a:0:1", "names no streams"),
        ("0:", "names no streams"),
        ("0:-s", "names no streams"),
        ("--s", "names no streams"),
        ("m", "names no streams"),
        ("m:", "names no streams"),
        ("p:1", "names no streams"),
        ("a:٣", "names no streams"),
        ("a:99999999999999999999", "names no streams"),
        ("1:a", "there is only input 0"),
        ("3", "0:3 is stream 3"),
    ],
)
def test_what_is_no_spec_is_refused_with_a_sentence(spec: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        parse_spec(spec)


def test_what_was_not_chosen_says_so_and_no_audio_holds_beside_it() -> None:
    wanted = chosen_streams(FILM, [parse_spec("a:0"), parse_spec("s")])
    fates = stream_fates(FILM, container="matroska", audio=False, chosen=wanted)
    assert [(f.index, f.action) for f in fates if f.action != "drop"] == [(3, "copy"), (4, "copy")]
    assert {f.index: f.reason for f in fates if f.action == "drop"} == {
        0: "--no-audio", **dict.fromkeys((2, 5, 6, 7, 8), "not chosen by --map"),
    }  # fmt: skip

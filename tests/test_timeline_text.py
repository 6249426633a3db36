"""Rates and times as people type them become exact Fractions, or a sentence that says what to type."""

from fractions import Fraction

import pytest

from interp_cli.errors import UsageError
from interp_cli.timeline import Timeline, decimal, parse_rate, parse_time
from interp_cli.timeline.text import writable

NTSC_FILM, NTSC, NTSC_60 = Fraction(24000, 1001), Fraction(30000, 1001), Fraction(60000, 1001)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("59.94", NTSC_60),
        ("59.940", NTSC_60),
        ("29.97", NTSC),
        ("23.976", NTSC_FILM),
        ("23.98", NTSC_FILM),
        ("47.95", Fraction(48000, 1001)),
        ("47.952", Fraction(48000, 1001)),
        ("119.88", Fraction(120000, 1001)),
        ("239.76", Fraction(240000, 1001)),
    ],
)
def test_a_broadcast_rate_typed_as_a_decimal_is_snapped_and_says_so(text: str, value: Fraction) -> None:
    rate = parse_rate(text, Fraction(25))
    assert (rate.value, rate.snapped_from) == (value, text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("60", 60),
        ("60.000", 60),
        (" 50 ", 50),
        ("12.5", Fraction(25, 2)),
        ("59.9", Fraction(599, 10)),
        ("48.00", 48),
        ("60000/1001", NTSC_60),
        ("24/1.001", NTSC_FILM),
        ("2997/100", Fraction(2997, 100)),
        ("2x", 2 * NTSC),
        ("2X", 2 * NTSC),
        ("2.5x", NTSC * 5 / 2),
        ("3/2x", NTSC * 3 / 2),
        ("ntsc", NTSC),
        ("PAL", 25),
        ("film", 24),
        ("ntsc-film", NTSC_FILM),
        ("1000", 1000),
    ],
)
def test_every_other_way_to_write_a_rate_is_taken_exactly(text: str, value: Fraction) -> None:
    rate = parse_rate(text, NTSC)
    assert (rate.value, rate.snapped_from) == (value, None)


def test_a_decimal_that_is_a_multiple_of_the_source_as_it_stands_is_not_snapped() -> None:
    assert parse_rate("59.94", Fraction(2997, 100)).value == Fraction(5994, 100)
    assert parse_rate("59.94", NTSC).value == NTSC_60


@pytest.mark.parametrize(
    "text", ["", "abc", "-5", "1e3", "nan", "inf", "1/0", "60fps", "6 0", "1/2/3", "٦٠", "x2", "9" * 5000, "1/", "."]
)
def test_what_is_no_rate_is_refused_with_what_to_type(text: str) -> None:
    with pytest.raises(UsageError, match=r"is not a frame rate: type a number \(60, 59.94\)"):
        parse_rate(text, Fraction(30))


@pytest.mark.parametrize(("text", "word"), [("0", "shows nothing"), ("0x", "shows nothing"), ("0/5", "shows nothing")])
def test_a_rate_of_zero_is_refused_with_what_to_type(text: str, word: str) -> None:
    with pytest.raises(UsageError, match=f"{word}: give a number above 0"):
        parse_rate(text, Fraction(30))


@pytest.mark.parametrize("text", ["59.123456789", "1234567891/99999999"])
def test_a_rate_with_more_digits_than_a_file_holds_is_refused_with_a_near_one(text: str) -> None:
    with pytest.raises(UsageError, match=r"more digits than a video file can hold for its rate: give \d+(/\d+)?$"):
        parse_rate(text, Fraction(30))


def test_a_factor_of_an_awkward_rate_is_the_nearest_that_a_file_holds() -> None:
    source = Fraction(10**9, 33366701)
    value = parse_rate("2x", source).value
    assert value.denominator <= 1001 and abs(value / source - 2) < Fraction(1, 10**6)
    assert writable(Fraction(1, 10**9)).denominator <= 1_001_000


def test_the_mean_of_a_variable_rate_is_one_that_a_file_holds() -> None:
    pts = (0, 40_011, 73_019, 140_057, 173_003)
    rate = Timeline(time_base=Fraction(1, 1_000_000), pts=pts, end_pts=240_007).rate
    assert rate.denominator <= 1001 and abs(rate - Fraction(5_000_000, 240_007)) < Fraction(1, 10**5)
    assert Timeline(time_base=Fraction(1), pts=(0, 5000, 12_000), end_pts=20_000).rate > 0


@pytest.mark.parametrize("text", ["1001", "100x", "0.001", "1000000/3"])
def test_an_absurd_rate_is_refused_with_what_to_type(text: str) -> None:
    with pytest.raises(UsageError, match=r"asks for .* but vfi makes 0.01 to 1000: give a rate between"):
        parse_rate(text, Fraction(30))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90),
        ("1:30", 90),
        ("00:01:30.5", Fraction(181, 2)),
        ("1500ms", Fraction(3, 2)),
        ("200us", Fraction(1, 5000)),
        ("2s", 2),
        (".5", Fraction(1, 2)),
        ("0.1", Fraction(1, 10)),
        ("90:00", 5400),
        ("10:00:00", 36000),
        ("0", 0),
    ],
)
def test_a_time_is_read_in_ffmpegs_syntax_and_exactly(text: str, seconds: Fraction) -> None:
    assert parse_time(text) == seconds
    assert isinstance(parse_time(text), Fraction)


@pytest.mark.parametrize("text", ["", "abc", "-3", "1:60", "1:60:00", "1:2:3:4", "1m", "1e2", ":30", "9" * 5000])
def test_what_is_no_time_is_refused_with_what_to_type(text: str) -> None:
    with pytest.raises(UsageError, match=r"is not a time: type seconds \(90.5\)"):
        parse_time(text)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (NTSC_FILM, "23.976"),
        (NTSC_60, "59.94"),
        (Fraction(60), "60"),
        (Fraction(25, 2), "12.5"),
        (Fraction(1, 10000), "0"),
        (Fraction(9999, 10000), "1"),
        (Fraction(-1, 2), "-0.5"),
        (Fraction(100), "100"),
    ],
)
def test_a_number_for_people_is_rounded_and_carries_no_zeros(value: Fraction, text: str) -> None:
    assert decimal(value) == text

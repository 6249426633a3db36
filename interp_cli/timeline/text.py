"""What people type and read for rates and times, to and from exact Fractions."""

import re
from dataclasses import dataclass
from fractions import Fraction

from interp_cli.errors import UsageError

_NTSC_NOMINAL = (12, 15, 24, 30, 48, 60, 72, 90, 96, 120, 144, 240, 480)  # whose N*1000/1001 people type as decimals
_NAMED_RATES = {
    "ntsc": Fraction(30000, 1001),
    "qntsc": Fraction(30000, 1001),
    "sntsc": Fraction(30000, 1001),
    "pal": Fraction(25),
    "qpal": Fraction(25),
    "spal": Fraction(25),
    "film": Fraction(24),
    "ntsc-film": Fraction(24000, 1001),
}  # as in ffmpeg-utils, "Video rate"
_FASTEST, _SLOWEST = Fraction(1000), Fraction(1, 100)  # frames/s
_SIMPLE = 1001  # the largest denominator of rates of which every multiple up to the fastest can be written
_LARGEST = _SIMPLE * 1000  # numerator and denominator that ffmpeg's -framerate and MP4's time scale surely hold
_NUMBER = r"(?:[0-9]{1,12}(?:\.[0-9]{0,12})?|\.[0-9]{1,12})"
_RATIO = re.compile(rf"({_NUMBER})(?:[/:]({_NUMBER}))?")
_FACTOR = re.compile(rf"({_NUMBER})(?:[/:]({_NUMBER}))?\s*[xX×]")
_CLOCK = re.compile(rf"(?:(?:([0-9]{{1,6}}):)?([0-9]{{1,6}}):)?({_NUMBER})")
_UNIT_TIME = re.compile(rf"({_NUMBER})(s|ms|us)")
_UNITS = {"s": 1, "ms": 1000, "us": 1_000_000}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """Frames/s as the user meant them. `snapped_from` is the user's text if the value is not literally that."""

    value: Fraction
    snapped_from: str | None = None


def writable(rate: Fraction) -> Fraction:
    """`rate` (frames/s), or the nearest to it that can be written to a file if its numbers are too large for that."""
    if max(rate.numerator, rate.denominator) <= _LARGEST:
        return rate
    return simple(rate) or Fraction(1, min(_LARGEST, rate.denominator // rate.numerator))


def simple(rate: Fraction) -> Fraction:
    """The nearest to `rate` (frames/s) whose multiples up to the fastest can be written; 0 for some of the slowest."""
    return rate.limit_denominator(_SIMPLE)


def parse_rate(text: str, source: Fraction) -> Rate:
    """The frame rate that `text` means: "60", "59.94" (60000/1001), "60000/1001", "24/1.001", "2x" of `source`, "ntsc".

    A decimal that is a standard N*1000/1001 cut or rounded to two digits or more becomes that, unless it is a multiple
    of `source` as it stands. A factor's product is the nearest rate that a file can hold. Raises UsageError.
    """
    word = text.strip().lower()
    if word in _NAMED_RATES:
        return Rate(value=_NAMED_RATES[word])
    factor, ratio = _FACTOR.fullmatch(word), _RATIO.fullmatch(word)
    match = factor or ratio
    if match is None or (match[2] is not None and not Fraction(match[2])):
        raise UsageError(
            f"{text!r} is not a frame rate: type a number (60, 59.94), a ratio (60000/1001) or a factor (2x)"
        )
    value = Fraction(Fraction(match[1]), Fraction(match[2] or 1)) * (source if factor else 1)
    if not value:
        raise UsageError(f"a frame rate of {text!r} shows nothing: give a number above 0, such as 60 or 2x")
    if not _SLOWEST <= value <= _FASTEST:
        asked = f"{text!r} asks for {decimal(value)} frames per second"
        raise UsageError(f"{asked}, but vfi makes {decimal(_SLOWEST)} to {_FASTEST}: give a rate between, such as 60")
    if factor:
        value = writable(value)
    elif max(value.numerator, value.denominator) > _LARGEST:
        raise UsageError(f"{text!r} has more digits than a video file can hold for its rate: give {simple(value)}")
    exactly = factor or match[2] or Fraction(value, source).denominator == 1  # 59.94 of a source that says 2997/100
    ntsc = None if exactly else _ntsc_rate(match[1])
    return Rate(value=value) if ntsc is None else Rate(value=ntsc, snapped_from=text)


def _ntsc_rate(number: str) -> Fraction | None:
    """The N*1000/1001 that a decimal with two digits or more after the point is the cut or rounded form of."""
    digits = len(number.partition(".")[2].rstrip("0"))
    if digits < 2:
        return None
    typed, unit = Fraction(number) * 10**digits, 10**digits
    for rate in (Fraction(1000 * n, 1001) for n in _NTSC_NOMINAL):
        if typed in (rate * unit // 1, (rate * unit + Fraction(1, 2)) // 1):
            return rate
    return None


def parse_time(text: str) -> Fraction:
    """Seconds, in ffmpeg's time syntax: "90", "1:30", "00:01:30.5", "1500ms", "200us". Raises UsageError."""
    word = text.strip()
    if match := _UNIT_TIME.fullmatch(word):
        return Fraction(Fraction(match[1]), _UNITS[match[2]])
    match = _CLOCK.fullmatch(word)
    if match is None or (match[2] and Fraction(match[3]) >= 60) or (match[1] and int(match[2]) >= 60):
        raise UsageError(f"{text!r} is not a time: type seconds (90.5), a clock time (1:30 or 00:01:30.5) or 1500ms")
    return int(match[1] or 0) * 3600 + int(match[2] or 0) * 60 + Fraction(match[3])


def decimal(value: Fraction, places: int = 3) -> str:
    """`value` as a decimal number for people, rounded half up, without trailing zeros: 24000/1001 gives "23.976"."""
    scaled = (abs(value) * 10**places + Fraction(1, 2)) // 1
    whole, rest = divmod(scaled, 10**places)
    tail = f".{rest:0{places}d}".rstrip("0").rstrip(".") if places else ""
    return f"{'-' if value < 0 and scaled else ''}{whole}{tail}"

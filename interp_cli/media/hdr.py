"""HDR10's static metadata: the screen that a film was graded on, and how bright it gets. Read, and told to encoders."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

_NUMBER = r"(-?[\d.]+)"
_PAIR = rf"\({_NUMBER}[, ] *{_NUMBER}\)"  # ffmpeg writes "0.7080,0.2920" and "0.1310 0.0460" in one line
_SCREEN = re.compile(
    rf"mastering display.*?has_primaries:(\d) has_luminance:(\d) r{_PAIR} g{_PAIR} b{_PAIR}"
    rf" wp{_PAIR} min_luminance={_NUMBER}, max_luminance={_NUMBER}",
    re.IGNORECASE,
)
_LIGHT = re.compile(r"content light level.*?MaxCLL=(\d+), MaxFALL=(\d+)", re.IGNORECASE)
_DYNAMIC = re.compile(r"side data - .*?(2094-40|HDR10\+|Dolby Vision)|DOVI configuration record: ", re.IGNORECASE)
_CHROMATICITY = 50_000  # units of SMPTE ST 2086, as H.264 and HEVC store them
_LUMINANCE = 10_000  # units per cd/m2

Point = tuple[Fraction, Fraction]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mastering:
    """The mastering display and the content light level (SMPTE ST 2086, CTA-861.3); None for what is not said.

    `primaries` are (x, y) of red, green, blue and white; `luminance` is (least, most) in cd/m2; `light` is (MaxCLL,
    MaxFALL) in cd/m2. ffmpeg prints chromaticities to four digits, so that is what is known of them.
    """

    primaries: tuple[Point, Point, Point, Point] | None = None
    luminance: tuple[Fraction, Fraction] | None = None
    light: tuple[int, int] | None = None

    @property
    def screen(self) -> bool:
        """Whether the display is described whole, as encoders want it."""
        return self.primaries is not None and self.luminance is not None


def parse_mastering(log: str) -> Mastering | None:
    """What the showinfo filter says of the first frame that says anything; None if nothing is said."""
    screen, light = _SCREEN.search(log), _LIGHT.search(log)
    if screen is None and light is None:
        return None
    primaries = luminance = None
    if screen is not None:
        v = [Fraction(text) for text in screen.groups()[2:]]
        if screen[1] == "1":
            primaries = ((v[0], v[1]), (v[2], v[3]), (v[4], v[5]), (v[6], v[7]))
        if screen[2] == "1":
            luminance = (v[8], v[9])
    return Mastering(
        primaries=primaries, luminance=luminance, light=(int(light[1]), int(light[2])) if light is not None else None
    )


def is_dynamic(log: str) -> bool:
    """Whether showinfo or the banner tells of metadata for every frame (HDR10+, Dolby Vision)."""
    return _DYNAMIC.search(log) is not None


def mastering_options(encoder: str, mastering: Mastering) -> dict[str, str] | None:
    """Options with which `encoder` writes `mastering` into the video itself; None if it cannot.

    Measured with ffmpeg 5.1 and 9.0: these survive NUT and copying into every container; libaom, libvpx, ProRes and
    FFV1 have no place for them, and what only a container knows is lost in NUT.
    """
    if encoder == "libx265":
        said = [f"master-display={_whole(mastering)}"] if mastering.screen else []
        said += [f"max-cll={_light(mastering)}"] if mastering.light else []
        return {"x265-params": ":".join(["hdr10=1", *said])}
    if encoder == "libx264":
        said = [f"mastering-display={_whole(mastering)}"] if mastering.screen else []
        said += [f"cll={_light(mastering)}"] if mastering.light else []
        return {"x264-params": ":".join(said)} if said else None
    if encoder == "libsvtav1":
        said = [f"mastering-display={_decimal(mastering)}"] if mastering.screen else []
        said += [f"content-light={_light(mastering)}"] if mastering.light else []
        return {"svtav1-params": ":".join(said)} if said else None
    return None


def _light(mastering: Mastering) -> str:
    most, mean = mastering.light or (0, 0)
    return f"{most},{mean}"


def _whole(mastering: Mastering) -> str:
    """In the integer units of ST 2086, for x264 and x265."""
    return _screen(mastering, lambda value, units: str(round(value * units)))


def _decimal(mastering: Mastering) -> str:
    """In decimal fractions, for SVT-AV1, which rounds them to the units of AV1."""
    return _screen(mastering, lambda value, units: f"{float(value):.6f}")


def _screen(mastering: Mastering, write: Callable[[Fraction, int], str]) -> str:
    """The display, each number as `write` puts it, which is told how many units of ST 2086 make one."""
    assert mastering.primaries is not None
    assert mastering.luminance is not None
    red, green, blue, white = (",".join(write(v, _CHROMATICITY) for v in point) for point in mastering.primaries)
    least, most = (write(v, _LUMINANCE) for v in mastering.luminance)
    return f"G({green})B({blue})R({red})WP({white})L({most},{least})"

"""What the user asked for, as frozen values. No defaults are hidden elsewhere."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction

from interp_cli.errors import UsageError

MOST_THREADS = 1024  # more than any machine gains from


class Mode(StrEnum):
    """How times between two frames are reached."""

    AUTO = "auto"
    BISECT = "bisect"
    DIRECT = "direct"


class Tta(StrEnum):
    """Test-time augmentation: which flipped copies are averaged."""

    NONE = "none"
    FLIP = "flip"
    FULL = "full"


class Precision(StrEnum):
    """Arithmetic of the network."""

    AUTO = "auto"
    FP32 = "fp32"
    FP16 = "fp16"
    BF16 = "bf16"


class Scale(StrEnum):
    """Size at which the network sees the frames, as a fraction of the frame."""

    AUTO = "auto"
    FULL = "1"
    HALF = "1/2"
    QUARTER = "1/4"


class Codec(StrEnum):
    """Video codec of the output, or one by the encoder of a GPU."""

    H264 = "h264"
    HEVC = "hevc"
    AV1 = "av1"
    VP9 = "vp9"
    PRORES = "prores"
    FFV1 = "ffv1"
    H264_NVENC = "h264_nvenc"
    HEVC_NVENC = "hevc_nvenc"
    AV1_NVENC = "av1_nvenc"

    @property
    def plain(self) -> Codec:
        """What the result holds, whoever encodes it."""
        return Codec(self.removesuffix("_nvenc"))


class Hwaccel(StrEnum):
    """What decodes the video."""

    AUTO = "auto"  # the GPU that frames are made on, where it can; else the processor
    NONE = "none"  # the processor
    CUDA = "cuda"  # NVDEC of that GPU, or of the first


class Deinterlace(StrEnum):
    """What becomes of interlaced video."""

    AUTO = "auto"  # every field becomes a whole frame
    OFF = "off"  # frames are used as they are stored


class Rhythm(StrEnum):
    """When the frames of the result are shown."""

    CFR = "cfr"  # at equal distances
    KEEP = "keep"  # as unevenly as the source's


class AudioInSlowMotion(StrEnum):
    """What slow motion does with sound."""

    STRETCH = "stretch"
    DROP = "drop"


class Dedup(StrEnum):
    """What becomes of source frames that only repeat the one before them."""

    AUTO = "auto"  # where the picture moves on either side, frames are made in their place (see engine/repeats.py)
    OFF = "off"


class ProgressStyle(StrEnum):
    """How progress is told on standard error."""

    AUTO = "auto"  # a bar on a terminal, nothing elsewhere
    ALWAYS = "always"
    NEVER = "never"
    JSON = "json"  # one object per line


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineOptions:
    """How frames are made."""

    model: str = "fast"  # a name in weights/manifest.json, or a .safetensors path
    device: str = "auto"  # auto, cpu, cuda, cuda:N, mps
    precision: Precision = Precision.AUTO
    batch: int | None = None  # made frames per network call, except on a CPU; None = auto
    threads: int | None = None  # processor cores to use; None = all that this process may use
    mode: Mode = Mode.AUTO
    tta: Tta = Tta.NONE
    scale: Scale = Scale.AUTO
    scene_detect: bool = True
    scene_threshold: float = 0.3  # see engine/scenes.py for what is compared
    dedup: Dedup = Dedup.AUTO
    overlay_hold: bool = True  # what stands still on top of what moves is not moved: see engine/overlay.py


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodeOptions:
    """How the result is compressed; None takes the default for the source (see media/encode.py)."""

    codec: Codec | None = None
    crf: float | None = None
    preset: str | None = None
    pix_fmt: str | None = None
    ffmpeg_args: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class InputLimits:
    """What an input may ask for at most: beyond it is refused before memory is taken for it."""

    max_pixels: int = 8192 * 8192  # of one frame
    max_duration: Fraction = Fraction(24 * 3600)  # s, of a whole video


def check_device_name(text: str) -> str:
    """`text` itself. Raises UsageError unless it is auto, cpu, cuda, cuda:N or mps; it need not be there."""
    if not re.fullmatch(r"auto|cpu|mps|cuda(:[0-9]{1,3})?", text):
        raise UsageError(f"{text!r} is not a device: give auto, cpu, cuda, cuda:N or mps")
    return text

"""Small inputs for tests: clips that ffmpeg's own sources draw, and weights that were never trained."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

from interp_cli.media.ffmpeg import find_ffmpeg
from interp_cli.model.network import Sizes

TINY = Sizes(
    features=(4, 6, 8),
    decoders=(8, 8),
    blocks=(1, 1),
    hidden=(2,),
    radius=(1, 2),
    align=((1, 2, 1), (1, 2, 1), (1, 2, 1)),
    detail=2,
    refine=4,
    sampling="bilinear",
)


def ffmpeg(*arguments: str | Path) -> str:
    """Run the ffmpeg that vfi would find; its standard output."""
    command = [find_ffmpeg().path, "-nostdin", "-hide_banner", "-v", "error", "-y", *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def clip(
    path: Path,
    *,
    rate: str = "25",
    seconds: str = "1",
    size: str = "64x48",
    codec: Sequence[str] = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p"),
    sound: bool = True,
) -> Path:
    """A moving test picture, with a tone if `sound`."""
    tone = ["-f", "lavfi", "-i", f"sine=frequency=440:sample_rate=48000:duration={seconds}"] if sound else []
    encoded = ["-c:a", "aac", "-b:a", "64k"] if sound else []
    picture = f"testsrc2=size={size}:rate={rate}:duration={seconds}"
    ffmpeg("-f", "lavfi", "-i", picture, *tone, *codec, *encoded, path)
    return path


def frame_sums(path: Path) -> list[str]:
    """The md5 of every decoded frame, by ffmpeg's own framemd5."""
    text = ffmpeg("-i", path, "-map", "0:v:0", "-fps_mode", "passthrough", "-f", "framemd5", "-")
    return [line.split(",")[5].strip() for line in text.splitlines() if not line.startswith("#")]


def packet_sum(path: Path, stream: str) -> str:
    """The md5 of a stream's packets."""
    return ffmpeg("-i", path, "-map", f"0:{stream}", "-c", "copy", "-f", "md5", "-")


def weights(folder: Path) -> Path:
    """A folder for VFI_WEIGHTS with a very small network called "fast" whose weights are random."""
    import torch

    from interp_cli.model.network import IFNet
    from interp_cli.weights import save

    torch.manual_seed(1)
    folder.mkdir(exist_ok=True)
    network = IFNet(TINY)
    save(folder / "fast.safetensors", network, name="fast", licence="MIT", origin="random", scores={})
    return folder

"""Clips become shots for training.

A shot is a .npy file of (T, H, W, 3) RGB uint8. Decoding once and mapping the files keeps ffmpeg out of training, and
a folder of shots can be carried to a machine that has none.
"""

from itertools import islice
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from interp_cli.engine.planes import network_input, upload
from interp_cli.errors import InputError
from interp_cli.media.decode import decode
from interp_cli.media.ffmpeg import find_ffmpeg
from interp_cli.media.probe import probe, scan
from interp_cli.media.types import Color, Planes
from interp_cli.options import InputLimits

FEWEST = 3  # frames: a triplet


def to_rgb(planes: Planes, color: Color, lines: int) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 with a short side of at most `lines` px, both sides even."""
    rgb = network_input(upload([planes], "cpu"), color)
    height, width = rgb.shape[-2:]
    factor = min(1.0, lines / min(height, width))
    size = (round(height * factor / 2) * 2, round(width * factor / 2) * 2)
    if size != (height, width):
        rgb = F.interpolate(rgb, size=size, mode="bilinear", antialias=True)
    codes: NDArray[np.uint8] = (rgb[0].permute(1, 2, 0) * 255).round().clamp(0, 255).byte().numpy()
    return codes


def make_shot(clip: Path, out: Path, *, lines: int, frames: int) -> bool:
    """Decode the first `frames` frames of `clip` into `out`; False where there are too few to train on."""
    ffmpeg = find_ffmpeg()
    info = probe(str(clip), ffmpeg=ffmpeg, limits=InputLimits())
    timeline = scan(info, ffmpeg=ffmpeg)
    with torch.inference_mode(), decode(info, timeline, ffmpeg=ffmpeg) as decoded:
        shot = [to_rgb(p, info.video.color, lines) for p in islice(decoded, frames)]
    if len(shot) < FEWEST:
        return False
    np.save(out, np.stack(shot))
    return True


def make_shots(clips: list[Path], out: Path, *, lines: int, frames: int) -> None:
    """A shot in `out` of every clip; what cannot be read, or is too short, is said and left out."""
    out.mkdir(parents=True, exist_ok=True)
    for clip in clips:
        try:
            if not make_shot(clip, out / f"{clip.stem}.npy", lines=lines, frames=frames):
                print(f"left out: {clip} has fewer than {FEWEST} frames")
        except InputError as error:
            print(f"left out: {error}")

"""`vfi probe` and `vfi doctor`: what a file holds, and what this installation is made of."""

from __future__ import annotations

import json
import sys
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import click

import interp_cli
from interp_cli.cli import shared
from interp_cli.cli.grammar import PLAIN_RATE, VfiCommand, option
from interp_cli.errors import VfiError, printable
from interp_cli.options import Codec, EncodeOptions

if TYPE_CHECKING:
    from interp_cli.media.ffmpeg import Ffmpeg

WANTED_ENCODERS = (
    "libx264",
    "libx265",
    "libsvtav1",
    "libaom-av1",
    "libvpx-vp9",
    "prores_ks",
    "ffv1",
    "aac",
    "libopus",
    "flac",
)


@click.command(cls=VfiCommand)
@click.argument("path", metavar="IN", type=click.Path())
@option("--scenes", is_flag=True, help="List the cuts too, which takes decoding every frame.")
@shared.scenes_out_option
@option("-y", "--overwrite", is_flag=True, help="Replace a file of cuts that exists already.")
@shared.scene_threshold_option
@option(
    "--input-fps", "picture_rate", type=PLAIN_RATE, metavar="R",
    help="Frames per second of pictures.  [default: 24]",
)  # fmt: skip
@shared.limit_options
@shared.ffmpeg_option
@shared.json_option
@shared.verbose_option
def probe(path: str, ffmpeg: str | None, as_json: bool, **values: Any) -> int:
    """Show what a video holds: streams, colour, and the true rate and length from its packets.

    A folder, a numbered pattern or a glob of pictures is a video too.

    \b
      vfi probe clip.mp4
      vfi probe 'shots/f_%04d.png' --input-fps 25
      vfi probe clip.mp4 --json
      vfi probe clip.mp4 --scenes-out cuts.csv
    """
    from interp_cli.cli.text import cut_lines, source_lines
    from interp_cli.job.facts import cut_facts, source_facts
    from interp_cli.job.output import check_input
    from interp_cli.job.scenes import check_table, find_cuts, write_table
    from interp_cli.media.ffmpeg import find_ffmpeg
    from interp_cli.media.probe import probe as look_at
    from interp_cli.media.probe import scan

    check_input(path)
    table = values["scenes_out"]
    check_table(table, inputs=(path,), overwrite=values["overwrite"], result=None)
    found = find_ffmpeg(ffmpeg)
    info = look_at(path, ffmpeg=found, limits=shared.limits_of(values), picture_rate=values["picture_rate"])
    timeline = scan(info, ffmpeg=found)
    facts, lines = source_facts(info, timeline), list(source_lines(info, timeline))
    if values["scenes"] or table is not None:
        cuts = find_cuts(info, timeline, ffmpeg=found, threshold=values["scene_threshold"])
        facts["cuts"] = cut_facts(cuts)
        lines += cut_lines(cuts)
        if table is not None:
            write_table(table, cuts)
    click.echo(json.dumps(facts) if as_json else "\n".join(map(printable, lines)))
    return 0


@click.command(cls=VfiCommand)
@shared.ffmpeg_option
@shared.json_option
@shared.verbose_option
def doctor(ffmpeg: str | None, as_json: bool) -> int:
    """Show versions and paths of everything that vfi stands on; put this into bug reports.

    \b
      vfi doctor
      vfi doctor --json
    """
    facts: dict[str, Any] = {
        "vfi": {"version": interp_cli.__version__, "path": interp_cli.__path__[0], "kernels": _kernels()},
        "python": {"version": sys.version.split()[0], "path": sys.executable, "platform": sys.platform},
        "packages": _packages(),
        "torch": _torch(),
        "ffmpeg": _ffmpeg(ffmpeg),
        "nvenc": _nvenc(ffmpeg),
        "weights": _weights(),
    }
    if as_json:
        click.echo(json.dumps(facts))
    else:
        click.echo("\n".join(f"{name:9} {_line(value)}" for name, value in facts.items()))
    broken = [part["error"] for part in (facts["torch"], facts["ffmpeg"]) if "error" in part]
    return 5 if broken else 0


def _line(value: Any) -> str:
    """A nested value on one line, with further lines for lists."""
    if isinstance(value, dict):
        return ", ".join(f"{key} {_line(item)}" for key, item in value.items())
    if isinstance(value, list):
        return "\n          ".join(_line(item) for item in value) or "none"
    return "yes" if value is True else "no" if value is False else str(value)


def _kernels() -> bool:
    """Whether the inner loops were built, which make frames several times as fast on a CPU."""
    try:
        from interp_cli import kernels
    except (ImportError, OSError):
        return False
    return kernels.available()


def _packages() -> dict[str, str]:
    from importlib.metadata import PackageNotFoundError, version

    found = {}
    for name in ("numpy", "opencv-python", "ffmpeg-python", "click", "tqdm", "safetensors", "imageio-ffmpeg"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def _torch() -> dict[str, Any]:
    try:
        import torch
    except (ImportError, OSError) as error:
        return {"error": f"cannot be imported: {error}"}
    from interp_cli.job.network import choose_device

    devices = [torch.cuda.get_device_name(k) for k in range(torch.cuda.device_count())]
    return {
        "version": torch.__version__,
        "path": torch.__path__[0],
        "threads": torch.get_num_threads(),
        "cuda": devices or False,
        "mps": torch.backends.mps.is_available(),
        "auto": choose_device("auto"),
    }


def _ffmpeg(explicit: str | None) -> dict[str, Any]:
    from interp_cli.media.ffmpeg import find_ffmpeg, has_encoder

    try:
        found = find_ffmpeg(explicit)
    except VfiError as error:
        return {"error": str(error)}
    return {
        "version": found.version_text,
        "path": found.path,
        "origin": found.origin,
        "ffprobe": found.ffprobe or False,
        "encoders": {name: has_encoder(found, name) for name in WANTED_ENCODERS},
    }


def _nvenc(explicit: str | None) -> dict[str, Any]:
    from interp_cli.media.ffmpeg import find_ffmpeg

    try:
        found = find_ffmpeg(explicit)
    except VfiError:
        return {}
    return {codec.value: _works(codec, found) for codec in Codec if codec is not codec.plain}


def _works(codec: Codec, ffmpeg: Ffmpeg) -> bool | str:
    """True, or what a job would be told: that an encoder of a GPU is built in says nothing."""
    from interp_cli.media.encoding import choose_encoding
    from interp_cli.media.types import MediaInfo, VideoStream

    video = VideoStream(
        index=0, codec="rawvideo", width=640, height=360, pix_fmt="yuv420p", bit_depth=8, time_base=Fraction(1, 25)
    )
    try:
        choose_encoding(
            MediaInfo(path="", container="", video=video), EncodeOptions(codec=codec), container="nut", ffmpeg=ffmpeg
        )
    except VfiError as error:
        return str(error)
    return True


def _weights() -> list[dict[str, Any]]:
    from interp_cli.weights import entries, verify

    try:
        return [
            {
                "name": entry.name,
                "path": str(entry.path),
                "sha256": entry.sha256,
                "state": "; ".join(verify(entry)) or "good",
            }
            for entry in entries()
        ]
    except VfiError as error:
        return [{"error": str(error)}]

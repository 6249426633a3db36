"""The options that several commands have, and the objects they become."""

from __future__ import annotations

from typing import Any

import click

from interp_cli.cli.grammar import (
    BATCH,
    CODEC,
    DEVICE,
    LENGTH,
    PAIR,
    PIXELS,
    SPEC,
    THREADS,
    TIME,
    choice,
    option,
    together,
    verbosity,
)
from interp_cli.options import (
    AudioInSlowMotion,
    Codec,
    Dedup,
    Deinterlace,
    EncodeOptions,
    EngineOptions,
    Hwaccel,
    InputLimits,
    Mode,
    Precision,
    ProgressStyle,
    Rhythm,
    Scale,
    Tta,
)

_ENGINE = "Making frames"
_RESULT = "Result"
_SOUND = "Sound and other streams"
_VIDEO = "Encoding"
_SAID = "What is said"
_LIMITS = "Limits of what an input may ask for"


engine_options = together(
    option(
        "-m", "--model", section=_ENGINE, default="fast", show_default=True, metavar="NAME|FILE",
        help="Weights: a name from `vfi weights list`, or a .safetensors file.",
    ),
    option(
        "--device", section=_ENGINE, type=DEVICE, default="auto", show_default=True, envvar="VFI_DEVICE",
        metavar="auto|cpu|cuda[:N]|mps", help="Where the network runs.",
    ),
    option(
        "--precision", section=_ENGINE, type=choice(Precision), default="auto", show_default=True,
        help="Arithmetic of the network; auto: fp16 on CUDA, bf16 on a CPU made for it, else fp32.",
    ),
    option(
        "--batch", section=_ENGINE, type=BATCH, default="auto", show_default=True, metavar="auto|N",
        help="Frames made in one call of the network, on a GPU; a CPU makes each in a call of its own.",
    ),
    option(
        "--threads", section=_ENGINE, type=THREADS, default="auto", show_default=True, metavar="auto|N",
        help="Processor cores to make frames with; auto: OMP_NUM_THREADS, else all that vfi may use.",
    ),
    option(
        "--mode", section=_ENGINE, type=choice(Mode), default="auto", show_default=True,
        help="Reach times between two frames by halving again and again, or ask for each directly.",
    ),
    option(
        "--tta", section=_ENGINE, type=choice(Tta), default="none", show_default=True,
        help="Average over flipped copies: flip takes 2 times as long, full 8 times.",
    ),
    option(
        "--scale", section=_ENGINE, type=choice(Scale), default="auto", show_default=True,
        help="Size at which motion is looked for; smaller is faster and reaches further.",
    ),
)  # fmt: skip

scene_threshold_option = option(
    "--scene-threshold", section=_ENGINE, type=click.FloatRange(0, 1), default=0.3, show_default=True,
    metavar="X", help="How different frames must be for a cut, 0 to 1; lower finds more cuts.",
)  # fmt: skip
scenes_out_option = option(
    "--scenes-out", section=_RESULT, type=click.Path(), metavar="FILE",
    help="Write the cuts as a table (CSV): the first frame after each, its time, and how different the two are.",
)  # fmt: skip
scene_options = together(
    scene_threshold_option,
    option("--no-scene-detect", section=_ENGINE, is_flag=True, help="Make frames across cuts too."),
    option(
        "--scenes-in", section=_ENGINE, type=click.Path(), metavar="FILE",
        help="Take the cuts from here and look for none: a file of --scenes-out, a scene list of PySceneDetect, or the "
        "frame number or time of the first frame of each scene, one in a line.",
    ),
    scenes_out_option,
    option(
        "--dedup", section=_ENGINE, type=choice(Dedup), default="auto", show_default=True,
        help="Where frames only repeat the one before while the picture moves (drawings on twos, telecine), make "
        "frames in their place; off: take them as they are.",
    ),
    option(
        "--no-overlay-hold", section=_ENGINE, is_flag=True,
        help="Do not look for logos and subtitles to keep still.",
    ),
)  # fmt: skip

rhythm_option = option(
    "--vfr", section=_RESULT, type=choice(Rhythm), default="cfr", show_default=True,
    help="Of a variable-rate source: make the rate constant, or keep its rhythm with --factor frames for each of its.",
)  # fmt: skip
range_options = together(
    option(
        "--start",
        section="Part",
        type=TIME,
        metavar="TIME",
        help="Begin with the frame shown here: seconds, 1:30, 00:01:30.5 or 1500ms.",
    ),
    option(
        "--end",
        section="Part",
        type=TIME,
        metavar="TIME",
        help="End with the frame shown until here, counted from the video's beginning too.",
    ),
)

max_pixels_option = option(
    "--max-pixels", section=_LIMITS, type=PIXELS, default=InputLimits().max_pixels, show_default=True, metavar="N",
    help="Refuse larger frames; in pixels, width times height.",
)  # fmt: skip
limit_options = together(
    max_pixels_option,
    option(
        "--max-duration", section=_LIMITS, type=LENGTH, default=InputLimits().max_duration, metavar="TIME",
        help="Refuse longer inputs; seconds or a clock time.  [default: 24:00:00]",
    ),
)  # fmt: skip

encode_options = together(
    option(
        "-c", "--codec", section=_VIDEO, type=CODEC, metavar="|".join(Codec),
        help="Video codec, *_nvenc: by an NVIDIA GPU.  [default: h264; hevc for more than 8 bits; what the container "
        "takes; with transparency what keeps it]",
    ),
    option(
        "--crf", section=_VIDEO, type=click.FloatRange(min=0), metavar="N",
        help="Quality: lower is better and larger.  [default: 16 for h264]",
    ),
    option("--preset", section=_VIDEO, metavar="NAME", help="The encoder's own speed preset.  [default: medium]"),
    option(
        "--pix-fmt", section=_VIDEO, metavar="NAME",
        help="Pixel format, by ffmpeg's name.  [default: the source's; for RGB in codecs of players yuv420p]",
    ),
    option(
        "--ffmpeg-arg", section=_VIDEO, type=PAIR, multiple=True, metavar="K=V",
        help="A further option of the encoder, such as tune=grain; may be repeated.",
    ),
)  # fmt: skip

deinterlace_option = option(
    "--deinterlace", section=_ENGINE, type=choice(Deinterlace), default="auto", show_default=True,
    help="Make a whole frame of every field of interlaced video, or use its frames as they are.",
)  # fmt: skip

no_audio_option = option("--no-audio", section=_SOUND, is_flag=True, help="Leave all sound out.")
map_option = option(
    "--map", section=_SOUND, type=SPEC, multiple=True, metavar="SPEC",
    help="Keep only these streams beside the video, by ffmpeg's specifiers: a, s:0, 0:2, m:language:eng; with a minus "
    "all but these, such as -s; a? may match nothing. May be repeated.  [default: all]",
)  # fmt: skip
slow_audio_option = option(
    "--audio", section=_SOUND, type=choice(AudioInSlowMotion), default="stretch", show_default=True,
    help="Sound lasts longer too, at its own pitch, or is left out.",
)  # fmt: skip

overwrite_option = option(
    "--overwrite/--no-overwrite", "-y/-n", section=_RESULT, default=False, show_default=False,
    help="Replace a file that exists already, or refuse to (the default).",
)  # fmt: skip
skip_option = option(
    "--skip-existing", section=_RESULT, is_flag=True,
    help="Leave inputs out whose result is there already, and count that as done.",
)  # fmt: skip
fresh_option = option(
    "--fresh", section=_RESULT, is_flag=True, help="Start over where an earlier run was ended, in place of going on."
)
verify_option = option(
    "--no-verify", section=_RESULT, is_flag=True,
    help="Do not read the finished result again to compare it with the plan.",
)  # fmt: skip
stall_option = option(
    "--stall-timeout", section=_VIDEO, type=click.IntRange(min=0), default=300, show_default=True, metavar="SECONDS",
    help="End an ffmpeg that does nothing for so long; 0: never.",
)  # fmt: skip
dry_run_option = option("--dry-run", section=_RESULT, is_flag=True, help="Print the plan; write nothing.")

hwaccel_option = option(
    "--hwaccel", section=_VIDEO, type=choice(Hwaccel), default="auto", show_default=True,
    help="Decode on an NVIDIA GPU; auto: on the one that makes the frames, where it gives the processor's frames.",
)  # fmt: skip
ffmpeg_option = option(
    "--ffmpeg", section=_VIDEO, type=click.Path(), metavar="FILE",
    help="The ffmpeg to use.  [default: VFI_FFMPEG, the one on PATH, then that of imageio-ffmpeg]",
)  # fmt: skip

verbose_option = option(
    "-v", "--verbose", section=_SAID, count=True, callback=verbosity, expose_value=False, is_eager=True,
    help="Show settings, ffmpeg's command lines and tracebacks; -vv shows more.",
)  # fmt: skip
json_option = option(
    "--json", "as_json", section=_SAID, is_flag=True, help="Print the outcome as one JSON object on stdout."
)
quiet_option = option("-q", "--quiet", section=_SAID, is_flag=True, help="Say nothing but errors.")
progress_option = option(
    "--progress", section=_SAID, type=choice(ProgressStyle), default="auto", show_default=True,
    help="A bar on stderr; auto: if it is a terminal; json: a line a second.",
)  # fmt: skip


def engine_of(values: dict[str, Any], *, scene_detect: bool = True) -> EngineOptions:
    """The engine options among a command's values."""
    return EngineOptions(
        model=values["model"],
        device=values["device"],
        precision=Precision(values["precision"]),
        batch=values["batch"],
        threads=values["threads"],
        mode=Mode(values["mode"]),
        tta=Tta(values["tta"]),
        scale=Scale(values["scale"]),
        scene_detect=scene_detect and not values.get("no_scene_detect"),
        overlay_hold=not values.get("no_overlay_hold"),
        scene_threshold=values.get("scene_threshold", EngineOptions().scene_threshold),
        dedup=Dedup(values.get("dedup", Dedup.OFF)),
    )


def encode_of(values: dict[str, Any]) -> EncodeOptions:
    """The encode options among a command's values."""
    return EncodeOptions(
        codec=Codec(values["codec"]) if values["codec"] else None,
        crf=values["crf"],
        preset=values["preset"],
        pix_fmt=values["pix_fmt"],
        ffmpeg_args=tuple(values["ffmpeg_arg"]),
    )


def limits_of(values: dict[str, Any]) -> InputLimits:
    """The limits among a command's values."""
    return InputLimits(
        max_pixels=values["max_pixels"], max_duration=values.get("max_duration", InputLimits().max_duration)
    )

"""Why a file is not read as a video: one sentence, with what to do instead."""

from __future__ import annotations

import stat
from pathlib import Path

from interp_cli.errors import InputError
from interp_cli.media.animation import is_animated_webp
from interp_cli.media.ffmpeg import failure
from interp_cli.media.float_pictures import is_float, why_not_read
from interp_cli.media.picture_size import SUFFIXES


def check_file(path: str) -> None:
    """Raises InputError when `path` is no regular file that can be read and holds something."""
    try:
        facts = Path(path).stat()
    except FileNotFoundError:
        raise InputError(f"{path} does not exist: check the name") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read ({error}): check its name and permissions") from None
    if stat.S_ISDIR(facts.st_mode):
        raise InputError(f"{path} is a folder: give one video file, for example {Path(path) / 'clip.mp4'}")
    if not stat.S_ISREG(facts.st_mode):
        raise InputError(f"{path} is not a regular file: save the video to a file first")
    if facts.st_size == 0:
        raise InputError(f"{path} is empty: it holds 0 bytes")
    try:
        with Path(path).open("rb"):
            pass
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}): check its permissions") from None


def cannot_open(path: str, lines: tuple[str, ...]) -> InputError:
    """What to say of a file of which ffmpeg opened nothing; `lines` are its log."""
    text = "\n".join(lines)
    if "moov atom not found" in text and "low score" not in text:
        return InputError(f"{path} is incomplete: its index is missing, as after a cut-off recording or download")
    with Path(path).open("rb") as file:
        animated = is_animated_webp(file)
    if animated:
        return InputError(f"{path} is an animated WebP, which ffmpeg reads from 9.0 on: make it an .apng or .gif first")
    if is_float(path):
        return InputError(why_not_read(path))
    if Path(path).suffix.lower() in SUFFIXES:
        folder = Path(path).parent
        many = f"to make a video of many, give the folder {folder}, or a pattern in quotes, such as '{folder / '*'}"
        return InputError(f"{path} is one picture: {many}{Path(path).suffix}'")
    if "not on whitelist" in text or "Invalid data found" in text:
        return InputError(f"{path} is not a video file that vfi can read: give an mp4, mov, mkv, webm, avi or the like")
    told = [line for line in lines if "Statistics: " not in line]
    reason = failure("open it", status=1, lines=told)
    return InputError(f"{path} cannot be opened as a video ({str(reason).split(': ', 1)[1]})")

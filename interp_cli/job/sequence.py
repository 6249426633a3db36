"""A result of numbered pictures, such as out/%05d.png: its names, the checks before, and the step onto those names."""

from __future__ import annotations

import re
from pathlib import Path

from interp_cli.errors import ExistsError, OutputError
from interp_cli.job.workdir import inode_of, published_files
from interp_cli.media.picture_size import SUFFIXES
from interp_cli.media.pictures import NUMBER, find_pictures


def is_sequence(output: Path | str) -> bool:
    """Whether an output is a pattern for numbered pictures; a file that has that very name already is none."""
    place = Path(output)
    return place.suffix.lower() in SUFFIXES and NUMBER.search(place.name) is not None and not place.exists()


def frame_path(output: Path, n: int) -> Path:
    """The name of output frame `n`, counted from 0; the names count from 1, as ffmpeg's do."""
    return output.with_name(NUMBER.sub(lambda found: f"{n + 1:0{int(found[1] or 0)}d}", output.name))


def existing_frames(output: Path) -> list[Path]:
    """The files that have names of the pattern."""
    if not output.parent.is_dir():
        return []
    parts = [re.escape(part) for part in NUMBER.sub("\0", output.name).split("\0")]
    shape = re.compile(r"(\d+)".join(parts))
    return [path for path in output.parent.iterdir() if shape.fullmatch(path.name)]


def check_sequence(output: Path, *, inputs: tuple[str, ...], overwrite: bool, fresh: bool) -> None:
    """Raises OutputError when pictures could not get these names; writes nothing. The last folder may be missing."""
    folder = output.parent
    if len(NUMBER.findall(output.name)) > 1:
        raise OutputError(f"{output} has more than one number in its name: give one, such as frame_%05d.png")
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder} is not a folder: choose another place with -o")
    if not folder.exists() and not folder.parent.is_dir():
        raise OutputError(f"the folder {folder.parent} does not exist: make it first, or choose another with -o")
    for text in inputs:
        pictures = find_pictures(text) if folder.exists() else None
        if pictures and any(Path(place).samefile(folder) for place in {Path(path).parent for path in pictures}):
            raise OutputError(f"{folder} holds the pictures of the input: choose another folder with -o")
    ours = [] if fresh else published_files(output)
    others = [path for path in existing_frames(output) if inode_of(path) not in ours]
    if others and not overwrite:
        many = f"{len(others)} pictures of {output} exist" if len(others) > 1 else f"{others[0]} exists"
        raise ExistsError(f"{many} already: add -y to replace them, or choose another folder with -o", output)


def make_folder_of(output: Path) -> bool:
    """Make the folder of a sequence; whether it was missing. Raises OutputError."""
    try:
        output.parent.mkdir()
    except FileExistsError:
        return False
    except OSError as error:
        message = f"the folder {output.parent} cannot be made ({error.strerror}): choose another with -o"
        raise OutputError(message) from error
    return True


def publish_frames(finished: list[Path], output: Path, *, overwrite: bool) -> None:
    """Give the finished pictures their final names, one directly after the other, the last one last.

    Raises OutputError, with none of them moved, if a file of such a name appeared meanwhile.
    """
    targets = [frame_path(output, n) for n in range(len(finished))]
    if not overwrite:
        ours = published_files(output)
        for target in targets:
            if (found := inode_of(target)) is not None and found not in ours:
                raise OutputError(f"{target} appeared while vfi was working: add -y to replace it, or choose another")
    for path, target in zip(finished, targets, strict=True):
        path.replace(target)

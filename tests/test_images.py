"""media/images.py: pictures are read and written with every value kept, completely or not at all."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from interp_cli.errors import InputError, OutputError, UsageError
from interp_cli.media.images import read_image, write_image
from interp_cli.media.types import PIXEL_FORMATS, Planes

KINDS = ["gray", "gbrp", "gbrap", "gray16le", "gbrp16le", "gbrap16le"]


def noise(kind: str, seed: int = 1) -> Planes:
    pixels, random = PIXEL_FORMATS[kind], np.random.default_rng(seed)
    shapes = pixels.plane_shapes(23, 17)
    data = tuple(random.integers(0, pixels.peak + 1, shape).astype(pixels.dtype) for shape in shapes)
    return Planes(0, data, pixels)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("suffix", [".png", ".tiff", ".tif"])
def test_png_and_tiff_give_back_every_value(kind: str, suffix: str, tmp_path: Path) -> None:
    path, planes = str(tmp_path / f"ü %d'{suffix}"), noise(kind)
    write_image(path, planes)
    back = read_image(path)
    assert back.format == planes.format and back.pts == 0
    assert all(np.array_equal(a, b) for a, b in zip(back.data, planes.data, strict=True))
    assert all(p.flags.c_contiguous and p.dtype == planes.format.dtype for p in back.data)


def test_channels_are_in_ffmpegs_order(tmp_path: Path) -> None:
    red, path = np.zeros((4, 5, 3), np.uint8), tmp_path / "red.png"
    red[..., 2] = 200  # OpenCV: B, G, R
    cv2.imwrite(str(path), red)
    green_plane, blue_plane, red_plane = read_image(str(path)).data
    assert (red_plane == 200).all() and not green_plane.any() and not blue_plane.any()


def test_lossless_webp_keeps_transparency_and_values(tmp_path: Path) -> None:
    planes = noise("gbrap")
    planes.data[3][:] = np.maximum(planes.data[3], 1)  # webp may change colours that nobody can see
    write_image(str(tmp_path / "a.webp"), planes, quality=101)
    back = read_image(str(tmp_path / "a.webp"))
    assert all(np.array_equal(a, b) for a, b in zip(back.data, planes.data, strict=True))


def test_sixteen_bits_become_eight_by_rounding_where_the_file_holds_no_more(tmp_path: Path) -> None:
    level = np.full((16, 16), 257 * 100 + 128, np.uint16)
    write_image(str(tmp_path / "a.webp"), Planes(0, (level,) * 3, PIXEL_FORMATS["gbrp16le"]), quality=101)
    assert set(np.unique(read_image(str(tmp_path / "a.webp")).data)) == {100}


def test_a_jpeg_is_close_and_drops_transparency(tmp_path: Path) -> None:
    ramp = np.tile(np.arange(64, dtype=np.uint8) * 3, (48, 1))
    write_image(str(tmp_path / "a.JPG"), Planes(0, (ramp,) * 4, PIXEL_FORMATS["gbrap"]))
    back = read_image(str(tmp_path / "a.JPG"))
    assert back.format.name == "gbrp"
    assert max(np.abs(p.astype(int) - ramp).max() for p in back.data) <= 4


def test_a_jpeg_that_says_so_is_turned(tmp_path: Path) -> None:
    ok, stored = cv2.imencode(".jpg", np.zeros((20, 30, 3), np.uint8))
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"  # orientation 6: turn right
    raw = stored.tobytes()
    path = tmp_path / "turned.jpg"
    path.write_bytes(raw[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + raw[2:])
    assert ok and (read_image(str(path)).width, read_image(str(path)).height) == (20, 30)


def test_what_is_no_picture_gets_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.png").write_text("hello")
    write_image(str(tmp_path / "whole.png"), noise("gbrp"))
    (tmp_path / "cut.png").write_bytes((tmp_path / "whole.png").read_bytes()[:40])
    cv2.imwrite(str(tmp_path / "float.tiff"), np.zeros((4, 4, 3), np.float32))
    for name, words in {
        "none.png": "does not exist",
        ".": "is a folder",
        "empty.png": "is empty",
        "text.png": "is not a picture",
        "cut.png": "is not a picture",
        "float.tiff": "is not a picture",
    }.items():
        with pytest.raises(InputError, match=words) as caught:
            read_image(str(tmp_path / name))
        assert "\n" not in str(caught.value)


def test_names_and_formats_that_cannot_be_written_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"end it with .*\.png"):
        write_image(str(tmp_path / "a.xyz"), noise("gray"))
    with pytest.raises(UsageError, match="yuv420p"):
        write_image(str(tmp_path / "a.png"), noise("yuv420p"))
    with pytest.raises(OutputError, match="cannot be written"):
        write_image(str(tmp_path / "no" / "a.png"), noise("gray"))
    assert not list(tmp_path.iterdir())


def test_a_picture_that_fails_half_way_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.png"
    write_image(str(path), noise("gray", 1))
    before = path.read_bytes()

    def full(self: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OutputError, match="No space left"):
        write_image(str(path), noise("gray", 2))
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]

"""Render examples/clip.mp4: four seconds that show what frame interpolation finds easy and what it finds hard.

A camera pans over layers that move at different speeds, a windmill turns, a ball and a cart pass before each other
and behind fence posts. A lamp lights up for three frames on every click of the sound track, half a second past each
full second: if light and click come apart, sound and picture have come apart.

    python examples/make_clip.py [OUT.mp4]

Every picture is a pure function of its number. Needs numpy, opencv-python and an ffmpeg with libx264.
"""

import math
import shutil
import subprocess
import sys
import tempfile
import wave
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.float32]  # rows, columns, (B, G, R); 0..255

WIDTH, HEIGHT, RATE, SECONDS = 640, 360, 30, 4  # px, px, frames/s, s
FINE = 3  # every edge is drawn this many times larger and then averaged down
W, H = WIDTH * FINE, HEIGHT * FINE
SAMPLE_RATE = 48_000  # Hz
CLICKS = tuple(0.5 + n for n in range(SECONDS))  # s
SHIFT = 4  # fractional bits of the coordinates that OpenCV draws with
INK = (46, 40, 44)


def smooth_noise(rows: int, columns: int, *, cell: int, octaves: int, seed: int) -> NDArray[np.float32]:
    """Clouds of values in 0..1, (rows, columns): a sum of ever finer lattices, each interpolated smoothly."""
    lattice, total, weight = np.random.default_rng(seed), np.zeros((rows, columns), np.float32), 0.0
    for octave in range(octaves):
        size = max(2, columns * 2**octave // cell), max(2, rows * 2**octave // cell)
        layer = lattice.random((size[1], size[0]), dtype=np.float32)
        total += cv2.resize(layer, (columns, rows), interpolation=cv2.INTER_CUBIC) * 0.5**octave
        weight += 0.5**octave
    return np.clip(total / weight, 0, 1)


def tinted(values: NDArray[np.float32], dark: tuple[int, int, int], light: tuple[int, int, int]) -> Picture:
    """Map 0..1 to a blend of two BGR colours: (rows, columns, 3)."""
    low, high = np.array(dark, np.float32), np.array(light, np.float32)
    return low + values[..., None] * (high - low)


def sky(columns: int) -> Picture:
    """A gradient with clouds that thin out upwards, (H, columns, 3)."""
    down = np.linspace(0, 1, H, dtype=np.float32)[:, None]
    blue = tinted(np.broadcast_to(down, (H, columns)), (214, 150, 84), (238, 218, 190))
    cloud = smooth_noise(H, columns, cell=W // 4, octaves=5, seed=1)
    cover = np.clip((cloud - 0.47) * 5, 0, 1) * (0.35 + 0.65 * down)
    return blue + cover[..., None] * (tinted(cloud, (190, 186, 188), (255, 255, 255)) - blue)


def ridge(columns: int, *, level: float, height: float, seed: int) -> NDArray[np.float32]:
    """Row number at which a chain of hills begins, per column."""
    line = smooth_noise(2, columns, cell=columns // 5, octaves=6, seed=seed)[0]
    return (H * (level - height * line)).astype(np.float32)


def cover_below(line: NDArray[np.float32]) -> NDArray[np.float32]:
    """Opacity 0..1 with a soft edge of everything below `line`, (H, columns, 1)."""
    rows = np.arange(H, dtype=np.float32)[:, None]
    return np.clip(rows - line[None], 0, FINE)[..., None] / FINE


def mountains(columns: int) -> tuple[Picture, NDArray[np.float32]]:
    """Far mountains, lit from the left, with snow on top: colours and opacity."""
    line = ridge(columns, level=0.66, height=0.5, seed=2)
    rock = smooth_noise(H, columns, cell=W // 10, octaves=6, seed=3)
    light = np.clip(0.5 + 6 * (rock - np.roll(rock, FINE * 4, axis=1)), 0, 1)
    colour = tinted(light, (128, 100, 92), (196, 172, 158))
    depth = (np.arange(H, dtype=np.float32)[:, None] - line[None]) / H
    snow = np.clip(6 - 60 * (depth + 0.12 * (rock - 0.5)), 0, 1)[..., None]
    return colour + snow * (tinted(light, (214, 200, 190), (255, 252, 248)) - colour), cover_below(line)


def fields(columns: int) -> tuple[Picture, NDArray[np.float32]]:
    """Nearer hills with ploughed fields and woods: colours and opacity."""
    line = ridge(columns, level=0.72, height=0.26, seed=7)
    rows, across = np.mgrid[0:H, 0:columns].astype(np.float32)
    furrows = 0.5 + 0.5 * np.sin((across * 0.35 + (rows - line[None]) * 1.7) * 0.115)
    patches = smooth_noise(H, columns, cell=W // 6, octaves=2, seed=5)
    woods = smooth_noise(H, columns, cell=W // 30, octaves=5, seed=6)
    field = np.where(patches[..., None] > 0.5, tinted(furrows, (70, 140, 118), (110, 190, 170)), 0)
    meadow = np.where(
        patches[..., None] > 0.5, field, tinted(furrows * 0.3 + woods * 0.7, (60, 110, 70), (96, 170, 120))
    )
    return np.where(
        (woods * patches)[..., None] > 0.32, tinted(woods, (36, 62, 40), (74, 118, 82)), meadow
    ), cover_below(line)


def wall(columns: int) -> tuple[Picture, NDArray[np.float32]]:
    """A wall of stones with grass in front: colours and opacity."""
    top = int(H * 0.74)
    rows, across = np.mgrid[0:H, 0:columns].astype(np.float32) / FINE
    course = np.floor(rows / 11)
    along = across + 13 * (course % 2)
    joint = np.minimum(np.minimum(along % 26, 26 - along % 26), np.minimum(rows % 11, 11 - rows % 11))
    stone = smooth_noise(H, columns, cell=W // 60, octaves=3, seed=8)
    tone = np.clip(0.25 + 0.5 * stone + 0.28 * np.sin(course * 7.3 + np.floor(along / 26) * 3.7), 0, 1)
    masonry = tinted(tone, (96, 102, 112), (176, 186, 198)) * np.clip(0.55 + joint[..., None] * 0.3, 0, 1)
    blades = smooth_noise(H, columns, cell=W // 80, octaves=4, seed=9)
    grass = tinted(np.clip(blades * 1.4 - 0.2, 0, 1), (32, 84, 46), (84, 184, 124))
    edge = (H * 0.90 + FINE * 7 * (smooth_noise(2, columns, cell=W // 40, octaves=4, seed=10)[0] - 0.5))[None, :, None]
    verge = np.clip((np.arange(H, dtype=np.float32)[:, None, None] - edge) / FINE, 0, 1)
    return masonry + verge * (grass - masonry), cover_below(np.full(columns, top, np.float32))


def point(x: float, y: float) -> tuple[int, int]:
    """Frame coordinates (px of the finished picture) as OpenCV wants them."""
    return round(x * FINE * 2**SHIFT), round(y * FINE * 2**SHIFT)


def polygon(canvas: Picture, corners: list[tuple[float, float]], colour: tuple[int, int, int]) -> None:
    """Fill a polygon given in frame coordinates."""
    cv2.fillPoly(canvas, [np.array([point(*c) for c in corners], np.int32)], colour, cv2.LINE_8, SHIFT)


def disc(canvas: Picture, centre: tuple[float, float], radius: float, colour: tuple[int, int, int]) -> None:
    """Fill a circle given in frame coordinates."""
    cv2.circle(canvas, point(*centre), round(radius * FINE * 2**SHIFT), colour, -1, cv2.LINE_8, SHIFT)


def turned(points: list[tuple[float, float]], angle: float, centre: tuple[float, float]) -> list[tuple[float, float]]:
    """Points rotated by `angle` radians about the origin, then moved to `centre`."""
    c, s = math.cos(angle), math.sin(angle)
    return [(centre[0] + c * x - s * y, centre[1] + s * x + c * y) for x, y in points]


def windmill(canvas: Picture, x: float, y: float, *, angle: float) -> None:
    """A tower of boards with four turning sails."""
    polygon(canvas, [(x - 34, y), (x - 20, y - 118), (x + 20, y - 118), (x + 34, y)], (116, 150, 190))
    for n in range(12):
        low = y - 10 * n
        half = 34 - 14 * 10 * n / 118
        polygon(canvas, [(x - half, low), (x - half, low - 2), (x + half, low - 2), (x + half, low)], (80, 106, 142))
    polygon(canvas, [(x + 6, y), (x + 9, y - 117), (x + 20, y - 118), (x + 34, y)], (84, 112, 148))
    polygon(canvas, [(x - 25, y - 116), (x, y - 142), (x + 25, y - 116)], (52, 50, 138))
    polygon(canvas, [(x - 9, y), (x - 9, y - 26), (x + 5, y - 26), (x + 5, y)], INK)
    hub = (x, y - 116)
    for quarter in range(4):
        turn = angle + quarter * math.pi / 2
        polygon(canvas, turned([(-2, 0), (2, 0), (2, -84), (-2, -84)], turn, hub), INK)
        for row in range(6):
            top = -80 + row * 11
            cloth = (236, 240, 244) if row % 2 else (206, 214, 224)
            polygon(canvas, turned([(2, top), (20, top), (20, top + 9), (2, top + 9)], turn, hub), cloth)
    disc(canvas, hub, 6, INK)


def cart(canvas: Picture, x: float, y: float, *, rolled: float) -> None:
    """A wagon that has `rolled` so many px: panels, a striped awning and two spoked wheels."""
    polygon(canvas, [(x - 70, y - 16), (x + 70, y - 16), (x + 70, y - 62), (x - 70, y - 62)], (60, 66, 178))
    for n in range(7):
        left = x - 66 + 19 * n
        polygon(canvas, [(left, y - 22), (left + 14, y - 22), (left + 14, y - 56), (left, y - 56)], (84, 96, 214))
        disc(canvas, (left + 7, y - 39), 4, (120, 210, 240))
    for n in range(10):
        left, colour = x - 75 + 15 * n, ((240, 244, 246) if n % 2 else (150, 110, 60))
        polygon(canvas, [(left, y - 62), (left + 15, y - 62), (left + 12, y - 82), (left + 3, y - 82)], colour)
    for wheel in (x - 44, x + 44):
        disc(canvas, (wheel, y - 13), 17, INK)
        disc(canvas, (wheel, y - 13), 13, (150, 176, 200))
        for spoke in range(3):
            arm = [(-1.5, -13.0), (1.5, -13.0), (1.5, 13.0), (-1.5, 13.0)]
            polygon(canvas, turned(arm, rolled / 17 + spoke * math.pi / 3, (wheel, y - 13)), INK)


def ball(canvas: Picture, x: float, y: float, *, radius: float, rolled: float) -> None:
    """A ball in six coloured wedges that has `rolled` so many px without slipping."""
    centre = (x, y - radius)
    wedges = [(60, 180, 250), (70, 60, 220), (240, 240, 240), (190, 120, 40), (90, 190, 70), (240, 240, 240)]
    for n, colour in enumerate(wedges):
        arc = [(radius * math.sin(a), -radius * math.cos(a)) for a in np.linspace(n, n + 1, 9) * math.pi / 3]
        polygon(canvas, turned([(0.0, 0.0), *arc], rolled / radius, centre), colour)
    disc(canvas, centre, radius * 0.22, INK)


def fence(canvas: Picture, offset: float) -> None:
    """Posts and two rails right before the camera."""
    for top in (318.0, 338.0):
        polygon(canvas, [(0, top), (WIDTH, top), (WIDTH, top + 6), (0, top + 6)], (58, 84, 112))
    for n in range(-1, 8):
        x = 118 * n + offset % 118
        polygon(canvas, [(x, 362), (x, 306), (x + 8, 297), (x + 16, 306), (x + 16, 362)], (74, 106, 140))
        polygon(canvas, [(x + 11, 362), (x + 11, 300.5), (x + 16, 306), (x + 16, 362)], (50, 74, 100))


def lamp(canvas: Picture, *, lit: bool) -> None:
    """The mark that flashes with the clicks; it does not move with the camera."""
    disc(canvas, (604, 36), 19, INK)
    disc(canvas, (604, 36), 15, (250, 255, 255) if lit else (70, 62, 66))


class Scene:
    """The painted layers, made once, and the camera that looks at them."""

    def __init__(self) -> None:
        self.sky = sky(W + 40 * FINE)
        self.layers = [(0.35, mountains(W + 100 * FINE)), (0.65, fields(W + 180 * FINE)), (1.0, wall(W + 260 * FINE))]

    def frame(self, n: int) -> NDArray[np.uint8]:
        """Picture number `n`, (HEIGHT, WIDTH, 3) BGR."""
        time = n / RATE  # s
        camera = 120 * (1 - math.cos(math.pi * time / SECONDS))  # px: sets off gently, arrives gently
        canvas = shifted(self.sky, 0.12 * camera)
        for nearness, (colour, opacity) in self.layers:
            if nearness == 1.0:
                windmill(canvas, 420 - 0.8 * camera, 278, angle=1.1 * time)
            cover = shifted(opacity, nearness * camera)
            canvas += cover * (shifted(colour, nearness * camera) - canvas)
        driven, thrown = 235 * time, -130 * time  # px along the wall
        cart(canvas, driven - 60 - camera, 308, rolled=driven)
        ball(canvas, thrown + 760 - camera, 316, radius=27, rolled=thrown)
        fence(canvas, 40 - 1.5 * camera)
        lamp(canvas, lit=any(round(click * RATE) <= n < round(click * RATE) + 3 for click in CLICKS))
        small = cv2.resize(canvas, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
        return np.clip(np.rint(small), 0, 255).astype(np.uint8)


def shifted(layer: NDArray[np.float32], x: float) -> NDArray[np.float32]:
    """The part of a wide layer that a camera at `x` (px of the finished picture) sees, (H, W, ...)."""
    margin = 8  # px at a layer's left edge where its shading wraps around
    move = np.array([[1, 0, -(x + margin) * FINE], [0, 1, 0]], np.float64)
    seen: NDArray[np.float32] = cv2.warpAffine(
        layer, move, (W, H), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return seen if seen.ndim == layer.ndim else seen[..., None]


def sound() -> NDArray[np.int16]:
    """A quiet chord with a click on every flash, (samples, 2)."""
    time = np.arange(SAMPLE_RATE * SECONDS) / SAMPLE_RATE
    fade = np.clip(np.minimum(time, SECONDS - time) / 0.15, 0, 1)
    left = sum(np.sin(2 * np.pi * hertz * time) for hertz in (220, 277.18, 329.63))
    right = sum(np.sin(2 * np.pi * hertz * time + 0.7) for hertz in (220, 277.18, 440))
    both = 0.05 * fade[:, None] * np.stack([left, right], axis=1)
    for click in CLICKS:
        since = time - click
        strike = np.where(since >= 0, np.exp(-np.maximum(since, 0) * 180) * np.sin(2 * np.pi * 1800 * since), 0)
        both += 0.7 * strike[:, None]
    return np.rint(np.clip(both, -1, 1) * 32767).astype(np.int16)


def ffmpeg_program() -> str:
    """The ffmpeg on PATH, else the one of the imageio-ffmpeg package."""
    found = shutil.which("ffmpeg")
    if found is None:
        import imageio_ffmpeg

        found = str(imageio_ffmpeg.get_ffmpeg_exe())
    return found


def encode_command(audio: Path, out: Path) -> list[str]:
    """ffmpeg reads BGR pictures on stdin and the sound from a file; the result is tagged BT.709."""
    pictures = ["-f", "rawvideo", "-pix_fmt", "bgr24", "-video_size", f"{WIDTH}x{HEIGHT}", "-framerate", f"{RATE}"]
    colour = ["-color_primaries", "bt709", "-color_trc", "bt709", "-colorspace", "bt709", "-color_range", "tv"]
    matrix = "scale=out_color_matrix=bt709:out_range=tv:flags=accurate_rnd+full_chroma_int,format=yuv420p"
    video = ["-vf", matrix, "-c:v", "libx264", "-preset", "veryslow", "-crf", "18", "-threads", "1", *colour]
    exact = ["-fflags", "+bitexact", "-flags:v", "+bitexact", "-flags:a", "+bitexact", "-map_metadata", "-1"]
    inputs = [*pictures, "-i", "pipe:0", "-i", f"file:{audio}"]
    return [ffmpeg_program(), "-v", "error", "-y", *inputs, *video, "-c:a", "aac", "-b:a", "96k", *exact,
            "-movflags", "+faststart", "-f", "mp4", f"file:{out}"]  # fmt: skip


def main() -> None:
    """Render, encode, put in place."""
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_name("clip.mp4")
    scene = Scene()
    with tempfile.TemporaryDirectory() as folder:
        audio, video = Path(folder, "sound.wav"), Path(folder, "clip.mp4")
        with wave.open(str(audio), "wb") as file:
            file.setnchannels(2)
            file.setsampwidth(2)
            file.setframerate(SAMPLE_RATE)
            file.writeframes(sound().astype("<i2").tobytes())
        with subprocess.Popen(encode_command(audio, video), stdin=subprocess.PIPE) as child:
            assert child.stdin is not None
            for n in range(RATE * SECONDS):
                child.stdin.write(scene.frame(n).tobytes())
        if child.returncode:
            sys.exit(f"ffmpeg failed with status {child.returncode}")
        shutil.copyfile(video, out)
    print(f"{out}: {RATE * SECONDS} frames, {out.stat().st_size} bytes")


if __name__ == "__main__":
    main()

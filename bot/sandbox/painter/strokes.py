"""Gradients, glows, lights, weather and land, drawn with Pillow's own operations."""

import itertools
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFilter

Colour = tuple[int, int, int]
Size = tuple[int, int]
Ridge = list[tuple[float, float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mood:
    """The colours of a time of day: sky from zenith to horizon, sun or moon, ground from far to near."""

    sky: tuple[Colour, ...]
    sun: Colour
    far: Colour
    near: Colour
    dark: bool = False


MOODS = {
    "day": Mood(
        sky=((52, 120, 196), (122, 184, 224), (238, 236, 214)),
        sun=(255, 248, 214), far=(142, 178, 194), near=(38, 92, 74),
    ),
    "sunset": Mood(
        sky=((44, 34, 92), (148, 56, 112), (238, 112, 82), (255, 212, 130)),
        sun=(255, 236, 176), far=(168, 82, 112), near=(34, 20, 50),
    ),
    "dawn": Mood(
        sky=((86, 116, 178), (196, 158, 196), (250, 196, 178), (255, 234, 204)),
        sun=(255, 246, 226), far=(176, 158, 188), near=(58, 74, 98),
    ),
    "night": Mood(
        sky=((6, 10, 32), (18, 30, 76), (48, 72, 128), (98, 112, 156)),
        sun=(246, 242, 220), far=(48, 64, 112), near=(6, 10, 26), dark=True,
    ),
    "storm": Mood(
        sky=((40, 48, 62), (84, 96, 112), (150, 160, 166)),
        sun=(214, 220, 220), far=(118, 130, 140), near=(34, 44, 48),
    ),
    "autumn": Mood(
        sky=((98, 146, 178), (196, 206, 190), (252, 222, 164)),
        sun=(255, 244, 204), far=(204, 156, 104), near=(122, 48, 26),
    ),
    "desert": Mood(
        sky=((62, 132, 190), (168, 202, 204), (252, 224, 170)),
        sun=(255, 250, 222), far=(232, 176, 120), near=(164, 78, 44),
    ),
    "winter": Mood(
        sky=((96, 142, 192), (170, 200, 226), (240, 238, 238)),
        sun=(255, 252, 240), far=(164, 190, 216), near=(240, 246, 252),
    ),
}  # fmt: skip


def mix(first: Colour, second: Colour, share: float) -> Colour:
    """The colour at `share` (0 to 1) of the way from the first to the second."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(first, second, strict=True))
    return red, green, blue


def gradient(size: Size, stops: Sequence[Colour]) -> Image.Image:
    """A vertical gradient through `stops`, evenly spaced."""
    column = Image.new("RGB", (1, 256))
    for row in range(256):
        place = row / 255 * (len(stops) - 1)
        index = min(int(place), len(stops) - 2)
        column.putpixel((0, row), mix(stops[index], stops[index + 1], place - index))
    return column.resize((1, size[1]), Image.Resampling.BILINEAR).resize(size, Image.Resampling.NEAREST)


def glow(canvas: Image.Image, centre: Size, radius: int, colour: Colour, strength: float) -> None:
    """A round light that fades to nothing at `radius` pixels."""
    # Pillow's gradient reaches 181 at the middle of its edges, 255 only in the corners.
    fade = [round((max(0, 178 - level) / 178) ** 1.7 * 255 * strength) for level in range(256)]
    disc = Image.radial_gradient("L").point(fade).resize((radius * 2, radius * 2), Image.Resampling.BILINEAR)
    canvas.paste(colour, (centre[0] - radius, centre[1] - radius), disc)


def stars(pen: ImageDraw.ImageDraw, size: Size, rng: random.Random, count: int) -> None:
    """Stars over `size`, denser towards the zenith."""
    unit = max(size) / 1024
    for _ in range(count):
        x, y = rng.uniform(0, size[0]), rng.uniform(0, 1) ** 1.4 * size[1]
        radius = rng.choice((0.5, 0.7, 0.7, 1.0, 1.5)) * unit
        level = rng.randint(150, 255)
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=(level, level, min(255, level + 20)))


def aurora(canvas: Image.Image, rng: random.Random) -> None:
    """Three veils of northern lights."""
    width, height = canvas.width // 4, canvas.height // 4
    for colour in ((74, 240, 170), (60, 200, 220), (176, 110, 230)):
        veil = Image.new("L", (width, height))
        pen = ImageDraw.Draw(veil)
        phase, top = rng.uniform(0, 6), height * rng.uniform(0.10, 0.22)
        for x in range(width):
            wave = math.sin(x / width * 5 + phase) + 0.5 * math.sin(x / width * 11 + phase * 2)
            y, reach = top + wave * height * 0.05, height * (0.18 + 0.06 * math.sin(x * 0.7 + phase))
            for step in range(12):
                level = round(120 * (1 - step / 12) * (0.7 + 0.3 * math.sin(x * 0.9 + phase)))
                pen.line((x, y + reach * step / 12, x, y + reach * (step + 1) / 12), fill=level)
        soft = veil.filter(ImageFilter.GaussianBlur(2)).resize(canvas.size, Image.Resampling.BILINEAR)
        canvas.paste(colour, mask=soft)


def ridge(width: int, base: float, rise: float, rough: float, rng: random.Random) -> Ridge:
    """A line of land from left to right: midpoint displacement, `rough` from 0.3 (hills) to 0.6 (peaks)."""
    heights = [rng.uniform(-1, 1), rng.uniform(-1, 1)]
    reach = 1.0
    for _ in range(8 if rough > 0.45 else 6):
        finer: list[float] = []
        for left, right in itertools.pairwise(heights):
            finer += [left, (left + right) / 2 + rng.uniform(-reach, reach)]
        heights = [*finer, heights[-1]]
        reach *= rough
    low, high = min(heights), max(heights)
    scale = rise / (high - low)
    step = width / (len(heights) - 1)
    return [(place * step, base - (level - low) * scale) for place, level in enumerate(heights)]


def land(canvas: Image.Image, ridge: Ridge, colours: Sequence[Colour]) -> None:
    """Fill below the ridge with a gradient from crest to foot, in the ridge's own box only."""
    width, height = canvas.size
    top = max(0, math.floor(min(y for _, y in ridge)))
    mask = Image.new("L", (width, height - top))
    outline = [(x, y - top) for x, y in ridge]
    ImageDraw.Draw(mask).polygon([*outline, (width, height - top), (0, height - top)], fill=255)
    canvas.paste(gradient(mask.size, colours), (0, top), mask)


def snowfall(canvas: Image.Image, rng: random.Random, count: int) -> None:
    """Flakes of several sizes."""
    width, height = canvas.size
    flakes = Image.new("L", (width, height))
    pen = ImageDraw.Draw(flakes)
    unit = min(width, height) / 1024
    for _ in range(count):
        x, y, radius = rng.uniform(0, width), rng.uniform(0, height), rng.choice((1, 1.5, 2, 3, 4.5)) * unit
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=rng.randint(120, 245))
    canvas.paste((255, 255, 255), mask=flakes)


def rainfall(canvas: Image.Image, rng: random.Random, count: int) -> None:
    """Slanting streaks."""
    width, height = canvas.size
    streaks = Image.new("L", (width, height))
    pen = ImageDraw.Draw(streaks)
    for _ in range(count):
        x, y, long = rng.uniform(0, width * 1.1), rng.uniform(0, height), height * rng.uniform(0.02, 0.06)
        pen.line((x, y, x - long * 0.22, y + long), fill=rng.randint(40, 110), width=max(1, width // 900))
    canvas.paste((220, 230, 240), mask=streaks)

"""The grounds that the painter knows: mountains, forest, dunes, sea and city."""

import math
import random
from collections.abc import Callable

from PIL import Image, ImageDraw

from bot.sandbox.painter.strokes import Colour, Mood, Ridge, Size, gradient, land, mix, ridge


def _mountains(canvas: Image.Image, mood: Mood, horizon: int, sun: Size, rng: random.Random) -> None:
    width, height = canvas.size
    layers = 5
    for layer in range(layers):
        share = layer / (layers - 1)
        base = horizon + (height - horizon) * share * 0.92
        rise = height * (0.30 - 0.17 * share) * rng.uniform(0.85, 1.1)
        line = ridge(width, base, rise, 0.53 - 0.13 * share, rng)
        crest = mix(mood.far, mood.near, share**0.8)
        land(canvas, line, (crest, mix(crest, mood.sky[-1], 0.42 * (1 - share)), crest))
        if layer in (0, 1):
            _snowcaps(canvas, line, rise, crest, mood)
        if layer >= layers - 2:
            dark = mix(crest, (10, 30, 26), 0.7 if sum(mood.near) > 600 else 0.45)
            _trees(canvas, line, dark, rng, 34 if layer == layers - 1 else 60)


def _snowcaps(canvas: Image.Image, line: Ridge, rise: float, crest: Colour, mood: Mood) -> None:
    """Snow on the highest parts, with a ragged lower edge."""
    limit = min(y for _, y in line) + rise * 0.36
    light = mix(crest, mix((255, 255, 255), mood.sky[-1], 0.35), 0.75)
    pen = ImageDraw.Draw(canvas)
    thick = [max(0.0, limit - y) * (0.35 + 0.4 * (place * 7 % 5) / 4) for place, (_, y) in enumerate(line)]
    for place in range(len(line) - 1):
        (left, above), (right, beside) = line[place], line[place + 1]
        if thick[place] or thick[place + 1]:
            foot = [(right, beside + thick[place + 1]), (left, above + thick[place])]
            pen.polygon([(left, above), (right, beside), *foot], fill=light)


def _trees(canvas: Image.Image, line: Ridge, colour: Colour, rng: random.Random, count: int) -> None:
    width, height = canvas.size
    pen = ImageDraw.Draw(canvas)
    step = width / (len(line) - 1)
    unit = min(width, height) * (2.6 / max(count, 30))
    for _ in range(count):
        x = rng.uniform(0, width)
        foot = line[min(int(x / step), len(line) - 1)][1] + unit * 0.3
        tall = unit * rng.uniform(0.7, 1.7)
        _conifer(pen, x, foot, tall, mix(colour, (70, 110, 90), rng.uniform(0, 0.16)))


def _conifer(pen: ImageDraw.ImageDraw, x: float, foot: float, tall: float, colour: Colour) -> None:
    for tier in range(4):
        top, wide = foot - tall * (1 - tier * 0.2), tall * (0.10 + tier * 0.055)
        low = top + tall * 0.36
        pen.polygon([(x, top), (x + wide, low), (x - wide, low)], fill=colour)
    pen.rectangle((x - tall * 0.025, foot - tall * 0.1, x + tall * 0.025, foot), fill=colour)


def _forest(canvas: Image.Image, mood: Mood, horizon: int, sun: Size, rng: random.Random) -> None:
    width, height = canvas.size
    layers = 5
    for layer in range(layers):
        share = layer / (layers - 1)
        base = horizon + (height - horizon) * (0.04 + share * 0.9)
        line = ridge(width, base, height * 0.09, 0.42, rng)
        crest = mix(mood.far, mood.near, share**0.7)
        dark = mix(crest, (14, 44, 36), 0.30 + 0.25 * share)
        snowy = sum(mood.near) > 600
        _trees(canvas, line, mix(dark, (20, 52, 60), 0.45) if snowy else dark, rng, round(120 - 92 * share))
        soil = crest if snowy else dark
        land(canvas, line, (soil, mix(soil, mood.sky[-1], 0.34 * (1 - share)), soil))


def _dunes(canvas: Image.Image, mood: Mood, horizon: int, sun: Size, rng: random.Random) -> None:
    width, height = canvas.size
    for layer in range(5):
        share = layer / 4
        base = horizon + (height - horizon) * (0.1 + share * 0.8)
        phase, bends = rng.uniform(0, 6), rng.uniform(0.8, 1.8)
        line = [
            (
                x * width / 60,
                base - height * 0.05 * (1 + math.sin(x / 60 * 6 * bends + phase)) * (1 + 0.3 * share),
            )
            for x in range(61)
        ]
        crest = mix(mood.far, mood.near, share)
        land(canvas, line, (mix(crest, mood.sun, 0.35), crest, mix(crest, mood.near, 0.6)))


def _sea(canvas: Image.Image, mood: Mood, horizon: int, sun: Size, rng: random.Random) -> None:
    width, height = canvas.size
    far = ridge(width, horizon + 4, height * 0.07, 0.42, rng)
    land(canvas, far, (mix(mood.far, mood.sky[-1], 0.3),) * 2)
    bright, deep = mix(mood.sky[-1], mood.far, 0.25), mix(mood.sky[0], mood.near, 0.45)
    water = (width, height - horizon)
    canvas.paste(gradient(water, (bright, mix(bright, deep, 0.6), deep)), (0, horizon))
    shine = Image.new("L", water)
    pen = ImageDraw.Draw(shine)
    for _ in range(520):
        depth = rng.random() ** 1.6
        y = depth * water[1]
        under = rng.random() < 0.6
        x = rng.gauss(sun[0], width * (0.02 + 0.10 * depth)) if under else rng.uniform(0, width)
        long, thick = (
            width * (0.006 + 0.035 * depth) * rng.uniform(0.4, 1.2),
            height * (0.0008 + 0.0035 * depth),
        )
        level = rng.randint(90, 220) if under else rng.randint(12, 60)
        pen.ellipse((x - long, y - thick, x + long, y + thick), fill=level)
    canvas.paste(mood.sun, (0, horizon), shine)
    shore = ridge(width, height * 1.01, height * 0.10, 0.36, rng)
    land(canvas, shore, (mix(mood.near, mood.far, 0.12), mix(mood.near, (0, 0, 0), 0.3)))


def _city(canvas: Image.Image, mood: Mood, horizon: int, sun: Size, rng: random.Random) -> None:
    width, height = canvas.size
    pen = ImageDraw.Draw(canvas)
    lamp = (255, 214, 132)
    for layer in range(4):
        share = layer / 3
        colour = mix(mood.far, mood.near, 0.15 + 0.85 * share)
        foot = height
        x = -rng.uniform(0, 0.05) * width
        while x < width:
            wide = width * rng.uniform(0.035, 0.085) * (0.8 + 0.5 * share)
            top = horizon + height * (0.20 * share - 0.20 * rng.random() ** 1.6 - 0.06)
            pen.rectangle((x, top, x + wide, foot), fill=colour)
            if rng.random() < 0.25:
                pen.line((x + wide / 2, top - height * 0.05, x + wide / 2, top), fill=colour, width=width // 400)
            if layer:
                lit = 0.42 if mood.dark else 0.2
                light = mix(colour, lamp, 0.45 + 0.5 * share)
                _windows(pen, (x, top, wide), light, lit, rng, rows=10 + 9 * layer, pitch=width / 120)
            x += wide * rng.uniform(0.88, 1.0)
    haze = gradient((width, height - horizon), (mood.sky[-1], mood.near))
    canvas.paste(haze, (0, horizon), Image.new("L", haze.size, 38))


def _windows(
    pen: ImageDraw.ImageDraw,
    house: tuple[float, float, float],
    colour: Colour,
    lit: float,
    rng: random.Random,
    *,
    rows: int,
    pitch: float,
) -> None:
    x, top, wide = house
    for row in range(rows):
        for column in range(int((wide - pitch * 0.6) / pitch)):
            if rng.random() < lit:
                left, up = x + pitch * (0.5 + column), top + pitch * (0.7 + row * 1.3)
                pen.rectangle((left, up, left + pitch * 0.5, up + pitch * 0.7), fill=colour)


_Ground = Callable[[Image.Image, Mood, int, Size, random.Random], None]
GROUNDS: dict[str, _Ground] = {
    "sea": _sea,
    "city": _city,
    "forest": _forest,
    "dunes": _dunes,
    "mountains": _mountains,
}

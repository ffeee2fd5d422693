"""The subjects that a prompt may name."""

import math
import random
from collections.abc import Callable

from PIL import Image, ImageDraw

from bot.sandbox.painter.strokes import Colour, Mood, glow, mix


def _lighthouse(canvas: Image.Image, mood: Mood, horizon: int, rng: random.Random) -> None:
    width, height = canvas.size
    unit = min(width, height)
    x, foot, tall, half = width * rng.choice((0.2, 0.8)), height * 0.74, unit * 0.36, unit * 0.032
    top = foot - tall
    out = 1 if x < width / 2 else -1
    beam = Image.new("L", (width, round(tall * 0.7)))
    start, far = top + tall * 0.12, x + out * width
    reach = [(x, tall * 0.5), (far, 0.0), (far, tall * 0.62)]
    ImageDraw.Draw(beam).polygon(reach, fill=54)
    canvas.paste((255, 240, 190), (0, round(start - tall * 0.5)), beam)
    pen = ImageDraw.Draw(canvas)
    rock = mix(mood.near, mood.far, 0.1)
    edge = 0 if out > 0 else width
    pen.polygon(
        [
            (edge, foot - unit * 0.02), (x, foot - unit * 0.025), (x + out * unit * 0.10, foot),
            (x + out * unit * 0.17, foot + unit * 0.07), (x + out * unit * 0.22, foot + unit * 0.16),
            (x + out * unit * 0.40, height), (edge, height),
        ],
        fill=rock,
    )  # fmt: skip
    for band in range(5):
        low, high = band / 5, (band + 1) / 5
        shade = (206, 58, 52) if band % 2 == 0 else (242, 236, 226)
        colour = mix(shade, mood.near, 0.45 if mood.dark else 0.14)
        wide = [half * (1.25 - 0.5 * share) for share in (low, high)]
        y = [foot - unit * 0.02 - tall * 0.84 * share for share in (low, high)]
        corners = [(x - wide[0], y[0]), (x + wide[0], y[0]), (x + wide[1], y[1]), (x - wide[1], y[1])]
        pen.polygon(corners, fill=colour)
    deck = foot - unit * 0.02 - tall * 0.84
    pen.rectangle((x - half, deck - unit * 0.008, x + half, deck), fill=rock)
    pen.rectangle((x - half * 0.6, deck - unit * 0.045, x + half * 0.6, deck - unit * 0.008), fill=(255, 236, 170))
    pen.polygon([(x - half * 0.8, deck - unit * 0.045), (x + half * 0.8, deck - unit * 0.045),
                 (x, deck - unit * 0.085)], fill=(150, 40, 40))  # fmt: skip
    glow(canvas, (round(x), round(deck - unit * 0.028)), round(unit * 0.12), (255, 244, 200), 0.8)


def _boat(canvas: Image.Image, mood: Mood, horizon: int, rng: random.Random) -> None:
    width, height = canvas.size
    unit = min(width, height) * 0.11
    x, y = width * rng.uniform(0.36, 0.64), horizon + (height - horizon) * rng.uniform(0.24, 0.4)
    pen = ImageDraw.Draw(canvas)
    shade = mix(mood.near, (0, 0, 0), 0.35)
    sail = mix((252, 244, 230), mood.sky[-2], 0.25)
    pen.ellipse((x - unit * 0.8, y + unit * 0.15, x + unit * 0.8, y + unit * 0.28), fill=mix(shade, mood.far, 0.5))
    pen.polygon(
        [
            (x - unit * 0.72, y),
            (x + unit * 0.78, y),
            (x + unit * 0.5, y + unit * 0.22),
            (x - unit * 0.55, y + unit * 0.22),
        ],
        fill=shade,
    )
    pen.line((x, y, x, y - unit * 1.75), fill=shade, width=max(2, round(unit / 28)))
    pen.polygon(
        [
            (x + unit * 0.04, y - unit * 1.7),
            (x + unit * 0.72, y - unit * 0.12),
            (x + unit * 0.04, y - unit * 0.12),
        ],
        fill=sail,
    )
    pen.polygon(
        [
            (x - unit * 0.05, y - unit * 1.45),
            (x - unit * 0.55, y - unit * 0.12),
            (x - unit * 0.05, y - unit * 0.12),
        ],
        fill=mix(sail, mood.near, 0.22),
    )


def _balloon(canvas: Image.Image, mood: Mood, horizon: int, rng: random.Random) -> None:
    width, height = canvas.size
    base = rng.choice(((214, 70, 60), (232, 150, 46), (58, 120, 190), (118, 80, 170)))
    pen = ImageDraw.Draw(canvas)
    middle = rng.uniform(0.3, 0.7)
    small = [(middle + side * rng.uniform(0.16, 0.28), rng.uniform(0.12, 0.36), 0.028) for side in (-1, 1)]
    spots = [(middle, rng.uniform(0.16, 0.26), 0.085), *small]
    for across, down, share in spots:
        x, y, radius = width * across, height * down, min(width, height) * share
        for stripe in range(7):
            reach = radius * (1 - stripe / 7)
            colour = base if stripe % 2 == 0 else mix(base, (255, 246, 226), 0.72)
            colour = mix(colour, mood.near, 0.35 if mood.dark else 0.05)
            pen.ellipse((x - reach, y - radius, x + reach, y + radius), fill=colour)
            wide, narrow = reach * 0.93, reach * 0.2
            low, neck = y + radius * 0.36, y + radius * 1.32
            pen.polygon([(x - wide, low), (x + wide, low), (x + narrow, neck), (x - narrow, neck)], fill=colour)
        wire = max(1, round(radius / 40))
        for side in (-1, 1):
            pen.line((x + side * radius * 0.2, y + radius * 1.32, x + side * radius * 0.13, y + radius * 1.6),
                     fill=(70, 50, 40), width=wire)  # fmt: skip
        pen.rectangle(
            (x - radius * 0.15, y + radius * 1.58, x + radius * 0.15, y + radius * 1.82), fill=(96, 62, 40)
        )


def _house(canvas: Image.Image, mood: Mood, horizon: int, rng: random.Random) -> None:
    width, height = canvas.size
    unit = min(width, height) * 0.13
    x, foot = width * rng.uniform(0.3, 0.7), height * 0.86
    wall, roof = mix((128, 84, 58), mood.near, 0.4), mix((94, 44, 40), mood.near, 0.45)
    pen = ImageDraw.Draw(canvas)
    pen.rectangle((x + unit * 0.4, foot - unit * 1.6, x + unit * 0.6, foot - unit), fill=roof)
    pen.rectangle((x - unit * 0.8, foot - unit * 0.8, x + unit * 0.8, foot), fill=wall)
    pen.polygon(
        [(x - unit, foot - unit * 0.76), (x + unit, foot - unit * 0.76), (x, foot - unit * 1.5)], fill=roof
    )
    for left in (-0.55, 0.2):
        box = (x + unit * left, foot - unit * 0.58, x + unit * (left + 0.34), foot - unit * 0.26)
        pen.rectangle(box, fill=(255, 216, 128))
        pen.line(
            (x + unit * (left + 0.17), box[1], x + unit * (left + 0.17), box[3]),
            fill=wall,
            width=max(2, round(unit / 30)),
        )
    glow(canvas, (round(x), round(foot - unit * 0.4)), round(unit * 1.5), (255, 206, 120), 0.4)


def _animal(canvas: Image.Image, mood: Mood, coat: Colour, rng: random.Random, *, tip: bool) -> None:
    """A sitting cat or fox in the foreground, seen from the front."""
    width, height = canvas.size
    unit = min(width, height) * 0.20
    x, foot = width * rng.uniform(0.34, 0.66), height * 0.95
    coat = mix(coat, mood.near, 0.4 if mood.dark else 0.1)
    light = mix(coat, (255, 248, 238), 0.8)
    dark = mix(coat, (0, 0, 0), 0.72)
    pen = ImageDraw.Draw(canvas)

    def oval(across: float, up: float, half: float, tall: float, colour: Colour) -> None:
        cx, cy = x + across * unit, foot - up * unit
        pen.ellipse((cx - half * unit, cy - tall * unit, cx + half * unit, cy + tall * unit), fill=colour)

    for step in range(26):
        share = step / 25
        bend = 0.42 + 0.42 * math.sin(share * 2.5)
        oval(
            bend,
            0.12 + share * 0.62,
            0.11 + 0.06 * math.sin(share * 3),
            0.11,
            light if tip and step > 21 else coat,
        )
    oval(0, 0.40, 0.42, 0.46, coat)
    oval(0, 0.66, 0.30, 0.42, coat)
    oval(0, 0.52, 0.17, 0.34, light)
    for side in (-1, 1):
        oval(side * 0.17, 0.05, 0.13, 0.08, light)
        ear = [
            (x + side * unit * across, foot - unit * up)
            for across, up in ((0.08, 1.42), (0.34, 1.72), (0.38, 1.2))
        ]
        pen.polygon(ear, fill=coat)
        inner = [
            (x + side * unit * across, foot - unit * up) for across, up in ((0.17, 1.42), (0.31, 1.6), (0.33, 1.3))
        ]
        pen.polygon(inner, fill=dark)
    oval(0, 1.18, 0.38, 0.32, coat)
    for side in (-1, 1):
        oval(side * 0.15, 1.07, 0.17, 0.14, light)
        oval(side * 0.15, 1.23, 0.055, 0.065, (20, 16, 18))
        oval(side * 0.15 + 0.018, 1.25, 0.018, 0.02, (255, 255, 255))
    oval(0, 1.09, 0.05, 0.035, (26, 18, 20))


def _cat(canvas: Image.Image, mood: Mood, horizon: int, rng: random.Random) -> None:
    _animal(canvas, mood, rng.choice(((104, 104, 112), (74, 62, 64), (206, 158, 108))), rng, tip=False)


def _fox(canvas: Image.Image, mood: Mood, horizon: int, rng: random.Random) -> None:
    _animal(canvas, mood, (218, 108, 46), rng, tip=True)


def _birds(canvas: Image.Image, mood: Mood, horizon: int, rng: random.Random) -> None:
    width, height = canvas.size
    pen = ImageDraw.Draw(canvas)
    colour = mix(mood.near, mood.sky[0], 0.25) if not mood.dark else mood.sky[-1]
    x, y = width * rng.uniform(0.3, 0.7), height * rng.uniform(0.16, 0.3)
    for _ in range(rng.randint(6, 10)):
        span = min(width, height) * rng.uniform(0.011, 0.022)
        cx, cy = x + rng.gauss(0, 0.10) * width, y + rng.gauss(0, 0.035) * height
        for side in (-1, 1):
            tip = (cx + side * span, cy - span * rng.uniform(0.35, 0.6))
            knee = (cx + side * span * 0.5, cy - span * 0.5)
            pen.line([(cx, cy), knee, tip], fill=colour, width=max(2, round(span / 7)), joint="curve")


_Subject = Callable[[Image.Image, Mood, int, random.Random], None]
SUBJECTS: dict[str, _Subject] = {
    "lighthouse": _lighthouse,
    "boat": _boat,
    "balloon": _balloon,
    "house": _house,
    "cat": _cat,
    "fox": _fox,
    "birds": _birds,
}

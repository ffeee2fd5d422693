"""Scenes and edits: reads a prompt's words, and lays sky, ground, subjects and weather over each other."""

import random
import re
from dataclasses import dataclass

from PIL import Image, ImageChops, ImageDraw, ImageEnhance, ImageFilter

from bot.sandbox.painter.grounds import GROUNDS
from bot.sandbox.painter.strokes import (
    MOODS,
    Colour,
    Mood,
    Size,
    aurora,
    glow,
    gradient,
    land,
    mix,
    rainfall,
    ridge,
    snowfall,
    stars,
)
from bot.sandbox.painter.subjects import SUBJECTS

_MOOD_WORDS = {
    "sunset": "sunset dusk evening golden sundown fire lava volcano",
    "dawn": "dawn sunrise morning pink pastel spring cherry blossom mist fog",
    "night": "night midnight moon moonlit star stars aurora galaxy space neon dark cyberpunk",
    "storm": "storm rain rainy thunder grey gloomy",
    "autumn": "autumn fall october leaves harvest",
    "desert": "desert dune dunes sahara canyon mars sand",
    "winter": "snow snowy winter ice frozen arctic ski christmas",
    "day": "day noon summer blue sunny green meadow",
}
_GROUND_WORDS = {
    "sea": "sea ocean beach wave waves lake harbour harbor boat ship sail island lighthouse river",
    "city": "city skyline town street tower skyscraper cyberpunk neon building buildings",
    "forest": "forest wood woods tree trees pine jungle cabin fox owl deer",
    "dunes": "desert dune dunes sahara mars sand",
    "mountains": "mountain mountains alps peak hill hills valley snow winter castle",
}
_SUBJECT_WORDS = {
    "lighthouse": "lighthouse",
    "boat": "boat boats ship sail sailboat sailing harbour harbor",
    "balloon": "balloon balloons airship",
    "house": "house cabin cottage hut home",
    "cat": "cat kitten cats",
    "fox": "fox foxes dog wolf",
    "birds": "bird birds gull gulls crow flying owl",
    "aurora": "aurora northern lights",
    "snowfall": "snow snowy snowing blizzard christmas",
    "rainfall": "rain rainy storm",
}


@dataclass(frozen=True, slots=True)
class Plan:
    """A mood, a ground, and subjects in the order in which they are drawn."""

    mood: Mood
    ground: str
    subjects: tuple[str, ...]


def plan(prompt: str, rng: random.Random) -> Plan:
    """The scene of the prompt's words; `rng` decides what they leave open."""
    moods = _found(prompt, _MOOD_WORDS)
    grounds = _found(prompt, _GROUND_WORDS)
    subjects = _found(prompt, _SUBJECT_WORDS)
    mood = moods[0] if moods else rng.choice(("day", "sunset", "dawn", "autumn"))
    ground = grounds[0] if grounds else rng.choice(("sea", "mountains", "forest", "mountains"))
    if ground == "dunes" and mood == "day":
        mood = "desert"
    if not subjects:
        subjects = [rng.choice(("birds", "balloon", "boat" if ground == "sea" else "birds"))]
    return Plan(_shifted(MOODS[mood], rng), ground, tuple(subjects))


def _found(text: str, table: dict[str, str]) -> list[str]:
    words = re.findall(r"[a-z]+", text.lower())
    first: dict[str, int] = {}
    for name, known in table.items():
        places = [place for place, word in enumerate(words) if word in known.split()]
        if places:
            first[name] = places[0]
    return sorted(first, key=lambda name: first[name])


def _shifted(mood: Mood, rng: random.Random) -> Mood:
    """The mood with slightly different colours, so that no two sunsets are the same."""
    shift = [rng.randint(-14, 14) for _ in range(3)]

    def moved(colour: Colour) -> Colour:
        red, green, blue = (max(0, min(255, level + by)) for level, by in zip(colour, shift, strict=True))
        return red, green, blue

    return Mood(
        sky=tuple(moved(colour) for colour in mood.sky),
        sun=mood.sun,
        far=moved(mood.far),
        near=moved(mood.near),
        dark=mood.dark,
    )


def draw(what: Plan, size: Size, rng: random.Random, *, transparent: bool = False) -> Image.Image:
    """The scene at `size` pixels: RGB, or RGBA with a transparent sky."""
    width, height = size
    sun = (round(width * rng.uniform(0.24, 0.76)), round(height * rng.uniform(0.30, 0.44)))
    canvas = Image.new("RGBA" if transparent else "RGB", size)
    if not transparent:
        _sky(canvas, what, sun, rng)
    horizon = round(height * (0.62 if what.ground == "sea" else 0.56))
    GROUNDS[what.ground](canvas, what.mood, horizon, sun, rng)
    for subject in what.subjects:
        stroke = SUBJECTS.get(subject)
        if stroke is not None:
            stroke(canvas, what.mood, horizon, rng)
    if "snowfall" in what.subjects:
        snowfall(canvas, rng, 260)
    if "rainfall" in what.subjects:
        rainfall(canvas, rng, 260)
    return canvas


def _sky(canvas: Image.Image, what: Plan, sun: Size, rng: random.Random) -> None:
    """The sky: soft parts are painted at half the scale, that of the picture; stars, sun and moon are sharp."""
    width, height = canvas.size
    mood = what.mood
    unit = min(width, height)
    soft = Image.new("RGB", (width // 2, height // 2), mood.sky[-1])
    soft.paste(gradient((soft.width, round(soft.height * 0.68)), mood.sky))
    if "aurora" in what.subjects:
        aurora(soft, rng)
    glow(soft, (sun[0] // 2, sun[1] // 2), round(unit * 0.27), mood.sun, 0.62)
    _clouds(soft, mood, rng)
    canvas.paste(soft.resize(canvas.size, Image.Resampling.NEAREST))
    pen = ImageDraw.Draw(canvas)
    if mood.dark:
        stars(pen, (width, round(height * 0.55)), rng, 170)
    radius = round(unit * (0.045 if mood.dark else rng.uniform(0.05, 0.075)))
    pen.ellipse((sun[0] - radius, sun[1] - radius, sun[0] + radius, sun[1] + radius), fill=mood.sun)
    if mood.dark:
        for _ in range(5):
            spot = radius * rng.uniform(0.1, 0.25)
            x, y = (place + radius * rng.uniform(-0.5, 0.5) for place in sun)
            pen.ellipse((x - spot, y - spot, x + spot, y + spot), fill=mix(mood.sun, mood.sky[1], 0.18))


def _clouds(canvas: Image.Image, mood: Mood, rng: random.Random) -> None:
    """Clouds: drawn small, blurred, and enlarged, which is fast."""
    width, height = canvas.size
    small = Image.new("L", (width // 4, height // 4))
    pen = ImageDraw.Draw(small)
    for _ in range(rng.randint(5, 9)):
        x, y = rng.uniform(0, 1) * small.width, rng.uniform(0.06, 0.44) * small.height
        level = rng.randint(70, 150)
        for _ in range(rng.randint(6, 12)):
            wide, thick = small.width * rng.uniform(0.03, 0.12), small.height * rng.uniform(0.003, 0.014)
            along, rise = rng.gauss(0, 0.09) * small.width, rng.gauss(0, 0.007) * small.height
            pen.ellipse((x + along - wide, y + rise - thick, x + along + wide, y + rise + thick), fill=level)
    soft = small.filter(ImageFilter.GaussianBlur(small.width / 110)).resize(canvas.size, Image.Resampling.BILINEAR)
    tint = mix(mood.sky[-1], mood.sun, 0.35) if not mood.dark else mix(mood.sky[-1], mood.sky[1], 0.35)
    canvas.paste(tint, mask=soft)


_TINTS: dict[str, tuple[Colour, Colour, float]] = {
    "day": ((196, 222, 246), (255, 246, 214), 0.30),
    "sunset": ((122, 44, 104), (255, 158, 84), 0.50),
    "dawn": ((176, 158, 212), (255, 206, 192), 0.45),
    "night": ((6, 12, 44), (22, 34, 82), 0.66),
    "storm": ((62, 72, 86), (128, 138, 146), 0.55),
    "autumn": ((214, 150, 70), (190, 82, 30), 0.42),
    "desert": ((232, 196, 140), (206, 132, 76), 0.45),
    "winter": ((190, 212, 238), (236, 244, 255), 0.50),
}
_GREY_WORDS = frozenset(("sketch", "pencil", "drawing", "grey", "gray", "monochrome", "noir"))


def change(source: Image.Image, prompt: str, rng: random.Random) -> Image.Image:
    """`source` (RGB) with the prompt's weather, light and subjects drawn over it."""
    moods = _found(prompt, _MOOD_WORDS)
    subjects = _found(prompt, _SUBJECT_WORDS)
    canvas = source.copy()
    grey = bool(_GREY_WORDS & set(re.findall(r"[a-z]+", prompt.lower())))
    if grey:
        canvas = ImageEnhance.Contrast(canvas.convert("L").convert("RGB")).enhance(1.25)
    name = moods[0] if moods else rng.choice(("sunset", "dawn", "autumn", "day"))
    if moods or not grey:
        canvas = _washed(canvas, name, 1.0 if moods or not subjects else 0.4)
    horizon = round(canvas.height * 0.6)
    pen = ImageDraw.Draw(canvas)
    if MOODS[name].dark:
        stars(pen, (canvas.width, canvas.height // 2), rng, 150)
        moon = (round(canvas.width * rng.uniform(0.15, 0.85)), round(canvas.height * 0.16))
        radius = round(min(canvas.size) * 0.045)
        glow(canvas, moon, radius * 5, MOODS[name].sun, 0.5)
        pen.ellipse((moon[0] - radius, moon[1] - radius, moon[0] + radius, moon[1] + radius), fill=MOODS[name].sun)
    elif name == "sunset":
        glow(
            canvas,
            (canvas.width // 2, round(canvas.height * 0.45)),
            max(canvas.size) // 2,
            (255, 220, 150),
            0.55,
        )
    if "aurora" in subjects:
        aurora(canvas, rng)
    if name == "winter" or "snowfall" in subjects:
        _drift(canvas, rng)
        snowfall(canvas, rng, 320)
    if name == "storm":
        rainfall(canvas, rng, 320)
    drawn = [subject for subject in subjects if subject in SUBJECTS]
    for subject in drawn or ([] if moods or grey else ["balloon", "birds"]):
        SUBJECTS[subject](canvas, MOODS[name], horizon, rng)
    return canvas


def _washed(canvas: Image.Image, name: str, share: float) -> Image.Image:
    """The image in another light: tinted, or for night and storm darkened."""
    top, low, strength = _TINTS[name]
    wash = gradient(canvas.size, (top, low))
    if MOODS[name].dark or name == "storm":
        lifted = Image.blend(wash, Image.new("RGB", canvas.size, (150, 168, 214)), 0.28)
        return Image.blend(canvas, ImageChops.multiply(canvas, lifted), 0.92)
    return Image.blend(canvas, wash, strength * share)


def _drift(canvas: Image.Image, rng: random.Random) -> None:
    """The image with snow: on the lower edge, and as a veil that thickens downwards."""
    width, height = canvas.size
    veil = gradient((width, height // 2), ((0, 0, 0), (150, 150, 150))).convert("L")
    canvas.paste((248, 251, 255), (0, height - height // 2), veil)
    land(canvas, ridge(width, height * 0.97, height * 0.08, 0.36, rng), ((252, 253, 255), (214, 228, 244)))

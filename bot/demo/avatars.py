"""The avatars of the demo's members, painted by the stand-ins' painter."""

from __future__ import annotations

from PIL import Image, ImageDraw
from simcord.backend.cdn import CDN_BASE

from bot.demo.stage import Stage
from bot.sandbox import painter

SIDE = 128
PROMPTS = {
    "nora": "a fox in an autumn forest",
    "theo": "hot-air balloon, dawn",
    "mika": "a lighthouse at sunset",
}


def avatar_files(stage: Stage) -> dict[str, tuple[str, bytes]]:
    """For each avatar's URL, the name and the content of the file that the page shows."""
    users = {"nora": stage.nora.id, "theo": stage.theo.id, "mika": stage.mika.id}
    avatars = {
        name: (user_id, painter.encode(painter.paint(PROMPTS[name], (SIDE, SIDE)), "png"))
        for name, user_id in users.items()
    }
    avatars["easel"] = (stage.env.backend.bot_user.id, painter.encode(_easel(), "png"))
    return {
        f"{CDN_BASE}/avatars/{user_id}/{name}.png": (f"{name}.png", content)
        for name, (user_id, content) in avatars.items()
    }


def _easel() -> Image.Image:
    """A picture on three legs."""
    large = SIDE * 4
    ground = Image.new("RGB", (large, large), (228, 87, 46))
    pen = ImageDraw.Draw(ground)
    wood, middle = (255, 240, 222), large // 2
    for foot in (-150, 0, 150):
        pen.line((middle, 70, middle + foot, large - 62), fill=wood, width=22)
    pen.rectangle((middle - 140, 128, middle + 140, 338), fill=wood)
    ground.paste(painter.paint("sailboat at sunset", (248, 178), noise=0), (middle - 124, 144))
    pen.line((middle - 168, 350, middle + 168, 350), fill=wood, width=24)
    return ground.resize((SIDE, SIDE), Image.Resampling.LANCZOS)

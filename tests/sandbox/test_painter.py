"""The painter that draws the stand-ins' pictures."""

import pytest
from PIL import Image, ImageChops, ImageStat

from bot.sandbox import painter
from tests.support.sandbox.pictures import picture_of


def test_painting_is_deterministic_and_each_picture_its_own() -> None:
    first = painter.paint("a fox in the snow", (256, 256))
    assert first.tobytes() == painter.paint("a fox in the snow", (256, 256)).tobytes()
    assert first.tobytes() != painter.paint("a fox in the snow", (256, 256), index=1).tobytes()
    assert first.tobytes() != painter.paint("a fox in the rain", (256, 256)).tobytes()
    clear = painter.paint("a fox in the snow", (256, 256), transparent=True)
    assert clear.getchannel("A").getextrema() == (0, 255)


@pytest.mark.parametrize("prompt", ["snow", "night", "a boat", "pencil sketch", "zyx", "sunset", "aurora", "rain"])
def test_an_edit_changes_the_picture_and_keeps_its_shape(prompt: str) -> None:
    source = painter.paint("a lighthouse", (256, 256))
    changed = painter.edit(source, prompt)
    assert changed.size == source.size
    difference = ImageStat.Stat(ImageChops.difference(source, changed)).mean
    assert 3 < max(difference) < 140
    assert changed.tobytes() == painter.edit(source, prompt).tobytes()


def test_a_mask_must_fit() -> None:
    source = Image.new("RGB", (8, 8))
    for mask in (Image.new("RGBA", (4, 4)), Image.new("RGB", (8, 8))):
        with pytest.raises(ValueError, match="mask"):
            painter.edit(source, "snow", mask=mask)


@pytest.mark.parametrize("kind", painter.FORMATS)
def test_pictures_are_encoded_and_filled_up(kind: str) -> None:
    image = painter.paint("sea", (128, 128))
    assert picture_of(painter.encode(image, kind)).format == kind.upper()
    if kind == "webp":
        with pytest.raises(ValueError, match="padded"):
            painter.encode(image, kind, pad_to=1_500_000)
    else:
        padded = painter.encode(image, kind, pad_to=1_500_000)
        assert 1_500_000 <= len(padded) < 1_500_020
        assert picture_of(padded).size == (128, 128)

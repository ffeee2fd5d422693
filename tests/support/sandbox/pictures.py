"""Decoding and encoding pictures in the tests of the stand-ins."""

import base64
import io

from PIL import Image

from bot.sandbox import painter


def picture_of(content: bytes) -> Image.Image:
    """The decoded picture."""
    image = Image.open(io.BytesIO(content))
    image.load()
    return image


def data_uri(image: Image.Image) -> str:
    """The picture as a PNG in a data URI."""
    return "data:image/png;base64," + base64.b64encode(painter.encode(image, "png")).decode()

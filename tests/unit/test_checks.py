"""What is refused for its prompt and for what Discord says about its files, before anything is stored."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bot.domain.checks import MAXIMUM_SOURCE_BYTES, check_request
from bot.domain.errors import BadPrompt, BadSource
from bot.domain.requests import MAXIMUM_PROMPT, ImageRequest, Source

PICTURE = Source(
    url="https://cdn.discordapp.com/a.png",
    filename="a.png",
    content_type="image/png",
    size=5,
    width=100,
    height=50,
)
REQUEST = ImageRequest(prompt="a fox", model="m", sources=(PICTURE,))


@pytest.mark.parametrize(
    "request_",
    [
        pytest.param(REQUEST, id="one picture"),
        pytest.param(replace(REQUEST, sources=(PICTURE,) * 4), id="four pictures"),
        pytest.param(replace(REQUEST, prompt="x" * MAXIMUM_PROMPT), id="the longest prompt"),
        pytest.param(
            replace(REQUEST, sources=(replace(PICTURE, size=MAXIMUM_SOURCE_BYTES),)), id="the largest file"
        ),
        pytest.param(
            replace(REQUEST, sources=(replace(PICTURE, width=10_000, height=5_000),)), id="the most pixels"
        ),
        pytest.param(
            replace(REQUEST, sources=(Source(url="u", filename="f"),), mask=PICTURE), id="no figures to compare"
        ),
        pytest.param(replace(REQUEST, mask=PICTURE), id="a mask of the same size"),
    ],
)
def test_a_valid_request_passes(request_: ImageRequest) -> None:
    check_request(request_)


@pytest.mark.parametrize("prompt", ["", "  \n\t ", "\u200b\u200d", "\u034f\ufe0f", "\u3164\u2800"], ids=ascii)
def test_an_empty_prompt_is_refused(prompt: str) -> None:
    with pytest.raises(BadPrompt) as refused:
        check_request(replace(REQUEST, prompt=prompt))
    assert refused.value.sentence == "Your prompt is empty. Tell Easel what to paint."


def test_a_prompt_that_is_too_long_is_refused_with_its_length() -> None:
    with pytest.raises(BadPrompt) as refused:
        check_request(replace(REQUEST, prompt="x" * 4321))
    expected = "Your prompt has 4,321 characters; the most is 4,000. Shorten it a little."
    assert refused.value.sentence == expected


@pytest.mark.parametrize(
    ("request_", "sentence"),
    [
        (
            replace(REQUEST, sources=(PICTURE,) * 5),
            "You gave 5 pictures; an edit takes up to 4. Leave some out.",
        ),
        (
            replace(
                REQUEST, sources=(PICTURE, replace(PICTURE, filename="b.pdf", content_type="application/pdf"))
            ),
            "b.pdf is not a picture. Send a PNG, JPEG or WebP.",
        ),
        (
            replace(REQUEST, sources=(replace(PICTURE, size=MAXIMUM_SOURCE_BYTES + 1),)),
            "a.png has 21 MB; the most is 20 MB. Send a smaller one.",
        ),
        (
            replace(REQUEST, sources=(replace(PICTURE, width=10_001, height=5_000),)),
            "a.png has 51 megapixels; the most is 50. Send a smaller one.",
        ),
        (
            replace(REQUEST, mask=replace(PICTURE, filename="m.png", size=30 * 1024 * 1024)),
            "m.png has 30 MB; the most is 20 MB. Send a smaller one.",
        ),
        (
            replace(REQUEST, mask=replace(PICTURE, width=99)),
            "The mask is 99×50 and the picture 100×50. Both must have the same size.",
        ),
    ],
)
def test_a_picture_that_cannot_be_used_is_refused_with_its_reason(request_: ImageRequest, sentence: str) -> None:
    with pytest.raises(BadSource) as refused:
        check_request(request_)
    assert refused.value.sentence == sentence

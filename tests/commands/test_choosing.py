"""What a member sees while they type a model: those that can do what the command holds, and their prices."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from bot.chat.discord.messages.choices import MAX_CHOICE, choice_text, typed_model
from bot.domain.choices import ModelChoice
from bot.domain.money import Money
from bot.domain.requests import ImageRequest
from bot.sandbox.discord.server import Upload
from tests.support.picture_files import png
from tests.support.world.world import World

MODELS = "gpt-image-2.5-flare,gpt-image-2,gpt-image-1.5,gpt-image-1"
ALL = ["gpt-image-2.5-flare", "gpt-image-2", "gpt-image-1.5", "gpt-image-1"]
PICTURE = Upload("boat.png", png())


async def choices(world: World, command: str, typed: str = "", **options: Any) -> dict[str, str]:
    """The choices' values with their texts, after `typed`."""
    given = {**options, "model": typed}
    interaction = await world.discord.autocomplete(world.member, world.channel, command, given, "model")
    answer = await world.discord.answer(interaction)
    return {choice["value"]: choice["name"] for choice in answer["data"]["choices"]}


async def test_a_choice_has_its_label_its_price_and_what_it_is_good_for_in_the_catalogues_order(
    full_world: World,
) -> None:
    async with full_world.bot(MODELS=MODELS):
        found = await choices(full_world, "imagine", prompt="a fox", size="square")
        assert list(found) == ALL
        assert found["gpt-image-2.5-flare"] == "GPT Image 2.5 Flare · ~$0.014 · fast and cheap"
        dear = await choices(
            full_world, "imagine", "flare", prompt="a fox", size="square", quality="high", count=4
        )
        assert dear == {"gpt-image-2.5-flare": "GPT Image 2.5 Flare · ~$0.053 · fast and cheap"}
        assert list(await choices(full_world, "imagine", " IMAGE-1", prompt="a fox")) == ALL[2:]
        assert await choices(full_world, "imagine", "crayons") == {}


@pytest.mark.parametrize(
    ("command", "options", "able"),
    [
        ("imagine", {"quality": "max"}, ALL[:1]),
        ("imagine", {"background": "transparent"}, ALL),
        ("imagine", {"size": "16:9 4k"}, ALL[:2]),
        ("edit", {"image": PICTURE, "mask": PICTURE}, ALL),
        ("edit", {"fidelity": "low", "image2": PICTURE}, ALL),
    ],
    ids=["quality", "background", "size", "mask", "before the picture"],
)
async def test_only_models_that_can_do_what_the_command_holds_are_choices(
    full_world: World, command: str, options: dict[str, Any], able: list[str]
) -> None:
    async with full_world.bot(MODELS=MODELS):
        assert list(await choices(full_world, command, prompt="a fox", **options)) == able


async def test_a_model_that_edits_no_pictures_or_takes_no_mask_or_fewer_is_no_choice_for_such_an_edit(
    full_world: World,
) -> None:
    path = full_world.folder / "own.toml"
    path.write_text(
        _own("no-edits", "edit = false") + _own("no-mask", "edit = { mask = false }\nmaximum_sources = 2")
    )
    names = ["gpt-image-2", "no-edits", "no-mask"]
    async with full_world.bot(CATALOG_FILES=str(path), MODELS=",".join(names), DEFAULT_MODEL=""):
        assert sorted(await choices(full_world, "imagine")) == names
        assert sorted(await choices(full_world, "edit", image=PICTURE, image2=PICTURE)) == [
            "gpt-image-2",
            "no-mask",
        ]
        assert list(await choices(full_world, "edit", image=PICTURE, mask=PICTURE)) == ["gpt-image-2"]
        three: dict[str, Any] = {"image": PICTURE, "image2": PICTURE, "image4": PICTURE}
        assert list(await choices(full_world, "edit", **three)) == ["gpt-image-2"]


def _own(name: str, change: str) -> str:
    """A model like GPT Image 2 at fal, with something taken from it."""
    return (
        f'[[models]]\nname = "{name}"\nlabel = "{name.title()}"\n'
        f'[[models.offers]]\nprovider = "fal"\nlike = "gpt-image-2"\n{change}\n'
    )


@pytest.mark.parametrize(
    "options",
    [
        {"size": "153"},
        {"size": "19:1"},
        {"size": "huge", "quality": "hi"},
        {"count": "1o", "compression": 900, "background": "tran", "format": "jp"},
        {"background": "transparent", "format": "jpeg"},
        {"prompt": "x" * 5000},
    ],
)
async def test_what_is_half_typed_or_makes_no_sense_empties_no_list(
    full_world: World, options: dict[str, Any]
) -> None:
    async with full_world.bot(MODELS=MODELS):
        assert list(await choices(full_world, "imagine", **options)) == ALL


async def test_a_half_typed_size_does_not_hide_what_else_the_command_holds(full_world: World) -> None:
    async with full_world.bot(MODELS=MODELS):
        found = await choices(full_world, "imagine", size="1536x", quality="max")
        assert list(found) == ["gpt-image-2.5-flare"]


async def test_the_price_is_that_of_the_service_which_is_asked_first(full_world: World) -> None:
    boss = await full_world.create_moderator()
    async with full_world.bot(MODELS=MODELS):
        options = {"prompt": "a fox", "size": "square", "quality": "low"}
        at_fal = await choices(full_world, "imagine", "1.5", **options)
        assert "· ~$0.01 ·" in at_fal["gpt-image-1.5"]
        await full_world.moderate(boss, "model", model="gpt-image-1.5", services="oxen")
        at_oxen = await choices(full_world, "imagine", "1.5", **options)
        assert "· ~$" in at_oxen["gpt-image-1.5"]
        assert at_oxen != at_fal
        await full_world.moderate(boss, "model", model="gpt-image-1.5", services="off")
        assert await choices(full_world, "imagine", "1.5", **options) == {}


async def test_choices_are_found_within_milliseconds(full_world: World) -> None:
    request = ImageRequest(prompt="a fox", model="", size="16:9", quality="high", count=4)
    fastest = 1.0
    async with full_world.bot() as app:
        for _ in range(20):
            began = time.perf_counter()
            assert await app.members.model_choices(full_world.guild, request)
            fastest = min(fastest, time.perf_counter() - began)
    assert fastest < 0.02


async def test_a_choices_text_is_taken_for_its_model_where_discord_sends_it(full_world: World) -> None:
    async with full_world.bot(MODELS=MODELS):
        text = (await choices(full_world, "imagine", "gpt image 2.5", prompt="a fox"))["gpt-image-2.5-flare"]
        assert list(await choices(full_world, "imagine", text)) == ["gpt-image-2.5-flare"]
        job = await full_world.imagine(model=text)
        assert "GPT Image 2.5 Flare" in (await full_world.result_message(job))["content"]
        await full_world.wait_finished(job)


async def test_twenty_five_choices_of_a_hundred_characters_at_most(full_world: World, tmp_path: Path) -> None:
    path = tmp_path / "many.toml"
    path.write_text(
        "".join(
            f'[[models]]\nname = "brush-{number}"\nlabel = "{"Brush " * 7}{number}"\ngood_for = "{"x" * 30}"\n'
            f'[[models.offers]]\nprovider = "fal"\nlike = "gpt-image-2"\n'
            for number in range(30)
        )
    )
    async with full_world.bot(CATALOG_FILES=str(path)):
        found = await choices(full_world, "imagine", "brush")
    assert len(found) == 25
    # None is cut, so that each is known where Discord sends its text in the place of its value.
    assert {typed_model(text) for text in found.values()} == {f"{'Brush ' * 7}{number}" for number in range(25)}
    assert all(text.endswith(f" · ~$0.053 · {'x' * 30}") and len(text) <= 100 for text in found.values())


def test_a_choice_without_a_strength_is_its_label_and_its_price() -> None:
    choice = ModelChoice(name="brush", label="A · Brush", price=Money(80_000))
    assert choice_text(choice) == "A · Brush · ~$0.08"
    assert typed_model(choice_text(choice)) == "A · Brush"
    assert (
        len(choice_text(ModelChoice(name="b", label="B" * 200, price=Money(1), good_for="x" * 30))) == MAX_CHOICE
    )

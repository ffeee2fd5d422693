"""Open forms: kept for a while and in a bounded number; one that was submitted keeps no link."""

from __future__ import annotations

from pathlib import Path

from bot.domain.forms import Form
from bot.domain.requests import Source
from bot.storage import forms, notes
from tests.support.ledger import GUILD, MEMBER, open_database

PICTURES = (Source(url="https://cdn.example/cat.png?hm=secret", filename="cat.png", spoiler=True),)


def form(number: int) -> Form:
    """A form of the member, with a picture."""
    return Form(id=number, user_id=MEMBER, guild_id=GUILD, pictures=PICTURES, parent_id=7)


async def test_a_form_is_kept_until_it_is_too_old_and_without_links_once_it_was_submitted(tmp_path: Path) -> None:
    async with open_database(tmp_path / "easel.db") as database:
        await database.write(notes.write("commands of 1", "abc"))
        for number in (999, 1000, 1001):
            await database.write(forms.keep(form(number), 1000))
        assert [await database.read(forms.get(number)) for number in (999, 1000, 1001)] == [
            None,
            form(1000),
            form(1001),
        ]
        await database.write(forms.close(form(1001)))
        closed = await database.read(forms.get(1001))
        assert closed is not None
        assert (closed.user_id, closed.pictures) == (MEMBER, ())
        assert await database.read(notes.read("commands of 1")) == "abc"


async def test_the_oldest_of_too_many_forms_are_forgotten(tmp_path: Path) -> None:
    async with open_database(tmp_path / "easel.db") as database:
        for number in range(9, 14):
            await database.write(forms.keep(form(number), 0, most=3))
        found = [number for number in range(9, 14) if await database.read(forms.get(number)) is not None]
        assert found == [11, 12, 13]

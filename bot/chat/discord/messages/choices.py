"""The choices of the option `model`, as members read them while they type."""

from __future__ import annotations

from bot.chat.discord.messages.content import truncate
from bot.domain.choices import ModelChoice

MAX_CHOICE = 100
"""Characters of a choice's name: Discord's docs, Application Commands, Option Choice."""
_BEFORE_PRICE = " · ~"


def choice_text(choice: ModelChoice) -> str:
    """For example: GPT Image 2.5 Flare · ~$0.014 · fast and cheap."""
    details = f"{_BEFORE_PRICE}{choice.price}"
    if choice.good_for:
        details += f" · {choice.good_for}"
    return f"{truncate(choice.label, MAX_CHOICE - len(details))}{details}"


def typed_model(text: str) -> str:
    """The model in what a member typed: Discord may send a choice's text in the place of its value."""
    return text.partition(_BEFORE_PRICE)[0].strip()

"""What a provider cannot do with a model, and how a member is told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from bot.domain.errors import BadPrompt, Refused, UnsupportedRequest

NAMED_MODELS = 3
"""Models that a refusal names at most: the preferred ones."""


NO_MODEL = "Ask a moderator to switch a model on."


class Unsupported(Exception):
    """The provider cannot do this with the model; `cannot` completes "GPT Image 1 …"."""

    def __init__(self, cannot: str, advice: str, *, prompt: bool = False, plain: bool = False) -> None:
        """`prompt`: the prompt is to blame. `plain`: it is so with every model, so none is named."""
        self.cannot = cannot
        self.advice = advice
        self._prompt = prompt
        self._plain = plain
        super().__init__(cannot)

    def refusal(self, label: str, others: Sequence[str]) -> Refused:
        """The refusal that a member reads; `others` are labels of models that can."""
        sentence = f"{self.cannot[:1].upper()}{self.cannot[1:]} {self.advice}".strip()
        if self._prompt:
            return BadPrompt(sentence)
        if self._plain:
            return UnsupportedRequest(sentence)
        if others:
            able = f"Choose {join_or(others[:NAMED_MODELS])} as the model."
            return UnsupportedRequest(f"{label} {self.cannot} {able} {self.advice}".strip())
        advice = self.advice.removeprefix("Or ")
        return UnsupportedRequest(f"{label} {self.cannot} {advice[:1].upper()}{advice[1:]}".strip())


def unknown_model(name: str, usable: Mapping[str, str]) -> UnsupportedRequest:
    """The refusal of a model that there is not; `usable` are labels by name, the preferred model first."""
    near = get_close_matches(name.strip().lower(), {*usable, *(label.lower() for label in usable.values())}, 1)
    meant = [label for each, label in usable.items() if near and near[0] in (each, label.lower())]
    others = [label for label in usable.values() if label not in meant]
    sentences = [f"Easel has no model “{name[:60]}”."]
    if meant:
        sentences.append(f"Did you mean {meant[0]}?")
    if others:
        sentences.append(f"{'Or choose' if meant else 'Choose'} {join_or(others[:NAMED_MODELS])}.")
    elif not meant:
        sentences.append(NO_MODEL)
    return UnsupportedRequest(" ".join(sentences))


def join_or(words: Any) -> str:
    """a, b or c."""
    *rest, last = words
    return f"{', '.join(rest)} or {last}" if rest else last

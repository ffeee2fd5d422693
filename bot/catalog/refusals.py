"""What a provider cannot do with a model, and how a member is told."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bot.domain.errors import BadPrompt, Refused, UnsupportedRequest

NAMED_MODELS = 3
"""Models that a refusal names at most: the preferred ones."""


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


def join_or(words: Any) -> str:
    """a, b or c."""
    *rest, last = words
    return f"{', '.join(rest)} or {last}" if rest else last

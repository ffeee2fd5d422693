"""What moderators can do: limits and grants."""

from __future__ import annotations

from typing import get_args

from bot.clock import Clock
from bot.errors import BadOrder
from bot.models import Allowance, Requester, Rule, Window
from bot.ports import Database
from bot.storage import quotas, rules

MOST_IMAGES = 100_000
MOST_GRANTED = 10_000


class Treasury:
    """The moderators' use cases. Whoever calls has checked that the caller is one."""

    def __init__(self, *, database: Database, clock: Clock, default_rule: Rule) -> None:
        self._database = database
        self._clock = clock
        self._default_rule = default_rule

    async def limit(self, guild_id: int, rule: Rule) -> Rule | None:
        """Give a subject a limit in place of the one it had; returns the former.

        Raises:
            BadOrder: the number is out of range, or the window is none.
        """
        if not 0 <= rule.limit <= MOST_IMAGES or rule.window not in get_args(Window):
            raise BadOrder(f"Give a number from 0 to {MOST_IMAGES:,}, and day, week or month.")
        former = await self._database.write(rules.set_limit(guild_id, rule, self._clock.now()))
        return former[0] if former else self._fallback(rule)

    async def clear(self, guild_id: int, rule: Rule) -> Rule | None:
        """Take a subject's limit away; returns it, None where there was none."""
        former = await self._database.write(rules.clear_limit(guild_id, rule, self._clock.now()))
        return former[0] if former else None

    def _fallback(self, rule: Rule) -> Rule | None:
        return self._default_rule if rule.subject == "everyone" and rule.unit == "images" else None

    async def limits(self, guild_id: int) -> list[Rule]:
        """All the limits of a server, the operator's default first where nothing replaces it."""
        found = await self._database.read(rules.limits(guild_id))
        if any(rule.subject == "everyone" and rule.unit == "images" for rule in found):
            return found
        return [self._default_rule, *found]

    async def grant(self, member: Requester, images: int, actor_id: int, reason: str) -> tuple[int, Allowance]:
        """Give images beside the allowance, or take granted ones back; returns the change and what is left.

        Raises:
            BadOrder: the number is 0 or out of range.
        """
        if images == 0 or abs(images) > MOST_GRANTED:
            raise BadOrder(f"Give a number from 1 to {MOST_GRANTED:,}, or a negative one to take pictures back.")
        reason = reason.encode("utf-8", "replace").decode("utf-8")
        now = self._clock.now()
        change = await self._database.write(
            rules.grant(member.guild_id, member.user_id, images, actor_id, reason, now)
        )
        allowance = await self._database.read(quotas.allowance(member, self._default_rule, now))
        return change, allowance

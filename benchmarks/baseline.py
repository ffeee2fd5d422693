"""The barest discord.py bot that can paint: the floor that Easel is measured against.

No database, no checks, no queue of its own, nothing bounded: answer, submit, poll, download, upload, done.
"""

from __future__ import annotations

import asyncio
import io
import os
from typing import Any

import aiohttp
import discord
import yarl
from discord import app_commands

POLL_SECONDS = 1.0
ENDPOINT = "fal-ai/gpt-image-1.5"


class Barest(discord.Client):
    """Paints whatever it is asked, each request on the task that discord.py made for it."""

    def __init__(self) -> None:
        super().__init__(
            intents=discord.Intents(guilds=True, guild_messages=True),
            allowed_mentions=discord.AllowedMentions.none(),
            max_messages=None,
            member_cache_flags=discord.MemberCacheFlags.none(),
            chunk_guilds_at_startup=False,
        )
        self.tree = app_commands.CommandTree(self)
        self.tree.command(name="imagine", description="Paint a picture.")(self.imagine)
        self.session: aiohttp.ClientSession | None = None

    async def setup_hook(self) -> None:
        """Tell Discord the one command."""
        self.session = aiohttp.ClientSession(headers={"Authorization": f"Key {os.environ['FAL_KEY']}"})
        await self.tree.sync()

    async def close(self) -> None:
        """Leave Discord and fal."""
        if self.session is not None:
            await self.session.close()
        await super().close()

    async def imagine(self, interaction: discord.Interaction, prompt: str) -> None:
        """Paint a picture."""
        await interaction.response.send_message("Painting.")
        picture = await self.painted(prompt)
        channel = self.get_partial_messageable(interaction.channel_id or 0)
        await channel.send(
            f"{interaction.user.mention} {prompt}",
            file=discord.File(io.BytesIO(picture), f"easel-{interaction.id}-1.png"),
            allowed_mentions=discord.AllowedMentions(users=[interaction.user]),
        )

    async def painted(self, prompt: str) -> bytes:
        """The bytes of one picture."""
        order = {"prompt": prompt, "quality": "medium", "image_size": "1024x1024", "output_format": "png"}
        ticket = await self.json("POST", f"{os.environ['FAL_QUEUE_URL']}/{ENDPOINT}", order)
        # fal says nothing of its own accord.
        while (await self.json("GET", ticket["status_url"]))["status"] != "COMPLETED":  # noqa: ASYNC110
            await asyncio.sleep(POLL_SECONDS)
        result = await self.json("GET", ticket["response_url"])
        async with self.opened.get(result["images"][0]["url"]) as response:
            response.raise_for_status()
            return await response.read()

    async def json(self, method: str, url: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """One call to fal's queue."""
        async with self.opened.request(method, url, json=body) as response:
            response.raise_for_status()
            answer: dict[str, Any] = await response.json()
            return answer

    @property
    def opened(self) -> aiohttp.ClientSession:
        """The session that `setup_hook` made."""
        if self.session is None:
            raise RuntimeError("not logged in")
        return self.session


def main() -> None:
    discord.http.Route.BASE = os.environ["DISCORD_API_URL"]
    discord.gateway.DiscordWebSocket.DEFAULT_GATEWAY = yarl.URL(os.environ["DISCORD_GATEWAY_URL"])
    Barest().run(os.environ["DISCORD_TOKEN"])


if __name__ == "__main__":
    main()

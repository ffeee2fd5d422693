"""The barest bot that can paint, on discord.py and httpx as Easel: the floor that Easel is measured against.

No database, no checks, no queue of its own, no bounds: respond, submit, poll, download, upload, done.
"""

from __future__ import annotations

import asyncio
import io
import os
from typing import Any

import discord
import httpx
import yarl
from discord import app_commands
from httpx_aiohttp import AiohttpTransport

POLL_SECONDS = 1.0
ENDPOINT = "fal-ai/gpt-image-1.5"


class Barest(discord.Client):
    """Paints each request on the task that discord.py made for its interaction."""

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
        self.http_client = httpx.AsyncClient(
            transport=AiohttpTransport(), timeout=60, headers={"Authorization": f"Key {os.environ['FAL_KEY']}"}
        )

    async def setup_hook(self) -> None:
        """Sync the one command."""
        await self.tree.sync()

    async def close(self) -> None:
        """Close the connections to Discord and fal."""
        await self.http_client.aclose()
        await super().close()

    async def imagine(self, interaction: discord.Interaction, prompt: str) -> None:
        """Paint a picture."""
        await interaction.response.send_message("Painting.")
        picture = await self.paint(prompt)
        channel = self.get_partial_messageable(interaction.channel_id or 0)
        await channel.send(
            f"{interaction.user.mention} {prompt}",
            file=discord.File(io.BytesIO(picture), f"easel-{interaction.id}-1.png"),
            allowed_mentions=discord.AllowedMentions(users=[interaction.user]),
        )

    async def paint(self, prompt: str) -> bytes:
        """The bytes of one picture."""
        arguments = {"prompt": prompt, "quality": "medium", "image_size": "1024x1024", "output_format": "png"}
        submitted = await self.request_json("POST", f"{os.environ['FAL_QUEUE_URL']}/{ENDPOINT}", arguments)
        # fal's queue has to be polled.
        while (await self.request_json("GET", submitted["status_url"]))["status"] != "COMPLETED":  # noqa: ASYNC110
            await asyncio.sleep(POLL_SECONDS)
        result = await self.request_json("GET", submitted["response_url"])
        return (await self.http_client.get(result["images"][0]["url"])).raise_for_status().content

    async def request_json(self, method: str, url: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """The response of fal's queue to one request."""
        response = await self.http_client.request(method, url, json=body)
        content: dict[str, Any] = response.raise_for_status().json()
        return content


def main() -> None:
    discord.http.Route.BASE = os.environ["DISCORD_API_URL"]
    discord.gateway.DiscordWebSocket.DEFAULT_GATEWAY = yarl.URL(os.environ["DISCORD_GATEWAY_URL"])
    Barest().run(os.environ["DISCORD_TOKEN"])


if __name__ == "__main__":
    main()

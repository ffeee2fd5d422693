"""Interaction responses: the callback, and the webhook calls with the interaction's token."""

from __future__ import annotations

import time
from typing import Any

from bot.sandbox.discord.files import Json
from bot.sandbox.discord.messages import Messages
from bot.sandbox.discord.model import (
    EPHEMERAL,
    LOADING,
    USE_EXTERNAL_APPS,
    ApiError,
    Interaction,
    Message,
)
from bot.sandbox.discord.traffic import Call, Reply
from bot.sandbox.discord.validation import check_choices, check_modal
from bot.sandbox.discord.world import World

MESSAGE, DEFER, DEFER_UPDATE, UPDATE, CHOICES, MODAL = 4, 5, 6, 7, 8, 9
MOST_FOLLOW_UPS_OF_USER_INSTALL = 5


class Webhooks:
    """The calls that an interaction's token allows."""

    def __init__(self, world: World, messages: Messages) -> None:
        self.world = world
        self.messages = messages

    def callback(self, call: Call) -> Reply:
        """The first response: once, and within ``ack_within`` seconds."""
        interaction = self.world.interactions.get(call.id("interaction"))
        now = time.monotonic()
        if interaction is None or interaction.token != call.path["token"]:
            raise ApiError(404, 10062, "Unknown interaction")
        interaction.callbacks += 1
        if interaction.response is not None:
            raise ApiError(400, 40060, "Interaction has already been acknowledged.")
        if interaction.age(now) > self.world.settings.ack_within:
            raise ApiError(404, 10062, "Unknown interaction")
        kind, data = call.payload["type"], call.payload.get("data") or {}
        message = self._carry_out(interaction, kind, data, call)
        if kind in (DEFER_UPDATE, UPDATE):
            interaction.original_id = interaction.source_id
        elif message is not None:
            interaction.original_id = message.id
        interaction.responded_at = now
        interaction.response = {"type": kind, "data": data}
        interaction.wakeup.notify()
        if call.query.get("with_response", "").lower() not in ("1", "true"):
            return 204, None
        return 200, self._response(interaction, kind, message)

    def _carry_out(self, interaction: Interaction, kind: int, data: Json, call: Call) -> Message | None:
        self._check_kind(interaction, kind)
        if kind in (MESSAGE, DEFER):
            return self._message(interaction, kind, data, call)
        if kind == UPDATE:
            source = self._source(interaction)
            return self.messages.edit(source, data, call.files, route=call.template)
        if kind == CHOICES:
            self.messages.check(call.template, check_choices(data.get("choices") or []))
        elif kind == MODAL:
            self.messages.check(call.template, check_modal(data))
            self.world.modals[data["custom_id"]] = data
        return None

    def _check_kind(self, interaction: Interaction, kind: int) -> None:
        fits = {
            MESSAGE: interaction.kind != "autocomplete",
            DEFER: interaction.kind != "autocomplete",
            DEFER_UPDATE: interaction.source_id is not None,
            UPDATE: interaction.source_id is not None,
            CHOICES: interaction.kind == "autocomplete",
            MODAL: interaction.kind not in ("modal", "autocomplete"),
        }
        if not fits.get(kind):
            raise ApiError(
                400,
                50035,
                "Invalid Form Body",
                {"type": {"_errors": [{"code": "TYPE", "message": "This answer does not fit the interaction."}]}},
            )

    def _message(self, interaction: Interaction, kind: int, data: Json, call: Call) -> Message:
        channel = self.world.channels[interaction.channel_id]
        message_type = {"slash": 20, "message": 23}.get(interaction.kind, 0)
        flags = (data.get("flags") or 0) | self._forced_flags(interaction)
        if kind == MESSAGE:
            return self.messages.create(
                channel,
                data | {"flags": flags},
                call.files,
                author_id=self.world.bot.id,
                route=call.template,
                interaction=interaction,
                kind=message_type,
            )
        message = Message(
            id=self.world.new_id(),
            channel_id=channel.id,
            author_id=self.world.bot.id,
            type=message_type,
            flags=LOADING | (flags & EPHEMERAL),
            interaction=interaction,
        )
        if flags & ~EPHEMERAL:
            self.messages.traffic.violation(call.template, "flags", "a deferral takes EPHEMERAL and nothing else")
        interaction.deferred = True
        self.messages.store(channel, message)
        return message

    def _forced_flags(self, interaction: Interaction) -> int:
        # Without USE_EXTERNAL_APPS the responses of an app that is only user-installed are ephemeral.
        channel = self.world.channels[interaction.channel_id]
        if interaction.user_only and not (
            self.world.permissions(channel, interaction.user_id) & USE_EXTERNAL_APPS
        ):
            return EPHEMERAL
        return 0

    def _response(self, interaction: Interaction, kind: int, message: Message | None) -> Json:
        described: Json = {"id": str(interaction.id), "type": interaction.payload["type"]}
        if interaction.original_id is not None:
            described["response_message_id"] = str(interaction.original_id)
            described["response_message_loading"] = kind == DEFER
            described["response_message_ephemeral"] = bool(message and message.ephemeral)
        response: Json = {"interaction": described}
        if message is not None and kind in (MESSAGE, UPDATE):
            response["resource"] = {"type": kind, "message": self.world.message_json(message)}
        return response

    def _source(self, interaction: Interaction) -> Message:
        channel = self.world.channels[interaction.channel_id]
        message = channel.messages.get(interaction.source_id or 0)
        if message is None or message.deleted:
            raise ApiError(404, 10008, "Unknown Message")
        return message

    def _interaction(self, call: Call) -> Interaction:
        interaction = self.world.tokens.get(call.path["token"])
        if interaction is None or interaction.response is None or call.id("application") != self.world.bot.id:
            raise ApiError(404, 10015, "Unknown Webhook")
        if time.monotonic() > interaction.expires_at:
            raise ApiError(401, 50027, "Invalid Webhook Token")
        return interaction

    def _own_message(self, call: Call) -> Message:
        interaction = self._interaction(call)
        place: Any = call.path["message"]
        message_id = interaction.original_id if place == "@original" else int(place)
        own = message_id == interaction.original_id or message_id in interaction.followups
        message = self.world.channels[interaction.channel_id].messages.get(message_id or 0)
        if not own or message is None or message.deleted:
            raise ApiError(404, 10008, "Unknown Message")
        return message

    def follow_up(self, call: Call) -> Reply:
        """Post a follow-up message; the first one after a deferral replaces the loading message."""
        interaction = self._interaction(call)
        channel = self.world.channels[interaction.channel_id]
        original = channel.messages.get(interaction.original_id or 0)
        if interaction.deferred and original is not None and original.flags & LOADING:
            edited = self.messages.edit(original, call.payload, call.files, route=call.template)
            return 200, self.world.message_json(edited)
        if interaction.user_only and len(interaction.followups) >= MOST_FOLLOW_UPS_OF_USER_INSTALL:
            raise ApiError(400, 40094, "Maximum number of follow-up messages reached")
        body = call.payload | {"flags": (call.payload.get("flags") or 0) | self._forced_flags(interaction)}
        message = self.messages.create(
            channel,
            body,
            call.files,
            author_id=self.world.bot.id,
            route=call.template,
            interaction=interaction,
        )
        interaction.followups.append(message.id)
        return 200, self.world.message_json(message)

    def get(self, call: Call) -> Reply:
        """The response or a follow-up message."""
        return 200, self.world.message_json(self._own_message(call))

    def edit(self, call: Call) -> Reply:
        """Edit the response or a follow-up message."""
        edited = self.messages.edit(self._own_message(call), call.payload, call.files, route=call.template)
        return 200, self.world.message_json(edited)

    def delete(self, call: Call) -> Reply:
        """Delete the response or a follow-up message."""
        self.messages.delete(self._own_message(call))
        return 204, None

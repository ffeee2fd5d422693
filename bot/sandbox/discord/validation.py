"""Discord's documented limits on what an app sends (docs: resources/message, components/reference)."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bot.sandbox.discord.files import Json
from bot.sandbox.discord.model import COMPONENTS_V2, EPHEMERAL, walk_components

SUPPRESS_EMBEDS, SUPPRESS_NOTIFICATIONS = 1 << 2, 1 << 12
ALLOWED_FLAGS = SUPPRESS_EMBEDS | SUPPRESS_NOTIFICATIONS | EPHEMERAL | COMPONENTS_V2
ACTION_ROW, BUTTON, TEXT_INPUT, SECTION, TEXT, THUMBNAIL, GALLERY, FILE = 1, 2, 4, 9, 10, 11, 12, 13
SEPARATOR, CONTAINER, LABEL, UPLOAD = 14, 17, 18, 19
SELECTS = frozenset({3, 5, 6, 7, 8})
NEWER = frozenset({SECTION, TEXT, THUMBNAIL, GALLERY, FILE, SEPARATOR, CONTAINER})
COMMAND_NAME = re.compile(r"[-_'\w]{1,32}")


@dataclass(frozen=True, slots=True)
class Problem:
    """One broken rule: the path in the body, and Discord's message."""

    path: tuple[str | int, ...]
    message: str
    code: str = "BASE_TYPE_BAD_LENGTH"


Problems = Iterator[Problem]


def error_tree(problems: Sequence[Problem]) -> Json:
    """The nested ``errors`` object of an Invalid Form Body response."""
    tree: Json = {}
    for problem in problems:
        node = tree
        for step in problem.path:
            node = node.setdefault(str(step), {})
        node.setdefault("_errors", []).append({"code": problem.code, "message": problem.message})
    return tree


def _longer(data: Mapping[str, Any], key: str, most: int, path: tuple[str | int, ...] = ()) -> Problems:
    value = data.get(key)
    if isinstance(value, str) and len(value) > most:
        yield Problem((*path, key), f"Must be {most} or fewer in length.", "BASE_TYPE_MAX_LENGTH")


def check_message(
    body: Json, *, flags: int = 0, files: Collection[int] = (), names: Collection[str] = ()
) -> Problems:
    """The rules that a message or an edit breaks.

    ``flags`` are the flags of the edited message, ``files`` the numbers of the files in the request, ``names``
    the file names of the resulting message.
    """
    yield from _longer(body, "content", 2000)
    yield from _longer(body, "nonce", 25)
    flags |= body.get("flags") or 0
    if (body.get("flags") or 0) & ~ALLOWED_FLAGS:
        yield Problem(("flags",), "These flags cannot be set.", "BITFIELD_NOT_ALLOWED")
    embeds, components = body.get("embeds") or [], body.get("components") or []
    if flags & COMPONENTS_V2:
        for key in ("content", "embeds", "sticker_ids", "poll"):
            if body.get(key):
                yield Problem((key,), f"The '{key}' field cannot be used here.", "COMPONENTS_V2_EXCLUDES")
    yield from _check_embeds(embeds, names)
    yield from _check_components(components, newer=bool(flags & COMPONENTS_V2), names=names)
    yield from _check_attachments(body.get("attachments") or [], files)
    yield from _check_mentions(body.get("allowed_mentions") or {})


def _check_attachments(attachments: Sequence[Json], files: Collection[int]) -> Problems:
    if len(attachments) > 10 or len(files) > 10:
        yield Problem(("attachments",), "Must be 10 or fewer in length.", "BASE_TYPE_MAX_LENGTH")
    for index, attachment in enumerate(attachments):
        yield from _longer(attachment, "description", 1024, ("attachments", index))
    listed = {int(a["id"]) for a in attachments if int(a["id"]) < 100}
    if attachments and listed - set(files):
        yield Problem(("attachments",), "A listed file did not come along.", "ATTACHMENT_NOT_FOUND")


def _check_mentions(mentions: Json) -> Problems:
    for kind in ("users", "roles"):
        if mentions.get(kind) and kind in (mentions.get("parse") or []):
            yield Problem(("allowed_mentions",), f"parse:[{kind}] and {kind} exclude each other.", "EXCLUSIVE")
        if len(mentions.get(kind) or []) > 100:
            yield Problem(("allowed_mentions", kind), "Must be 100 or fewer.", "BASE_TYPE_MAX_LENGTH")


def _check_embeds(embeds: Sequence[Json], names: Collection[str]) -> Problems:
    if len(embeds) > 10:
        yield Problem(("embeds",), "Must be 10 or fewer in length.", "BASE_TYPE_MAX_LENGTH")
    total = 0
    for index, embed in enumerate(embeds):
        path = ("embeds", index)
        fields = embed.get("fields") or []
        author, footer = embed.get("author") or {}, embed.get("footer") or {}
        yield from _longer(embed, "title", 256, path)
        yield from _longer(embed, "description", 4096, path)
        yield from _longer(author, "name", 256, (*path, "author"))
        yield from _longer(footer, "text", 2048, (*path, "footer"))
        if len(fields) > 25:
            yield Problem((*path, "fields"), "Must be 25 or fewer in length.", "BASE_TYPE_MAX_LENGTH")
        for number, item in enumerate(fields):
            yield from _longer(item, "name", 256, (*path, "fields", number))
            yield from _longer(item, "value", 1024, (*path, "fields", number))
        texts = [embed.get("title"), embed.get("description"), author.get("name"), footer.get("text")]
        texts += [item.get(key) for item in fields for key in ("name", "value")]
        total += sum(len(text) for text in texts if text)
        for key in ("image", "thumbnail"):
            yield from _check_media(embed.get(key) or {}, (*path, key), names)
    if total > 6000:
        yield Problem(("embeds",), "Embed size exceeds maximum size of 6000", "MAX_EMBED_SIZE_EXCEEDED")


def _check_media(media: Json, path: tuple[str | int, ...], names: Collection[str]) -> Problems:
    url = str(media.get("url", ""))
    if url.startswith("attachment://") and url.removeprefix("attachment://") not in names:
        yield Problem((*path, "url"), "No attachment of that name.", "UNKNOWN_ATTACHMENT")


def _check_components(components: Sequence[Json], *, newer: bool, names: Collection[str]) -> Problems:
    everything = walk_components(components)
    if not newer and len(components) > 5:
        yield Problem(("components",), "Must be 5 or fewer in length.")
    if newer and len(everything) > 40:
        yield Problem(("components",), "Must be 40 or fewer components in all.")
    if newer and sum(len(c.get("content", "")) for c in everything if c.get("type") == TEXT) > 4000:
        yield Problem(("components",), "The text of all components exceeds 4000.")
    if not newer and any(c.get("type") in NEWER for c in everything):
        yield Problem(("components",), "This type of component needs IS_COMPONENTS_V2.", "UNION_TYPE_CHOICES")
    ids = [c["custom_id"] for c in everything if c.get("custom_id") is not None]
    if len(ids) != len(set(ids)):
        yield Problem(("components",), "Component custom id cannot be duplicated", "DUPLICATED_CUSTOM_ID")
    for index, component in enumerate(everything):
        yield from _check_component(component, ("components", index), names)


def _check_component(component: Json, path: tuple[str | int, ...], names: Collection[str]) -> Problems:
    kind, inner = component.get("type"), component.get("components") or []
    custom_id = component.get("custom_id")
    if custom_id is not None and not 1 <= len(custom_id) <= 100:
        yield Problem((*path, "custom_id"), "Must be between 1 and 100 in length.")
    if kind == ACTION_ROW:
        selects = [c for c in inner if c.get("type") in SELECTS]
        if not 1 <= len(inner) <= 5 or (selects and len(inner) > 1):
            yield Problem((*path, "components"), "A row holds one to five buttons, or one select.")
    elif kind == BUTTON:
        yield from _check_button(component, path)
    elif kind in SELECTS:
        yield from _check_select(component, path)
    elif kind == SECTION and (not 1 <= len(inner) <= 3 or not component.get("accessory")):
        yield Problem((*path, "components"), "A section holds one to three texts and an accessory.")
    elif kind == GALLERY:
        items = component.get("items") or []
        if not 1 <= len(items) <= 10:
            yield Problem((*path, "items"), "Must be between 1 and 10 in length.")
        for number, item in enumerate(items):
            yield from _longer(item, "description", 1024, (*path, "items", number))
            yield from _check_media(item.get("media") or {}, (*path, "items", number, "media"), names)
    elif kind in (FILE, THUMBNAIL):
        media = component.get("file" if kind == FILE else "media") or {}
        yield from _longer(component, "description", 1024, path)
        yield from _check_media(media, path, names)


def _check_button(button: Json, path: tuple[str | int, ...]) -> Problems:
    yield from _longer(button, "label", 80, path)
    yield from _longer(button, "url", 512, path)
    style = button.get("style")
    needed = {5: "url", 6: "sku_id"}.get(style if isinstance(style, int) else 0, "custom_id")
    if style not in range(1, 7) or not button.get(needed):
        yield Problem((*path, needed), "A button of this style needs this field.", "BASE_TYPE_REQUIRED")
    if style != 6 and not button.get("label") and not button.get("emoji"):
        yield Problem((*path, "label"), "A button needs a label or an emoji.", "BASE_TYPE_REQUIRED")


def _check_select(select: Json, path: tuple[str | int, ...]) -> Problems:
    yield from _longer(select, "placeholder", 150, path)
    options = select.get("options") or []
    if len(options) > 25 or (select.get("type") == 3 and not options):
        yield Problem((*path, "options"), "Must be between 1 and 25 in length.")
    for number, option in enumerate(options):
        for key in ("label", "value", "description"):
            yield from _longer(option, key, 100, (*path, "options", number))


def check_modal(modal: Json) -> Problems:
    """The rules that a modal breaks."""
    yield from _longer(modal, "title", 45)
    if not 1 <= len(modal.get("custom_id") or "") <= 100:
        yield Problem(("custom_id",), "Must be between 1 and 100 in length.")
    parts = modal.get("components") or []
    if not modal.get("title"):
        yield Problem(("title",), "This field is required", "BASE_TYPE_REQUIRED")
    if not 1 <= len(parts) <= 5:
        yield Problem(("components",), "Must be between 1 and 5 in length.")
    for index, part in enumerate(parts):
        path = ("components", index)
        yield from _longer(part, "label", 45, path)
        yield from _longer(part, "description", 100, path)
        child: Json = part.get("component") or next(iter(part.get("components") or []), {})
        yield from _check_component(child, path, ())
        yield from _longer(child, "placeholder", 100 if child.get("type") == TEXT_INPUT else 150, path)
        if child.get("type") == TEXT_INPUT:
            yield from _longer(child, "value", 4000, path)
        if child.get("type") == UPLOAD and not 0 <= (child.get("max_values") or 1) <= 10:
            yield Problem((*path, "max_values"), "Must be between 0 and 10.")
        if child.get("disabled"):
            yield Problem((*path, "disabled"), "Nothing in a modal can be disabled.", "INVALID")


def check_choices(choices: Sequence[Json]) -> Problems:
    """The rules that the choices of an autocomplete break."""
    if len(choices) > 25:
        yield Problem(("choices",), "Must be 25 or fewer in length.", "BASE_TYPE_MAX_LENGTH")
    for index, choice in enumerate(choices):
        yield from _longer(choice, "name", 100, ("choices", index))
        yield from _longer(choice, "value", 100, ("choices", index))


def check_commands(commands: Sequence[Json]) -> Problems:
    """The rules that a bulk overwrite of commands breaks."""
    for kind, most in ((1, 100), (2, 15), (3, 15)):
        names = [c.get("name") for c in commands if (c.get("type") or 1) == kind]
        if len(names) > most:
            yield Problem((), f"At most {most} commands of type {kind}.", "APPLICATION_COMMANDS_LIMIT")
        if len(names) != len(set(names)):
            yield Problem((), "Application command names must be unique", "APPLICATION_COMMANDS_DUPLICATE_NAME")
    for index, command in enumerate(commands):
        if (command.get("type") or 1) == 1:
            yield from _check_slash(command, (index,))
        elif not 1 <= len(command.get("name", "")) <= 32:
            yield Problem((index, "name"), "Must be between 1 and 32 in length.")


def _check_slash(command: Json, path: tuple[str | int, ...]) -> Problems:
    name = str(command.get("name", ""))
    if not COMMAND_NAME.fullmatch(name) or name != name.lower():
        yield Problem((*path, "name"), "Command name is invalid", "APPLICATION_COMMAND_INVALID_NAME")
    if not 1 <= len(command.get("description") or "") <= 100:
        yield Problem((*path, "description"), "Must be between 1 and 100 in length.")
    options = command.get("options") or []
    if len(options) > 25:
        yield Problem((*path, "options"), "Must be 25 or fewer in length.", "BASE_TYPE_MAX_LENGTH")
    required = [bool(option.get("required")) for option in options if option.get("type") not in (1, 2)]
    if required != sorted(required, reverse=True):
        yield Problem((*path, "options"), "Required options must be placed before others", "REQUIRED_ORDER")
    for number, option in enumerate(options):
        yield from _check_slash(option, (*path, "options", number))
        if option.get("choices"):
            where = (*path, "options", number)
            yield from (Problem((*where, *p.path), p.message, p.code) for p in check_choices(option["choices"]))

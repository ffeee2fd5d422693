"""What each message looks like, and its custom ids: data in, discord.py objects out.

A custom id is `easel:<verb>:<job id>`; everything else about a job is in the database.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import discord

from bot.domain.errors import EaselError, QuotaExceeded
from bot.domain.jobs import AcceptedJob, Finished, Job, JobState, Progress
from bot.domain.limits import Allowance, Limit
from bot.domain.money import Money
from bot.domain.providers import ModelProviders, ProviderOrder
from bot.domain.requests import ImageRequest

CONTENT = 2000
"""Characters in a message: Discord's docs, Message resource."""
ALT_TEXT = 1024
"""Characters in an attachment's description: the same page."""
SHOWN_PROMPT = 1500
BRAND = discord.Colour(0xE4572E)
CUSTOM_ID = re.compile(r"easel:(?P<verb>[a-z]+):(?P<job>\d{1,20})")
NOBODY = discord.AllowedMentions.none()


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageContent:
    """A message to be: `view` is plain data and never kept in memory."""

    content: str = ""
    embeds: list[discord.Embed] = field(default_factory=list)
    view: discord.ui.View | None = None


def escape(text: str) -> str:
    """A person's text as they wrote it: no markdown, no mention, no link preview."""
    # discord.py's own escaping leaves alone what stands between two masked links.
    escaped = re.sub(r"[\\*_~|`\[<@]|:(?=//)", r"\\\g<0>", text)
    return re.sub(r"^([^\S\n]*)([#>+-])", r"\1\\\2", escaped, flags=re.MULTILINE)


def truncate(text: str, most: int) -> str:
    """At most so many characters, with an ellipsis where something was cut."""
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"


def timestamp(milliseconds: int, style: str = "R") -> str:
    """A Discord timestamp, shown in each reader's own time zone."""
    return f"<t:{milliseconds // 1000}:{style}>"


def custom_id(verb: str, job_id: int) -> str:
    """What a button carries."""
    return f"easel:{verb}:{job_id}"


def _view(*buttons: discord.ui.Button[discord.ui.View]) -> discord.ui.View:
    view = discord.ui.View(timeout=None)
    for button in buttons:
        view.add_item(button)
    view.stop()  # a stopped view is sent like any other, and discord.py does not keep it
    return view


def cancel_button(job_id: int, label: str = "Cancel") -> discord.ui.Button[discord.ui.View]:
    """Cancel a job."""
    return discord.ui.Button(
        label=label, style=discord.ButtonStyle.secondary, custom_id=custom_id("cancel", job_id)
    )


def edit_button(job_id: int) -> discord.ui.Button[discord.ui.View]:
    """Open the form that edits a result."""
    return discord.ui.Button(
        label="Edit", emoji="✏️", style=discord.ButtonStyle.primary, custom_id=custom_id("edit", job_id)
    )


def delete_button(job_id: int) -> discord.ui.Button[discord.ui.View]:
    """Delete a result."""
    return discord.ui.Button(
        label="Delete", emoji="🗑️", style=discord.ButtonStyle.secondary, custom_id=custom_id("delete", job_id)
    )


def allowance_left(allowance: Allowance) -> str:
    """Seven of ten left today."""
    period = {"day": "today", "week": "this week", "month": "this month"}[allowance.why.window]
    granted = f" and {allowance.granted} granted" if allowance.granted else ""
    return f"{allowance.left - allowance.granted} of {allowance.limit} left {period}{granted}"


def options(request: ImageRequest, label: str) -> str:
    """The options that a request was made with, those that say something."""
    parts = [label]
    if request.count > 1:
        parts.append(f"{request.count} pictures")
    if request.size != "auto":
        parts.append(escape(request.size))
    parts.append(request.quality if request.quality != "auto" else "auto quality")
    if request.background != "auto":
        parts.append(request.background)
    if request.output_format not in ("png", "jpeg", "webp"):
        parts.append(request.output_format.upper())
    return " · ".join(parts)


def card(commission: AcceptedJob, label: str, note: str = "") -> MessageContent:
    """The first answer: what was asked, what it will cost at most, what is left."""
    job = commission.job
    verb = "Editing" if job.request.kind == "edit" else "Painting"
    place = f"{commission.ahead} ahead" if commission.ahead else "next in line"
    lines = [
        f"🎨 **{verb}:** {escape(truncate(job.request.prompt, 200))}",
        f"-# {options(job.request, label)}",
        f"Queued, {place} · at most {commission.price} · {allowance_left(commission.allowance)}",
    ]
    if commission.changes:
        lines.append(f"-# {sentences(commission.changes)}")
    if note:
        lines.append(note)
    return MessageContent(content=_fitted(lines), view=_view(cancel_button(job.id)))


def sentences(clauses: Sequence[str]) -> str:
    """Clauses as sentences: 16:9 became 3:2. The service chooses the quality itself."""
    return " ".join(f"{clause[:1].upper()}{clause[1:].rstrip('.')}." for clause in clauses)


def card_in_progress(job: Job, progress: Progress, label: str) -> MessageContent:
    """The card while the job runs."""
    verb = "Editing" if job.request.kind == "edit" else "Painting"
    news = progress.note or "Working on it."
    if progress.preview is not None:
        news = "Not finished yet"
    if progress.position:
        news = f"In the service's queue, {progress.position} ahead"
    lines = [
        f"🎨 **{verb}:** {escape(truncate(job.request.prompt, 200))}",
        f"-# {options(job.request, label)}",
        f"{news[:1].upper()}{news[1:]} · started {timestamp(job.created_at)}",
    ]
    if progress.changes:
        lines.append(f"-# {sentences(progress.changes)}")
    return MessageContent(content=_fitted(lines), view=_view(cancel_button(job.id)))


def _fitted(lines: Sequence[str]) -> str:
    return truncate("\n".join(lines), CONTENT)


def result(job: Job, finished: Finished, label: str) -> MessageContent:
    """The message that holds the pictures."""
    lines = [f"<@{job.requester.user_id}>"]
    embeds = []
    prompt = escape(job.request.prompt)
    if len(prompt) <= SHOWN_PROMPT:
        lines[0] += f" {prompt}"
    else:
        embeds.append(discord.Embed(description=_whole_prompt(job.request.prompt), colour=BRAND))
    if finished.note:
        lines.append(finished.note)
    lines += [
        f"[Picture {number}]({link}): too large for this channel" for number, link in enumerate(finished.links, 1)
    ]
    advice = "reply to change it" if len(finished.pictures) == 1 else "reply with #2 … to change the second"
    lines.append(f"-# {options(job.request, label)} · {job.charged.money} · {advice}")
    buttons = _view(edit_button(job.id), delete_button(job.id))
    return MessageContent(content=_fitted(lines), embeds=embeds, view=buttons)


def _whole_prompt(prompt: str) -> str:
    """All of a long prompt, literally; Discord's embeds hold 4096 characters."""
    escaped = escape(prompt)
    if len(escaped) <= 4096:
        return escaped
    unfenced = re.sub("``(?=`)", "``\u200b", prompt)
    return f"```\n{truncate(unfenced, 4080)}\n```"


def alt_text(request: ImageRequest, *, finished: bool = True) -> str:
    """What a screen reader says of a picture."""
    return truncate(request.prompt if finished else f"Not finished yet: {request.prompt}", ALT_TEXT)


def refusal(error: EaselError) -> str:
    """One clear sentence; where a picture was asked for, also that it cost nothing."""
    if isinstance(error, QuotaExceeded):
        return f"{_no_room(error)} Nothing was charged."
    return f"{error.sentence} Nothing was charged." if error.about_a_picture else error.sentence


def _no_room(error: QuotaExceeded) -> str:
    if error.rule.limit == 0:
        return f"Painting is switched off here: {rule_text(error.rule)}. A moderator can change that."
    pictures = "picture" if error.wanted == 1 else "pictures"
    return (
        f"You asked for {error.wanted} {pictures} and have {error.left} left. "
        f"The limit is {rule_text(error.rule)}; it starts anew {timestamp(error.resets_at)}. "
        "A moderator can give you more."
    )


def rule_text(rule: Limit) -> str:
    """A rule in words: 10 pictures per day for everyone."""
    whom = {
        "member": f"for <@{rule.subject_id}>",
        "role": f"for <@&{rule.subject_id}>",
        "everyone": "for everyone",
        "guild": "for the whole server",
        "operator": "for all of Easel",
    }[rule.subject]
    if rule.limit == 0:
        return f"no pictures {whom}"
    pictures = "1 picture" if rule.limit == 1 else f"{rule.limit} pictures"
    return f"{pictures if rule.unit == 'images' else Money(rule.limit)} per {rule.window} {whom}"


def allowance(of: Allowance) -> MessageContent:
    """What `/quota` shows."""
    pictures = "picture" if of.left == 1 else "pictures"
    advice = "Type /imagine to paint one." if of.left else "A moderator can give you more."
    embed = discord.Embed(title=f"{of.left} {pictures} left", description=advice, colour=BRAND)
    embed.add_field(name="Limit", value=rule_text(of.why), inline=False)
    embed.add_field(name="Spent", value=str(of.spent))
    embed.add_field(name="Reserved", value=str(of.reserved))
    if of.granted:
        embed.add_field(name="Granted", value=f"{of.granted}, used after the limit’s own")
    resets = f"{timestamp(of.resets_at, 'f')} ({timestamp(of.resets_at)})"
    embed.add_field(name="Starts anew", value=resets, inline=False)
    return MessageContent(embeds=[embed])


STATES = {
    JobState.WAITING: "waiting",
    JobState.RUNNING: "painting",
    JobState.DELIVERING: "posting",
    JobState.DONE: "done",
    JobState.FAILED: "failed, nothing charged",
    JobState.CANCELLED: "cancelled, nothing charged",
}


def history(of: Sequence[Job], guild_id: int) -> MessageContent:
    """What `/jobs` shows: running ones with a button that cancels them, then recent ones."""
    if not of:
        return MessageContent(content="You have no pictures yet. Type /imagine to paint one.")
    lines = ["**Your latest requests**"]
    buttons: list[discord.ui.Button[discord.ui.View]] = []
    for number, job in enumerate(of, 1):
        lines.append(_history_line(number, job, guild_id))
        if job.state in (JobState.WAITING, JobState.RUNNING) and len(buttons) < 5:
            buttons.append(cancel_button(job.id, f"Cancel {number}"))
    return MessageContent(content=_fitted(lines), view=_view(*buttons) if buttons else None)


def _history_line(number: int, job: Job, guild_id: int) -> str:
    state = STATES[job.state]
    if job.state is JobState.DONE:
        pictures = "picture" if job.charged.images == 1 else "pictures"
        state = f"{job.charged.images} {pictures}, {job.charged.money}"
    line = f"{number}. {escape(truncate(job.request.prompt, 60))} · {state} · {timestamp(job.created_at)}"
    if job.result_message_id:
        place = f"{guild_id}/{job.requester.channel_id}/{job.result_message_id}"
        line += f" · [see it](https://discord.com/channels/{place})"
    return line


def limit_set(rule: Limit, former: Limit | None) -> str:
    """The answer to `/moderate limit`: what holds now and how to undo it."""
    before = rule_text(former) if former else "none of their own"
    return f"The limit is now {rule_text(rule)}. Before: {before}."


def limits(rules: Sequence[Limit]) -> str:
    """The answer to `/moderate limits`."""
    lines = [
        f"- {rule_text(rule)}" + (f", set by <@{rule.set_by}>" if rule.set_by else ", Easel's default")
        for rule in rules
    ]
    return _fitted(["A member's own limit holds first, then their most generous role's, then everyone's.", *lines])


def granted(member_id: int, change: int, left: Allowance) -> str:
    """The answer to `/moderate grant`."""
    if change == 0:
        return f"<@{member_id}> has no granted pictures that could be taken back."
    pictures = "picture" if abs(change) == 1 else "pictures"
    if change > 0:
        return f"<@{member_id}> was given {change} {pictures} and now has {allowance_left(left)}."
    return f"{-change} granted {pictures} taken back. <@{member_id}> now has {allowance_left(left)}."


def limit_cleared(former: Limit | None) -> str:
    """The answer to `/moderate clear`."""
    if former is None:
        return "There was no such limit. `/moderate limits` shows those there are."
    return f"Removed: {rule_text(former)}. The next wider limit holds now."


def routes(offers: Sequence[ModelProviders]) -> str:
    """The answer to `/moderate services`: each model, who paints it in which order, until when, for how much."""
    lines = ["**Who paints, in the order in which they are asked**"]
    for offer in offers:
        services = " → ".join(f"{service(name)}{_resting(state)}" for name, state in offer.services)
        own = " (set here)" if offer.own else ""
        price = f" · a medium square at most {offer.price}" if offer.price else ""
        lines.append(f"- **{offer.label}**: {services or 'switched off'}{own}{price}")
    return _fitted([*lines, "-# Change it with `/moderate model`."])


def _resting(state: str) -> str:
    return {"well": "", "resting": " (not answering)", "locked": " (needs its operator)"}[state]


def route_set(label: str, route: ProviderOrder | None, former: ProviderOrder | None) -> str:
    """The answer to `/moderate model`: what holds now, and what did before."""
    if route == former or (route and former and route.services == former.services):
        return f"Nothing has changed: {label} {_ways(route)}."
    undo = former.services if former else ("default",)
    again = f"-# Undo: `/moderate model model: {label} services: {', '.join(undo) or 'off'}`"
    return f"{label} {_ways(route)}. Before, it {_ways(former, was=True)}.\n{again}"


def _ways(route: ProviderOrder | None, *, was: bool = False) -> str:
    if route is not None and not route.services:
        return "was switched off here" if was else "is switched off here"
    order = "Easel’s own order" if route is None else ", then ".join(service(name) for name in route.services)
    return (
        f"{'was' if was else 'is now'} painted by {order}" if route else f"{'kept' if was else 'keeps'} to {order}"
    )


def service(name: str) -> str:
    """A service's name as its people write it."""
    return {"lumenfall": "Lumenfall", "oxen": "Oxen"}.get(name, name)


def with_notices(sentence: str, notices: Sequence[str]) -> str:
    """An answer to a moderator, and below it what is announced, as far as there is room."""
    return _fitted([sentence, *(f"-# ⚠️ {notice}" for notice in notices)])


def announcement(notice: str) -> str:
    """News for moderators."""
    return f"{notice}\n-# `/moderate services` shows which models there are, and who paints them."

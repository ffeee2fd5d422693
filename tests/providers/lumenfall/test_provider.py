"""Easel against Lumenfall's wire: over sockets, with everything that can go wrong while a picture is painted."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from io import BytesIO
from typing import Any

import aiohttp
import pytest
from PIL import Image
from pydantic import SecretStr

from bot.catalog.catalog import Catalog
from bot.catalog.offers import Submit
from bot.domain.clock import Clock, real_time
from bot.domain.errors import (
    InvalidResponse,
    ModelRetired,
    PromptRejected,
    ProviderBusy,
    ProviderError,
    ProviderMisconfigured,
    RateLimited,
    RequestRejected,
    ResultLost,
    SetupError,
    SourceRejected,
    SubmitUnknown,
    TicketLost,
)
from bot.domain.jobs import Finished, Progress, Ticket
from bot.domain.money import Money
from bot.domain.pictures import InputPicture, Picture
from bot.domain.providers import CancelResult
from bot.domain.requests import ImageRequest, Source
from bot.net.hosts import AllowedHosts
from bot.pictures import Pictures
from bot.providers.lumenfall.provider import LumenfallProvider
from bot.providers.shared.http import NotSent, ResponseTooLarge, Timeouts, open_session
from bot.providers.shared.polling import PollPolicy
from bot.sandbox.lumenfall.records import GatewayRequest
from bot.sandbox.lumenfall.server import LumenfallSandbox

KEY = "lmnfl_easel.a-very-secret-part"
LOCAL = AllowedHosts.parse("127.0.0.1:*")
PACE = PollPolicy(first=0.01, longest=0.02, jitter=0, trouble=0.01, trouble_longest=0.02, failures=5)
QUICK = Timeouts(connect=2, silence=0.5, total=1.0)
ASKED = ImageRequest(prompt="a fox in the snow", model="gpt-image-1.5", quality="low", size="square")
SOURCE = Source(url="https://cdn.discordapp.com/a.png", filename="a.png")
EDIT = replace(ASKED, sources=(SOURCE,))


def painted(size: tuple[int, int] = (64, 64), mode: str = "RGB", colour: Any = "red", kind: str = "PNG") -> bytes:
    buffer = BytesIO()
    Image.new(mode, size, colour).save(buffer, kind)
    return buffer.getvalue()


def given(content: bytes, filename: str = "a.png", content_type: str = "image/png") -> InputPicture:
    return InputPicture(
        picture=Picture(content=content, content_type=content_type, filename=filename, width=64, height=64)
    )


MASK = given(painted(mode="RGBA", colour=(0, 0, 0, 0)), "mask.png")


@dataclass
class LumenfallFixture:
    """What a composition root would build, around one stand-in."""

    sandbox: LumenfallSandbox
    client: aiohttp.ClientSession
    pictures: Pictures
    catalog: Catalog
    news: list[Progress] = field(default_factory=list)
    """What was told while a submit was waited for."""

    def lumenfall(self, **changes: Any) -> LumenfallProvider:
        options: dict[str, Any] = {
            "key": SecretStr(KEY),
            "base_url": f"{self.sandbox.base_url}/",
            "media_hosts": LOCAL,
            "offers": self.catalog.at("lumenfall"),
            "pictures": self.pictures,
            "clock": Clock(),
            "pace": PACE,
            "partials": 0,
        }
        return LumenfallProvider(self.client, **{**options, **changes})

    def order(
        self, request: ImageRequest = ASKED, *inputs: InputPicture, mask: InputPicture | None = None, **more: Any
    ) -> Submit:
        fit = self.catalog.offer(request.model, "lumenfall").fit(request)
        known = {"job_id": 7, "count": request.count, "submitted_at": real_time(), **more}
        return Submit(fit=fit, inputs=inputs, mask=mask, **known)

    async def submit(self, order: Submit | None = None, **changes: Any) -> Ticket:
        return await self.lumenfall(**changes).submit(order or self.order(), self.news.append)

    async def finished(self, order: Submit | None = None, **changes: Any) -> Finished:
        ticket = await self.submit(order, **changes)
        return (await all_news(self.lumenfall(**changes), ticket))[1]

    @property
    def request(self) -> GatewayRequest:
        """The only request that the stand-in accepted."""
        (request,) = self.sandbox.requests.values()
        return request

    def spoil(self, name: str, **values: Any) -> None:
        self.sandbox.faults.set(name, **values)


def spooled(ticket: Ticket) -> Callable[[], Awaitable[tuple[bytes, ...]]]:
    async def kept() -> tuple[bytes, ...]:
        return ticket.kept

    return kept


async def empty() -> tuple[bytes, ...]:
    return ()


async def all_news(
    lumenfall: LumenfallProvider, ticket: Ticket, kept: Any = None
) -> tuple[list[Progress], Finished]:
    stored = replace(ticket, kept=())  # what the database gives back
    news = [item async for item in lumenfall.follow(stored, ASKED, kept or spooled(ticket))]
    last = news[-1]
    assert isinstance(last, Finished)
    return [item for item in news if isinstance(item, Progress)], last


@asynccontextmanager
async def open_house(**options: Any) -> AsyncIterator[LumenfallFixture]:
    async with AsyncExitStack() as stack:
        pictures = Pictures()
        stack.callback(pictures.close)
        client = await stack.enter_async_context(open_session(100, ssl=False))
        behaviour = {"key": KEY, "run_seconds": 0.01, "partial_seconds": 0.0, "one_picture": True, **options}
        sandbox = await stack.enter_async_context(LumenfallSandbox(**behaviour))
        yield LumenfallFixture(sandbox, client, pictures, Catalog.load())


@pytest.fixture
async def house() -> AsyncIterator[LumenfallFixture]:
    async with open_house() as opened:
        yield opened


# The plain way


async def test_a_prompt_becomes_a_picture_that_is_fetched_from_its_link(house: LumenfallFixture) -> None:
    ticket = await house.submit()
    (link,) = ticket.data["links"]
    assert link.startswith(house.sandbox.url)
    assert (ticket.provider, ticket.count, ticket.kept) == ("lumenfall", 1, ())
    assert ticket.data["request_id"] == house.request.request_id
    news, finished = await all_news(house.lumenfall(), ticket)
    assert news == [Progress(fraction=1.0, note="painted")]
    (picture,) = finished.pictures
    assert (picture.content_type, picture.width, picture.height) == ("image/png", 1024, 1024)
    assert (picture.filename, picture.url) == ("picture-1.png", link)
    assert finished.cost == Money(house.request.cost_micros) > Money(0)
    assert (finished.note, house.sandbox.submits) == ("", 1)


async def test_bytes_inside_the_answer_are_kept_because_they_come_only_once(house: LumenfallFixture) -> None:
    ticket = await house.submit(house.order(replace(ASKED, count=3)), inline=True)
    assert [content[:4] for content in ticket.kept] == [b"\x89PNG"] * 3
    assert (ticket.data["links"], ticket.data["kept"]) == ([], 3)
    _, finished = await all_news(house.lumenfall(), ticket)
    assert [picture.filename for picture in finished.pictures] == [f"picture-{n}.png" for n in (1, 2, 3)]
    assert finished.cost == Money(house.request.cost_micros)
    assert house.request.fields["response_format"] == "b64_json"


async def test_a_data_uri_in_the_place_of_a_link_is_kept_as_well() -> None:
    async with open_house(routes=("fal",)) as house:
        ticket = await house.submit(extra={"sync_mode": True})
        assert (ticket.data["links"], len(ticket.kept)) == ([], 1)
        assert (await all_news(house.lumenfall(), ticket))[1].pictures[0].width == 1024


@pytest.mark.parametrize(
    ("change", "wire"),
    [
        ({}, {"prompt": "a fox in the snow", "model": "gpt-image-1.5", "n": 1, "response_format": "url"}),
        ({"model": "gpt-image-1"}, {"model": "gpt-image-1"}),
        ({"size": "auto"}, {"size": None, "aspect_ratio": None}),
        ({"size": "1024x1536"}, {"size": "1024x1536"}),
        ({"size": "1254x836"}, {"size": "1254x836"}),
        ({"size": "1100x1300"}, {"size": "1100x1300"}),
        ({"size": "3:2"}, {"aspect_ratio": "3:2", "resolution": "1K", "size": None}),
        ({"quality": "auto"}, {"quality": None}),
        ({"quality": "medium"}, {"quality": "medium"}),
        ({"quality": "high"}, {"quality": "high"}),
        ({"background": "auto"}, {"background": None}),
        ({"background": "transparent"}, {"background": "transparent"}),
        ({"background": "opaque"}, {"background": "opaque"}),
        ({"output_format": "png"}, {"output_format": "png", "output_compression": None}),
        ({"output_format": "jpeg", "compression": 40}, {"output_format": "jpeg", "output_compression": 40}),
        ({"output_format": "webp", "compression": 0}, {"output_format": "webp", "output_compression": 0}),
        ({"output_format": "gif"}, {"output_format": "gif"}),
        ({"output_format": "avif"}, {"output_format": "avif"}),
        ({"count": 10}, {"n": 10}),
    ],
)
async def test_each_option_is_spelled_as_lumenfall_reads_it(
    house: LumenfallFixture, change: dict[str, Any], wire: dict[str, Any]
) -> None:
    house.spoil("exhausted")  # what was asked is what counts here, not what is painted
    with pytest.raises(ProviderBusy):
        await house.submit(house.order(replace(ASKED, **change)))
    assert {name: house.request.fields.get(name) for name in wire} == wire
    assert house.request.operation == "generations"


async def test_a_request_is_named_so_that_it_is_found_again(house: LumenfallFixture) -> None:
    await house.submit(house.order(part=2))
    assert house.request.fields["user"] == "easel-7-2"
    assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-01", house.request.headers["traceparent"])
    assert house.request.trace_id is not None
    assert set(house.request.fields) == {
        *("model", "prompt", "n", "size", "quality", "output_format", "response_format", "user")
    }


async def test_the_operators_own_fields_go_along_and_never_replace_easels(house: LumenfallFixture) -> None:
    extra = {"moderation": "low", "user_id": "u1", "sync_mode": False, "model": "other", "user": "other"}
    ticket = await house.submit(extra=extra, openai_key=SecretStr("sk-own"))
    fields = house.request.fields
    assert (fields["moderation"], fields["user_id"], fields["sync_mode"]) == ("low", "u1", False)
    assert (fields["model"], fields["user"]) == ("gpt-image-1.5", "easel-7-0")
    assert fields["openai_api_key"] == "<secret>"
    assert "sk-own" not in repr(ticket)
    await house.submit(house.order(part=1))
    assert "openai_api_key" not in list(house.sandbox.requests.values())[1].fields


async def test_an_edit_sends_its_pictures_and_its_mask_as_files(house: LumenfallFixture) -> None:
    asked = replace(
        EDIT,
        sources=(SOURCE, SOURCE),
        mask=SOURCE,
        fidelity="high",
        background="transparent",
        output_format="webp",
        compression=55,
        count=2,
    )
    inputs = given(painted()), given(painted(kind="JPEG"), 'my "cät".jpg', "image/jpeg")
    finished = await house.finished(house.order(asked, *inputs, mask=MASK), extra={"sync_mode": False})
    assert [picture.content_type for picture in finished.pictures] == ["image/webp"] * 2
    assert house.request.operation == "edits"
    sent = [(file["field"], file["name"], file["type"], file["bytes"]) for file in house.request.files]
    assert sent == [
        ("image[]", "a.png", "image/png", len(painted())),
        ("image[]", "my__c_t_.jpg", "image/jpeg", len(painted(kind="JPEG"))),
        ("mask", "mask.png", "image/png", len(MASK.picture.content)),
    ]
    assert house.request.fields == {
        "prompt": "a fox in the snow",
        "model": "gpt-image-1.5",
        "n": "2",
        "size": "1024x1024",
        "quality": "low",
        "background": "transparent",
        "output_format": "webp",
        "output_compression": "55",
        "input_fidelity": "high",
        "response_format": "url",
        "sync_mode": "false",
        "user": "easel-7-0",
    }


async def test_an_edit_of_one_large_picture_needs_no_more_than_that(house: LumenfallFixture) -> None:
    noise = Image.effect_noise((1200, 1200), 90)
    buffer = BytesIO()
    noise.save(buffer, "PNG")
    assert len(buffer.getvalue()) > 1_048_576
    await house.submit(house.order(EDIT, given(buffer.getvalue())))
    (file,) = house.request.files
    assert (file["field"], file["bytes"]) == ("image[]", len(buffer.getvalue()))


# A picture that is watched while it is painted


@pytest.mark.parametrize("metadata", [True, False])
async def test_pictures_on_the_way_are_shown_and_the_finished_one_is_kept(metadata: bool) -> None:
    async with open_house(stream_metadata=metadata) as house:
        ticket = await house.submit(partials=2)
        assert [item.note for item in house.news] == ["painting"] * 3
        previews = [item.preview for item in house.news if item.preview]
        assert len(previews) == 2
        for preview in previews:
            assert (await house.pictures.inspect(preview, filename="p")).width == 1024
        assert (house.request.fields["stream"], house.request.fields["partial_images"]) == (True, 2)
        assert (ticket.data["links"], len(ticket.kept)) == ([], 1)
        _, finished = await all_news(house.lumenfall(), ticket)
        # Without a word in the stream, the history tells what it cost.
        assert finished.cost == Money(house.request.cost_micros) > Money(0)
        asked_history = any(call["path"].startswith("/v1/requests/") for call in house.sandbox.calls)
        assert asked_history is not metadata


async def test_an_edit_is_watched_as_well(house: LumenfallFixture) -> None:
    ticket = await house.submit(house.order(replace(EDIT, mask=SOURCE), given(painted()), mask=MASK), partials=3)
    assert len([item for item in house.news if item.preview]) == 3
    assert (house.request.fields["stream"], house.request.fields["partial_images"]) == ("true", "3")
    assert (await all_news(house.lumenfall(), ticket))[1].pictures[0].width == 1024


@pytest.mark.parametrize(("count", "partials"), [(2, 2), (1, 0)])
async def test_only_a_single_picture_is_watched_and_only_if_wanted(
    house: LumenfallFixture, count: int, partials: int
) -> None:
    await house.submit(house.order(replace(ASKED, count=count)), partials=partials)
    assert not {"stream", "partial_images"} & set(house.request.fields)


async def test_plain_json_is_taken_although_a_stream_was_asked_for() -> None:
    async with open_house(streams=False) as house:
        finished = await house.finished(partials=2)
        assert (len(finished.pictures), house.request.fields["stream"]) == (1, True)
        assert finished.cost == Money(house.request.cost_micros)


async def test_an_operators_stream_of_several_pictures_is_read_to_its_end(house: LumenfallFixture) -> None:
    ticket = await house.submit(house.order(replace(ASKED, count=3)), extra={"stream": True})
    assert len(ticket.kept) == 3


async def test_a_garbled_event_costs_a_preview_and_not_the_picture(house: LumenfallFixture) -> None:
    house.spoil("stream_garbled")
    ticket = await house.submit(partials=2)
    assert (len([item for item in house.news if item.preview]), len(ticket.kept)) == (1, 1)


# What comes back is not always a picture


async def test_fewer_pictures_than_asked_are_delivered_with_a_note(house: LumenfallFixture) -> None:
    house.spoil("fewer_pictures")
    finished = await house.finished(house.order(replace(ASKED, count=3)))
    assert (len(finished.pictures), finished.note) == (2, "The service painted 2 of 3 pictures.")
    assert finished.cost == Money(house.request.cost_micros)


@pytest.mark.parametrize(("fault", "inline"), [("empty_item", False), ("not_a_picture", True)])
async def test_one_bad_picture_does_not_spoil_the_others(
    house: LumenfallFixture, fault: str, inline: bool
) -> None:
    house.spoil(fault)
    finished = await house.finished(house.order(replace(ASKED, count=2)), inline=inline)
    assert (len(finished.pictures), finished.note) == (1, "The service painted 1 of 2 pictures.")


@pytest.mark.parametrize(
    ("fault", "inline"),
    [
        ("no_pictures", False),
        ("empty_item", False),
        ("not_base64", True),
        ("not_a_picture", False),
        ("not_a_picture", True),
        ("bomb", True),
        ("cdn_huge", False),
    ],
)
async def test_an_answer_without_a_usable_picture_is_said_so(
    house: LumenfallFixture, fault: str, inline: bool
) -> None:
    house.spoil(fault)
    with pytest.raises(InvalidResponse) as caught:
        await house.finished(inline=inline)
    assert caught.type is InvalidResponse or caught.type is ResponseTooLarge


async def test_what_a_picture_really_is_counts_not_what_it_is_called(house: LumenfallFixture) -> None:
    house.spoil("wrong_type")
    (picture,) = (await house.finished()).pictures
    assert (picture.content_type, picture.filename) == ("image/jpeg", "picture-1.jpg")


@pytest.mark.parametrize(
    ("fault", "values", "cost"),
    [
        ("no_metadata", {}, None),
        ("garbage_cost", {}, None),
        ("garbage_cost", {"body": -1}, None),
        ("garbage_cost", {"body": True}, None),
        ("garbage_cost", {"body": "NaN"}, None),
        ("garbage_cost", {"body": 1e30}, None),
        ("garbage_cost", {"body": "0.0340001"}, 34_001),
        ("garbage_cost", {"body": 0.1 + 0.2}, 300_001),
        ("garbage_cost", {"body": 0}, 0),
    ],
)
async def test_the_cost_is_the_services_own_word_or_not_known(
    house: LumenfallFixture, fault: str, values: dict[str, Any], cost: int | None
) -> None:
    house.spoil(fault, **values)
    assert (await house.submit()).data["cost"] == cost


async def test_a_cost_that_nobody_tells_stays_unknown(house: LumenfallFixture) -> None:
    house.spoil("no_metadata")
    house.spoil("history_error")
    assert (await house.finished()).cost is None
    house.spoil("history_stale")
    house.sandbox.faults.clear("history_error")
    assert (await house.finished(house.order(part=1))).cost is None


# The pictures' links


@pytest.mark.parametrize("status", [404, 410, 403])
async def test_a_link_that_has_run_out_means_painted_and_lost(house: LumenfallFixture, status: int) -> None:
    ticket = await house.submit()
    house.spoil("cdn_error", status=status)
    with pytest.raises(ResultLost) as caught:
        await all_news(house.lumenfall(), ticket)
    assert caught.value.cost == Money(house.request.cost_micros)
    assert "painted" in caught.value.sentence


async def test_links_work_for_an_hour(house: LumenfallFixture) -> None:
    ticket = await house.submit()
    house.sandbox.age(3_500)
    await all_news(house.lumenfall(), ticket)
    house.sandbox.age(200)
    with pytest.raises(ResultLost):
        await all_news(house.lumenfall(), ticket)


@pytest.mark.parametrize(
    ("fault", "values"),
    [
        ("cdn_error", {"status": 503, "times": 1}),
        ("cdn_reset", {"times": 1}),
        ("cdn_slow", {"times": 1}),
        ("cdn_type", {}),
    ],
)
async def test_a_bad_moment_of_the_media_host_passes(
    house: LumenfallFixture, fault: str, values: dict[str, Any]
) -> None:
    ticket = await house.submit()
    house.spoil(fault, **values)
    assert len((await all_news(house.lumenfall(limits=QUICK), ticket))[1].pictures) == 1


async def test_a_media_host_that_stays_away_leaves_the_ticket_good(house: LumenfallFixture) -> None:
    ticket = await house.submit()
    house.spoil("cdn_error", status=500)
    with pytest.raises(ProviderBusy):
        await all_news(house.lumenfall(), ticket)
    house.sandbox.faults.clear()
    assert len((await all_news(house.lumenfall(), ticket))[1].pictures) == 1


@pytest.mark.parametrize("fault", ["foreign_picture", "cdn_redirect"])
async def test_pictures_elsewhere_are_not_fetched_and_the_key_stays_here(
    house: LumenfallFixture, fault: str
) -> None:
    async with open_house() as other:
        house.spoil(fault, url=f"http://localhost:{other.sandbox.port}/x.png")
        with pytest.raises(InvalidResponse):
            await house.finished()
        assert list(other.sandbox.calls) == []


async def test_the_key_is_not_shown_to_the_media_host(house: LumenfallFixture) -> None:
    await house.finished()
    calls = {call["path"].split("/")[1]: call["authorization"] for call in house.sandbox.calls}
    assert calls == {"openai": "Bearer", "files": None}


async def test_a_spool_that_is_empty_means_painted_and_lost(house: LumenfallFixture) -> None:
    ticket = await house.submit(inline=True)
    with pytest.raises(ResultLost) as caught:
        await all_news(house.lumenfall(), ticket, kept=empty)
    assert caught.value.cost == Money(house.request.cost_micros)


async def test_a_ticket_that_is_not_one_of_ours_is_lost(house: LumenfallFixture) -> None:
    with pytest.raises(TicketLost):
        await all_news(house.lumenfall(), Ticket(provider="lumenfall", data={"links": 7}))


async def test_a_cancel_always_comes_too_late(house: LumenfallFixture) -> None:
    assert await house.lumenfall().cancel(await house.submit()) is CancelResult.TOO_LATE


# Refusals


LONG = "prompt: Too big: expected string to have <=1000 characters"
EXHAUSTED = {"error": {"code": "ALL_PROVIDERS_EXHAUSTED", "message": "All providers failed", "type": "api_error"}}
REFUSALS: list[tuple[str, dict[str, Any], type[ProviderError]]] = [
    ("unauthorized", {}, ProviderMisconfigured),
    ("insufficient_balance", {}, ProviderMisconfigured),
    ("model_not_found", {}, ModelRetired),
    ("model_disabled", {}, ModelRetired),
    ("invalid_request", {}, RequestRejected),
    ("invalid_request", {"body": LONG}, RequestRejected),
    ("invalid_request", {"body": "moderation: expected low"}, RequestRejected),
    ("content_policy", {}, PromptRejected),
    ("hidden_moderation", {}, PromptRejected),
    ("hidden_moderation", {"body": "fal: content_policy_violation"}, PromptRejected),
    ("rate_limited", {}, RateLimited),
    ("exhausted", {}, ProviderBusy),
    ("exhausted", {"body": "timeout, quota"}, ProviderBusy),
    ("upstream_error", {}, ProviderBusy),
    ("upstream_error", {"status": 429}, RateLimited),
    ("upstream_error", {"status": 400}, RequestRejected),
    ("upstream_error", {"status": 400, "body": "blocked by our moderation"}, PromptRejected),
    ("upstream_error", {"status": 504}, SubmitUnknown),
    ("internal_error", {}, SubmitUnknown),
    ("internal_error", {"status": 503}, SubmitUnknown),
]


@pytest.mark.parametrize(("fault", "values", "error"), REFUSALS)
async def test_each_refusal_becomes_the_error_that_it_is(
    house: LumenfallFixture, fault: str, values: dict[str, Any], error: type[ProviderError]
) -> None:
    house.spoil(fault, **values)
    with pytest.raises(ProviderError) as caught:
        await house.submit()
    assert caught.type is error
    assert house.sandbox.submits == 1
    assert_discreet(caught.value)


@pytest.mark.parametrize("shape", ["flat", "nested"])
async def test_refusals_are_read_in_their_older_shapes_too(house: LumenfallFixture, shape: str) -> None:
    house.spoil("flat_errors", body=shape)
    for fault, values, error in REFUSALS:
        house.spoil(fault, **values, times=1)
        with pytest.raises(ProviderError) as caught:
            await house.submit()
        assert caught.type is error


def assert_discreet(error: ProviderError) -> None:
    """Neither a secret nor anything that a service or a member wrote."""
    said = f"{error.detail} {error.sentence} {error!r}"
    for secret in ("lmnfl", "secret", "fox", "http", "127.0.0.1", "expected string", "provider's"):
        assert secret not in said
    assert re.fullmatch(r"[\w .,'-]*", error.detail)
    assert error.__cause__ is None


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (400, {"error": {"code": "moderation_blocked", "message": "no", "type": "x"}}, PromptRejected),
        (400, {"error": {"message": "Your request was rejected by the safety system"}}, PromptRejected),
        (400, {"error": "bad"}, RequestRejected),
        (403, {"error": {"message": "forbidden"}}, ProviderMisconfigured),
        (404, {"error": {"code": "NOT_FOUND", "message": "no such path"}}, ProviderMisconfigured),
        (404, {"error": {"message": "the model does not exist"}}, ModelRetired),
        (410, {}, ModelRetired),
        (301, {}, ProviderMisconfigured),
        (408, {}, SubmitUnknown),
        (413, {}, SourceRejected),
        (422, {}, RequestRejected),
        (200, EXHAUSTED, ProviderBusy),
        (200, {"error": {"message": "?"}}, SubmitUnknown),
        (200, [], SubmitUnknown),
        (200, {"data": 7}, SubmitUnknown),
        (201, None, SubmitUnknown),
        (502, ["?"], SubmitUnknown),
        (524, {}, SubmitUnknown),
    ],
)
async def test_an_odd_answer_is_read_as_carefully(
    house: LumenfallFixture, status: int, body: Any, error: type[ProviderError]
) -> None:
    house.spoil("answer_odd", status=status, body=body)
    with pytest.raises(ProviderError) as caught:
        await house.submit()
    assert caught.type is error
    assert_discreet(caught.value)


async def test_a_refusal_says_how_long_to_wait_and_how_long_a_prompt_may_be() -> None:
    async with open_house(prompt_cap=1_000) as house:
        house.spoil("rate_limited", retry_after="7", times=1)
        with pytest.raises(RateLimited) as limited:
            await house.submit()
        assert limited.value.retry_after == 7
        with pytest.raises(RequestRejected) as refused:
            await house.submit(house.order(replace(ASKED, prompt="fox " * 300)))
        assert refused.value.sentence == (
            "The image service takes prompts of up to 1,000 characters; yours has 1,200. Shorten it a little."
        )


async def test_a_picture_that_the_service_cannot_use_is_not_the_prompts_fault(house: LumenfallFixture) -> None:
    with pytest.raises(SourceRejected):
        await house.submit(house.order(EDIT, given(b"no picture")))
    small = given(painted((8, 8), mode="RGBA", colour=(0, 0, 0, 0)), "mask.png")
    with pytest.raises(SourceRejected):
        await house.submit(house.order(replace(EDIT, mask=SOURCE), given(painted()), mask=small))


async def test_a_balance_that_is_used_up_is_the_operators_matter() -> None:
    async with open_house(balance=0.001) as house:
        with pytest.raises(ProviderMisconfigured) as caught:
            await house.submit()
        assert caught.value.detail == "402 INSUFFICIENT_BALANCE balance used up"


async def test_what_never_left_was_never_painted(house: LumenfallFixture) -> None:
    async with open_house() as gone:
        address = gone.sandbox.base_url
    with pytest.raises(NotSent):
        await house.submit(base_url=address)


@pytest.mark.parametrize("changes", [{"key": SecretStr("a b")}, {"key": SecretStr("")}, {"base_url": "nowhere"}])
async def test_a_bad_setting_is_said_at_once_and_not_repeated(
    house: LumenfallFixture, changes: dict[str, Any]
) -> None:
    with pytest.raises(SetupError) as caught:
        house.lumenfall(**changes)
    assert "a b" not in str(caught.value)


async def test_no_more_are_painted_at_once_than_the_operator_allows() -> None:
    async with open_house(run_seconds=0.1) as house:
        lumenfall = house.lumenfall(at_once=2)
        began = real_time()
        orders = [house.order(part=part) for part in range(4)]
        await asyncio.gather(*(lumenfall.submit(order, house.news.append) for order in orders))
        begun = sorted(request.created_at for request in house.sandbox.requests.values())
        assert begun[2] - begun[0] >= 0.09
        assert real_time() - began < 5_000

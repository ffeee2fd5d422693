"""What Easel sends to Oxen, over sockets, and what it makes of the answers to a submit."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from pydantic import SecretStr

from bot.catalog.offers import Submit
from bot.domain.clock import real_time
from bot.domain.errors import (
    GenerationFailed,
    ModelRetired,
    PriceExceeded,
    PromptRejected,
    ProviderBusy,
    ProviderError,
    ProviderMisconfigured,
    RateLimited,
    RequestRejected,
    SetupError,
    SourceRejected,
    SubmitUnknown,
)
from bot.domain.jobs import Progress, Ticket
from bot.domain.money import Money
from bot.domain.pictures import InputPicture
from bot.domain.providers import CancelResult, ModelStatus
from bot.domain.requests import ImageRequest
from bot.ports import Provider
from bot.providers.oxen.request import one_at_a_time
from bot.providers.shared.http import open_session
from tests.support.providers.oxen import (
    ASKED,
    EDIT,
    EXTRA,
    KEY,
    MODEL,
    QUICK,
    OxenFixture,
    all_news,
    closed_port,
    envelope,
    given,
    http,
    later,
    lose,
    open_house,
    painted,
    quiet,
    submits,
    wire,
)


@pytest.fixture
async def house() -> AsyncIterator[OxenFixture]:
    async with open_house() as opened:
        yield opened


# The plain way


async def test_a_prompt_becomes_a_picture_with_news_on_the_way_and_its_true_cost(house: OxenFixture) -> None:
    house.sandbox.faults.set("slow_queue", seconds=0.1)
    house.sandbox.faults.set("slow_run", seconds=0.1)
    oxen = house.oxen()
    port: Provider = oxen
    news, finished = await all_news(oxen, await port.submit(house.order(), quiet))
    (picture,) = finished.pictures
    assert (picture.content_type, picture.width, picture.height) == ("image/png", 1024, 1024)
    assert picture.url is None
    assert finished.cost == Money(40_000)
    assert [item.note for item in news] == ["queued at the service", "painting", "painted"]
    assert [item.fraction for item in news] == [None, None, 1.0]
    assert port.name == "oxen"


@pytest.mark.parametrize("schema_name", ["json_request_schema", "request_schema"])
async def test_only_listed_fields_are_sent_whichever_name_the_schema_has(
    house: OxenFixture, schema_name: Any
) -> None:
    asked = replace(ASKED, quality="low", background="transparent", output_format="webp", size="landscape")
    house.sandbox.schema_name = schema_name
    house.sandbox.extra_fields = EXTRA
    oxen = house.oxen()
    (served,) = (await oxen.examine()).models
    assert served.fields is not None
    assert set(EXTRA) < served.fields
    await oxen.submit(house.order(asked, known=served), quiet)
    whole = {**house.body}
    assert whole == {
        "prompt": "a fox in the snow",
        "num_generations": 1,
        "size": "landscape",
        "quality": "low",
        "background": "transparent",
        "output_format": "webp",
    }
    house.sandbox.extra_fields = ()
    other = house.oxen()
    await other.submit(house.order(asked, known=served), quiet)
    last = list(house.sandbox.generations.values())[-1]
    assert set(last.params) == {"prompt", "num_generations", "size", "output_format"}


async def test_a_schema_that_cannot_be_read_leaves_the_catalogues_own_fields(house: OxenFixture) -> None:
    house.sandbox.faults.set("models_html")
    known = ModelStatus(model=MODEL, fields=frozenset(EXTRA))
    oxen = house.oxen()
    await oxen.submit(house.order(replace(ASKED, quality="high"), known=known), quiet)
    assert set(house.body) == {"prompt", "num_generations", "size", "output_format"}
    await oxen.submit(house.order(), quiet)
    asked = [call for call in house.sandbox.calls if "/models/" in call["path"]]
    assert len(asked) == 1, "it is not asked again at once"


async def test_pictures_go_as_links_where_they_have_one_and_inside_where_not(house: OxenFixture) -> None:
    async with wire(http(200, painted(), content_type="image/png")) as host:
        link = f"{host.url}/a.png"
        finished = await house.result(EDIT, given(painted(), url=link), given(painted()))
    assert len(finished.pictures) == 1
    assert house.body["input_image"][0] == link
    assert house.body["input_image"][1].startswith("data:image/png;base64,")


async def test_rows_that_repeat_large_pictures_are_still_read(house: OxenFixture) -> None:
    padded = painted() + bytes(1_500_000)
    finished = await house.result(EDIT, given(padded))
    assert len(finished.pictures) == 1


async def test_several_pictures_are_counted_on_the_way_and_summed_up(house: OxenFixture) -> None:
    house.sandbox.faults.set("slow_run", seconds=0.3, times=1)
    asked = replace(ASKED, count=4)
    oxen = house.oxen()
    ticket = await oxen.submit(house.order(asked), quiet)
    news, finished = await all_news(oxen, ticket, asked)
    assert (len(ticket.data["ids"]), ticket.count) == (4, 4)
    assert (len(finished.pictures), finished.cost, finished.note) == (4, Money(160_000), "")
    assert "3 of 4 painted" in [item.note for item in news]
    assert [item.fraction for item in news].count(1.0) == 1


async def test_another_process_can_finish_what_one_has_begun(house: OxenFixture) -> None:
    ticket = await house.oxen().submit(house.order(), quiet)
    kept = Ticket(provider="oxen", data=json.loads(json.dumps(ticket.data)), count=ticket.count)
    assert KEY not in json.dumps(kept.data)
    assert "http" not in json.dumps(kept.data)
    async with open_session(100, ssl=False) as client:
        second = OxenFixture(house.sandbox, client, house.pictures, house.offers, house.stack).oxen()
        _, finished = await all_news(second, kept)
        await second.aclose()
    assert len(finished.pictures) == 1
    assert house.sandbox.submits == 1


async def test_a_key_that_cannot_be_one_is_said_at_start_without_showing_it(house: OxenFixture) -> None:
    with pytest.raises(SetupError) as error:
        house.oxen(key=SecretStr("secret\nX-Other: 1"))
    assert "secret" not in str(error.value)


# Submitting: certainly not accepted


@pytest.mark.parametrize(("asked", "seconds"), [("7", 7.0), ("999999", 3600.0), ("soon", None), (None, None)])
async def test_a_429_passes_its_wait_on(house: OxenFixture, asked: str | None, seconds: float | None) -> None:
    house.sandbox.faults.set("submit_rate_limited", retry_after=asked)
    with pytest.raises(RateLimited) as busy:
        await house.oxen().submit(house.order(), quiet)
    assert busy.value.retry_after == seconds


async def test_nobody_listening_means_not_accepted(house: OxenFixture) -> None:
    with pytest.raises(ProviderBusy) as busy:
        await house.oxen(base_url=f"http://127.0.0.1:{closed_port()}").submit(house.order(), quiet)
    assert busy.value.detail.startswith("ClientConnector")


@pytest.mark.parametrize(
    ("answer", "request_", "error"),
    [
        (http(401, envelope("unauthenticated", "You must be logged in")), ASKED, ProviderMisconfigured),
        (http(402, envelope("insufficient_credits", "Insufficient credits")), ASKED, ProviderMisconfigured),
        (http(400, {"error": "Insufficient credits"}), ASKED, ProviderMisconfigured),
        (http(500, {"error": "Insufficient credits"}), ASKED, ProviderMisconfigured),
        (http(200, {"error": "Insufficient credits"}), ASKED, ProviderMisconfigured),
        (http(403, b"<html>"), ASKED, ProviderMisconfigured),
        (http(404, envelope("resource_not_found", "Model not found: gpt-image-1-5")), ASKED, ModelRetired),
        (http(404, b"gone"), ASKED, ModelRetired),
        (http(415, {"error": {"detail": ":unsupported_media_type"}}), ASKED, ModelRetired),
        (http(400, {"error_message": "The model gpt-image-1-5 has been retired"}), ASKED, ModelRetired),
        (http(400, {"error": {"message": "rejected by the safety system"}}), ASKED, PromptRejected),
        (http(500, {"error": {"message": "rejected by the safety system"}}), ASKED, PromptRejected),
        (http(400, envelope("bad_request", "num_generations must be an integer")), ASKED, RequestRejected),
        (http(422, {"detail": [{"msg": "Invalid value for parameter 'size'"}]}), ASKED, RequestRejected),
        (http(413, b"too large"), EDIT, SourceRejected),
        (http(413, b"too large"), ASKED, RequestRejected),
        (http(400, {"error": "403 Client Error: Forbidden for url: http://x/nsfw"}), EDIT, SourceRejected),
        (http(400, {"error": "403 Client Error: Forbidden for url: http://x/nsfw"}), ASKED, RequestRejected),
        (http(200, {"generations": [], "error": "rejected by the safety system"}), ASKED, PromptRejected),
        (http(200, {"generations": [], "error": "It could not be queued"}), ASKED, GenerationFailed),
        (http(307, b"", location="http://127.0.0.1:1/"), ASKED, ProviderBusy),
    ],
)
async def test_a_refusal_at_submit_says_whose_fault_it_was(
    house: OxenFixture, answer: bytes, request_: ImageRequest, error: type[ProviderError]
) -> None:
    async with wire(submits(answer)) as service:
        with pytest.raises(ProviderError) as refusal:
            await house.oxen(base_url=service.url, events=False).submit(house.order(request_), quiet)
        assert type(refusal.value) is error
        assert sum(line.startswith("POST") for line in service.lines) == 1
    shown = repr(vars(refusal.value))
    assert KEY not in shown
    assert "http" not in shown


async def test_words_of_the_prompt_that_an_error_repeats_are_not_the_services_own(house: OxenFixture) -> None:
    prompt = "Model not found, insufficient credits"
    house.sandbox.faults.set("run_error", body=f'Could not paint "{prompt}": Internal Server Error')
    with pytest.raises(GenerationFailed):
        await house.result(replace(ASKED, prompt=prompt))


async def test_what_certainly_costs_more_than_was_reserved_is_not_submitted(house: OxenFixture) -> None:
    oxen = house.oxen()
    with pytest.raises(PriceExceeded):
        await oxen.submit(house.order(replace(ASKED, count=2), most=Money(79_999)), quiet)
    assert house.sandbox.submits == 0
    await oxen.submit(house.order(replace(ASKED, count=2), most=Money(80_000)), quiet)


# Submitting: nobody knows


@pytest.mark.parametrize(
    "name",
    ["submit_lost", "submit_truncated", "submit_refused", "submit_reset", "submit_error_late", "submit_html"],
)
async def test_a_lost_answer_is_never_answered_by_sending_again(house: OxenFixture, name: str) -> None:
    house.sandbox.faults.set(name)
    with pytest.raises(SubmitUnknown):
        await house.oxen().submit(house.order(), quiet)
    assert house.sandbox.submits == 1


@pytest.mark.parametrize(
    "answer",
    [
        http(200, b"<html>hello</html>"),
        http(200, [1, 2]),
        http(200, {"generations": []}),
        http(200, {"generations": [{"id": 5}]}),
        http(200, {"generations": [{"generation_id": "../../users/me"}]}),
        http(200, {"generations": "x"}),
        http(200, b"x" * 2_000_000),
        http(200, b"x", content_length="99999999"),
        http(503, b"<html>"),
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"",
    ],
)
async def test_any_answer_that_leaves_doubt_leaves_it_open(house: OxenFixture, answer: bytes) -> None:
    async with wire(submits(answer)) as service:
        with pytest.raises(SubmitUnknown):
            await house.oxen(base_url=service.url, events=False).submit(house.order(), quiet)
        assert sum(line.startswith("POST") for line in service.lines) == 1


async def test_an_answer_that_takes_too_long_leaves_it_open(house: OxenFixture) -> None:
    house.sandbox.faults.set("submit_slow", seconds=1)
    with pytest.raises(SubmitUnknown):
        await house.oxen(limits=QUICK).submit(house.order(), quiet)


# The way without a queue


def single(house: OxenFixture, request: ImageRequest = ASKED, *inputs: InputPicture) -> Submit:
    offer = one_at_a_time(house.offers)[request.model]
    return Submit(job_id=1, fit=offer.fit(request), count=1, inputs=inputs, submitted_at=real_time())


def test_one_at_a_time_splits_by_one(house: OxenFixture) -> None:
    fit = one_at_a_time(house.offers)[MODEL].fit(replace(ASKED, count=3))
    assert fit.submits == (1, 1, 1)
    assert "num_generations" not in fit.body(1)


@pytest.mark.parametrize("request_", [ASKED, EDIT])
async def test_the_picture_of_a_synchronous_call_is_fetched_by_its_link(
    house: OxenFixture, request_: ImageRequest
) -> None:
    news: list[Progress] = []
    oxen = house.oxen(queue=False)
    inputs = [given(painted())] if request_.sources else []
    ticket = await oxen.submit(single(house, request_, *inputs), news.append)
    assert [item.note for item in news] == ["painting"]
    said, finished = await all_news(oxen, ticket)
    assert (len(finished.pictures), finished.cost) == (1, None)
    assert [item.fraction for item in said] == [1.0]
    assert [row.via for row in house.sandbox.generations.values()] == ["generate"]
    assert house.sandbox.state()["events"]["opened"] == 0
    assert await oxen.cancel(ticket) is CancelResult.TOO_LATE


@pytest.mark.parametrize("name", ["url", "b64_json"])
async def test_bytes_inside_a_synchronous_answer_are_kept(house: OxenFixture, name: str) -> None:
    inside = base64.b64encode(painted()).decode()
    image = {name: inside if name == "b64_json" else f"data:image/png;base64,{inside}"}
    async with wire(submits(http(200, {"images": [image, 5]}))) as service:
        oxen = house.oxen(base_url=service.url, queue=False)
        ticket = await oxen.submit(single(house), quiet)
        assert (ticket.data["urls"], ticket.kept) == ([], (painted(),))
        assert (await all_news(oxen, ticket))[1].pictures[0].width == 64


async def test_an_edit_goes_where_the_model_says(house: OxenFixture) -> None:
    image = {"images": [{"b64_json": base64.b64encode(painted()).decode()}]}
    card = http(200, {"id": "gpt-image-1-5", "endpoint": "/images/edit"})
    async with wire(lambda line: http(200, image) if line.startswith("POST") else card) as service:
        oxen = house.oxen(base_url=service.url, queue=False)
        await oxen.submit(single(house, EDIT, given(painted())), quiet)
        await oxen.submit(single(house), quiet)
        assert service.lines[1:] == ["POST /ai/images/edit", "POST /ai/images/generate"]


@pytest.mark.parametrize(
    ("prompt", "fault", "error"),
    [
        ("something forbidden", None, PromptRejected),
        (ASKED.prompt, "no_credit", ProviderMisconfigured),
        (ASKED.prompt, "submit_lost", SubmitUnknown),
        (ASKED.prompt, "run_error", SubmitUnknown),
    ],
)
async def test_a_synchronous_call_says_at_once_what_went_wrong(
    house: OxenFixture, prompt: str, fault: str | None, error: type[ProviderError]
) -> None:
    if fault:
        house.sandbox.faults.set(fault)
    with pytest.raises(error):
        await house.oxen(queue=False).submit(single(house, replace(ASKED, prompt=prompt)), quiet)


async def test_a_lost_synchronous_answer_is_found_among_the_generations_or_stays_open(house: OxenFixture) -> None:
    oxen, order = house.oxen(queue=False), single(house)
    with pytest.raises(SubmitUnknown):
        await house.oxen(queue=False, clock=later()).reconcile(order, [])
    await lose(house, oxen, order)
    ticket = await oxen.reconcile(order, [])
    assert ticket is not None
    _, finished = await all_news(oxen, ticket)
    assert (len(finished.pictures), finished.cost) == (1, Money(40_000))


# Looking at the service


async def test_examining_tells_key_fields_and_prices_and_costs_nothing(house: OxenFixture) -> None:
    house.sandbox.credits = 12.5
    told = await house.oxen().examine()
    assert (told.provider, told.key_works, told.detail) == ("oxen", True, "12.5 credits left")
    (served,) = told.models
    assert (served.model, served.gone, served.price, served.dearest) == (
        MODEL,
        False,
        Money(40_000),
        Money(40_000),
    )
    assert set(served.fields or ()) == {"prompt", "input_image", "output_format", "size"}
    assert house.sandbox.submits == 0
    house.sandbox.cost_per_image_grid = {
        "low": {"1024x1024": 0.01},
        "medium": {"1024x1024": 0.03, "1536x1024": 0.05},
        "high": {"1024x1024": 0.1, "1536x1024": 0.2},
    }
    (served,) = (await house.oxen().examine()).models
    assert (served.price, served.dearest) == (Money(30_000), Money(200_000))


async def test_examining_knows_a_bad_key_and_a_model_that_is_gone(house: OxenFixture) -> None:
    told = await house.oxen(key=SecretStr("another")).examine()
    assert (told.key_works, told.models[0].gone) == (False, None)
    house.sandbox.faults.set("model_gone")
    told = await house.oxen().examine()
    assert (told.key_works, told.models[0].gone) == (True, True)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        http(200, b"<html>"),
        http(500),
        http(200, [1]),
        http(200, {"pricing": 5, "request_schema": "{"}),
        http(200, {"pricing": {"cost_per_image": "NaN", "cost_per_image_grid": {"a": 1}}, "request_schema": []}),
    ],
)
async def test_examining_never_raises_and_guesses_nothing(house: OxenFixture, answer: bytes) -> None:
    async with wire(answer) as service:
        told = await house.oxen(base_url=service.url).examine()
    assert told.key_works is not False
    assert [(served.price, served.dearest, served.fields) for served in told.models] == [(None, None, None)]
    assert KEY not in repr(told)

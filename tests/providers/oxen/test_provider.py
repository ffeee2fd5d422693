"""What Easel sends to Oxen, and what it makes of the responses to a submit."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from bot.domain.errors import (
    GenerationFailed,
    ModelRetired,
    PromptRejected,
    ProviderBusy,
    ProviderError,
    ProviderMisconfigured,
    RateLimited,
    RequestRejected,
    SetupError,
    SourceRejected,
    SubmitFailed,
    SubmitUnknown,
)
from bot.domain.jobs import Ticket
from bot.domain.money import Money
from bot.domain.requests import ImageRequest
from bot.ports import Provider
from tests.support.providers.deps import HURRIED, ignore_progress, input_picture, painted
from tests.support.providers.oxen import (
    EDIT,
    EXTRA,
    KEY,
    MODEL,
    REQUEST,
    OxenFixture,
    envelope,
    follow,
    open_fixture,
    responding_to_submits,
)
from tests.support.raw_server import closed_port, http, responding


@pytest.fixture
async def fixture() -> AsyncIterator[OxenFixture]:
    async with open_fixture() as opened:
        yield opened


# Success


async def test_a_prompt_becomes_a_picture_with_progress_and_its_true_cost(fixture: OxenFixture) -> None:
    fixture.sandbox.faults.set("slow_queue", seconds=0.1)
    fixture.sandbox.faults.set("slow_run", seconds=0.1)
    oxen = fixture.oxen()
    port: Provider = oxen
    updates, finished = await follow(oxen, await port.submit(fixture.build_submit(), ignore_progress))
    (picture,) = finished.pictures
    assert (picture.content_type, picture.width, picture.height) == ("image/png", 1024, 1024)
    assert picture.url is None
    assert finished.cost == Money(40_000)
    assert [item.note for item in updates] == ["queued at the service", "painting", "painted"]
    assert [item.fraction for item in updates] == [None, None, 1.0]
    assert port.name == "oxen"


@pytest.mark.parametrize("schema_name", ["json_request_schema", "request_schema"])
async def test_only_listed_fields_are_sent_whichever_name_the_schema_has(
    fixture: OxenFixture, schema_name: Any
) -> None:
    image_request = replace(
        REQUEST, quality="low", background="transparent", output_format="webp", size="landscape"
    )
    fixture.sandbox.schema_name = schema_name
    fixture.sandbox.extra_fields = EXTRA
    oxen = fixture.oxen()
    served = next(each for each in (await oxen.check_health()).models if each.model == MODEL)
    assert set(EXTRA) < served.fields["imagine"] == served.fields["edit"]
    await oxen.submit(fixture.build_submit(image_request, known=served), ignore_progress)
    assert fixture.body == {
        "prompt": "a fox in the snow",
        "num_generations": 1,
        "size": "landscape",
        "quality": "low",
        "background": "transparent",
        "output_format": "webp",
    }


async def test_a_model_whose_schema_was_never_read_is_sent_the_catalogues_own_fields(fixture: OxenFixture) -> None:
    fixture.sandbox.faults.set("models_html")
    await fixture.oxen().submit(fixture.build_submit(replace(REQUEST, quality="high")), ignore_progress)
    assert set(fixture.body) == {"prompt", "num_generations", "size", "output_format"}
    assert not [call for call in fixture.sandbox.calls if "/models" in call["path"]], "a submit waits for no list"


async def test_pictures_go_as_links_where_they_have_one_and_inside_where_not(fixture: OxenFixture) -> None:
    async with responding(http(200, painted(), content_type="image/png")) as host:
        link = f"{host.url}/a.png"
        finished = await fixture.result(EDIT, input_picture(painted(), url=link), input_picture(painted()))
    assert len(finished.pictures) == 1
    assert fixture.body["input_image"][0] == link
    assert fixture.body["input_image"][1].startswith("data:image/png;base64,")


async def test_rows_that_repeat_large_pictures_are_still_read(fixture: OxenFixture) -> None:
    padded = painted() + bytes(1_500_000)
    finished = await fixture.result(EDIT, input_picture(padded))
    assert len(finished.pictures) == 1


async def test_several_pictures_are_counted_on_the_way_and_summed_up(fixture: OxenFixture) -> None:
    fixture.sandbox.faults.set("slow_run", seconds=0.3, times=1)
    image_request = replace(REQUEST, count=4)
    oxen = fixture.oxen()
    ticket = await oxen.submit(fixture.build_submit(image_request), ignore_progress)
    updates, finished = await follow(oxen, ticket, image_request)
    assert (len(ticket.data["ids"]), ticket.count) == (4, 4)
    assert (len(finished.pictures), finished.cost) == (4, Money(160_000))
    assert "3 of 4 painted" in [item.note for item in updates]
    assert [item.fraction for item in updates].count(1.0) == 1


async def test_another_process_can_finish_what_one_has_begun(fixture: OxenFixture) -> None:
    ticket = await fixture.oxen().submit(fixture.build_submit(), ignore_progress)
    stored = Ticket(provider="oxen", data=json.loads(json.dumps(ticket.data)), count=ticket.count)
    assert KEY not in json.dumps(stored.data)
    assert "http" not in json.dumps(stored.data)
    await fixture.stack.aclose()
    _, finished = await follow(fixture.oxen(), stored)
    assert len(finished.pictures) == 1
    assert fixture.sandbox.submits == 1


async def test_a_malformed_key_is_refused_at_start_without_showing_it(fixture: OxenFixture) -> None:
    with pytest.raises(SetupError) as error:
        fixture.oxen(api_key="secret\nX-Other: 1")
    assert "secret" not in str(error.value)


# Submitting: certainly not accepted


@pytest.mark.parametrize(
    ("retry_after", "seconds"), [("7", 7.0), ("999999", 3600.0), ("soon", None), (None, None)]
)
async def test_a_429_passes_its_wait_on(
    fixture: OxenFixture, retry_after: str | None, seconds: float | None
) -> None:
    fixture.sandbox.faults.set("submit_rate_limited", retry_after=retry_after)
    with pytest.raises(RateLimited) as busy:
        await fixture.oxen().submit(fixture.build_submit(), ignore_progress)
    assert busy.value.retry_after == seconds


async def test_a_refused_connection_means_not_accepted(fixture: OxenFixture) -> None:
    with pytest.raises(ProviderBusy) as busy:
        await fixture.oxen(base_url=f"http://127.0.0.1:{closed_port()}").submit(
            fixture.build_submit(), ignore_progress
        )
    assert busy.value.detail.startswith("Connect")


@pytest.mark.parametrize(
    ("response", "request_", "error"),
    [
        (http(401, envelope("unauthenticated", "You must be logged in")), REQUEST, ProviderMisconfigured),
        (http(402, envelope("insufficient_credits", "Insufficient credits")), REQUEST, ProviderMisconfigured),
        (http(400, {"error": "Insufficient credits"}), REQUEST, ProviderMisconfigured),
        (http(500, {"error": "Insufficient credits"}), REQUEST, ProviderMisconfigured),
        (http(200, {"error": "Insufficient credits"}), REQUEST, ProviderMisconfigured),
        (http(403, b"<html>"), REQUEST, ProviderMisconfigured),
        (http(404, envelope("resource_not_found", "Model not found: gpt-image-1-5")), REQUEST, ModelRetired),
        (http(404, b"gone"), REQUEST, ModelRetired),
        (http(415, {"error": {"detail": ":unsupported_media_type"}}), REQUEST, ModelRetired),
        (http(400, {"error_message": "The model gpt-image-1-5 has been retired"}), REQUEST, ModelRetired),
        (http(400, {"error": {"message": "rejected by the safety system"}}), REQUEST, PromptRejected),
        (http(500, {"error": {"message": "rejected by the safety system"}}), REQUEST, PromptRejected),
        (http(400, envelope("bad_request", "num_generations must be an integer")), REQUEST, RequestRejected),
        (http(422, {"detail": [{"msg": "Invalid value for parameter 'size'"}]}), REQUEST, RequestRejected),
        (http(413, b"too large"), EDIT, SourceRejected),
        (http(413, b"too large"), REQUEST, RequestRejected),
        (http(400, {"error": "403 Client Error: Forbidden for url: http://x/nsfw"}), EDIT, SourceRejected),
        (http(400, {"error": "403 Client Error: Forbidden for url: http://x/nsfw"}), REQUEST, RequestRejected),
        (http(200, {"generations": [], "error": "rejected by the safety system"}), REQUEST, PromptRejected),
        (http(200, {"generations": [], "error": "It could not be queued"}), REQUEST, GenerationFailed),
        (http(307, b"", location="http://127.0.0.1:1/"), REQUEST, ProviderBusy),
    ],
)
async def test_a_refused_submit_raises_the_right_error(
    fixture: OxenFixture, response: bytes, request_: ImageRequest, error: type[ProviderError]
) -> None:
    async with responding(responding_to_submits(response)) as service:
        with pytest.raises(ProviderError) as refusal:
            await fixture.oxen(base_url=service.url, events=False).submit(
                fixture.build_submit(request_), ignore_progress
            )
        assert type(refusal.value) is error
        assert sum(line.startswith("POST") for line in service.requests) == 1
    shown = repr(vars(refusal.value))
    assert KEY not in shown
    assert "http" not in shown


async def test_the_prompt_that_an_error_repeats_is_not_its_cause(fixture: OxenFixture) -> None:
    prompt = "Model not found, insufficient credits"
    fixture.sandbox.faults.set("run_error", body=f'Could not paint "{prompt}": Internal Server Error')
    with pytest.raises(GenerationFailed):
        await fixture.result(replace(REQUEST, prompt=prompt))


# Submitting: unknown


@pytest.mark.parametrize(
    "name",
    ["submit_lost", "submit_truncated", "submit_refused", "submit_reset", "submit_error_late", "submit_html"],
)
async def test_a_submit_is_not_repeated_after_a_lost_response(fixture: OxenFixture, name: str) -> None:
    fixture.sandbox.faults.set(name)
    with pytest.raises(SubmitFailed if name in ("submit_error_late", "submit_html") else SubmitUnknown):
        await fixture.oxen().submit(fixture.build_submit(), ignore_progress)
    assert fixture.sandbox.submits == 1


@pytest.mark.parametrize(
    "response",
    [
        http(200, b"<html>hello</html>"),
        http(200, [1, 2]),
        http(200, {"generations": []}),
        http(200, {"generations": [{"id": 5}]}),
        http(200, {"generations": [{"generation_id": "../../users/me"}]}),
        http(200, {"generations": "x"}),
        http(200, b"x" * 2_000_000),
        http(200, b"x", content_length="99999999"),
        http(504, b"<html>"),
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"",
    ],
)
async def test_any_unclear_response_leaves_the_submit_unknown(fixture: OxenFixture, response: bytes) -> None:
    async with responding(responding_to_submits(response)) as service:
        with pytest.raises(SubmitUnknown):
            await fixture.oxen(base_url=service.url, events=False).submit(fixture.build_submit(), ignore_progress)
        assert sum(line.startswith("POST") for line in service.requests) == 1


async def test_a_response_that_takes_too_long_leaves_the_submit_unknown(fixture: OxenFixture) -> None:
    fixture.sandbox.faults.set("submit_slow", seconds=1)
    with pytest.raises(SubmitUnknown):
        await fixture.oxen(timeouts=HURRIED).submit(fixture.build_submit(), ignore_progress)

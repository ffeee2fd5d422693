"""Input pictures, and the downloads of results."""

import asyncio
import json

import httpx
import pytest

from bot.sandbox.kit.broken_answers import bomb
from bot.sandbox.oxen.records import TERMINAL
from tests.support.sandbox.oxen import KEY, PLAIN, RED, open_oxen, poll
from tests.support.sandbox.pictures import picture_of


async def test_inputs_are_fetched_over_http_and_must_be_public() -> None:
    async with open_oxen(results_need_key=False) as hub:
        public = (await hub.outcome())["result_url"]
        mapped = public.replace(hub.sandbox.url, "https://pictures.invalid")
        async with open_oxen(url_map={"https://pictures.invalid": hub.sandbox.url}) as caller:
            for url in (public, mapped):
                assert (await caller.outcome(input_image=[url]))["status"] == "succeeded"
            hub.sandbox.faults.set("cdn_error", status=403, times=1)
            row = await caller.outcome(input_image=[public])
            assert row["error_message"].endswith(f"403 Client Error: Forbidden for url: {public}")
            hub.sandbox.results_need_key = True
            row = await caller.outcome(input_image=[RED, public])
            assert row["error_message"].endswith(f"401 Client Error: Unauthorized for url: {public}")


async def test_results_need_the_key_and_expire() -> None:
    async with open_oxen(result_seconds=3_600) as caller:
        row = await caller.outcome()
        url = row["result_url"]
        assert url.startswith(f"{caller.api}/repos/easel/")
        async with httpx.AsyncClient(**PLAIN) as stranger:
            assert (await stranger.get(url)).status_code == 401
            caller.sandbox.results_need_key = False
            assert (await stranger.get(url)).headers["Content-Type"] == "image/png"
        caller.sandbox.age(3_601)
        assert (await caller.picture(row)).status_code == 404
        assert (await poll(caller.http, caller.api, row["generation_id"]))["status"] == "succeeded"


async def test_the_second_listener_records_leaked_keys() -> None:
    async with open_oxen(results_elsewhere=True) as caller:
        row = await caller.outcome()
        response = await caller.picture(row)
        assert response.status_code == 302
        place = response.headers["Location"]
        assert place.startswith(caller.sandbox.elsewhere_url)
        assert caller.sandbox.elsewhere_url != caller.sandbox.url
        good = await caller.picture(row, follow_redirects=True)  # httpx drops the key at another origin
        assert picture_of(good.content).format == "PNG"
        assert (len(caller.sandbox.elsewhere_calls), caller.sandbox.leaked_keys) == (1, 0)
        await caller.http.get(place)
        assert caller.sandbox.leaked_keys == 1
        assert caller.sandbox.elsewhere_calls[-1]["authorization"] == "Bearer"
        assert KEY not in json.dumps(caller.sandbox.state())


async def test_faults_of_a_download() -> None:
    async with open_oxen() as caller:
        row, faults = await caller.outcome(), caller.sandbox.faults
        faults.set("cdn_redirect", url="http://elsewhere.invalid/", times=1)
        assert (await caller.picture(row)).headers["Location"] == "http://elsewhere.invalid/"
        faults.set("cdn_loop")
        with pytest.raises(httpx.TooManyRedirects):
            await caller.picture(row, follow_redirects=True)
        faults.clear()
        faults.set("cdn_reset", times=1)
        with pytest.raises(httpx.TransportError):
            await caller.picture(row)
        faults.set("cdn_huge", size=1_000_000, times=1)
        response = await caller.picture(row)
        assert (len(response.content), "Content-Length" in response.headers) == (1_000_000, False)
        faults.set("cdn_slow", size=8, seconds=0.01, times=1)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await caller.picture(row)
        faults.set("cdn_type", times=1)
        assert (await caller.picture(row)).headers["Content-Type"].startswith("text/html")
        faults.set("cdn_error", times=1)
        assert (await caller.picture(row)).status_code == 404
        assert (await caller.picture(row)).status_code == 200


@pytest.mark.parametrize(
    ("name", "more"), [("wrong_type", {}), ("not_a_picture", {}), ("bomb", {"count": 20_000})]
)
async def test_pictures_that_are_not_what_they_should_be(name: str, more: dict[str, int]) -> None:
    async with open_oxen() as caller:
        caller.sandbox.faults.set(name, times=1, **more)
        response = await caller.picture(await caller.outcome())
        assert response.headers["Content-Type"] == "image/png"
        if name == "wrong_type":
            assert picture_of(response.content).format == "JPEG"
        elif name == "not_a_picture":
            assert response.content.startswith(b"<html>")
        else:
            assert response.content == bomb(20_000)


async def test_links_that_lead_elsewhere_or_nowhere() -> None:
    async with open_oxen() as caller:
        caller.sandbox.faults.set("foreign_picture", url="https://elsewhere.invalid/a.png", times=1)
        assert (await caller.outcome())["result_url"] == "https://elsewhere.invalid/a.png"
        caller.sandbox.faults.set("result_missing", times=1)
        row = await caller.outcome()
        assert (row["status"], row["result_url"]) == ("succeeded", None)


async def test_pictures_are_filled_up_and_the_oldest_go_first() -> None:
    async with open_oxen(picture_bytes=2_000_000, store_bytes=3_000_000, one_picture=False) as caller:
        rows = [await caller.outcome(prompt=prompt) for prompt in ("sea", "snow")]
        codes = [(await caller.picture(row)).status_code for row in rows]
        assert codes == [404, 200]
        assert 2_000_000 <= len((await caller.picture(rows[1])).content) < 2_000_020


async def test_unknown_fields_are_ignored_when_not_strict() -> None:
    async with open_oxen(strict=False) as caller:
        row = await caller.outcome(quality="low", nonsense=True)
        assert (row["status"], row["quality"], row["nonsense"]) == ("succeeded", "low", True)
        assert row["status"] in TERMINAL

"""Cancelling and retrying a row."""

from typing import Any

import pytest

from tests.support.sandbox.oxen import NOT_FOUND, event_lines, open_oxen, poll


@pytest.mark.parametrize("state", ["queued", "processing"])
async def test_a_cancelled_row_stays_and_sends_no_event(state: str) -> None:
    async with open_oxen() as caller, event_lines(caller.http, caller.api) as lines:
        caller.sandbox.faults.set("stuck", body=state, times=1)
        generation_id = await caller.submit()
        await caller.reaches(generation_id, state)
        result = await caller.call("DELETE", f"/ai/queue/{generation_id}")
        assert result == (200, {"status": "success", "generation_id": generation_id})
        row = await poll(caller.http, caller.api, generation_id)
        assert (row["status"], row["result_url"], row["error_message"]) == ("cancelled", None, None)
        after = await caller.submit()
        received = []
        async for line in lines:
            received.append(line)
            if after in line:
                break
        assert generation_id not in "".join(received)
        _, body = await caller.call("GET", f"/ai/generations/{generation_id}")
        assert body["generation"]["cost"] is None


async def test_cancelling_a_finished_row_changes_nothing() -> None:
    async with open_oxen() as caller:
        row = await caller.outcome()
        status, body = await caller.call("DELETE", f"/ai/queue/{row['generation_id']}")
        assert (status, body["status"]) == (200, "success")
        assert await poll(caller.http, caller.api, row["generation_id"]) == row


async def test_a_cancel_can_come_too_late() -> None:
    async with open_oxen(run_seconds=0.3) as caller:
        caller.sandbox.faults.set("cancel_ignored")
        generation_id = await caller.submit()
        await caller.reaches(generation_id, "processing")
        assert (await caller.call("DELETE", f"/ai/queue/{generation_id}"))[0] == 200
        assert (await poll(caller.http, caller.api, generation_id))["status"] == "succeeded"


@pytest.mark.parametrize(
    ("status", "body"), [(200, {"success": True}), (404, NOT_FOUND), (200, "OK"), (202, None)]
)
async def test_odd_cancel_responses(status: int, body: Any) -> None:
    async with open_oxen(queue_seconds=30) as caller:
        generation_id = await caller.submit()
        caller.sandbox.faults.set("cancel_answer", status=status, body=body)
        assert await caller.call("DELETE", f"/ai/queue/{generation_id}") == (status, body)
        assert caller.sandbox.generations[generation_id].status == "cancelled"


async def test_the_other_shape_of_a_cancel() -> None:
    async with open_oxen(queue_seconds=30) as caller:
        generation_id = await caller.submit()
        caller.sandbox.faults.set("cancel_other")
        for _ in range(2):
            result = await caller.call("DELETE", f"/ai/queue/{generation_id}")
            assert result == (200, {"generation_id": generation_id, "status": "cancelled"})


async def test_retry_ends_a_row_and_begins_a_copy() -> None:
    async with open_oxen() as caller:
        caller.sandbox.faults.set("stuck", times=1)
        stuck = await caller.submit(size="square")
        status, body = await caller.call("POST", f"/ai/queue/{stuck}/retry")
        assert (status, body["retried_from_id"]) == (200, stuck)
        row = await poll(caller.http, caller.api, body["generation_id"])
        assert (row["status"], row["size"], row["retried_from_id"]) == ("succeeded", "square", stuck)
        assert caller.sandbox.generations[stuck].status == "cancelled"
        assert (await caller.call("POST", f"/ai/queue/{row['generation_id']}/retry"))[0] == 400

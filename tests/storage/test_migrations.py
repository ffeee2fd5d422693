"""A database of an earlier version is brought up to date with every figure in its place."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path

import pytest

from bot.domain.jobs import JobState, Ticket
from bot.domain.limits import Limit
from bot.domain.money import Amount, Money
from bot.domain.providers import ModelStatus, ProviderOrder
from bot.domain.requests import ImageRequest
from bot.storage import (
    grants,
    jobs,
    limits,
    migrations,
    model_statuses,
    notes,
    provider_orders,
    reservations,
    spool,
    submits,
)
from bot.storage.rows import encode, encode_tickets
from bot.storage.sqlite import TYPES
from tests.support.ledger import (
    CHANNEL,
    DAY,
    DEFAULT_LIMIT,
    GUILD,
    HOUR,
    LEASE,
    MEMBER,
    MODERATOR,
    NOW,
    assert_balanced,
    claim,
    ledger_entries,
    limit_for,
    new_job,
    open_database,
    query,
    requester,
    succeeded,
)

TODAY, THIS_QUARTER = NOW - NOW % DAY, NOW
TICKET = Ticket(provider="fal", data={"request_id": "abc"}, count=2)
REQUEST = ImageRequest(prompt="a fox", model="gpt-image-1.5", count=2)
ENDED, LIVING = 1, 2

SCHEMA = "SELECT type, name, tbl_name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite_%' ORDER BY type, name"
COLUMNS = {
    "grants": ["id", "guild_id", "member_id", "images_left", "expires_at"],
    "guilds": ["id", "time_zone"],
    "ledger": [
        *("id", "at", "guild_id", "member_id", "job_id", "grant_id", "entry", "images", "micros", "actor_id"),
        "reason",
    ],
    "limits": ["guild_id", "subject_kind", "subject_id", "unit", "window_kind", "amount", "set_by"],
    "model_statuses": [
        *("provider", "model", "gone", "available_until", "prices", "fields", "told_at", "priced_at"),
    ],
    "provider_orders": ["guild_id", "model", "providers", "set_by"],
    "jobs": [
        *("id", "state", "guild_id", "member_id", "requester", "request", "reply", "provider", "ticket"),
        *("submitted_at", "resubmits", "cancel_requested", "reserved_images", "reserved_micros"),
        *("charged_images", "charged_micros", "attempts", "due_at", "leased_until", "delivering_at"),
        *("worker", "parent_id", "result_message_id", "error", "created_at"),
        *("waited_ms", "patience_ms", "fetch_failed", "untidy"),
    ],
}


def database_of_version(number: int, path: Path) -> sqlite3.Connection:
    """A file as the version that had `number` migrations created it."""
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute(migrations.TABLE)
    for migration in migrations.load(TYPES)[:number]:
        for statement in migration.statements:
            connection.execute(statement)
        applied = (migration.number, migration.name, migration.checksum, NOW)
        connection.execute("INSERT INTO migrations VALUES (?, ?, ?, ?)", applied)
    connection.commit()
    return connection


def insert(connection: sqlite3.Connection, table: str, *rows: Mapping[str, object]) -> None:
    for row in rows:
        sql = f"INSERT INTO {table} ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})"  # noqa: S608 - literals
        connection.execute(sql, tuple(row.values()))


def old_job(job_id: int, state: str, **fields: object) -> dict[str, object]:
    new = new_job(job_id, request=REQUEST)
    return {
        "id": job_id,
        "state": state,
        "guild_id": GUILD,
        "channel_id": CHANNEL,
        "member_id": MEMBER,
        "kind": "imagine",
        "model": REQUEST.model,
        "requester": encode(new.requester),
        "request": encode(new.request),
        "reply": encode(new.reply),
        "reserved_images": 0,
        "reserved_micros": 0,
        "attempts": 1,
        "due_at": NOW,
        "expires_at": NOW + HOUR,
        "created_at": NOW,
        "updated_at": NOW + 5,
        **fields,
    }


def fill(connection: sqlite3.Connection) -> None:
    """An ended job, a running job that uses a grant, and all that moderators can set, as version 2 wrote it."""
    insert(connection, "guilds", {"id": GUILD, "time_zone": "Asia/Kathmandu", "updated_at": NOW})
    insert(
        connection,
        "jobs",
        old_job(ENDED, "done", charged_images=1, charged_micros=300, result_message_id=777, parent_id=9),
        old_job(
            LIVING,
            "running",
            reserved_images=2,
            reserved_micros=500,
            provider="fal",
            ticket=encode_tickets([TICKET]),
            leased_until=NOW + LEASE,
            worker="w1",
        ),
    )
    granted = {"guild_id": GUILD, "member_id": MEMBER, "created_at": NOW}
    insert(connection, "grants", granted | {"images_left": 2}, granted | {"images_left": 7, "expires_at": NOW + 1})
    entry = {"at": NOW, "guild_id": GUILD, "member_id": MEMBER, "actor_id": MEMBER}
    by_moderator = {"at": NOW, "guild_id": GUILD, "actor_id": MODERATOR}
    insert(
        connection,
        "ledger",
        entry | {"entry": "grant", "grant_id": 1, "images": 4, "actor_id": MODERATOR, "reason": "thanks"},
        entry | {"entry": "grant", "grant_id": 2, "images": 7, "actor_id": MODERATOR},
        entry | {"entry": "adjust", "grant_id": 1, "images": -1, "actor_id": MODERATOR, "reason": "sorry"},
        entry | {"entry": "reserve", "job_id": ENDED, "images": 2, "micros": 500},
        entry | {"entry": "settle", "job_id": ENDED, "images": 1, "micros": 300, "at": NOW + 5},
        entry | {"entry": "refund", "job_id": ENDED, "images": 1, "micros": 200, "at": NOW + 5},
        entry | {"entry": "reserve", "job_id": LIVING, "images": 1, "micros": 500},
        entry | {"entry": "reserve", "job_id": LIVING, "images": 1, "grant_id": 1},
        by_moderator | {"entry": "rule", "reason": "guild 11: 30 images per week; before: none"},
        by_moderator | {"entry": "rule", "reason": "services of gpt-image-1.5: oxen fal; before: the default"},
        by_moderator
        | {"entry": "adjust", "job_id": ENDED, "member_id": None, "actor_id": 0, "reason": "a lost answer"},
    )
    for level, start in ((0, THIS_QUARTER), (1, TODAY)):
        at = {"guild_id": GUILD, "level": level, "start": start, "images_spent": 1, "micros_spent": 300}
        insert(connection, "usage", at | {"subject_id": MEMBER, "images_reserved": 1, "micros_reserved": 500})
        for guild in (GUILD, 0):
            of_all = {"guild_id": guild, "subject_id": 0, "images_reserved": 2, "micros_reserved": 500}
            insert(connection, "usage", at | of_all)
    limit = {"guild_id": GUILD, "set_by": MODERATOR, "set_at": NOW, "subject_id": 0}
    insert(
        connection,
        "rules",
        limit | {"subject_kind": "guild", "unit": "images", "window_kind": "week", "most": 30},
        limit | {"subject_kind": "role", "subject_id": 5, "unit": "micros", "window_kind": "month", "most": 9_000},
    )
    route = {"guild_id": GUILD, "set_by": MODERATOR, "set_at": NOW}
    insert(
        connection,
        "routes",
        route | {"model": "gpt-image-1.5", "services": "oxen fal"},
        route | {"model": "gpt-image-2", "services": ""},
    )
    insert(connection, "spool", {"job_id": LIVING, "number": 0, "content": b"upload"})
    insert(
        connection,
        "notes",
        {"name": "retired:fal:gpt-image-1", "content": str(NOW)},
        {"name": f"told {GUILD}: a model is going", "content": "2026-01-01"},
        {"name": "commands of 7", "content": "digest"},
    )
    connection.commit()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file that version 2 filled."""
    path = tmp_path / "easel.db"
    with closing(database_of_version(2, path)) as connection:
        fill(connection)
    return path


async def test_every_job_and_every_figure_of_an_earlier_version_is_there(path: Path) -> None:
    async with open_database(path) as database:
        await assert_balanced(database)
        ended = await database.read(jobs.get(ENDED))
        assert (ended.state, ended.charged) == (JobState.DONE, Amount(images=1, money=Money(300)))
        assert (ended.requester, ended.request, ended.parent_id) == (requester(), REQUEST, 9)
        assert await database.read(jobs.by_result(777)) == ended
        living = await database.read(jobs.get(LIVING))
        assert (living.state, living.tickets, living.worker) == (JobState.RUNNING, (TICKET,), "w1")
        assert living.reserved == Amount(images=2, money=Money(500))
        assert await database.read(spool.uploads(LIVING)) == {0: b"upload"}
        allowance = await database.read(reservations.allowance(requester(), DEFAULT_LIMIT, NOW))
        assert (allowance.spent, allowance.reserved, allowance.granted, allowance.left) == (1, 1, 9, 17)
        # Midnight in Kathmandu, a quarter to six hours before UTC's.
        assert allowance.resets_at == TODAY + DAY - 5 * HOUR - 45 * 60 * 1000


async def test_the_ledger_keeps_its_rows_in_order_under_their_new_names(path: Path) -> None:
    async with open_database(path) as database:
        rows = await database.read(query("SELECT * FROM ledger ORDER BY id"))
        assert [(row["id"], row["entry"], row["images"], row["micros"], row["at"] - NOW) for row in rows] == [
            (1, "grant", 4, 0, 0),
            (2, "grant", 7, 0, 0),
            (3, "adjust", -1, 0, 0),
            (4, "reserve", 2, 500, 0),
            (5, "settle", 1, 300, 5),
            (6, "release", 1, 200, 5),
            (7, "reserve", 1, 500, 0),
            (8, "reserve", 1, 0, 0),
            (9, "limit", 0, 0, 0),
            (10, "limit", 0, 0, 0),
            (11, "adjust", 0, 0, 0),
        ]
        assert [row["grant_id"] for row in rows] == [1, 2, 1, None, None, None, None, 1, None, None, None]
        assert [row["actor_id"] for row in rows] == [MODERATOR] * 3 + [MEMBER] * 5 + [MODERATOR] * 2 + [0]
        assert [row["member_id"] for row in rows] == [MEMBER] * 8 + [None] * 3
        assert {row["guild_id"] for row in rows} == {GUILD}
        reasons = [row["reason"] for row in rows if row["reason"]]
        assert reasons[:2] == ["thanks", "sorry"]
        assert reasons[2].startswith("guild 11: 30")
        with pytest.raises(RuntimeError, match="CHECK"):
            await database.write(
                query("INSERT INTO ledger (at, guild_id, entry, actor_id) VALUES (0, 0, 'rule', 0)")
            )


async def test_limits_provider_orders_and_notes_of_an_earlier_version_still_apply(path: Path) -> None:
    async with open_database(path) as database:
        of_role = limit_for("role", 5, 9_000, "micros", "month")
        assert await database.read(limits.limits(GUILD)) == [limit_for("guild", 0, 30, window="week"), of_role]
        assert await database.read(provider_orders.orders(GUILD)) == [
            ProviderOrder(model="gpt-image-1.5", providers=("oxen", "fal"), set_by=MODERATOR),
            ProviderOrder(model="gpt-image-2", providers=(), set_by=MODERATOR),
        ]
        statuses = await database.read(model_statuses.all_statuses())
        assert statuses == {("fal", "gpt-image-1"): ModelStatus(model="gpt-image-1", gone=True, told_at=NOW)}
        assert await database.read(notes.read("retired:fal:gpt-image-1")) is None
        assert await database.read(notes.read(f"told {GUILD}: a model is going")) == "2026-01-01"
        assert await database.read(notes.read("commands of 7")) == "digest"


async def test_a_job_that_was_running_goes_on_and_is_settled(path: Path) -> None:
    async with open_database(path) as database:
        [job] = await claim(database, NOW + LEASE, worker="w2")
        assert await database.write(submits.begin_submit(job, "fal", NOW + LEASE))
        assert await database.write(submits.save_ticket(job, TICKET))
        assert await database.write(jobs.finish(job, succeeded(1, 100), NOW + LEASE))
        assert await database.read(ledger_entries(LIVING)) == [
            ("reserve", None, 1, 500),
            ("reserve", 1, 1, 0),
            ("settle", None, 1, 100),
            ("release", 1, 1, 0),
            ("release", None, 0, 400),
        ]
        await assert_balanced(database)


async def test_everything_can_be_written_after_the_migration(path: Path) -> None:
    new_limit = Limit(
        subject="member", subject_id=MEMBER, unit="images", window="day", amount=20, set_by=MODERATOR
    )
    order = ProviderOrder(model="gpt-image-2", providers=("lumenfall",), set_by=MODERATOR)
    async with open_database(path) as database:
        await database.write(limits.set_limit(GUILD, new_limit, NOW))
        before = await database.write(provider_orders.set_order(GUILD, order, NOW))
        assert before is not None
        await database.write(grants.grant(GUILD, MEMBER, 1, MODERATOR, "thanks", NOW))
        await database.write(jobs.accept(new_job(3, images=4), DEFAULT_LIMIT, NOW))
        rows = await database.read(query("SELECT id, entry FROM ledger WHERE id > 11 ORDER BY id"))
        assert [(row["id"], row["entry"]) for row in rows] == [
            (12, "limit"),
            (13, "limit"),
            (14, "grant"),
            (15, "reserve"),
        ]
        await assert_balanced(database)


async def columns(path: Path) -> dict[str, list[str]]:
    async with open_database(path) as database:
        return {
            table: [row["name"] for row in await database.read(query(f"PRAGMA table_info({table})"))]
            for table in COLUMNS
        }


async def schema(path: Path) -> Sequence[tuple[object, ...]]:
    async with open_database(path) as database:
        return [tuple(row) for row in await database.read(query(SCHEMA))]


async def test_a_migrated_database_has_the_schema_of_a_fresh_one(path: Path, tmp_path: Path) -> None:
    fresh, migrated = await schema(tmp_path / "fresh.db"), await schema(path)
    assert migrated == fresh
    assert {name for kind, name, _, _ in fresh if kind == "index"} == {
        *("grants_left", "jobs_leased", "jobs_of_member", "jobs_result", "jobs_to_cancel", "jobs_waiting"),
        *("jobs_untidy", "ledger_job"),
    }
    assert await columns(path) == await columns(tmp_path / "fresh.db") == COLUMNS


@pytest.mark.parametrize("version", [1, 2])
async def test_an_empty_database_of_any_earlier_version_becomes_a_fresh_one(tmp_path: Path, version: int) -> None:
    database_of_version(version, tmp_path / "old.db").close()
    assert await schema(tmp_path / "old.db") == await schema(tmp_path / "fresh.db")


async def test_a_migration_that_fails_leaves_an_earlier_database_as_it_was(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        before = connection.execute(SCHEMA).fetchall()
        connection.execute("CREATE TABLE provider_orders (id BIGINT)")
        connection.commit()
    with pytest.raises(Exception, match="cannot be used"):
        async with open_database(path):
            pass
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DROP TABLE provider_orders")
        assert connection.execute(SCHEMA).fetchall() == before
        connection.commit()
    async with open_database(path) as database:
        await assert_balanced(database)

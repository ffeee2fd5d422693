-- Times are milliseconds since the epoch, money is micro-dollars. RUNNING_NUMBER is replaced by the engine's
-- own type of a number that counts upwards. Statements end with a semicolon at the end of a line.

CREATE TABLE guilds (
    id BIGINT PRIMARY KEY,
    time_zone TEXT NOT NULL DEFAULT 'UTC',
    updated_at BIGINT NOT NULL
);

CREATE TABLE jobs (
    id BIGINT PRIMARY KEY,
    state TEXT NOT NULL CHECK (state IN ('waiting', 'running', 'delivering', 'done', 'failed', 'cancelled')),
    guild_id BIGINT NOT NULL,
    channel_id BIGINT NOT NULL,
    member_id BIGINT NOT NULL,
    kind TEXT NOT NULL,
    model TEXT NOT NULL,
    requester TEXT NOT NULL,
    request TEXT NOT NULL,
    reply TEXT NOT NULL,
    provider TEXT,
    ticket TEXT,
    submitted_at BIGINT,
    resubmits BIGINT NOT NULL DEFAULT 0,
    cancel_requested BIGINT NOT NULL DEFAULT 0,
    reserved_images BIGINT NOT NULL,
    reserved_micros BIGINT NOT NULL,
    charged_images BIGINT NOT NULL DEFAULT 0,
    charged_micros BIGINT NOT NULL DEFAULT 0,
    attempts BIGINT NOT NULL DEFAULT 0,
    due_at BIGINT NOT NULL,
    leased_until BIGINT,
    expires_at BIGINT NOT NULL,
    delivering_at BIGINT,
    worker TEXT,
    parent_id BIGINT,
    result_message_id BIGINT,
    error TEXT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    CHECK (state NOT IN ('done', 'failed', 'cancelled') OR (reserved_images = 0 AND reserved_micros = 0))
);

CREATE INDEX jobs_waiting ON jobs (due_at, id) WHERE state = 'waiting';

CREATE INDEX jobs_leased ON jobs (leased_until) WHERE state IN ('running', 'delivering');

CREATE INDEX jobs_to_cancel ON jobs (worker) WHERE cancel_requested = 1 AND state = 'running';

CREATE INDEX jobs_of_member ON jobs (guild_id, member_id, id);

CREATE INDEX jobs_result ON jobs (result_message_id) WHERE result_message_id IS NOT NULL;

CREATE TABLE grants (
    id RUNNING_NUMBER,
    guild_id BIGINT NOT NULL,
    member_id BIGINT NOT NULL,
    images_left BIGINT NOT NULL CHECK (images_left >= 0),
    expires_at BIGINT,
    created_at BIGINT NOT NULL
);

CREATE INDEX grants_left ON grants (guild_id, member_id) WHERE images_left > 0;

CREATE TABLE ledger (
    id RUNNING_NUMBER,
    at BIGINT NOT NULL,
    guild_id BIGINT NOT NULL,
    member_id BIGINT,
    job_id BIGINT,
    grant_id BIGINT,
    entry TEXT NOT NULL CHECK (entry IN ('reserve', 'settle', 'refund', 'grant', 'expire', 'adjust', 'rule')),
    images BIGINT NOT NULL DEFAULT 0,
    micros BIGINT NOT NULL DEFAULT 0,
    actor_id BIGINT NOT NULL,
    reason TEXT,
    expires_at BIGINT
);

CREATE INDEX ledger_job ON ledger (job_id) WHERE job_id IS NOT NULL;

CREATE INDEX ledger_member ON ledger (guild_id, member_id, at);

-- A subject is a member's id, 0 for the whole guild; guild 0 with subject 0 is the operator.
-- Level 0 is a quarter of an hour, level 1 a UTC day.
CREATE TABLE usage (
    guild_id BIGINT NOT NULL,
    subject_id BIGINT NOT NULL,
    level BIGINT NOT NULL,
    start BIGINT NOT NULL,
    images_spent BIGINT NOT NULL DEFAULT 0,
    images_reserved BIGINT NOT NULL DEFAULT 0,
    micros_spent BIGINT NOT NULL DEFAULT 0,
    micros_reserved BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (guild_id, subject_id, level, start),
    CHECK (images_reserved >= 0 AND micros_reserved >= 0 AND images_spent >= 0 AND micros_spent >= 0)
);

-- "window" is the SQL standard's own word, hence the longer name.
CREATE TABLE rules (
    guild_id BIGINT NOT NULL,
    subject_kind TEXT NOT NULL CHECK (subject_kind IN ('member', 'role', 'everyone', 'guild', 'operator')),
    subject_id BIGINT NOT NULL,
    unit TEXT NOT NULL CHECK (unit IN ('images', 'micros')),
    window_kind TEXT NOT NULL CHECK (window_kind IN ('day', 'week', 'month')),
    most BIGINT NOT NULL CHECK (most >= 0),
    set_by BIGINT NOT NULL,
    set_at BIGINT NOT NULL,
    PRIMARY KEY (guild_id, subject_kind, subject_id, unit, window_kind)
);

CREATE TABLE spool (
    job_id BIGINT NOT NULL,
    number BIGINT NOT NULL,
    content BLOB_TYPE NOT NULL,
    PRIMARY KEY (job_id, number)
);

-- What is remembered between starts: for instance which commands Discord was last given.
CREATE TABLE notes (
    name TEXT PRIMARY KEY,
    content TEXT NOT NULL
);

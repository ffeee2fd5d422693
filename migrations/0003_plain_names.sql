-- The ledger calls an unused hold `release`, since a refund is money that went back, and a limit that a moderator
-- sets `limit`. A CHECK cannot be changed in place, so the table is copied, in its order. Its column `expires_at`
-- and the entry `expire` were never written, and no query used the index by member.
CREATE TABLE new_ledger (
    id RUNNING_NUMBER,
    at BIGINT NOT NULL,
    guild_id BIGINT NOT NULL,
    member_id BIGINT,
    job_id BIGINT,
    grant_id BIGINT,
    entry TEXT NOT NULL CHECK (entry IN ('reserve', 'settle', 'release', 'refund', 'grant', 'adjust', 'limit')),
    images BIGINT NOT NULL DEFAULT 0,
    micros BIGINT NOT NULL DEFAULT 0,
    actor_id BIGINT NOT NULL,
    reason TEXT
);

INSERT INTO new_ledger (at, guild_id, member_id, job_id, grant_id, entry, images, micros, actor_id, reason)
SELECT at, guild_id, member_id, job_id, grant_id,
    CASE entry WHEN 'refund' THEN 'release' WHEN 'rule' THEN 'limit' ELSE entry END,
    images, micros, actor_id, reason
FROM ledger ORDER BY id;

DROP TABLE ledger;

ALTER TABLE new_ledger RENAME TO ledger;

CREATE INDEX ledger_job ON ledger (job_id) WHERE job_id IS NOT NULL;

ALTER TABLE rules RENAME TO limits;

ALTER TABLE limits RENAME COLUMN most TO amount;

ALTER TABLE routes RENAME TO provider_orders;

ALTER TABLE provider_orders RENAME COLUMN services TO providers;

-- What was written and never read: the request holds the kind and the model, the requester the channel, and the
-- ledger the time of every change to a limit, an order or a grant.
ALTER TABLE jobs DROP COLUMN kind;

ALTER TABLE jobs DROP COLUMN model;

ALTER TABLE jobs DROP COLUMN channel_id;

ALTER TABLE jobs DROP COLUMN updated_at;

ALTER TABLE limits DROP COLUMN set_at;

ALTER TABLE provider_orders DROP COLUMN set_at;

ALTER TABLE grants DROP COLUMN created_at;

ALTER TABLE guilds DROP COLUMN updated_at;

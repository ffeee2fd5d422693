-- How long Easel has waited for a job while it was running, and how long it will in all, replace the point in time
-- at which the job was given up: a bot that is stopped, or a computer that sleeps, gives up nothing.
-- `untidy`: the job has ended, and its card may still be in the channel, or its failure untold.
ALTER TABLE jobs ADD COLUMN waited_ms BIGINT NOT NULL DEFAULT 0;

ALTER TABLE jobs ADD COLUMN patience_ms BIGINT NOT NULL DEFAULT 3600000;

ALTER TABLE jobs ADD COLUMN fetch_failed BIGINT NOT NULL DEFAULT 0;

ALTER TABLE jobs ADD COLUMN untidy BIGINT NOT NULL DEFAULT 0;

ALTER TABLE jobs DROP COLUMN expires_at;

CREATE INDEX jobs_untidy ON jobs (id) WHERE untidy = 1;

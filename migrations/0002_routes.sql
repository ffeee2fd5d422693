-- In which order a server's requests for a model go to the services, names apart by spaces; empty: not there.
CREATE TABLE routes (
    guild_id BIGINT NOT NULL,
    model TEXT NOT NULL,
    services TEXT NOT NULL,
    set_by BIGINT NOT NULL,
    set_at BIGINT NOT NULL,
    PRIMARY KEY (guild_id, model)
);

-- What a provider says of a model: whether it is gone, its own prices and the fields of its schema, with the time. The
-- notes about models that are gone move here; their names were "retired:provider:model".
CREATE TABLE model_statuses (
    provider TEXT NOT NULL,
    model TEXT NOT NULL,
    gone BIGINT,
    available_until TEXT,
    prices TEXT NOT NULL,
    fields TEXT NOT NULL,
    told_at BIGINT NOT NULL,
    priced_at BIGINT NOT NULL,
    PRIMARY KEY (provider, model)
);

INSERT INTO model_statuses (provider, model, gone, prices, fields, told_at, priced_at)
SELECT substr(name, 9, instr(substr(name, 9), ':') - 1), substr(name, 9 + instr(substr(name, 9), ':')),
    1, '{}', '{}', CAST(content AS BIGINT), 0
FROM notes WHERE name LIKE 'retired:%:%';

DELETE FROM notes WHERE name LIKE 'retired:%';

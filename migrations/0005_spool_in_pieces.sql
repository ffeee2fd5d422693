-- A picture is stored in pieces, so that no more of it is in memory at a time.
CREATE TABLE spool_pieces (
    job_id BIGINT NOT NULL,
    number BIGINT NOT NULL,
    piece BIGINT NOT NULL,
    content BLOB_TYPE NOT NULL,
    PRIMARY KEY (job_id, number, piece)
);

INSERT INTO spool_pieces (job_id, number, piece, content) SELECT job_id, number, 0, content FROM spool;

DROP TABLE spool;

ALTER TABLE spool_pieces RENAME TO spool;

-- One row, made with the database: checkpoints name it, so that another database
-- (an emptied folder, another server) is told from this one.
CREATE TABLE IF NOT EXISTS generation (
    id String,
    made_at DateTime64(6, 'UTC')
) ENGINE = MergeTree ORDER BY (made_at, id);

INSERT INTO generation
SELECT toString(generateUUIDv4()), now64(6)
WHERE NOT EXISTS (SELECT 1 FROM generation);

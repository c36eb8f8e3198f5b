-- +goose Up

-- Processes that work on this database. Times are the database's own, so that
-- the clocks of the nodes need not agree.
CREATE TABLE nodes (
    id         TEXT PRIMARY KEY,
    address    TEXT NOT NULL,
    started_at BIGINT NOT NULL,
    renewed_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);

-- Who works on what. epoch grows with every taking and never falls, also not
-- when the work has ended: rows are kept. node is empty when nobody has it.
CREATE TABLE owners (
    key      TEXT PRIMARY KEY,
    node     TEXT NOT NULL,
    epoch    BIGINT NOT NULL,
    taken_at BIGINT NOT NULL
);

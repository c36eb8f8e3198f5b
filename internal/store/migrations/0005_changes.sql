-- +goose Up

-- Of the row "events": how many commits have changed a server or an object.
ALTER TABLE counters ADD COLUMN changes BIGINT NOT NULL DEFAULT 0;

-- What each of the last of these commits has changed, for other nodes on the
-- same PostgreSQL. servers: ids as a JSON array.
CREATE TABLE changes (
    n       BIGINT PRIMARY KEY,
    servers TEXT NOT NULL,
    objects BOOLEAN NOT NULL
);

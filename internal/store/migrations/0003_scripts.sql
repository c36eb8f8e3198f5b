-- +goose Up

-- How far the startup script of a machine has come that is run through the
-- guest. progress is the driver's own note to itself.
CREATE TABLE server_scripts (
    server_id  TEXT PRIMARY KEY,
    progress   TEXT NOT NULL,
    note       TEXT NOT NULL,
    started_at BIGINT NOT NULL,
    ended_at   BIGINT,
    exit_code  BIGINT
);

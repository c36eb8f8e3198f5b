-- +goose Up

-- Names of machines that are, or may be, registered. written: the addresses
-- that were last written, as JSON; empty until the first call succeeded.
CREATE TABLE dns_records (
    server_id    TEXT PRIMARY KEY,
    dns_provider TEXT NOT NULL,
    zone         TEXT NOT NULL,
    name         TEXT NOT NULL,
    written      TEXT NOT NULL,
    attempts     BIGINT NOT NULL,
    due_at       BIGINT NOT NULL,
    error        TEXT NOT NULL
);
CREATE INDEX dns_records_provider ON dns_records (dns_provider, due_at);

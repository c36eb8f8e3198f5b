-- +goose Up

-- Machines of a provider config that have failed one after the other before
-- any of them was ready, and when the last of them did.
ALTER TABLE provider_states ADD COLUMN stillborn BIGINT NOT NULL DEFAULT 0;
ALTER TABLE provider_states ADD COLUMN stillborn_at BIGINT;

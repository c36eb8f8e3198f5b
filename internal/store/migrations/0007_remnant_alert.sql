-- +goose Up

-- Why the sweep of disks, addresses and other objects without a machine has
-- stopped; empty while it has not.
ALTER TABLE provider_states ADD COLUMN remnant_error TEXT NOT NULL DEFAULT '';

-- +goose Up

-- How many machines of an autoscale config could be spared, and since when
-- without a break: JSON. NULL where a node of an older version wrote the row.
ALTER TABLE autoscale_states ADD COLUMN spare TEXT;

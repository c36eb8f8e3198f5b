-- +goose Up

-- Which program was the first to work with a version of the schema: an older one
-- that refuses the database can name it.
CREATE TABLE schema_programs (
    schema_version BIGINT PRIMARY KEY,
    program        TEXT NOT NULL
);

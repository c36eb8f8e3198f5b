-- +goose Up

CREATE TABLE installation (
    one BIGINT PRIMARY KEY CHECK (one = 1),
    id  TEXT NOT NULL
);

-- Numbers that only grow: "events", "ping", and "queue/<pool>" for each pool.
CREATE TABLE counters (
    name  TEXT PRIMARY KEY,
    value BIGINT NOT NULL
);
INSERT INTO counters (name, value) VALUES ('events', 0), ('ping', 0);

CREATE TABLE settings (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
);

CREATE TABLE objects (
    kind       TEXT NOT NULL,
    name       TEXT NOT NULL,
    labels     TEXT NOT NULL,
    spec       TEXT NOT NULL,
    secrets    TEXT,
    revision   BIGINT NOT NULL,
    version    BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (kind, name)
);

-- The last revision and version of deleted objects: an object of the same name
-- goes on from there, so that neither number ever means two things.
CREATE TABLE object_marks (
    kind     TEXT NOT NULL,
    name     TEXT NOT NULL,
    revision BIGINT NOT NULL,
    version  BIGINT NOT NULL,
    PRIMARY KEY (kind, name)
);

CREATE TABLE provider_revisions (
    name       TEXT NOT NULL,
    revision   BIGINT NOT NULL,
    version    BIGINT NOT NULL,
    labels     TEXT NOT NULL,
    spec       TEXT NOT NULL,
    secrets    TEXT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (name, revision)
);

-- live: not gone. open: takes sessions. room: open and one more user is
-- allowed. crowded: open, but only for users who are on it already. fixed:
-- registered by hand. free_*: capacity less claims, never negative.
CREATE TABLE servers (
    id                TEXT PRIMARY KEY,
    name              TEXT NOT NULL UNIQUE,
    origin            TEXT NOT NULL,
    pool              TEXT NOT NULL,
    zone              TEXT NOT NULL,
    autoscale_config  TEXT NOT NULL,
    vm_provider       TEXT NOT NULL,
    provider_revision BIGINT NOT NULL,
    phase             TEXT NOT NULL,
    phase_since       BIGINT NOT NULL,
    reason            TEXT NOT NULL,
    missing           BOOLEAN NOT NULL,
    provider_id       TEXT NOT NULL,
    offer             TEXT NOT NULL,
    addresses         TEXT NOT NULL,
    capacity_cores    BIGINT NOT NULL,
    capacity_memory   BIGINT NOT NULL,
    capacity_gpus     BIGINT NOT NULL,
    capacity_places   BIGINT NOT NULL,
    capacity_source   TEXT NOT NULL,
    claimed_cores     BIGINT NOT NULL,
    claimed_memory    BIGINT NOT NULL,
    claimed_gpus      BIGINT NOT NULL,
    claimed_places    BIGINT NOT NULL,
    sessions          BIGINT NOT NULL,
    users             BIGINT NOT NULL,
    max_users         BIGINT NOT NULL,
    one_shot          BOOLEAN NOT NULL,
    used              BOOLEAN NOT NULL,
    drain_deadline    BIGINT,
    attempts          BIGINT NOT NULL,
    unseen            BIGINT NOT NULL,
    agent_version     TEXT NOT NULL,
    created_at        BIGINT NOT NULL,
    call_at           BIGINT,
    asked_at          BIGINT,
    ready_at          BIGINT,
    last_seen_at      BIGINT,
    registered_at     BIGINT,
    gone_at           BIGINT,
    version           BIGINT NOT NULL,
    live              BOOLEAN NOT NULL,
    open              BOOLEAN NOT NULL,
    room              BOOLEAN NOT NULL,
    crowded           BOOLEAN NOT NULL,
    fixed             BOOLEAN NOT NULL,
    free_cores        BIGINT NOT NULL,
    free_memory       BIGINT NOT NULL,
    free_gpus         BIGINT NOT NULL,
    free_places       BIGINT NOT NULL
);
-- Claims: see claims.go.
CREATE INDEX servers_room ON servers (pool, zone, fixed, free_gpus, free_cores, free_memory, id) WHERE room;
CREATE INDEX servers_places ON servers (pool, zone, fixed, free_places, free_gpus, free_cores, free_memory, id) WHERE room AND free_places > 0;
CREATE INDEX servers_crowded ON servers (pool) WHERE crowded;
-- Lists and counts.
CREATE INDEX servers_live ON servers (created_at, id) WHERE live;
CREATE INDEX servers_pool ON servers (pool, created_at, id) WHERE live;
CREATE INDEX servers_config ON servers (autoscale_config, created_at, id) WHERE live;
CREATE INDEX servers_provider ON servers (vm_provider, created_at, id) WHERE live;
CREATE INDEX servers_gone ON servers (gone_at) WHERE gone_at IS NOT NULL;

-- The combinations of zone and origin that a pool has or had.
CREATE TABLE bays (
    pool  TEXT NOT NULL,
    zone  TEXT NOT NULL,
    fixed BOOLEAN NOT NULL,
    PRIMARY KEY (pool, zone, fixed)
);

-- live: not ended. holds: has a claim on a server. due_at: when the session
-- expires or gives up waiting. prior_user: the user before the last change.
CREATE TABLE sessions (
    id              TEXT PRIMARY KEY,
    pool            TEXT NOT NULL,
    zone            TEXT NOT NULL,
    user_name       TEXT NOT NULL,
    prior_user      TEXT NOT NULL,
    state           TEXT NOT NULL,
    reason          TEXT NOT NULL,
    need_cores      BIGINT NOT NULL,
    need_memory     BIGINT NOT NULL,
    need_gpus       BIGINT NOT NULL,
    need_places     BIGINT NOT NULL,
    staging         TEXT NOT NULL,
    server_id       TEXT NOT NULL,
    ttl             BIGINT NOT NULL,
    created_at      BIGINT NOT NULL,
    queue_order     BIGINT NOT NULL,
    assigned_at     BIGINT,
    expires_at      BIGINT,
    wait_until      BIGINT,
    ended_at        BIGINT,
    owner           TEXT NOT NULL,
    idempotency_key TEXT NOT NULL,
    version         BIGINT NOT NULL,
    live            BOOLEAN NOT NULL,
    holds           BOOLEAN NOT NULL,
    due_at          BIGINT
);
CREATE UNIQUE INDEX sessions_key ON sessions (owner, idempotency_key) WHERE idempotency_key <> '';
CREATE INDEX sessions_created ON sessions (created_at, id);
CREATE INDEX sessions_pool ON sessions (pool, created_at, id) WHERE live;
CREATE INDEX sessions_server ON sessions (server_id, user_name) WHERE live;
CREATE INDEX sessions_user ON sessions (user_name, pool, server_id) WHERE holds AND need_places > 0;
CREATE INDEX sessions_queue ON sessions (pool, queue_order, id) WHERE state = 'queued';
CREATE INDEX sessions_staged ON sessions (pool, need_cores, need_memory, need_gpus, need_places, created_at, id) WHERE state = 'staged';
CREATE INDEX sessions_due ON sessions (due_at, id) WHERE due_at IS NOT NULL;
CREATE INDEX sessions_ended ON sessions (ended_at) WHERE ended_at IS NOT NULL;

CREATE TABLE events (
    seq     BIGINT PRIMARY KEY,
    at      BIGINT NOT NULL,
    type    TEXT NOT NULL,
    kind    TEXT NOT NULL,
    name    TEXT NOT NULL,
    id      TEXT NOT NULL,
    pool    TEXT NOT NULL,
    actor   TEXT NOT NULL,
    message TEXT NOT NULL,
    data    TEXT
);
CREATE INDEX events_object ON events (kind, name, seq);
CREATE INDEX events_pool ON events (pool, seq);

CREATE TABLE api_tokens (
    id           TEXT PRIMARY KEY,
    hash         TEXT NOT NULL UNIQUE,
    name         TEXT NOT NULL,
    role         TEXT NOT NULL,
    pool         TEXT NOT NULL,
    created_at   BIGINT NOT NULL,
    created_by   TEXT NOT NULL,
    expires_at   BIGINT,
    last_used_at BIGINT
);

-- previous: the credential before, valid until the present one has been used.
CREATE TABLE agent_credentials (
    server_id TEXT PRIMARY KEY,
    hash      TEXT NOT NULL UNIQUE,
    at        BIGINT NOT NULL,
    previous  TEXT UNIQUE
);

CREATE TABLE autoscale_states (
    config        TEXT PRIMARY KEY,
    surplus_since BIGINT,
    decision      TEXT,
    decided_at    BIGINT
);

CREATE TABLE provider_states (
    provider       TEXT PRIMARY KEY,
    circuit        TEXT NOT NULL,
    failures       BIGINT NOT NULL,
    open_until     BIGINT,
    error          TEXT NOT NULL,
    error_class    TEXT NOT NULL,
    blocked_until  BIGINT,
    blocked_reason TEXT NOT NULL,
    tokens         DOUBLE PRECISION NOT NULL,
    tokens_at      BIGINT,
    listed_at      BIGINT,
    list_error     TEXT NOT NULL,
    sweep_error    TEXT NOT NULL
);

CREATE TABLE sightings (
    provider   TEXT NOT NULL,
    kind       TEXT NOT NULL,
    cloud_id   TEXT NOT NULL,
    name       TEXT NOT NULL,
    server_id  TEXT NOT NULL,
    first_seen BIGINT,
    last_seen  BIGINT,
    count      BIGINT NOT NULL,
    PRIMARY KEY (provider, kind, cloud_id)
);

-- begins_at: bytes of the stream before this line, ever since its beginning.
CREATE TABLE server_logs (
    server_id TEXT NOT NULL,
    stream    TEXT NOT NULL,
    begins_at BIGINT NOT NULL,
    at        BIGINT NOT NULL,
    text      TEXT NOT NULL,
    PRIMARY KEY (server_id, stream, begins_at)
);
CREATE TABLE server_log_ends (
    server_id TEXT NOT NULL,
    stream    TEXT NOT NULL,
    ends_at   BIGINT NOT NULL,
    PRIMARY KEY (server_id, stream)
);

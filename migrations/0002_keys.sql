-- Relay keys. Nothing here can be used in place of one: `hash` is SHA-256 of 128 random bits.
CREATE TABLE relay_keys (
    id TEXT PRIMARY KEY,
    hash TEXT NOT NULL UNIQUE,
    -- Its first characters, to recognise it by.
    hint TEXT NOT NULL,
    name TEXT NOT NULL,
    -- Whose it is; NULL for the operator's.
    user_id TEXT REFERENCES relay_users (id) ON DELETE CASCADE,
    -- JSON.
    rules TEXT NOT NULL,
    -- Grows with each rotation: what was made by an earlier one is over.
    version BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT,
    revoked_at BIGINT
);
CREATE INDEX relay_keys_user ON relay_keys (user_id, created_at);
CREATE INDEX relay_keys_created_at ON relay_keys (created_at, id);

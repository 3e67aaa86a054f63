-- Portable: TEXT and BIGINT alone, times in milliseconds since the epoch, flags 0 or 1.

CREATE TABLE relay_users (
    id TEXT PRIMARY KEY,
    username TEXT NOT NULL UNIQUE,
    username_folded TEXT NOT NULL,
    email TEXT NOT NULL UNIQUE,
    email_folded TEXT NOT NULL,
    password_hash TEXT NOT NULL,
    role TEXT NOT NULL,
    is_active BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    last_login_at BIGINT
);
CREATE INDEX relay_users_username_folded ON relay_users (username_folded);
CREATE INDEX relay_users_email_folded ON relay_users (email_folded);
CREATE INDEX relay_users_created_at ON relay_users (created_at, id);

-- A login ends with a logout, or in time; its refresh tokens are one family.
CREATE TABLE relay_logins (
    id TEXT PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES relay_users (id) ON DELETE CASCADE,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    revoked_at BIGINT,
    revoked_because TEXT
);
CREATE INDEX relay_logins_user ON relay_logins (user_id, created_at);
CREATE INDEX relay_logins_expires_at ON relay_logins (expires_at);

CREATE TABLE relay_refresh_tokens (
    hash TEXT PRIMARY KEY,
    login_id TEXT NOT NULL REFERENCES relay_logins (id) ON DELETE CASCADE,
    created_at BIGINT NOT NULL,
    used_at BIGINT
);
CREATE INDEX relay_refresh_tokens_login ON relay_refresh_tokens (login_id, created_at);

-- Where a user has logged in from; guesses made elsewhere do not slow these down.
CREATE TABLE relay_login_addresses (
    user_id TEXT NOT NULL REFERENCES relay_users (id) ON DELETE CASCADE,
    address_hash TEXT NOT NULL,
    seen_at BIGINT NOT NULL,
    PRIMARY KEY (user_id, address_hash)
);

CREATE TABLE relay_invites (
    id TEXT PRIMARY KEY,
    hash TEXT NOT NULL UNIQUE,
    note TEXT NOT NULL,
    uses_left BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    revoked_at BIGINT
);

-- Users of an earlier accounts API that were taken over, so that none comes back once deleted.
CREATE TABLE relay_adopted (
    source_id TEXT PRIMARY KEY,
    adopted_at BIGINT NOT NULL
);

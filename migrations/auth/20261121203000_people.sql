-- People: who they are, where they belong, and how they are logged in. Times are milliseconds since 1970-01-01 UTC.

CREATE TABLE users (
    id TEXT PRIMARY KEY,
    -- What they log in with, in lower case.
    email TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    -- The name in lower case, to search in; not every database knows how.
    name_folded TEXT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('active', 'suspended')),
    super_admin BOOLEAN NOT NULL,
    -- Rises when access tokens issued before must not count any more.
    generation BIGINT NOT NULL,
    -- Argon2id in the PHC string form. NULL: no password was ever set.
    password_hash TEXT,
    created_at_unix_ms BIGINT NOT NULL,
    -- NULL: never.
    last_login_at_unix_ms BIGINT,
    revision BIGINT NOT NULL
);

CREATE TABLE memberships (
    tenant_id TEXT NOT NULL REFERENCES tenants (id),
    user_id TEXT NOT NULL REFERENCES users (id),
    role TEXT NOT NULL CHECK (role IN ('viewer', 'member', 'admin', 'owner')),
    created_at_unix_ms BIGINT NOT NULL,
    revision BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, user_id)
);
CREATE INDEX memberships_by_user ON memberships (user_id);

-- One row for each login that has not ended.
CREATE TABLE sessions (
    id TEXT PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES users (id),
    created_at_unix_ms BIGINT NOT NULL,
    last_used_at_unix_ms BIGINT NOT NULL,
    expires_at_unix_ms BIGINT NOT NULL,
    -- What the client called itself, and where it came from. Empty: not known.
    user_agent TEXT NOT NULL,
    address TEXT NOT NULL
);
CREATE INDEX sessions_by_user ON sessions (user_id);
CREATE INDEX sessions_by_expiry ON sessions (expires_at_unix_ms);

-- Every refresh token of a session. Used ones stay as long as the session, so that a second use is noticed.
CREATE TABLE refresh_tokens (
    -- HMAC-SHA-256 of the token under the pepper, in hexadecimal. The token itself is nowhere.
    token_hmac TEXT PRIMARY KEY,
    session_id TEXT NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    -- NULL: not used yet.
    used_at_unix_ms BIGINT
);
CREATE INDEX refresh_tokens_by_session ON refresh_tokens (session_id);

-- One-time tokens to set a password with, one for a user at a time.
CREATE TABLE password_resets (
    user_id TEXT PRIMARY KEY REFERENCES users (id),
    -- As of refresh tokens.
    token_hmac TEXT NOT NULL UNIQUE,
    expires_at_unix_ms BIGINT NOT NULL
);

-- Access tokens that are void before they expire.
CREATE TABLE voided_tokens (
    -- Whether `id` is a session's, or a user's of whom only tokens of a smaller generation are void.
    kind TEXT NOT NULL CHECK (kind IN ('session', 'user')),
    id TEXT NOT NULL,
    -- 0 for a session.
    generation BIGINT NOT NULL,
    -- By then they have expired.
    until_unix_ms BIGINT NOT NULL,
    revision BIGINT NOT NULL,
    PRIMARY KEY (kind, id)
);
CREATE INDEX voided_tokens_by_revision ON voided_tokens (revision);

-- What access tokens are signed with: P-256.
CREATE TABLE signing_keys (
    id TEXT PRIMARY KEY,
    -- In PKCS #8, sealed under a key that is derived from the pepper, in hexadecimal.
    sealed_private_key TEXT NOT NULL,
    -- Announced before that, so that verifiers know it by then.
    signs_from_unix_ms BIGINT NOT NULL,
    revision BIGINT NOT NULL
);

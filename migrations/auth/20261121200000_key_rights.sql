-- What keys may do beyond their scopes, what is noted of them, and the secret that a rotation leaves for a while.

-- Lists are JSON arrays of text; empty ones restrict nothing. Metadata is a JSON object of text.
ALTER TABLE api_keys ADD COLUMN models TEXT NOT NULL DEFAULT '[]';
ALTER TABLE api_keys ADD COLUMN ip_allowlist TEXT NOT NULL DEFAULT '[]';
ALTER TABLE api_keys ADD COLUMN metadata TEXT NOT NULL DEFAULT '{}';
ALTER TABLE api_keys ADD COLUMN disabled BOOLEAN NOT NULL DEFAULT FALSE;
-- Empty means nobody.
ALTER TABLE api_keys ADD COLUMN user_id TEXT NOT NULL DEFAULT '';
-- Both or neither.
ALTER TABLE api_keys ADD COLUMN previous_secret_hmac TEXT;
ALTER TABLE api_keys ADD COLUMN previous_secret_expires_at_unix_ms BIGINT;

-- Apart from the keys, as a use is no change that anybody needs to learn of.
CREATE TABLE api_key_uses (
    key_id TEXT PRIMARY KEY,
    last_used_at_unix_ms BIGINT NOT NULL
);

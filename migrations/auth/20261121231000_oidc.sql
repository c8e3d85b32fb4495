-- People who log in with an account elsewhere (OpenID Connect). Times are milliseconds since 1970-01-01 UTC.

-- Whose an account elsewhere is: an issuer calls one person by one subject for ever, and gives it to nobody else.
CREATE TABLE identities (
    issuer TEXT NOT NULL,
    subject TEXT NOT NULL,
    user_id TEXT NOT NULL REFERENCES users (id),
    created_at_unix_ms BIGINT NOT NULL,
    PRIMARY KEY (issuer, subject)
);
CREATE INDEX identities_by_user ON identities (user_id);

-- Logins that began here and are away at the provider.
CREATE TABLE oidc_logins (
    -- HMAC-SHA-256 under the pepper, in hexadecimal, of what the provider hands through and of the browser's cookie. Nonce
    -- and code verifier follow from these two and are stored nowhere.
    state_hmac TEXT PRIMARY KEY,
    browser_hmac TEXT NOT NULL,
    provider TEXT NOT NULL,
    -- Where the browser goes in the end. Empty: nowhere.
    return_to TEXT NOT NULL,
    expires_at_unix_ms BIGINT NOT NULL
);
CREATE INDEX oidc_logins_by_expiry ON oidc_logins (expires_at_unix_ms);

-- The issuer by whose groups somebody has it. NULL: given by hand.
ALTER TABLE memberships ADD COLUMN issuer TEXT;
ALTER TABLE users ADD COLUMN super_admin_issuer TEXT;

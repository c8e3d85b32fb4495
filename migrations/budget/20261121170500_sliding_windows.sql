-- Both or neither: so many requests in any span of so many seconds.
ALTER TABLE limits ADD COLUMN window_requests BIGINT;
ALTER TABLE limits ADD COLUMN window_seconds BIGINT;

-- A limit of its own for what comes at once, and for streams.
ALTER TABLE limits ADD COLUMN request_burst BIGINT;
ALTER TABLE limits ADD COLUMN parallel_streams BIGINT;

-- What a request costs whatever its tokens, in nano-USD. NULL: tokens are what is paid for.
ALTER TABLE models ADD COLUMN request_price BIGINT;
ALTER TABLE model_targets ADD COLUMN request_price BIGINT;

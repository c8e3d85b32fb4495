-- What models cost, and from when: a row is written by the change that sets another price, and stays when the model is
-- gone. What models cost already is written by the first start that finds it missing, as it is where an earlier version
-- sets a price while this one runs.
CREATE TABLE model_prices (
    model_id TEXT NOT NULL,
    -- The revision that set it.
    revision BIGINT NOT NULL,
    effective_from_unix_ms BIGINT NOT NULL,
    input_price BIGINT NOT NULL,
    output_price BIGINT NOT NULL,
    cached_input_price BIGINT,
    request_price BIGINT,
    -- A headgate.catalog.v1.ModelPrice that has nothing but its target prices, encoded as protobuf.
    target_prices BYTEA NOT NULL,
    PRIMARY KEY (model_id, revision)
);

-- Computed when it is read, so it costs no byte and can contradict nothing.
ALTER TABLE usage_records ADD COLUMN total_tokens BIGINT GENERATED ALWAYS AS (prompt_tokens + completion_tokens) VIRTUAL;

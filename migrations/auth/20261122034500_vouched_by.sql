-- The tenant whose owner gave a user their password, so that nobody else vouches for who they are. NULL: whoever runs the
-- deployment does, or they proved it themselves.
ALTER TABLE users ADD COLUMN vouched_by TEXT;

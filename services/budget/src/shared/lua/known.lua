-- Whether the counters of a tenant are sure to be those that were answered.
-- KEYS: counters of the tenant.
return call('HGET', KEYS[1], 'epoch') == run_of_server() and 1 or 0

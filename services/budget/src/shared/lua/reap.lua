-- Ends what is past its deadline, and returns what must be written; that comes again until written.lua is called.
-- KEYS: open leases.
local now, P = time(ARGV[1]), ARGV[2]
local due = {}
for _, id in ipairs(call('ZRANGEBYSCORE', KEYS[1], '-inf', whole(millis(now)), 'LIMIT', 0, ARGV[3])) do
  local lease = lease_of(P, id)
  if not lease or lease.s == 'recorded' then
    if lease then
      free_idempotency(lease)
      call('DEL', lease_key(P, id))
    end
    call('ZREM', KEYS[1], id)
  else
    free_idempotency(lease)
    local cost, closed = lease.z, lease.s == 'open'
    if closed then
      cost = lease.p
      free_slots(P, lease)
      charge(P, lease, lease.h, nil, cost)
    end
    call('HDEL', lease_key(P, id), 'i', 'q')
    call('HSET', lease_key(P, id), 's', 'expired', 'z', cost)
    due[#due + 1] = { id, lease.n, lease.h, cost, closed and 1 or 0 }
  end
end
return { whole(now), call('HGET', own_counters(P), 'r') or 0, call('ZCARD', KEYS[1]), due }

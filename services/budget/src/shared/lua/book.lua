-- Records are stored: ends their leases, and sets what the windows have cost by now. A cost comes with the count of
-- changes it was read at, and an older one never replaces a newer: so whatever comes twice, late or out of order, what
-- is booked is never less than what any call before has seen.
-- KEYS: open leases. ARGV: time, prefix, number of leases, three words a lease, four words an account.
local now, P, count = time(ARGV[1]), ARGV[2], tonumber(ARGV[3])

for at = 4 + 3 * count, #ARGV, 4 do
  local account, version = P .. 'a:' .. ARGV[at], tonumber(ARGV[at + 2])
  local known = call('HGET', account, 'v')
  if not known or tonumber(known) < version then
    call('HSET', account, 'b', ARGV[at + 1], 'v', ARGV[at + 2])
    if not known then
      call('PEXPIREAT', account, ARGV[at + 3])
    end
  end
end

for at = 4, 3 + 3 * count, 3 do
  local id, abandoned = ARGV[at], ARGV[at + 2] == '1'
  local lease = lease_of(P, id)
  if lease and lease.s ~= 'released' then
    local waits = lease.i and not abandoned
    if lease.s == 'open' then
      free_slots(P, lease)
      charge(P, lease, lease.h, nil, nil)
      if not abandoned then
        correct(P, lease, tonumber(ARGV[at + 1]), now)
      end
    elseif lease.s ~= 'recorded' then
      charge(P, lease, nil, lease.z, nil)
    end
    if waits then
      -- Its settlement may yet bring the response to replay.
      call('HSET', lease_key(P, id), 's', 'recorded')
      call('ZADD', KEYS[1], lease.x, id)
    else
      free_idempotency(lease)
      call('DEL', lease_key(P, id))
      call('ZREM', KEYS[1], id)
    end
  end
end
return 1

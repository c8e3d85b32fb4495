-- Nobody heard whether a lease was admitted: takes it back, also where the request to admit it is still on its way.
-- KEYS: lease, open leases.
local P, id = ARGV[1], ARGV[2]
local lease = lease_of(P, id)
if lease and lease.s ~= 'open' then
  return 0
end
if lease then
  free_slots(P, lease)
  charge(P, lease, lease.h, nil, nil)
  free_idempotency(lease)
  call('ZREM', KEYS[2], id)
end
call('DEL', KEYS[1])
call('HSET', KEYS[1], 's', 'undone')
call('PEXPIRE', KEYS[1], ARGV[3])
return 1

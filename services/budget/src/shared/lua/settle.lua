-- Ends a lease as its holder reports.
-- KEYS: lease, open leases, responses to replay.
local now, P, id, cost = time(ARGV[1]), ARGV[2], ARGV[3], ARGV[4]
local ms = millis(now)
local lease = lease_of(P, id)
if not lease or (lease.s ~= 'open' and lease.s ~= 'recorded') then
  return 0
end

-- Keeps a response, and drops the oldest ones of the tenant where all together are too large.
local function keep(response, ttl, most)
  local expires = format('%016d', ms + ttl)
  call('SET', lease.i, 'S' .. lease.q .. expires .. response, 'PX', ttl)
  local is_first = call('RPUSH', KEYS[3], expires .. ' ' .. #response .. ' ' .. lease.i) == 1
  call('PEXPIRE', KEYS[3], ttl)
  if is_first then
    call('HSET', own_counters(P), 'kept', 0)
  end
  local total = call('HINCRBY', own_counters(P), 'kept', #response)
  while true do
    local oldest = call('LINDEX', KEYS[3], 0)
    if not oldest then
      return
    end
    local until_ms, bytes, of = oldest:match('^(%d+) (%d+) (.*)$')
    if tonumber(until_ms) > ms and total <= most then
      return
    end
    call('LPOP', KEYS[3])
    total = call('HINCRBY', own_counters(P), 'kept', -bytes)
    -- The key may have been used again since.
    if call('GETRANGE', of, 33, 48) == until_ms then
      call('DEL', of)
    end
  end
end

if lease.i then
  if ARGV[6] == '1' then
    keep(ARGV[7], tonumber(ARGV[8]), tonumber(ARGV[9]))
  else
    free_idempotency(lease)
  end
end
if lease.s == 'recorded' then
  call('DEL', KEYS[1])
  call('ZREM', KEYS[2], id)
  return 1
end
free_slots(P, lease)
charge(P, lease, lease.h, nil, cost)
correct(P, lease, tonumber(ARGV[5]), now)
if lease.i then
  call('HDEL', KEYS[1], 'i', 'q')
end
call('HSET', KEYS[1], 's', 'settled', 'z', cost)
call('ZADD', KEYS[2], whole(ms + tonumber(ARGV[10])), id)
return 1

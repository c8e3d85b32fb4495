-- Gives a lease back of which no use was made, also where the request to admit it is still on its way.
-- KEYS: lease, open leases. ARGV: time, prefix, id, time to live of a lease, how long to remember it.
local now, P, id = time(ARGV[1]), ARGV[2], ARGV[3]
local ms = millis(now)
local lease = lease_of(P, id)
if lease and lease.s == 'released' then
  if tonumber(lease.x) > ms then
    return 0
  end
elseif lease and lease.s ~= 'open' then
  return 0
elseif lease then
  -- What was charged longer ago than a period has refilled.
  local function uncharge(counters, field, cells)
    local text = call('HGET', counters, field)
    if text then
      local charged, parts, at, burst = meter(text)
      call('HSET', counters, field, metered(charged - cells, parts, at, burst))
    end
  end
  -- A sliding window forgets one request of the millisecond in which this one was let through.
  local since_ms = tonumber(lease.x) - tonumber(ARGV[4])
  local function unlog(log)
    for _, at in ipairs(call('LRANGE', log, 0, -1)) do
      if millis(tonumber(at)) == since_ms then
        call('LREM', log, 1, at)
        return
      end
    end
  end
  local elapsed = now - since_ms * 1000
  local function give_back(counters, tokens)
    for _, meter in ipairs({ { 'm1', SECOND, 1 }, { 'm2', MINUTE, 1 }, { 'm3', MINUTE, tonumber(tokens or 0) } }) do
      local field, period, cells = unpack(meter)
      if elapsed < period then
        uncharge(counters, field, cells)
      end
    end
  end
  give_back(own_counters(P), lease.tt)
  give_back(key_counters(P, lease.k), lease.tk)
  unlog(P .. 'w')
  unlog(P .. 'w:' .. lease.k)
  free_slots(P, lease)
  charge(P, lease, lease.h, nil, nil)
  free_idempotency(lease)
  call('ZREM', KEYS[2], id)
end
call('DEL', KEYS[1])
call('HSET', KEYS[1], 's', 'released', 'x', whole(ms + tonumber(ARGV[5])))
call('PEXPIRE', KEYS[1], ARGV[5])
return 1

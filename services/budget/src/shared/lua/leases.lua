-- What follows reads what admit.lua writes. P is the prefix of everything of one tenant.
local function own_counters(P)
  return P .. 'c'
end

local function key_counters(P, key)
  return P .. 'c:' .. key
end

local function lease_key(P, id)
  return P .. 'l:' .. id
end

local FIELDS = { 's', 'k', 'h', 'w', 'tt', 'tk', 'i', 'q', 'z', 'p', 'n', 'x', 'c', 'd' }

-- A lease by field, or nothing: s state (open, settled, expired, recorded, released), k key, h hold, w window, tt and tk
-- tokens charged to tenant and key, i idempotency key, q request's SHA-256, z cost, p estimate, n intent, x expiry,
-- c cap, d whether it is a stream.
local function lease_of(P, id)
  local values = call('HMGET', lease_key(P, id), unpack(FIELDS))
  if not values[1] then
    return nil
  end
  local lease = { id = id }
  for i, field in ipairs(FIELDS) do
    lease[field] = values[i]
  end
  return lease
end

-- Changes the accounts a lease is held in: takes off what is held and settled, and adds to what is settled. An
-- account that is not there any more belonged to a window long over.
local function charge(P, lease, release, unsettle, settle)
  for _, suffix in ipairs({ lease.w, lease.w .. ':' .. lease.k }) do
    local account = P .. 'a:' .. suffix
    local now = call('HMGET', account, 'h', 's')
    if now[1] or now[2] then
      local settled = difference(sum(now[2], settle), unsettle)
      call('HSET', account, 'h', difference(now[1], release), 's', settled)
    end
  end
end

local function free_slots(P, lease)
  for _, counters in ipairs({ own_counters(P), key_counters(P, lease.k) }) do
    for _, field in ipairs(lease.d and { 'r', 's' } or { 'r' }) do
      if call('HINCRBY', counters, field, -1) < 0 then
        call('HSET', counters, field, 0)
      end
    end
  end
end

-- Charges a meter of as much at once as in a period more, or less, under the limit that was counted with last.
local function adjust(counters, field, period, by, now)
  local text = call('HGET', counters, field)
  if text then
    local _, _, _, limit = meter(text)
    local cells, parts, at = fill(text, limit, limit, period, now)
    call('HSET', counters, field, metered(cells + by, parts, at, limit))
  end
end

-- Replaces the tokens a lease was charged by those it took.
local function correct(P, lease, took, now)
  local function replace(counters, charged)
    if charged then
      adjust(counters, 'm3', MINUTE, took - tonumber(charged), now)
    end
  end
  replace(own_counters(P), lease.tt)
  replace(key_counters(P, lease.k), lease.tk)
end

local function free_idempotency(lease)
  if lease.i then
    call('DEL', lease.i)
  end
end

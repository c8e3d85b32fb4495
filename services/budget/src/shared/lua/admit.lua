-- Decides a request and holds what it may take, or changes nothing.
-- KEYS: counters of tenant and key, accounts of tenant and key, lease, open leases, idempotency key (if any).
local T = ARGV
-- Where the words of the policies of key and tenant begin: budget, requests per second and their burst, requests per
-- minute, tokens per minute, parallel requests, parallel streams, requests of the sliding window and its microseconds.
-- What is unset is empty.
local KEY_POLICY, OWN_POLICY = 16, 25
local is_stream, kept_until = T[14] == '1', T[15]
local now, id, key_id, hold, limit_tokens = time(T[1]), T[5], T[6], T[7], tonumber(T[8])
local ms = millis(now)
local own = call('HMGET', KEYS[1], 'r', 's', 'm1', 'm2', 'm3', 'epoch', 'opens')
local opens, epoch = table.remove(own), table.remove(own)
local key = call('HMGET', KEYS[2], 'r', 's', 'm1', 'm2', 'm3')
local own_account = call('HMGET', KEYS[3], 'b', 's', 'h')
local key_account = call('HMGET', KEYS[4], 'b', 's', 'h')

local function answer(code, first, second)
  return { code, whole(now), first or false, second or false, own_account, key_account, own, key }
end

if ms < tonumber(T[2]) or ms >= tonumber(T[3]) then
  return answer('window')
end
if epoch ~= run_of_server() then
  return answer('unknown')
end
local key_budget, own_budget = T[KEY_POLICY], T[OWN_POLICY]
if (key_budget ~= '' or own_budget ~= '') and ms < tonumber(opens) then
  return answer('closed', opens)
end

local before = call('HMGET', KEYS[5], 's', 'k', 'x', 'c')
local was_released = before[1] == 'released' and tonumber(before[3]) <= ms
if before[1] and not was_released then
  if before[1] == 'open' and before[2] == key_id then
    return answer('again', before[3], before[4])
  end
  return answer('ended')
end

if KEYS[7] then
  local kept = call('GET', KEYS[7])
  if kept and kept:byte(1) == 82 then
    return answer(kept:sub(2, 33) == T[13] and 'running' or 'mismatch')
  end
  if kept and tonumber(kept:sub(34, 49)) > ms then
    if kept:sub(2, 33) == T[13] then
      return answer('replay', kept:sub(50))
    end
    return answer('mismatch')
  end
end

-- How many run, and how many of them are streams: never more, whatever a version that knows no streams left behind.
local function running(state)
  local all = tonumber(state[1] or 0)
  return all, math.min(all, tonumber(state[2] or 0))
end

-- Where it is kept when requests were let through: of as many as a sliding window lets through.
local function log_of(counters)
  local own_log = KEYS[1]:sub(1, -2) .. 'w'
  return counters == KEYS[1] and own_log or own_log .. ':' .. key_id
end

-- Limits: how full each meter would be, and whether that is too much.
local function metering(counters, state, policy)
  local meters, fits = {}, true
  local second, minute, tokens = tonumber(T[policy + 1]), tonumber(T[policy + 3]), tonumber(T[policy + 4])
  local function meter_of(i, limit, burst, period, cost)
    if not limit then
      return
    end
    cost = math.min(cost, burst)
    local cells, parts, at = fill(state[i + 2], limit, burst, period, now)
    fits = fits and (cells + cost < burst or (cells + cost == burst and parts == 0))
    meters[i] = metered(cells + cost, parts, at, burst)
    return cost
  end
  meter_of(1, second, tonumber(T[policy + 2]) or second, SECOND, 1)
  meter_of(2, minute, minute, MINUTE, 1)
  meters.charged = meter_of(3, tokens, tokens, MINUTE, limit_tokens)
  local most, span = tonumber(T[policy + 7]), tonumber(T[policy + 8])
  if most then
    -- The oldest of as many as the window lets through must have left before another comes.
    local log = log_of(counters)
    local deciding = call('LINDEX', log, -most)
    fits = fits and not (deciding and deciding + span > now)
    meters.log, meters.most, meters.kept_ms = log, most, whole(span / 1000 + 3600000)
    state[6] = deciding
  end
  local parallel, parallel_streams = tonumber(T[policy + 5]), is_stream and tonumber(T[policy + 6])
  local all, streams = running(state)
  fits = fits and not (parallel and all >= parallel) and not (parallel_streams and streams >= parallel_streams)
  return meters, fits
end

local key_meters, key_fits = metering(KEYS[2], key, KEY_POLICY)
local own_meters, own_fits = metering(KEYS[1], own, OWN_POLICY)
if not (key_fits and own_fits) then
  return answer('limit')
end

-- Budgets: the smaller rest decides.
local function remaining(budget, account)
  local hi, lo = amount(budget)
  for i = 1, 3 do
    hi, lo = minus(hi, lo, amount(account[i]))
  end
  return hi, lo
end

-- The longest answer that fits, and the hold it takes; nothing when none does.
local function capped(hi, lo)
  if T[11] == '' or T[12] == '0' then
    return nil
  end
  hi, lo = minus(hi, lo, amount(T[11]))
  if hi < 0 or (hi == 0 and lo == 0) then
    return nil
  end
  local room, price = times(big(decimal(hi, lo)), 1000), big(T[12])
  -- A double is right to 15 digits, so the answer is one off at most.
  local tokens = math.min(floor((hi * BILLION + lo) * 1000 / tonumber(T[12])) + 1, 4294967295)
  while tokens > 0 and exceeds(times(price, tokens), room) do
    tokens = tokens - 1
  end
  if tokens == 0 then
    return nil
  end
  local cost = over(times(price, tokens, 999), 1000)
  return tokens, sum(T[11], digits(cost))
end

local cap = nil
if hold ~= '0' and (key_budget ~= '' or own_budget ~= '') then
  local hi, lo
  if key_budget ~= '' then
    hi, lo = remaining(key_budget, key_account)
  end
  if own_budget ~= '' then
    local own_hi, own_lo = remaining(own_budget, own_account)
    if not hi or less(own_hi, own_lo, hi, lo) then
      hi, lo = own_hi, own_lo
    end
  end
  local hold_hi, hold_lo = amount(hold)
  if less(hi, lo, hold_hi, hold_lo) then
    local shorter
    cap, shorter = capped(hi, lo)
    if not cap then
      return answer('budget')
    end
    local shorter_hi, shorter_lo = amount(shorter)
    if less(shorter_hi, shorter_lo, hold_hi, hold_lo) then
      hold = shorter
    end
  end
end

-- Nothing fails from here on.
local expires = whole(ms + tonumber(T[4]))
local function take(counters, state, meters)
  local all, streams = running(state)
  local fields = { 'r', whole(all + 1) }
  if is_stream then
    fields[3], fields[4] = 's', whole(streams + 1)
  end
  for i = 1, 3 do
    if meters[i] then
      fields[#fields + 1] = 'm' .. i
      fields[#fields + 1] = meters[i]
    end
  end
  call('HSET', counters, unpack(fields))
  if meters.log then
    call('RPUSH', meters.log, whole(now))
    call('LTRIM', meters.log, -meters.most, -1)
    call('PEXPIRE', meters.log, meters.kept_ms)
  end
end
take(KEYS[1], own, own_meters)
take(KEYS[2], key, key_meters)
-- A key that is used no more is forgotten some time.
call('PEXPIRE', KEYS[2], 2678400000)
for i, account in ipairs({ own_account, key_account }) do
  local is_new = not (account[1] or account[3])
  account[3] = sum(account[3], hold)
  call('HSET', KEYS[i + 2], 'h', account[3])
  if is_new then
    call('PEXPIREAT', KEYS[i + 2], kept_until)
  end
end

local estimate_hi, estimate_lo = amount(T[9])
local lease = {
  's', 'open', 'k', key_id, 'h', hold, 'w', T[2], 'x', expires, 'n', T[10],
  'p', less(estimate_hi, estimate_lo, amount(hold)) and T[9] or hold,
}
local function also(field, value)
  if value then
    lease[#lease + 1] = field
    lease[#lease + 1] = value
  end
end
also('c', cap and whole(cap))
also('d', is_stream and '1')
also('tt', own_meters.charged and whole(own_meters.charged))
also('tk', key_meters.charged and whole(key_meters.charged))
if KEYS[7] then
  also('i', KEYS[7])
  also('q', T[13])
  call('SET', KEYS[7], 'R' .. T[13])
end
if was_released then
  call('DEL', KEYS[5])
end
call('HSET', KEYS[5], unpack(lease))
call('ZADD', KEYS[6], expires, id)
return answer('held', expires, cap and whole(cap))

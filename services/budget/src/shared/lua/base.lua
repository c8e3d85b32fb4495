-- What every script begins with. Numbers in Lua are doubles, exact up to 2^53 only.
local SECOND, MINUTE = 1000000, 60000000
local call, fmod, floor, format = redis.call, math.fmod, math.floor, string.format

local function whole(n)
  return format('%d', n)
end

-- The time in microseconds: the server's, unless one is given.
local function time(given)
  if given ~= '' then
    return tonumber(given)
  end
  local now = call('TIME')
  return now[1] * 1000000 + now[2]
end

-- Which run of which server this is. What a tenant's counters were kept by is in their field `epoch`: another one has
-- them from a file or from another server, and they may be older than what was answered.
local function run_of_server()
  return call('INFO', 'server'):match('run_id:(%x+)') or ''
end

local function millis(micros)
  return (micros - fmod(micros, 1000)) / 1000
end

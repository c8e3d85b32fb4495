-- Keeps a lease alive and tells until when; nothing when it has ended or expired.
-- KEYS: lease, open leases.
local now = millis(time(ARGV[1]))
local lease = call('HMGET', KEYS[1], 's', 'x')
if lease[1] ~= 'open' or tonumber(lease[2]) <= now then
  return false
end
local expires = whole(math.max(tonumber(lease[2]), now + tonumber(ARGV[2])))
call('HSET', KEYS[1], 'x', expires)
call('ZADD', KEYS[2], expires, ARGV[3])
return expires

-- A tenant that this server knows nothing of: sets what its windows have cost, and then admits, at once or later.
-- Returns whether nobody else was faster.
-- KEYS: counters of the tenant. ARGV: time, prefix, epoch (empty: more accounts come), pause in milliseconds, four
-- words an account.
local now, P, epoch = millis(time(ARGV[1])), ARGV[2], ARGV[3]
for at = 5, #ARGV, 4 do
  local account, version = P .. 'a:' .. ARGV[at], tonumber(ARGV[at + 2])
  local known = call('HGET', account, 'v')
  if not known or tonumber(known) < version then
    call('HSET', account, 'b', ARGV[at + 1], 'v', ARGV[at + 2])
    call('PEXPIREAT', account, ARGV[at + 3])
  end
end
if epoch == '' then
  return 0
end
local pause = tonumber(ARGV[4])
local is_first = call('HSETNX', KEYS[1], 'epoch', epoch)
if is_first == 1 or pause == 0 then
  call('HSET', KEYS[1], 'opens', whole(now + pause))
end
return is_first

-- A tenant that this server knows nothing of, or nothing sure: sets what its windows have cost, and then admits, at once
-- or later. Returns whether nobody else was faster.
-- KEYS: counters of the tenant. ARGV: time, prefix, whether more accounts come, pause in milliseconds, four words an
-- account.
local now, P, epoch = millis(time(ARGV[1])), ARGV[2], run_of_server()
for at = 5, #ARGV, 4 do
  local account, version = P .. 'a:' .. ARGV[at], tonumber(ARGV[at + 2])
  local known = call('HGET', account, 'v')
  if not known or tonumber(known) < version then
    call('HSET', account, 'b', ARGV[at + 1], 'v', ARGV[at + 2])
    call('PEXPIREAT', account, ARGV[at + 3])
  end
end
if ARGV[3] == '1' then
  return 0
end
local pause = tonumber(ARGV[4])
local is_first = call('HGET', KEYS[1], 'epoch') ~= epoch
if is_first or pause == 0 then
  call('HSET', KEYS[1], 'epoch', epoch, 'opens', whole(now + pause))
end
return is_first and 1 or 0

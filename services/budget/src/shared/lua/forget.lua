-- Strikes a tenant off the list of those to look after, unless it was entered again meanwhile.
-- KEYS: the list.
if call('ZSCORE', KEYS[1], ARGV[1]) == ARGV[2] then
  return call('ZREM', KEYS[1], ARGV[1])
end
return 0

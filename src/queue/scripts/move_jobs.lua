-- Moves entries from the end of a list that is served next to another list, as long as they are those that were looked at.
-- KEYS[1]: list   KEYS[2…]: lists to move to
-- ARGV[1]: 'keep' the order behind what is there, or 'first' for before it   ARGV[2…]: entry, number of its list among KEYS, …
-- Returns: how many were moved
local moved = 0
for i = 2, #ARGV, 2 do
  -- Before all that is there, the last one goes first.
  local at = ARGV[1] == 'first' and 0 or -1
  if redis.call('LINDEX', KEYS[1], at) ~= ARGV[i] then break end
  redis.call(at == 0 and 'LPOP' or 'RPOP', KEYS[1])
  redis.call(at == 0 and 'RPUSH' or 'LPUSH', KEYS[tonumber(ARGV[i + 1])], ARGV[i])
  moved = moved + 1
end
return moved

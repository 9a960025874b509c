-- Moves delayed and parked jobs of a queue back into it, for consumers that know of neither.
-- KEYS[1]: queue   KEYS[2]: delayed jobs   KEYS[3]: parked jobs
-- ARGV[1]: how many of each to move
-- Returns: how many of each were moved
local counts = {}
for i = 2, 3 do
  local jobs = redis.call('ZRANGE', KEYS[i], 0, ARGV[1] - 1)
  for _, job in ipairs(jobs) do
    redis.call('ZREM', KEYS[i], job)
    redis.call('RPUSH', KEYS[1], job)
  end
  counts[#counts + 1] = #jobs
end
return counts

-- Moves all delayed and parked jobs of a queue back into it, for consumers that know of neither.
-- KEYS[1]: queue   KEYS[2]: delayed jobs   KEYS[3]: parked jobs
-- Returns: how many there were of each
local counts = {}
for i = 2, 3 do
  local jobs = redis.call('ZRANGE', KEYS[i], 0, -1)
  for _, job in ipairs(jobs) do
    redis.call('ZREM', KEYS[i], job)
    redis.call('RPUSH', KEYS[1], job)
  end
  counts[#counts + 1] = #jobs
end
return counts

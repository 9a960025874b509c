-- Puts all delayed jobs of a queue back into it, for consumers that do not know of delays.
-- KEYS[1]: queue   KEYS[2]: delayed jobs
-- Returns: how many there were
local jobs = redis.call('ZRANGE', KEYS[2], 0, -1)
for _, job in ipairs(jobs) do
  redis.call('ZREM', KEYS[2], job)
  redis.call('RPUSH', KEYS[1], job)
end
return #jobs

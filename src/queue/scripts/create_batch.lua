-- Writes a batch that is not there yet.
-- KEYS[1]: batch   KEYS[2]: its plan   KEYS[3]: all batches   KEYS[4…]: for each of its queues, the batches that may be fed into it
-- ARGV[1]: name   ARGV[2]: plan   ARGV[3]: ms since 1970   ARGV[4]: priority   ARGV[5…]: field, value, … of the batch
-- Returns: the digest of the plan of the batch that is there, or nothing
local known = redis.call('HGET', KEYS[1], 'digest')
if known then return known end
-- One by one: a plan with many stages has more fields than one call of Lua takes.
for i = 5, #ARGV, 2 do redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end
redis.call('SET', KEYS[2], ARGV[2])
redis.call('ZADD', KEYS[3], ARGV[3], ARGV[1])
for i = 4, #KEYS do redis.call('ZADD', KEYS[i], ARGV[4], ARGV[1]) end
-- Batches that ended long ago have expired, all but their names.
for _, name in ipairs(redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', ARGV[3] - 30 * 86400000, 'LIMIT', 0, 100)) do
  if redis.call('EXISTS', 'rc:batch:' .. name) == 0 then redis.call('ZREM', KEYS[3], name) end
end
return false

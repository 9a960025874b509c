-- Writes a batch that is not there yet.
-- KEYS[1]: batch   KEYS[2]: its plan   KEYS[3]: all batches   KEYS[4…]: for each stage what may be fed into its queue
-- ARGV[1]: name   ARGV[2]: plan   ARGV[3]: ms since 1970   ARGV[4]: priority   ARGV[5…]: field, value, … of the batch
-- Returns: the digest of the plan of the batch that is there, or nothing
local known = redis.call('HGET', KEYS[1], 'digest')
if known then return known end
redis.call('HSET', KEYS[1], unpack(ARGV, 5))
redis.call('SET', KEYS[2], ARGV[2])
redis.call('ZADD', KEYS[3], ARGV[3], ARGV[1])
for i = 4, #KEYS do redis.call('ZADD', KEYS[i], ARGV[4], ARGV[1] .. ':' .. (i - 4)) end
return false

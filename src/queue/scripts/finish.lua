-- Commits a final status: the entry leaves the processing list and the fields are written, in one step or not at all.
-- KEYS[1]: job   KEYS[2]: processing list   KEYS[3]: leases   KEYS[4]: delayed jobs
-- ARGV[1]: token   ARGV[2…]: field, value, …
-- Returns: OK; GONE (the hash has vanished); MOVED (the entry was taken out of the list); LOST (somebody else claimed it)
local job = KEYS[1]
if redis.call('TYPE', job)['ok'] ~= 'hash' then
  redis.call('LREM', KEYS[2], 1, job)
  redis.call('ZREM', KEYS[3], job)
  return 'GONE'
end
local own = redis.call('HMGET', job, 'rc_token', 'rc_done_by')
if own[2] == ARGV[1] then return 'OK' end -- our own commit, whose reply was lost
if own[1] ~= ARGV[1] then return 'LOST' end
if redis.call('LREM', KEYS[2], 1, job) + redis.call('ZREM', KEYS[4], job) == 0 then
  -- A janitor moved it, perhaps to a consumer that knows no tokens: its record is not ours to write.
  redis.call('HDEL', job, 'rc_token', 'rc_owner')
  redis.call('ZREM', KEYS[3], job)
  return 'MOVED'
end
redis.call('HSET', job, 'rc_done_by', ARGV[1], unpack(ARGV, 2))
redis.call('HDEL', job, 'rc_token', 'rc_owner')
redis.call('ZREM', KEYS[3], job)
return 'OK'

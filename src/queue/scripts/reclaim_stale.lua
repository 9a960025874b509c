-- Takes an entry out of the list of a dead consumer: back to its queue unless its job is over.
-- KEYS[1]: processing list   KEYS[2]: queue   KEYS[3]: leases
-- ARGV[1]: job   ARGV[2]: its updated_at when it was judged
-- Returns: requeued, dropped (final or gone), kept (it has been touched since, or has a lease), moved (it was not there)
local job = ARGV[1]
local record = redis.pcall('HMGET', job, 'status', 'updated_at')
if record.err and not record.err:find('WRONGTYPE', 1, true) then return redis.error_reply(record.err) end
local final = record[1] == 'done' or record[1] == 'failed'
if record.err or final or (not record[1] and redis.call('EXISTS', job) == 0) then
  redis.call('ZREM', KEYS[3], job)
  return redis.call('LREM', KEYS[1], 1, job) == 1 and 'dropped' or 'moved'
end
local time = redis.call('TIME')
local lease = redis.call('ZSCORE', KEYS[3], job)
if record[2] ~= ARGV[2] or (lease and tonumber(lease) > time[1] * 1000) then return 'kept' end
if redis.call('LREM', KEYS[1], 1, job) == 0 then return 'moved' end
redis.call('HDEL', job, 'rc_token', 'rc_owner')
redis.call('ZREM', KEYS[3], job)
redis.call('LPUSH', KEYS[2], job)
return 'requeued'

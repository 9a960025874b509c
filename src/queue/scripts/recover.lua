-- Puts back what an earlier process of the same name, or a claim whose reply was lost, left in a processing list.
-- KEYS[1]: processing list   KEYS[2]: queue   KEYS[3]: leases
-- ARGV[1]: 'crash' to count a crash of the holder, 'lost reply' not to
-- Returns: the number of jobs put back at the front of the queue, and of entries dropped
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local processing = KEYS[1]
local restored, dropped = 0, 0
if redis.call('TYPE', processing)['ok'] ~= 'list' then return { 0, 0 } end
for _, job in ipairs(redis.call('LRANGE', processing, 0, -1)) do
  redis.call('LREM', processing, 1, job)
  local alive = redis.call('TYPE', job)['ok'] == 'hash'
  local own = alive and redis.call('HMGET', job, 'status', 'rc_owner') or {}
  local lease = redis.call('ZSCORE', KEYS[3], job)
  local elsewhere = lease and tonumber(lease) > now and own[2] and own[2] ~= processing
  if not alive or own[1] == 'done' or own[1] == 'failed' or elsewhere then
    dropped = dropped + 1
    if not elsewhere then redis.call('ZREM', KEYS[3], job) end
  else
    if own[2] and ARGV[1] == 'crash' then
      redis.call('HSET', job, 'rc_crashes', (tonumber(redis.call('HGET', job, 'rc_crashes') or '0') or 0) + 1)
    end
    redis.call('HDEL', job, 'rc_token', 'rc_owner')
    redis.call('ZREM', KEYS[3], job)
    redis.call('RPUSH', KEYS[2], job)
    restored = restored + 1
  end
end
return { restored, dropped }

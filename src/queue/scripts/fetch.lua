-- Takes the next job of a queue into the processing list of one slot, under a lease. The slot holds none now, so what its
-- list has already comes first: it was taken by a call whose reply was lost.
-- KEYS[1]: queue   KEYS[2]: processing list of the slot   KEYS[3]: leases   KEYS[4]: delayed jobs
-- ARGV[1]: consumer name   ARGV[2]: token, never used before   ARGV[3]: lease in ms
-- ARGV[4]: time stamp for updated_at   ARGV[5]: how many due jobs to promote, and entries to look at
-- Returns: {dropped, job, token, crashes, fields}; only {dropped} when there is nothing to do.
--          dropped is a flat list of key, why, key, why …
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local queue, processing, leases, delayed = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local dropped = {}

local function drop(job, why)
  redis.call('LREM', processing, 1, job)
  redis.call('ZREM', leases, job)
  dropped[#dropped + 1] = job
  dropped[#dropped + 1] = why
end

for _, job in ipairs(redis.call('ZRANGEBYSCORE', delayed, '-inf', now, 'LIMIT', 0, ARGV[5])) do
  redis.call('ZREM', delayed, job)
  redis.call('RPUSH', queue, job) -- the right end is served next
end

local found = redis.call('LINDEX', processing, 0)
for _ = 1, tonumber(ARGV[5]) do
  local job = found or redis.call('RPOPLPUSH', queue, processing)
  if not job then break end
  local record = redis.pcall('HMGET', job, 'status', 'rc_crashes', 'rc_claims', 'rc_owner')
  local status = record[1]
  local lease = redis.call('ZSCORE', leases, job)
  local elsewhere = lease and record[4] ~= processing
  if record.err then
    drop(job, 'its key holds no hash')
  elseif not status and redis.call('EXISTS', job) == 0 then
    drop(job, 'its hash does not exist')
  elseif status == 'done' or status == 'failed' then
    drop(job, 'it is already ' .. status)
  elseif elsewhere and tonumber(lease) > now then
    -- Somebody works on it: look again when that lease ends.
    redis.call('LREM', processing, 1, job)
    redis.call('ZADD', delayed, tonumber(lease) + 500, job)
  else
    local crashes = tonumber(record[2] or 0) or 0
    if elsewhere then
      crashes = crashes + 1
      redis.call('HSET', job, 'rc_crashes', crashes)
    end
    local claims = (tonumber(record[3] or 0) or 0) + 1
    redis.call('HSET', job, 'rc_claims', claims, 'rc_token', ARGV[2], 'rc_owner', processing,
      'updated_at', ARGV[4], 'updated_by', ARGV[1])
    redis.call('ZADD', leases, now + ARGV[3], job)
    return { dropped, job, ARGV[2], crashes, redis.call('HGETALL', job) }
  end
  found = found and redis.call('LINDEX', processing, 0)
end
return { dropped }

-- Takes the next job of a queue into the processing list of one slot, under a lease. The slot holds none now, so what its
-- list has already comes first: it was taken by a call whose reply was lost. If the slot had to abandon it, as Redis refused to
-- settle it, that counts as a death.
-- `requeue.lua` and `take_lease.lua` stand above.
-- KEYS[4]: processing list of the slot   KEYS[5]: there while the queue is paused   KEYS[6]: consumers by last heartbeat
-- ARGV[7]: how many due jobs to promote, and entries to look at
-- ARGV[8]: token of the job that the slot abandoned last, or nothing   ARGV[9]: whether the slot's list may have an entry: 1, or 0
-- Returns: {dropped, requeued, job, token, crashes, fields}; only {dropped, requeued} when there is nothing to do, and a third
--          value while the queue is paused.
--          dropped is a flat list of key, why, …; requeued one of job, cause, crashes, …

need(KEYS[6], 'ZADD')

-- Mostly there is neither a pause nor a delayed job.
local is_plain = redis.call('EXISTS', KEYS[5], delayed) == 0
local paused = not is_plain and redis.call('EXISTS', KEYS[5]) == 1

local function drop(job, why)
  redis.call('LREM', processing, 1, job)
  redis.call('ZREM', leases, job)
  dropped[#dropped + 1] = job
  dropped[#dropped + 1] = why
end

local due = (is_plain or paused) and {} or redis.call('ZRANGEBYSCORE', delayed, '-inf', now, 'LIMIT', 0, ARGV[7])
for _, job in ipairs(due) do
  redis.call('ZREM', delayed, job)
  redis.call('RPUSH', queue, job) -- the right end is served next
end

local found = ARGV[9] == '1' and redis.call('LINDEX', processing, 0)
for _ = 1, tonumber(ARGV[7]) do
  local job = found or (not paused and redis.call('RPOPLPUSH', queue, processing))
  if not job then break end
  local fields, record = redis.pcall('HGETALL', job), {}
  local err = fields.err
  for i = 1, #fields, 2 do record[fields[i]] = fields[i + 1] end
  local status, owner = record.status, record.rc_owner
  local lease = owner and owner ~= processing and redis.call('ZSCORE', leases, job)
  local is_refused = err and not err:find('WRONGTYPE', 1, true)
  if is_refused or not may(job, 'HSET', 'HDEL', 'HGETALL', 'EXISTS') then
    -- The user has no right to it, perhaps only now. Others may have, and the next jobs do not wait for it.
    redis.call('ZADD', delayed, now + 5000, job)
    redis.call('LREM', processing, 1, job)
  elseif err then
    drop(job, 'its key holds no hash')
  elseif #fields == 0 then
    drop(job, 'its hash does not exist')
  elseif status == 'done' or status == 'failed' then
    drop(job, 'it is already ' .. status)
  elseif lease and tonumber(lease) > now then
    -- Somebody works on it: look again when that lease ends.
    redis.call('LREM', processing, 1, job)
    redis.call('ZADD', delayed, tonumber(lease) + 500, job)
  elseif paused and owner ~= processing then
    -- It came in while the slot was waiting for one.
    redis.call('LREM', processing, 1, job)
    redis.call('RPUSH', queue, job)
  elseif found and record.rc_token and record.rc_token == ARGV[8] then
    redis.call('LREM', processing, 1, job)
    requeue(job, 'unsettled', true)
  else
    local crashes = count(record.rc_crashes)
    if lease then
      crashes = crashes + 1
      redis.call('HSET', job, 'rc_crashes', crashes)
      fields[#fields + 1] = 'rc_crashes'
      fields[#fields + 1] = tostring(crashes)
    end
    return { dropped, requeued, take_lease(job, crashes, record.rc_claims, fields) }
  end
  found = found and redis.call('LINDEX', processing, 0)
end
-- The slot may be given an entry while it waits for one. Should the consumer die then, its lists are looked into only if it is
-- known. A job's lease is looked at in any case.
redis.call('ZADD', KEYS[6], now, ARGV[3])
if paused then return { dropped, requeued, 1 } end
return { dropped, requeued }

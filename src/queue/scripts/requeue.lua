-- Shared by `claim`, `recover` and `reclaim`, which stand below it: how a job goes back to the queue whose consumer has died.
-- KEYS[1]: queue   KEYS[2]: leases   KEYS[3]: delayed jobs
-- ARGV[1]: ms to wait after the second death, doubled with each further one   ARGV[2]: the longest such wait
local queue, leases, delayed = KEYS[1], KEYS[2], KEYS[3]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local requeued, dropped = {}, {}
need(queue, 'RPUSH')
need(leases, 'ZREM')
need(delayed, 'ZADD')

-- Whether the user has all rights to a job that are needed to requeue it.
local function is_ours(job)
  return may(job, 'HMGET', 'HGET', 'HSET', 'HDEL', 'EXISTS')
end

-- A count as a hash has it; 0 for what is none, such as nan.
local function count(text)
  local number = tonumber(text or 0) or 0
  return number >= 0 and number < 2 ^ 53 and math.floor(number) or 0
end

-- Status and other fields of a job that is not final; nothing if it is, or if there is no such job.
local function unfinished(job)
  local record = read(job, 'status', 'rc_owner', 'updated_by')
  if record.err or record[1] == 'done' or record[1] == 'failed' then return nil end
  if not record[1] and redis.call('EXISTS', job) == 0 then return nil end
  return record
end

local function drop(job)
  redis.call('ZREM', leases, job)
  dropped[#dropped + 1] = job
end

-- The first death may have any cause, so the job is served next; after that it waits longer and longer.
local function requeue(job, cause, died)
  redis.call('HDEL', job, 'rc_token', 'rc_owner')
  redis.call('ZREM', leases, job)
  local crashes = count(redis.call('HGET', job, 'rc_crashes'))
  if died then
    crashes = crashes + 1
    redis.call('HSET', job, 'rc_crashes', crashes)
  end
  if died and crashes > 1 then
    local wait = math.min(ARGV[1] * 2 ^ math.min(crashes - 2, 30), tonumber(ARGV[2]))
    redis.call('HSET', job, 'rc_delay', wait)
    redis.call('ZADD', delayed, now + wait, job)
  else
    redis.call('RPUSH', queue, job)
  end
  requeued[#requeued + 1] = job
  requeued[#requeued + 1] = cause
  requeued[#requeued + 1] = tostring(crashes)
end

-- Makes failed jobs new and queues them again, as if they had just been submitted.
-- KEYS[1]: queue   KEYS[2]: leases   KEYS[3]: delayed jobs   KEYS[4]: parked jobs   KEYS[5]: failed jobs   KEYS[6]: dead jobs
-- ARGV[1]: time stamp   ARGV[2]: 'front' or 'back' of the queue
-- ARGV[3]: 'failed' for such jobs only, 'any' also for those that are not final and nowhere
-- ARGV[4]: what names of processing lists begin with
-- ARGV[5…]: job, 'children' (those that have failed are tried again) or 'all' (the job starts over), …
-- `rights.lua`, `lists.lua`, `renew.lua` and `batch.lua` stand above.
-- Returns: for each job GONE, HELD (by a consumer), WAITING (in the queue, delayed or parked), FINAL (done), PART (of a job that
--          has ended, or knows already that it failed), ACTIVE (neither final nor forced) or OK
local queue = KEYS[1]
need(queue, 'LPUSH', 'RPUSH')
need(KEYS[5], 'ZREM')
need(KEYS[6], 'ZREM')

-- Where a job is that is not final; nothing if it is nowhere.
local function place(job, owner, ...)
  if redis.call('ZSCORE', KEYS[2], job) or (owner and is_in(owner, job)) or is_held_by(ARGV[4], job, ...) then return 'HELD' end
  if redis.call('ZSCORE', KEYS[3], job) or redis.call('ZSCORE', KEYS[4], job) then return 'WAITING' end
  return is_queued(queue, job) and 'WAITING'
end

-- Whether a job may be worked once more for its parent: that has vanished, has not counted it yet, or still waits, and will count
-- it again. One that goes on has seen that the job failed.
local function is_awaited(parent, job)
  local record = read(parent, 'status', 'rc_queue')
  if record.err or not record[1] then return true end
  if record[1] == 'done' or record[1] == 'failed' then return false end
  local pending = 'rc:pending:' .. parent
  need(pending, 'SREM', 'SADD')
  need(parent, 'HINCRBY')
  local is_counted = redis.call('SREM', pending, job) == 0
  if is_counted and not (record[2] and redis.call('ZSCORE', 'rc:parked:' .. record[2], parent)) then return false end
  redis.call('SADD', pending, job)
  if is_counted then redis.call('HINCRBY', parent, 'children_failed', -1) end
  return true
end

local function requeue(job, what)
  need(job, 'HKEYS', 'HSET', 'HDEL', 'HINCRBY', 'PERSIST')
  local record = read(job, 'status', 'rc_owner', 'parent', 'children_failed', 'updated_by', 'identity_started')
  if record.err or not record[1] then
    redis.call('ZREM', KEYS[5], job)
    redis.call('ZREM', KEYS[6], job)
    return 'GONE'
  end
  local has_failures = what == 'children' and (tonumber(record[4] or 0) or 0) > 0
  if record[1] == 'done' and not has_failures then return 'FINAL' end
  if record[1] ~= 'failed' and record[1] ~= 'done' then
    if ARGV[3] ~= 'any' then return 'ACTIVE' end
    local at = place(job, record[2], record[5], record[6])
    if at then return at end
  elseif record[3] and not is_awaited(record[3], job) then
    return 'PART'
  end
  local why = redis.call('HGET', job, 'rc_why')
  renew(job, ARGV[1], what == 'all')
  if what == 'children' then redis.call('HSET', job, 'rc_again', what) end
  redis.call('HINCRBY', job, 'rc_requeued', 1)
  reopen_item(job, why)
  redis.call('ZREM', KEYS[5], job)
  redis.call('ZREM', KEYS[6], job)
  redis.call(ARGV[2] == 'front' and 'RPUSH' or 'LPUSH', queue, job)
  return 'OK'
end

local answers = {}
for i = 5, #ARGV, 2 do answers[#answers + 1] = requeue(ARGV[i], ARGV[i + 1]) end
return answers

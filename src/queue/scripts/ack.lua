-- Commits a final status: the entry leaves the processing list and the fields are written, in one step or not at all.
-- KEYS[1]: job   KEYS[2]: processing list   KEYS[3]: leases   KEYS[4]: delayed jobs
-- KEYS[5…]: sets that remember the job: failed jobs, dead jobs
-- ARGV[1]: token   ARGV[2]: ms that a job is remembered   ARGV[3]: how many are   ARGV[4]: status   ARGV[5…]: field, value, …
-- `children.lua` and `batch.lua` stand above: a parent that waits for the job is told, and so is the batch that it is an item of.
-- Returns: OK; UNTOLD (the same, but parent or batch could not be written to); GONE (the hash has vanished); MOVED (taken out of the list, or finished by
--          others); LOST (somebody else claimed it)
local job = KEYS[1]
need(job, 'EXISTS', 'HSET', 'HDEL')
need(KEYS[2], 'LREM')
need(KEYS[3], 'ZREM')
need(KEYS[4], 'ZREM')
for i = 5, #KEYS do need(KEYS[i], 'ZADD', 'ZREMRANGEBYSCORE', 'ZREMRANGEBYRANK') end
-- Asked for while nothing is written: it may be refused.
local time = #KEYS > 4 and redis.call('TIME')
local own = read(job, 'rc_token', 'rc_done_by', 'status', 'rc_owner', 'parent', 'rc_batch', 'rc_item', 'rc_up')
if own.err or (not own[1] and redis.call('EXISTS', job) == 0) then
  redis.call('LREM', KEYS[2], 1, job)
  redis.call('ZREM', KEYS[3], job)
  return 'GONE'
end
if own[2] == ARGV[1] then return 'OK' end -- our own commit, whose reply was lost
local final = own[3] == 'done' or own[3] == 'failed'
if own[1] ~= ARGV[1] then
  -- It was claimed through a second entry of the same job: ours has nothing to keep any more.
  if final or (own[4] and own[4] ~= KEYS[2]) then redis.call('LREM', KEYS[2], 1, job) end
  return 'LOST'
end
local was_held = redis.call('LREM', KEYS[2], 1, job) == 1 or redis.call('ZREM', KEYS[4], job) == 1
if not was_held or final then
  -- A janitor moved it, or a consumer that knows no tokens has finished it: its record is not ours to write.
  redis.call('HDEL', job, 'rc_token', 'rc_owner')
  redis.call('ZREM', KEYS[3], job)
  return 'MOVED'
end
redis.call('HSET', job, 'rc_done_by', ARGV[1], 'status', ARGV[4], unpack(ARGV, 5))
redis.call('HDEL', job, 'rc_token', 'rc_owner', 'rc_let_go', 'rc_cancel')
redis.call('ZREM', KEYS[3], job)
-- The right to write to the parent may be missing. That does not undo what is written, so the job is settled all the same; a
-- consumer of the parent finds out by a sweep.
local told = not own[5] or pcall(function()
  count_child(own[5], job, ARGV[4])
  wake_if_ready(own[5])
end)
if own[6] then told = pcall(count_item, job, own[6], own[7], own[8], ARGV[4]) and told end
for i = 5, #KEYS do
  local now = time[1] * 1000 + math.floor(time[2] / 1000)
  redis.call('ZADD', KEYS[i], now, job)
  if now % 16 == 0 then -- often enough, and less to do
    redis.call('ZREMRANGEBYSCORE', KEYS[i], '-inf', now - ARGV[2])
    redis.call('ZREMRANGEBYRANK', KEYS[i], 0, -1 - ARGV[3])
  end
end
return told and 'OK' or 'UNTOLD'

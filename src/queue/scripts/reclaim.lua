-- Requeues jobs whose lease has expired, and what silent consumers have in their lists.
-- KEYS[4]: consumers by last heartbeat   KEYS[5]: lock, so that one consumer at a time looks   KEYS[6]: when somebody looked last
-- KEYS[7]: consumers that have fallen silent and left nothing, by when that was seen
-- ARGV[3]: ms to hold the lock   ARGV[4]: how many leases, silent consumers and delayed jobs to look at
-- ARGV[5]: lease in ms; a consumer without a heartbeat for so long is silent
-- ARGV[6]: what names of processing lists begin with   ARGV[7]: the most slots that a consumer has
-- ARGV[8…]: consumers that have lists but no heartbeat. What was on its way when one of ours died may have moved an entry since; of
--           others, which may not be ours, only what our scripts have written is touched
-- Returns: {requeued, dropped, more, wait}; requeued is a flat list of job, cause, crashes; more is 1 if there is more to do now;
--          wait is how many ms to wait first, 0 for most
-- `turn.lua`, `lists.lua`, `requeue.lua` and `clocks.lua` stand above.
need(KEYS[7], 'ZADD', 'ZREMRANGEBYSCORE', 'ZREMRANGEBYRANK', 'ZSCORE')
if #ARGV < 8 and not take_turn(KEYS[5], ARGV[3]) then return { requeued, dropped, 0, 0 } end
local limit, lease_time = tonumber(ARGV[4]), tonumber(ARGV[5])
local wait = wait_for_heartbeats(KEYS[6], lease_time)
if wait > 0 then return { requeued, dropped, 0, wait } end

-- The processing lists of a consumer.
local function lists(pod)
  local names = {}
  for slot = 0, ARGV[7] - 1 do
    names[#names + 1] = ARGV[6] .. (slot > 0 and ('slot' .. slot .. ':') or '') .. pod
  end
  return names
end

-- To look for a job in a long queue takes long: some 5 ms for this many entries.
local entries_left = 400000

-- Whether the queue has a job; nothing if too much has been looked at already.
local function queued(job)
  local length = redis.call('LLEN', queue)
  if entries_left < 0 then return nil end
  entries_left = entries_left - length
  return is_queued(queue, job)
end

-- A lease whose entry is not in the list of its owner: a janitor took it out, to the queue or to a consumer that knows no
-- leases, or it is lost. False if there was no time to find out.
local function settle_moved(job, owner, updated_by)
  local pod = owner and owner:match('([^:]*)$')
  local moved = redis.call('ZSCORE', delayed, job) or (pod and updated_by and updated_by ~= pod)
  if not moved then
    moved = queued(job)
    if moved == nil then return false end
  end
  if moved then
    redis.call('HDEL', job, 'rc_token', 'rc_owner')
    redis.call('ZREM', leases, job)
  else
    requeue(job, 'lease', true)
  end
  return true
end

-- Gives how many entries are left in the lists of a consumer.
local function clear(pod, is_known)
  local left = 0
  for _, list in ipairs(lists(pod)) do
    for _, job in ipairs(redis.call('LRANGE', list, 0, 99)) do
      local may_take = is_ours(job) and may(list, 'LREM')
      local record = may_take and unfinished(job)
      local leased = redis.call('ZSCORE', leases, job)
      if not may_take then
        left = left + 1
      elseif not record then
        redis.call('LREM', list, 1, job)
        drop(job)
      elseif leased and record[2] ~= list then
        redis.call('LREM', list, 1, job) -- somebody else works on it
      elseif not leased and (is_known or record[2] == list) then
        redis.call('LREM', list, 1, job)
        requeue(job, 'worker', record[2] == list)
      else
        left = left + 1
      end
    end
  end
  return left
end

if #ARGV < 8 then move_times(KEYS[4], lease_time, limit, lists) end
local looked, handled = 0, 0
for _, job in ipairs(redis.call('ZRANGEBYSCORE', leases, '-inf', now, 'LIMIT', 0, limit)) do
  looked = looked + 1
  local may_take = is_ours(job)
  local record = may_take and unfinished(job)
  local owner = record and record[2]
  may_take = may_take and (not owner or may(owner, 'LREM'))
  local removed = may_take and owner and redis.pcall('LREM', owner, 1, job)
  local is_done = true
  if not may_take then
    is_done = false
  elseif not record then
    drop(job)
  elseif removed == 1 then
    requeue(job, 'lease', true)
  else
    is_done = settle_moved(job, owner, record[3])
  end
  if is_done then handled = handled + 1 end
end

for _, pod in ipairs(redis.call('ZRANGEBYSCORE', KEYS[4], '-inf', now - lease_time, 'LIMIT', 0, limit)) do
  looked = looked + 1
  if clear(pod, true) == 0 then
    redis.call('ZREM', KEYS[4], pod)
    redis.call('ZADD', KEYS[7], now, pod)
    handled = handled + 1
  end
end
for i = 8, #ARGV do clear(ARGV[i], redis.call('ZSCORE', KEYS[7], ARGV[i]) and true) end
redis.call('ZREMRANGEBYSCORE', KEYS[7], '-inf', now - 86400000)
redis.call('ZREMRANGEBYRANK', KEYS[7], 0, -10001)

-- After a full round the next one may begin at once, unless it would only meet the same again.
local more = handled > 0 and (looked >= limit or handled < looked)
if more then redis.call('DEL', KEYS[5]) end
return { requeued, dropped, more and 1 or 0, 0 }

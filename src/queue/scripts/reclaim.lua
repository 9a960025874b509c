-- Requeues jobs whose lease has expired, and what silent consumers have in their lists.
-- KEYS[4]: consumers by last heartbeat   KEYS[5]: lock, so that one consumer at a time looks
-- ARGV[3]: ms to hold the lock   ARGV[4]: how many leases, and silent consumers, to look at
-- ARGV[5]: ms without a heartbeat after which a consumer is silent   ARGV[6]: what names of processing lists begin with
-- ARGV[7]: the most slots that a consumer has
-- ARGV[8…]: consumers that have lists but no heartbeat, ours or not: of these only what our scripts have written is touched
-- Returns: {requeued, dropped}; requeued is a flat list of job, cause, crashes
if #ARGV < 8 and not redis.call('SET', KEYS[5], '1', 'NX', 'PX', ARGV[3]) then return { requeued, dropped } end

local function queued(job)
  local place = redis.pcall('LPOS', queue, job)
  if type(place) ~= 'table' then return place end
  for _, entry in ipairs(redis.call('LRANGE', queue, 0, -1)) do -- before 6.0.6 there was no LPOS
    if entry == job then return true end
  end
  return false
end

for _, job in ipairs(redis.call('ZRANGEBYSCORE', leases, '-inf', now, 'LIMIT', 0, ARGV[4])) do
  local record = unfinished(job)
  local owner = record and record[2]
  local removed = owner and redis.pcall('LREM', owner, 1, job)
  if not record then
    drop(job)
  elseif removed == 1 then
    requeue(job, 'lease', true)
  else
    -- A janitor took it out of the list: to the queue, or to a consumer that knows no leases.
    local pod = owner and owner:match('([^:]*)$')
    local moved = queued(job) or redis.call('ZSCORE', delayed, job) or (pod and record[3] and record[3] ~= pod)
    if moved then
      redis.call('HDEL', job, 'rc_token', 'rc_owner')
      redis.call('ZREM', leases, job)
    else
      requeue(job, 'lease', true)
    end
  end
end

-- Gives how many entries are left in the lists of a consumer.
local function clear(pod, is_ours)
  local left = 0
  for slot = 0, ARGV[7] - 1 do
    local list = ARGV[6] .. (slot > 0 and ('slot' .. slot .. ':') or '') .. pod
    for _, job in ipairs(redis.call('LRANGE', list, 0, 99)) do
      local record = unfinished(job)
      local leased = redis.call('ZSCORE', leases, job)
      if not record then
        redis.call('LREM', list, 1, job)
        drop(job)
      elseif leased and record[2] ~= list then
        redis.call('LREM', list, 1, job) -- somebody else works on it
      elseif not leased and (is_ours or record[2] == list) then
        redis.call('LREM', list, 1, job)
        requeue(job, 'worker', record[2] == list)
      else
        left = left + 1
      end
    end
  end
  return left
end

for _, pod in ipairs(redis.call('ZRANGEBYSCORE', KEYS[4], '-inf', now - ARGV[5], 'LIMIT', 0, ARGV[4])) do
  if clear(pod, true) == 0 then redis.call('ZREM', KEYS[4], pod) end
end
for i = 8, #ARGV do clear(ARGV[i], false) end
return { requeued, dropped }

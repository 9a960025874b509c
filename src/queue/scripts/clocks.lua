-- Shared by `reclaim`, which stands below it: what becomes of times when the clock of the server has been put back or ahead, or
-- when the master is another server now.
-- `requeue.lua` stands above.

-- How long leases must not be judged yet, in ms. Nobody has looked for more than half a lease: the clock was put ahead, or the
-- server was away, and all leases may have ended at once. Whoever lives is given the time of two heartbeats.
local function wait_for_heartbeats(clock, lease_time)
  local grace = math.floor(math.min(lease_time / 3, 10000)) + 1000
  local record = redis.call('HMGET', clock, 'looked_at', 'judge_from')
  local last, from = tonumber(record[1] or now), tonumber(record[2] or 0)
  redis.call('HSET', clock, 'looked_at', now)
  if from > now and from <= now + grace then return from - now end
  if from > 0 then redis.call('HDEL', clock, 'judge_from') end
  local was_waited_for = from > 0 and now - from < lease_time -- or it lies ahead, and the clock was put back
  if was_waited_for or now - last <= lease_time / 2 then return 0 end
  redis.call('HSET', clock, 'judge_from', now + grace)
  return grace
end

-- Consumers whose last heartbeat is still to come: it becomes now, and their leases end as long after it as before. One that
-- lives renews them soon.
local function move_leases(workers, limit, lists)
  local ahead = redis.call('ZRANGEBYSCORE', workers, '(' .. (now + 1000), '+inf', 'WITHSCORES', 'LIMIT', 0, limit)
  for i = 1, #ahead, 2 do
    local pod, seen = ahead[i], tonumber(ahead[i + 1])
    for _, list in ipairs(lists(pod)) do
      for _, job in ipairs(redis.call('LRANGE', list, 0, 99)) do
        local ends = tonumber(redis.call('ZSCORE', leases, job) or 0)
        if ends > seen then redis.call('ZADD', leases, now + ends - seen, job) end
      end
    end
    redis.call('ZADD', workers, now, pod)
  end
end

-- Delayed jobs that are due later than their delay allows are due now. `not_before` may lie anywhere. The part of the set that
-- is looked at goes round with the time.
local function move_delays(lease_time, limit)
  local longest = tonumber(ARGV[2]) + lease_time -- unless the job says how long it waits
  local count = redis.call('ZCOUNT', delayed, '(' .. (now + lease_time), '+inf')
  if count == 0 then return end
  local first = redis.call('ZCARD', delayed) - count
  local parts = math.ceil(count / limit)
  local from = first + (math.floor(now / 1000) % parts) * limit
  local jobs = redis.call('ZRANGE', delayed, from, from + limit - 1, 'WITHSCORES')
  for i = 1, #jobs, 2 do
    local job, due = jobs[i], tonumber(jobs[i + 1])
    local record = redis.pcall('HMGET', job, 'not_before', 'rc_delay')
    if record.err then record = {} end
    local delay = tonumber(record[2] or longest) or longest
    if not record[1] and due > now + delay + 1000 then redis.call('ZADD', delayed, now, job) end
  end
end

local function move_times(workers, lease_time, limit, lists)
  move_leases(workers, limit, lists)
  move_delays(lease_time, limit)
end

-- Makes the children of a held job visible and queues them, and parks the job until they are final, in one step.
-- The hashes of new children are there already, without a status and with an expiry.
-- KEYS[5]: parked jobs   KEYS[6]: pending children
-- ARGV[2]: ms until the children are looked at   ARGV[3]: status of the job meanwhile
-- ARGV[4]: 1 if the first failure of a child is to end the wait   ARGV[5]: time stamp   ARGV[6]: queue of the job
-- ARGV[7]: progress of the job when all children are final, per cent
-- ARGV[8…]: child, its queue, …; no queue for a child that is there already
-- Returns: OK, GONE, LOST; MOVED (taken out of the list, or finished by others)
local answer = not_held()
if answer then return answer end
if not release_lease() then return 'MOVED' end

local children = {}
redis.call('DEL', KEYS[6])
for i = 8, #ARGV, 2 do
  local child, queue = ARGV[i], ARGV[i + 1]
  children[#children + 1] = child
  redis.call('SADD', KEYS[6], child)
  -- One that has a status was visible before: it is queued or worked already.
  if queue ~= '' and redis.call('HEXISTS', child, 'status') == 0 then
    redis.call('HSET', child, 'status', 'new', 'created_at', ARGV[5], 'updated_at', ARGV[5])
    redis.call('PERSIST', child)
    redis.call('LPUSH', queue, child)
  end
end
redis.call('HSET', job, 'status', ARGV[3], 'rc_queue', ARGV[6], 'updated_at', ARGV[5],
  'children', table.concat(children, ','), 'children:done', '', 'children:failed', '', 'children_fail_fast', ARGV[4],
  'children_total', #children, 'children_done', 0, 'children_failed', 0, 'children_progress', ARGV[7],
  'progress', 0)
local time = redis.call('TIME')
redis.call('ZADD', KEYS[5], time[1] * 1000 + math.floor(time[2] / 1000) + ARGV[2], job)
return 'OK'

-- Parks a held job until its children are final, all of which have been created.
-- KEYS[5]: parked jobs   KEYS[6]: queue of the job
-- ARGV[2]: ms until the children are looked at   ARGV[3]: status of the job meanwhile
-- ARGV[4]: 1 if the first failure of a child is to end the wait   ARGV[5]: time stamp
-- ARGV[6]: progress of the job when all children are final, per cent   ARGV[7]: number of children
-- ARGV[8]: their keys, joined by commas
-- `release_lease.lua` and `children.lua` stand above.
-- Returns: OK, GONE, LOST; MOVED (taken out of the list, or finished by others)
local answer = not_held()
if answer then return answer end
if not release_lease() then return 'MOVED' end

redis.call('HDEL', job, 'rc_creating', 'rc_again')
redis.call('HSET', job, 'status', ARGV[3], 'rc_queue', KEYS[6], 'updated_at', ARGV[5], 'children', ARGV[8], 'children:done', '',
  'children:failed', '', 'children_fail_fast', ARGV[4], 'children_total', ARGV[7], 'children_progress', ARGV[6], 'progress', 0)
local time = redis.call('TIME')
redis.call('ZADD', KEYS[5], time[1] * 1000 + math.floor(time[2] / 1000) + ARGV[2], job)
wake_if_ready(job) -- they may have ended already
return 'OK'

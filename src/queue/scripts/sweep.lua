-- Looks for children that were finished by consumers which do not know of parents. `children.lua` stands above.
-- KEYS[1]: parked jobs
-- ARGV[1]: ms until a job is looked at again   ARGV[2]: how many jobs, and children of each, to look at
-- Returns: the jobs that were woken
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local woken = {}
for _, parent in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, ARGV[2])) do
  redis.call('ZADD', KEYS[1], now + ARGV[1], parent)
  for _, child in ipairs(redis.call('SRANDMEMBER', 'rc:pending:' .. parent, ARGV[2])) do
    local status = redis.pcall('HGET', child, 'status')
    if type(status) == 'table' then status = nil end
    if status == 'done' or status == 'failed' or not status then count_child(parent, child, status) end
  end
  if wake_if_ready(parent) then
    woken[#woken + 1] = parent
  elseif redis.call('EXISTS', parent) == 0 or redis.call('HGET', parent, 'status') == 'failed'
    or redis.call('HGET', parent, 'status') == 'done' then
    redis.call('ZREM', KEYS[1], parent)
  end
end
return woken

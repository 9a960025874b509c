-- Looks for children that were finished by consumers which do not know of parents. `children.lua` stands above.
-- KEYS[1]: parked jobs
-- ARGV[1]: ms until a job is looked at again   ARGV[2]: how many jobs, and children of all of them, to look at
-- Returns: {woken, more}: the jobs that were woken, and 1 if there is more to look at now
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local woken, left = {}, tonumber(ARGV[2])

-- None is to be looked at as late as this: the clock was put back meanwhile, or the master is another server.
local too_late = now + 4 * ARGV[1]
local parents = redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. too_late, '+inf', 'LIMIT', 0, ARGV[2])
for _, parent in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, ARGV[2])) do
  parents[#parents + 1] = parent
end

for _, parent in ipairs(parents) do
  if left <= 0 then return { woken, 1 } end
  local children, final = redis.call('SRANDMEMBER', 'rc:pending:' .. parent, left), 0
  left = left - #children - 1
  for _, child in ipairs(children) do
    local status = redis.pcall('HGET', child, 'status')
    -- What the user may not read now is looked at again.
    local is_refused = type(status) == 'table' and not status.err:find('WRONGTYPE', 1, true)
    if type(status) == 'table' then status = nil end
    if status == 'done' or status == 'failed' or not (status or is_refused) then
      count_child(parent, child, status)
      final = final + 1
    end
  end
  -- Where many have ended there are more: it stays due.
  local again = left <= 0 and final * 2 > #children
  redis.call('ZADD', KEYS[1], now + (again and 0 or ARGV[1]), parent)
  if wake_if_ready(parent) then
    woken[#woken + 1] = parent
  else
    local status = read(parent, 'status')[1]
    if not status or status == 'failed' or status == 'done' then
      redis.call('ZREM', KEYS[1], parent)
    end
  end
end
return { woken, left <= 0 and 1 or 0 }

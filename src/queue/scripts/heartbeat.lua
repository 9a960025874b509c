-- Renews the leases of every job this process holds.
-- KEYS[1]: leases   KEYS[2]: consumers by last heartbeat   KEYS[3]: delayed jobs
-- ARGV[1]: consumer name   ARGV[2]: lease in ms   ARGV[3]: time stamp for updated_at
-- ARGV[4…]: job, token, processing list, for each job held
-- Returns: the jobs that are no longer held
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local function held(job, token, processing)
  if redis.call('TYPE', job)['ok'] ~= 'hash' or redis.call('HGET', job, 'rc_token') ~= token then return false end
  for _, entry in ipairs(redis.call('LRANGE', processing, 0, -1)) do
    if entry == job then return true end
  end
  -- A janitor requeued it, and a claim met our lease: it waits in the delayed set and is still ours to finish.
  return redis.call('ZSCORE', KEYS[3], job) ~= false
end

redis.call('ZADD', KEYS[2], now, ARGV[1])
local lost = {}
for i = 4, #ARGV, 3 do
  local job = ARGV[i]
  if held(job, ARGV[i + 1], ARGV[i + 2]) then
    redis.call('ZADD', KEYS[1], now + ARGV[2], job)
    redis.call('HSET', job, 'updated_at', ARGV[3], 'updated_by', ARGV[1])
  else
    lost[#lost + 1] = job
  end
end
return lost

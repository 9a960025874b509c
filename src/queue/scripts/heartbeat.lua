-- Renews the leases of every job this process holds.
-- KEYS[1]: leases   KEYS[2]: consumers by last heartbeat   KEYS[3]: delayed jobs   KEYS[4]: queue
-- KEYS[5]: when somebody looked for expired leases last
-- ARGV[1]: consumer name   ARGV[2]: lease in ms   ARGV[3]: time stamp for updated_at
-- ARGV[4…]: job, token, processing list, for each job held
-- Returns: the jobs that are no longer held
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local function is_in(list, job)
  for _, entry in ipairs(redis.call('LRANGE', list, 0, -1)) do
    if entry == job then return true end
  end
  return false
end

local function held(job, token, processing)
  if redis.call('TYPE', job)['ok'] ~= 'hash' or redis.call('HGET', job, 'rc_token') ~= token then return false end
  if is_in(processing, job) then return true end
  -- A janitor requeued it, and a claim met our lease: it waits in the delayed set and is still ours to finish.
  if redis.call('ZSCORE', KEYS[3], job) then return true end
  local place = redis.pcall('LPOS', KEYS[4], job)
  if type(place) == 'table' then place = is_in(KEYS[4], job) end -- before 6.0.6 there was no LPOS
  if place then return false end
  -- It is nowhere: a janitor took it out of the list and died, or the list was evicted. Nobody else would find the job. (A
  -- consumer that knows no tokens has it if it was the last one to write to it.)
  local record = redis.call('HMGET', job, 'status', 'updated_by')
  local status = record[1]
  if not status or status == 'done' or status == 'failed' or record[2] ~= ARGV[1] then return false end
  redis.call('LPUSH', processing, job)
  return true
end

redis.call('ZADD', KEYS[2], now, ARGV[1])
-- Before the first look: whether the clock is put ahead shows from now on.
if redis.call('EXISTS', KEYS[5]) == 0 then redis.call('HSET', KEYS[5], 'looked_at', now) end
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

-- Renews the leases of every job this process holds.
-- KEYS[1]: leases   KEYS[2]: consumers by last heartbeat   KEYS[3]: delayed jobs   KEYS[4]: queue   KEYS[5]: names of queues
-- KEYS[6]: jobs ended by day   KEYS[7]: when somebody looked for expired leases last   KEYS[8]: the last jobs that are done
-- ARGV[1]: consumer name   ARGV[2]: lease in ms   ARGV[3]: time stamp for updated_at
-- ARGV[4]: jobs that are done since the last heartbeat   ARGV[5]: jobs that have failed since
-- ARGV[6]: how many that are done are remembered   ARGV[7]: how many of them follow   ARGV[8…]: these, the latest at the end
-- then: job, token, processing list, for each job held
-- `lists.lua` stands above.
-- Returns: {lost, cancelled}: the jobs that are no longer held; and job, by whom and why, … of those that are to end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local function held(job, token, processing)
  if redis.call('TYPE', job)['ok'] ~= 'hash' or redis.call('HGET', job, 'rc_token') ~= token then return false end
  if is_in(processing, job) then return true end
  -- A janitor requeued it, and a claim met our lease: it waits in the delayed set and is still ours to finish.
  if redis.call('ZSCORE', KEYS[3], job) then return true end
  if is_queued(KEYS[4], job) then return false end
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
if redis.call('EXISTS', KEYS[7]) == 0 then redis.call('HSET', KEYS[7], 'looked_at', now) end
local lost, cancelled = {}, {}
local recent = tonumber(ARGV[7])
for i = 8 + recent, #ARGV, 3 do
  local job = ARGV[i]
  if held(job, ARGV[i + 1], ARGV[i + 2]) then
    redis.call('ZADD', KEYS[1], now + ARGV[2], job)
    redis.call('HSET', job, 'updated_at', ARGV[3], 'updated_by', ARGV[1])
    local by = redis.call('HGET', job, 'rc_cancel')
    if by then
      cancelled[#cancelled + 1] = job
      cancelled[#cancelled + 1] = by
    end
  else
    lost[#lost + 1] = job
  end
end

-- What commands show of a queue. Leases do not depend on it: the right to write it may be missing.
local seconds = tonumber(time[1])
local hour, minute, day = math.floor(seconds / 3600), math.floor(seconds / 60) % 60, math.floor(seconds / 86400)
local function count(kind, number)
  if number == 0 then return end
  local history = 'rc:hist:' .. KEYS[4] .. ':' .. hour
  if redis.call('HINCRBY', history, minute .. ':' .. kind, number) == number then redis.call('EXPIRE', history, 180000) end
  redis.call('HINCRBY', KEYS[6], day .. ':' .. kind, number)
  redis.call('HDEL', KEYS[6], (day - 400) .. ':' .. kind)
end
pcall(function()
  redis.call('SADD', KEYS[5], KEYS[4])
  count('done', tonumber(ARGV[4]))
  count('failed', tonumber(ARGV[5]))
  if recent == 0 then return end
  for i = 1, recent do redis.call('ZADD', KEYS[8], now - recent + i, ARGV[7 + i]) end
  redis.call('ZREMRANGEBYRANK', KEYS[8], 0, -1 - ARGV[6])
  redis.call('EXPIRE', KEYS[8], 180000)
end)
return { lost, cancelled }

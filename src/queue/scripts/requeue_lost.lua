-- Queues jobs again that `fsck` has found nowhere, and that nobody has written to since. The queue itself is not searched, which
-- would take long where it is long: should somebody have queued a job meanwhile, a claim drops the second entry.
-- KEYS[1]: queue   KEYS[2]: leases   KEYS[3]: delayed jobs   KEYS[4]: parked jobs   KEYS[5…]: processing lists of the queue
-- ARGV[1]: time stamp   ARGV[2]: number of jobs   ARGV[3…]: job, its updated_at or nothing, …
-- Returns: for each job 1 if it was queued, else 0
local held = {}
for i = 5, #KEYS do
  if redis.call('TYPE', KEYS[i])['ok'] == 'list' then
    for _, entry in ipairs(redis.call('LRANGE', KEYS[i], 0, -1)) do held[entry] = true end
  end
end

local function requeue(job, updated_at)
  local record = redis.pcall('HMGET', job, 'status', 'updated_at')
  if record.err or not record[1] or record[1] == 'done' or record[1] == 'failed' then return 0 end
  if (record[2] or '') ~= updated_at or held[job] then return 0 end
  if redis.call('ZSCORE', KEYS[3], job) or redis.call('ZSCORE', KEYS[4], job) then return 0 end
  redis.call('HDEL', job, 'rc_token', 'rc_owner')
  redis.call('HSET', job, 'updated_at', ARGV[1])
  redis.call('ZREM', KEYS[2], job)
  redis.call('RPUSH', KEYS[1], job)
  return 1
end

local answers = {}
for i = 1, tonumber(ARGV[2]) do answers[i] = requeue(ARGV[1 + 2 * i], ARGV[2 + 2 * i]) end
return answers

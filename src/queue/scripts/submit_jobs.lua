-- Queues new jobs. What is there already stays as it is.
-- KEYS[1]: queue   KEYS[2]: names of all queues   KEYS[3…]: jobs
-- ARGV[1]: time stamp of this call, which tells its own jobs if the answer was lost
-- ARGV[2…]: for each job the number of its fields, then field, value, …
-- Returns: for each job OK if it is queued, else its status, or NONE if it has none
local answers, at = {}, 2
for i = 3, #KEYS do
  local job, last = KEYS[i], at + 2 * ARGV[at]
  if redis.call('EXISTS', job) == 0 then
    redis.call('HSET', job, unpack(ARGV, at + 1, last))
    redis.call('LPUSH', KEYS[1], job)
    redis.call('SADD', KEYS[2], KEYS[1])
    answers[#answers + 1] = 'OK'
  else
    local record = redis.pcall('HMGET', job, 'status', 'created_at')
    if record.err then record = {} end
    answers[#answers + 1] = record[2] == ARGV[1] and 'OK' or record[1] or 'NONE'
  end
  at = last + 1
end
return answers

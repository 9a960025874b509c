-- Writes jobs that were saved, and puts them where they were.
-- KEYS[1]: queue   KEYS[2]: delayed jobs   KEYS[3]: failed jobs   KEYS[4]: names of queues
-- ARGV[1]: 'replace' for jobs that are there already, too
-- ARGV[2…]: for each job its key, place, score, time to live in ms or -1, number of fields, then field, value, …
-- `rights.lua` stands above.
-- Returns: for each job OK, KNOWN (it is there), or HELD (it is there, and a consumer works it)
need(KEYS[1], 'LPUSH')
need(KEYS[2], 'ZADD')
need(KEYS[3], 'ZADD')
redis.call('SADD', KEYS[4], KEYS[1])

local function restore(job, place, score, ttl, first, last)
  need(job, 'DEL', 'HSET', 'HDEL', 'EXPIRE')
  local token = redis.pcall('HGET', job, 'rc_token')
  if type(token) == 'string' then return 'HELD' end
  if redis.call('EXISTS', job) == 1 and ARGV[1] ~= 'replace' then return 'KNOWN' end
  redis.call('DEL', job)
  redis.call('HSET', job, unpack(ARGV, first, last))
  redis.call('HDEL', job, 'rc_token', 'rc_owner')
  if tonumber(ttl) > 0 then redis.call('EXPIRE', job, math.ceil(ttl / 1000)) end
  if place == 'delayed' then
    redis.call('ZADD', KEYS[2], score, job)
  elseif place == 'failed' then
    redis.call('ZADD', KEYS[3], score, job)
  else
    -- A parent waits for its children once more: which of them are pending is found out when it is claimed.
    if place == 'parked' then redis.call('HSET', job, 'rc_again', 'children') end
    redis.call('LPUSH', KEYS[1], job)
  end
  return 'OK'
end

local answers, at = {}, 2
while at < #ARGV do
  local first, last = at + 5, at + 4 + 2 * ARGV[at + 4]
  answers[#answers + 1] = restore(ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], first, last)
  at = last + 1
end
return answers

-- Lets go of a held job until later.
-- KEYS[1]: job   KEYS[2]: processing list   KEYS[3]: leases   KEYS[4]: delayed jobs
-- ARGV[1]: token   ARGV[2]: 'in' or 'at'   ARGV[3]: ms from now, or ms since 1970   ARGV[4…]: field, value, …
-- Returns: OK; DUE (the moment has passed and the job is still held); GONE (the hash has vanished);
--          MOVED (taken out of the list, or finished by others); LOST (somebody else claimed it)
local job = KEYS[1]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local due = tonumber(ARGV[3]) + (ARGV[2] == 'in' and now or 0)
if redis.call('TYPE', job)['ok'] ~= 'hash' then
  redis.call('LREM', KEYS[2], 1, job)
  redis.call('ZREM', KEYS[3], job)
  return 'GONE'
end
local own = redis.call('HMGET', job, 'rc_token', 'rc_let_go', 'status', 'rc_owner')
local final = own[3] == 'done' or own[3] == 'failed'
if own[1] ~= ARGV[1] then
  if own[2] == ARGV[1] then return 'OK' end -- our own call, whose reply was lost
  -- It was claimed through a second entry of the same job: ours has nothing to keep any more.
  if final or (own[4] and own[4] ~= KEYS[2]) then redis.call('LREM', KEYS[2], 1, job) end
  return 'LOST'
end
if ARGV[2] == 'at' and due <= now then return 'DUE' end
redis.call('HDEL', job, 'rc_token', 'rc_owner')
redis.call('ZREM', KEYS[3], job)
if redis.call('LREM', KEYS[2], 1, job) + redis.call('ZREM', KEYS[4], job) == 0 or final then return 'MOVED' end
redis.call('HSET', job, 'rc_let_go', ARGV[1], unpack(ARGV, 4))
redis.call('ZADD', KEYS[4], due, job)
return 'OK'

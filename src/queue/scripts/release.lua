-- Hands a held job back at the front of its queue; nothing is counted against it.
-- KEYS[1]: job   KEYS[2]: processing list   KEYS[3]: leases   KEYS[4]: delayed jobs   KEYS[5]: queue
-- ARGV[1]: token
-- Returns: OK; GONE (the hash has vanished); MOVED (taken out of the list, or finished by others);
--          LOST (claimed by another)
local job = KEYS[1]
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
redis.call('HDEL', job, 'rc_token', 'rc_owner')
redis.call('ZREM', KEYS[3], job)
if redis.call('LREM', KEYS[2], 1, job) + redis.call('ZREM', KEYS[4], job) == 0 or final then return 'MOVED' end
redis.call('HSET', job, 'rc_let_go', ARGV[1])
redis.call('RPUSH', KEYS[5], job)
return 'OK'

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
if redis.call('HGET', job, 'rc_token') ~= ARGV[1] then
  -- Perhaps our own call, whose reply was lost.
  return redis.call('HGET', job, 'rc_let_go') == ARGV[1] and 'OK' or 'LOST'
end
redis.call('HDEL', job, 'rc_token', 'rc_owner')
redis.call('ZREM', KEYS[3], job)
local status = redis.call('HGET', job, 'status')
local final = status == 'done' or status == 'failed'
if redis.call('LREM', KEYS[2], 1, job) + redis.call('ZREM', KEYS[4], job) == 0 or final then return 'MOVED' end
redis.call('HSET', job, 'rc_let_go', ARGV[1])
redis.call('RPUSH', KEYS[5], job)
return 'OK'

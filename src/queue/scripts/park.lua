-- Makes the children of a held job visible, and lets go of the job until they are final, in one step.
-- The hashes of new children are there already, without a status and with an expiry.
-- KEYS[1]: job   KEYS[2]: processing list   KEYS[3]: leases   KEYS[4]: delayed jobs   KEYS[5]: parked jobs   KEYS[6]: pending children
-- ARGV[1]: token   ARGV[2]: ms until the children are looked at   ARGV[3]: status of the job meanwhile
-- ARGV[4]: 1 if the first failure of a child is to end the wait   ARGV[5]: time stamp   ARGV[6]: queue of the job
-- ARGV[7…]: child, its queue, …; no queue for a child that is there already
-- Returns: OK; GONE (the hash has vanished); MOVED (taken out of the list, or finished by others); LOST (claimed by another)
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
  if final or (own[4] and own[4] ~= KEYS[2]) then redis.call('LREM', KEYS[2], 1, job) end
  return 'LOST'
end
redis.call('HDEL', job, 'rc_token', 'rc_owner')
redis.call('ZREM', KEYS[3], job)
if redis.call('LREM', KEYS[2], 1, job) + redis.call('ZREM', KEYS[4], job) == 0 or final then return 'MOVED' end

local children = {}
redis.call('DEL', KEYS[6])
for i = 7, #ARGV, 2 do
  local child, queue = ARGV[i], ARGV[i + 1]
  children[#children + 1] = child
  redis.call('SADD', KEYS[6], child)
  if queue ~= '' then
    redis.call('HSET', child, 'status', 'new', 'created_at', ARGV[5], 'updated_at', ARGV[5])
    redis.call('PERSIST', child)
    redis.call('LPUSH', queue, child)
  end
end
redis.call('HSET', job, 'status', ARGV[3], 'rc_let_go', ARGV[1], 'rc_queue', ARGV[6], 'updated_at', ARGV[5],
  'children', table.concat(children, ','), 'children:done', '', 'children:failed', '', 'children_fail_fast', ARGV[4],
  'children_total', #children, 'children_done', 0, 'children_failed', 0, 'progress', 0)
local time = redis.call('TIME')
redis.call('ZADD', KEYS[5], time[1] * 1000 + math.floor(time[2] / 1000) + ARGV[2], job)
return 'OK'

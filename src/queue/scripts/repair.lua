-- Repairs one thing that `fsck` has found, if it is still so.
-- KEYS[1]: job   KEYS[2]: queue   KEYS[3]: leases   KEYS[4]: delayed jobs   KEYS[5]: parked jobs
-- KEYS[6]: the list or set that holds what should not be there   KEYS[7…]: processing lists of the queue
-- ARGV[1]: 'lost' (queue it again), 'token' (take the claim off), or 'member' (take it out of KEYS[6])
-- Returns: 1 if something was repaired
local job = KEYS[1]
local record = redis.pcall('HMGET', job, 'status', 'rc_owner')
-- A hash without a status is what is left of a job that was deleted.
local exists = not record.err and record[1]
local final = exists and (record[1] == 'done' or record[1] == 'failed')

local function is_in(list)
  if redis.call('TYPE', list)['ok'] ~= 'list' then return false end
  for _, entry in ipairs(redis.call('LRANGE', list, 0, -1)) do
    if entry == job then return true end
  end
  return false
end

if ARGV[1] == 'member' then
  if exists and not final then return 0 end
  local kind = redis.call('TYPE', KEYS[6])['ok']
  if kind == 'list' then return redis.call('LREM', KEYS[6], 1, job) end
  if kind == 'zset' then return redis.call('ZREM', KEYS[6], job) end
  if kind == 'set' then return redis.call('SREM', KEYS[6], job) end
  return 0
end
if not exists then return 0 end
if ARGV[1] == 'token' then
  if not final and record[2] and is_in(record[2]) then return 0 end
  redis.call('HDEL', job, 'rc_token', 'rc_owner')
  return 1
end
if final or not record[1] or redis.call('ZSCORE', KEYS[4], job) or redis.call('ZSCORE', KEYS[5], job) then return 0 end
if is_in(KEYS[2]) then return 0 end
for i = 7, #KEYS do
  if is_in(KEYS[i]) then return 0 end
end
redis.call('HDEL', job, 'rc_token', 'rc_owner')
redis.call('ZREM', KEYS[3], job)
redis.call('RPUSH', KEYS[2], job)
return 1

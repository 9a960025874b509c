-- Repairs one thing that `fsck` has found, if it is still so.
-- KEYS[1]: job   KEYS[2]: the list or set that holds what should not be there
-- ARGV[1]: 'token' (take the claim off), or 'member' (take it out of KEYS[2])
-- `lists.lua` stands above.
-- Returns: 1 if something was repaired
local job = KEYS[1]
local record = redis.pcall('HMGET', job, 'status', 'rc_owner')
-- A hash without a status is what is left of a job that was deleted.
local exists = not record.err and record[1]
local final = exists and (record[1] == 'done' or record[1] == 'failed')

if ARGV[1] == 'member' then
  if exists and not final then return 0 end
  local kind = redis.call('TYPE', KEYS[2])['ok']
  if kind == 'list' then return redis.call('LREM', KEYS[2], 1, job) end
  if kind == 'zset' then return redis.call('ZREM', KEYS[2], job) end
  if kind == 'set' then return redis.call('SREM', KEYS[2], job) end
  return 0
end
if not exists then return 0 end
if not final and record[2] and is_in(record[2], job) then return 0 end
redis.call('HDEL', job, 'rc_token', 'rc_owner')
return 1

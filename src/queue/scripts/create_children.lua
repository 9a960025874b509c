-- Creates some of the children of a held job and queues them. They may end before the job waits for them, so they are counted
-- from now on. What was created for this claim of the job stays as it is: the call may be repeated.
-- KEYS[1]: parent   KEYS[2]: pending children   KEYS[3…]: children
-- ARGV[1]: token of the parent   ARGV[2]: time stamp   ARGV[3]: 'again' if children that have failed are to be tried again
-- ARGV[4…]: for each child its queue, the number of its fields, then field, value, …; no queue for one that is there already
-- `rights.lua` and `renew.lua` stand above.
-- Returns: 1 if created, 0 if the parent is no longer held, or finished by others
local parent, pending, birth = KEYS[1], KEYS[2], ARGV[1]
local own = read(parent, 'rc_token', 'status', 'rc_creating')
if own.err or own[1] ~= birth or own[2] == 'done' or own[2] == 'failed' then return 0 end
need(parent, 'HSET', 'HINCRBY')
need(pending, 'DEL', 'SADD')
local asked = 4
for i = 3, #KEYS do
  need(KEYS[i], 'HMGET', 'HKEYS', 'DEL', 'HSET', 'HDEL', 'PERSIST')
  if ARGV[asked] ~= '' then need(ARGV[asked], 'LPUSH') end
  asked = asked + 2 + 2 * ARGV[asked + 1]
end
if own[3] ~= birth then
  redis.call('DEL', pending)
  redis.call('HSET', parent, 'rc_creating', birth, 'children_done', 0, 'children_failed', 0)
end

local at = 4
for i = 3, #KEYS do
  local child, queue, last = KEYS[i], ARGV[at], at + 1 + 2 * ARGV[at + 1]
  local record = redis.pcall('HMGET', child, 'status', 'rc_birth')
  if record.err then record = {} end
  local status = record[1]
  local final = status == 'done' or status == 'failed'
  if status and record[2] == birth then
    -- Created by this call, whose reply was lost, and perhaps counted already.
  elseif ARGV[3] == 'again' and status == 'failed' then
    local its_queue = redis.call('HGET', child, 'rc_child_queue') or child:match('^[^:]*')
    need(its_queue, 'LPUSH')
    renew(child, ARGV[2], true)
    redis.call('HSET', child, 'rc_birth', birth)
    redis.call('SADD', pending, child)
    redis.call('LPUSH', its_queue, child)
  elseif queue ~= '' and (final or not status) then
    redis.call('DEL', child)
    redis.call('HSET', child, 'status', 'new', 'created_at', ARGV[2], 'updated_at', ARGV[2], 'rc_birth', birth,
      unpack(ARGV, at + 2, last))
    redis.call('SADD', pending, child)
    redis.call('LPUSH', queue, child)
  else
    -- Others have created it, or an earlier life of the parent, and it may be worked now.
    if status then
      redis.call('HSET', child, 'rc_birth', birth)
      redis.call('PERSIST', child)
    end
    if final then
      redis.call('HINCRBY', parent, status == 'done' and 'children_done' or 'children_failed', 1)
    else
      redis.call('SADD', pending, child)
    end
  end
  at = last + 1
end
return 1

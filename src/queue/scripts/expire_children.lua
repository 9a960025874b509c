-- Before the end of a parent that is held: its children get an expiry, and those that nobody has begun are failed.
-- KEYS[1]: parent   KEYS[2]: pending children
-- ARGV[1]: token of the parent   ARGV[2]: seconds until children expire   ARGV[3]: time stamp   ARGV[4…]: children
-- Returns: 1, or 0 if the parent is no longer held, or finished by others
local own = redis.pcall('HMGET', KEYS[1], 'rc_token', 'status')
if own.err or own[1] ~= ARGV[1] or own[2] == 'done' or own[2] == 'failed' then return 0 end
redis.call('DEL', KEYS[2])
for i = 4, #ARGV do
  local child = ARGV[i]
  local record = redis.pcall('HMGET', child, 'status', 'rc_token')
  if not record.err and record[1] then
    if record[1] == 'new' and not record[2] then
      -- Its entry stays in the queue: whoever meets it drops it, as it is final.
      redis.call('HSET', child, 'status', 'failed', 'reason', 'RuntimeError: the job it is a part of has ended',
        'updated_at', ARGV[3], 'finished_at', ARGV[3])
    end
    redis.call('EXPIRE', child, ARGV[2])
  end
end
return 1

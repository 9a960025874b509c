-- After the end of a parent: its children expire, and those that nobody has begun are not worked any more.
-- KEYS[1]: pending children
-- ARGV[1]: seconds until children expire   ARGV[2]: time stamp   ARGV[3…]: children
redis.call('DEL', KEYS[1])
for i = 3, #ARGV do
  local child = ARGV[i]
  local record = redis.pcall('HMGET', child, 'status', 'rc_token')
  if not record.err and record[1] then
    if record[1] == 'new' and not record[2] then
      -- Its entry stays in the queue: whoever meets it drops it, as it is final.
      redis.call('HSET', child, 'status', 'failed', 'reason', 'RuntimeError: the job it is a part of has ended',
        'updated_at', ARGV[2], 'finished_at', ARGV[2])
    end
    redis.call('EXPIRE', child, ARGV[1])
  end
end
return 1

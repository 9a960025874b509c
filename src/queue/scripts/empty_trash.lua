-- Removes some entries of a purged queue, with the hashes of those jobs that nobody has touched since.
-- KEYS[1]: purged queue   KEYS[2]: purged queues by time
-- ARGV[1]: how many
-- Returns: how many are left
for _ = 1, tonumber(ARGV[1]) do
  local job = redis.call('RPOP', KEYS[1])
  if not job then break end
  local record = redis.pcall('HMGET', job, 'status', 'rc_token')
  if not record.err and record[1] == 'new' and not record[2] then redis.call('DEL', job) end
end
local left = redis.call('LLEN', KEYS[1])
if left == 0 then redis.call('ZREM', KEYS[2], KEYS[1]) end
return left

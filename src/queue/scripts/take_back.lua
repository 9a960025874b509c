-- Takes jobs of a batch out of a queue: their items are to be fed once more. The others stay in their order, if as many entries
-- are looked at as the queue has.
-- KEYS[1]: queue   KEYS[2]: batch   ARGV[1]: its name   ARGV[2]: how many entries to look at
-- `rights.lua` and `batch.lua` stand above.
-- Returns: how many were taken
local taken = 0
for _ = 1, tonumber(ARGV[2]) do
  local job = redis.call('RPOP', KEYS[1])
  if not job then break end
  local record = read(job, 'rc_batch', 'rc_item', 'status', 'rc_token')
  local stage, item = place_of(record[2])
  if not record.err and record[1] == ARGV[1] and stage and record[3] == 'new' and not record[4] then
    redis.call('UNLINK', job)
    again(KEYS[2], ARGV[1], stage, item)
    taken = taken + 1
  else
    redis.call('LPUSH', KEYS[1], job)
  end
end
return taken

-- Takes jobs of batches out of a queue: their items are to be fed once more. The others stay in their order, if as many entries are
-- looked at as the queue has.
-- KEYS[1]: queue   ARGV[1]: the batch that is meant, and ARGV[2]: its stage; nothing means all   ARGV[3]: how many entries to look at
-- `rights.lua` and `batch.lua` stand above.
-- Returns: how many were taken
local taken = 0

-- The batch of a job that is its item and that nobody has touched.
local function batch_of(record)
  local is_meant = record[1] and (ARGV[1] == '' or ARGV[1] == record[1])
  if record.err or not is_meant or record[3] ~= 'new' or record[4] then return end
  return redis.call('EXISTS', 'rc:batch:' .. record[1]) == 1 and record[1]
end

for _ = 1, tonumber(ARGV[3]) do
  local job = redis.call('RPOP', KEYS[1])
  if not job then break end
  local record = read(job, 'rc_batch', 'rc_item', 'status', 'rc_token')
  local batch, stage, item = batch_of(record), place_of(record[2])
  if batch and stage and (ARGV[2] == '' or ARGV[2] == stage) then
    redis.call('UNLINK', job)
    again('rc:batch:' .. batch, batch, stage, item)
    taken = taken + 1
  else
    redis.call('LPUSH', KEYS[1], job)
  end
end
return taken

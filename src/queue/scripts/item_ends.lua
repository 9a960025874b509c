-- Counts the ends of items that nobody counted: their jobs were ended by consumers that know no batches, or have vanished.
-- KEYS[1]: batch   ARGV[1]: its name   ARGV[2]: stage   ARGV[3…]: item, job, …
-- `rights.lua` and `batch.lua` stand above.
-- Returns: how many have ended, and how many are to be fed once more
local head, stage, ended, vanished = KEYS[1], ARGV[2], 0, 0
if redis.call('EXISTS', head) == 0 then return { 0, 0 } end
need(head, 'HSET', 'HINCRBY', 'HDEL', 'HMGET', 'PERSIST')
for _, name in ipairs({ 'out', 'failed', 'again' }) do need(head .. ':' .. stage .. ':' .. name, 'SETBIT', 'GETBIT') end
for i = 3, #ARGV, 2 do
  local item, job = ARGV[i], ARGV[i + 1]
  if redis.call('GETBIT', head .. ':' .. stage .. ':out', item) == 1 then
    local record = read(job, 'status', 'rc_up')
    if record[1] == 'done' or record[1] == 'failed' then
      count_item(job, ARGV[1], stage .. ':' .. item, record[2], record[1])
      ended = ended + 1
    elseif not record.err and not record[1] then
      again(head, ARGV[1], stage, item)
      vanished = vanished + 1
    end
  end
end
if vanished > 0 then redis.call('HINCRBY', head, stage .. ':vanished', vanished) end
return { ended, vanished }

-- Puts counters of ended children, and marks of items that are ready, in place of those that are there, unless children have ended
-- meanwhile.
-- KEYS[1]: batch   ARGV[1]: its name   ARGV[2]: stage   ARGV[3]: counters   ARGV[4]: marks   ARGV[5]: how many are marked
-- ARGV[6]: number of stages below   ARGV[7…]: a stage below, how many of its items have ended, …, then items that are not to be
-- fed once more before their children have ended
-- `rights.lua` and `batch.lua` stand above.
-- Returns: 1 if they are in place, else 0
local head, batch, stage = KEYS[1], ARGV[1], ARGV[2]
local after = 7 + 2 * ARGV[6]
for i = 7, after - 1, 2 do
  local is = redis.call('HMGET', head, ARGV[i] .. ':done', ARGV[i] .. ':failed')
  if tonumber(is[1] or 0) + tonumber(is[2] or 0) ~= tonumber(ARGV[i + 1]) then return 0 end
end
redis.call('SET', head .. ':' .. stage .. ':seen', ARGV[3])
redis.call('SET', head .. ':' .. stage .. ':ready', ARGV[4])
redis.call('HSET', head, stage .. ':ready', ARGV[5])
for i = after, #ARGV do
  if redis.call('SETBIT', head .. ':' .. stage .. ':again', ARGV[i], 0) == 1 then
    redis.call('HINCRBY', head, stage .. ':again', -1)
  end
end
if tonumber(ARGV[5]) > 0 then revive_stage(head, batch, stage) end
return 1

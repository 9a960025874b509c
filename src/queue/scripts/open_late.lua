-- Writes the plan of a batch with a list that was read late, and how many items stages have by that.
-- KEYS[1]: batch   KEYS[2]: its plan
-- ARGV[1]: name   ARGV[2]: plan   ARGV[3]: how often the plan was changed before   ARGV[4]: number of stages   ARGV[5…]: stages,
-- then field, value, … of the batch
-- `rights.lua` and `batch.lua` stand above.
-- Returns: 1, or 0 if somebody was first or the plan was changed meanwhile
local head, count = KEYS[1], tonumber(ARGV[4])
local is = redis.call('HMGET', head, 'stages', 'revision', ARGV[5] .. ':total')
if not is[1] or is[3] or (is[2] or '0') ~= ARGV[3] then return 0 end
redis.call('SET', KEYS[2], ARGV[2])
redis.call('HINCRBY', head, 'revision', 1)
for i = 5 + count, #ARGV, 2 do redis.call('HSET', head, ARGV[i], ARGV[i + 1]) end
-- A list may be empty.
for i = 5, 4 + count do end_stage(head, ARGV[1], ARGV[i]) end
return 1

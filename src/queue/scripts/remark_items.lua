-- Changes the marks of items that do not agree with what lies in the bucket; those under way stay as they are.
-- KEYS[1]: batch   ARGV[1]: its name   ARGV[2]: stage
-- ARGV[3]: 'again' (done or failed, and worked again), 'clear' (not done any more), 'adopt' (done)   ARGV[4…]: items
-- `rights.lua` and `batch.lua` stand above. What stages above know of the items is computed anew after this.
-- Returns: how many were changed
local head, batch, stage, what, changed = KEYS[1], ARGV[1], ARGV[2], ARGV[3], 0
local at = head .. ':' .. stage .. ':'
if redis.call('EXISTS', head) == 0 then return 0 end

local function take(kind, item)
  if redis.call('SETBIT', at .. kind, item, 0) == 0 then return false end
  redis.call('HINCRBY', head, stage .. ':' .. kind, -1)
  return true
end

for i = 4, #ARGV do
  local item = ARGV[i]
  if redis.call('GETBIT', at .. 'out', item) == 0 then
    changed = changed + 1
    if what == 'adopt' then
      take('failed', item)
      if redis.call('SETBIT', at .. 'again', item, 0) == 1 then redis.call('HINCRBY', head, stage .. ':again', -1) end
      if redis.call('SETBIT', at .. 'ready', item, 0) == 1 then redis.call('HINCRBY', head, stage .. ':ready', -1) end
      if redis.call('SETBIT', at .. 'done', item, 1) == 0 then redis.call('HINCRBY', head, stage .. ':done', 1) end
    else
      take('done', item)
      take('failed', item)
      redis.call('SETBIT', at .. 'counted', item, 0)
      if what == 'again' then again(head, batch, stage, item) else revive_stage(head, batch, stage) end
    end
  end
end
-- Nobody knows which causes the jobs had that are worked once more; none is left.
if tonumber(redis.call('HGET', head, stage .. ':failed') or 0) == 0 then redis.call('DEL', at .. 'why') end
end_stage(head, batch, stage)
return changed

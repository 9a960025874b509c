-- Shared by scripts that learn of the end of a child: how its parent is told. A set says which children are pending, so that
-- each counts once, however often its end is reported. `rights.lua` stands above.
local function wake_if_ready(parent)
  local record = read(parent, 'status', 'children_total', 'children_failed', 'children_fail_fast', 'rc_queue',
    'children_progress')
  local pending = 'rc:pending:' .. parent
  if record.err or not record[1] or record[1] == 'done' or record[1] == 'failed' then
    redis.call('DEL', pending)
    return false
  end
  if record[5] then
    need('rc:parked:' .. record[5], 'ZREM')
    need(record[5], 'RPUSH')
  end
  local left, total = redis.call('SCARD', pending), tonumber(record[2] or 0) or 0
  if total > 0 then
    local share = tonumber(record[6] or 100) or 100
    redis.call('HSET', parent, 'progress', math.floor((total - left) * share / total + 0.5))
  end
  local hopeless = record[4] == '1' and (tonumber(record[3] or 0) or 0) > 0
  if (left == 0 or hopeless) and record[5] and redis.call('ZREM', 'rc:parked:' .. record[5], parent) == 1 then
    redis.call('RPUSH', record[5], parent) -- the right end is served next
    return true
  end
  return false
end

local function count_child(parent, child, status)
  need(parent, 'HEXISTS', 'HINCRBY')
  if redis.call('SREM', 'rc:pending:' .. parent, child) == 0 then return end
  -- Counting for a parent that was deleted would make a hash that never expires.
  if redis.call('HEXISTS', parent, 'status') == 0 then return end
  redis.call('HINCRBY', parent, status == 'done' and 'children_done' or 'children_failed', 1)
end

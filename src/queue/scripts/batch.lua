-- Shared by scripts that learn of the end of an item of a batch, or that it is worked once more. Bits decide, so that it counts
-- once whatever is repeated, worked twice or requeued by hand.
-- A job's fields: rc_batch; rc_item `<stage>:<item>`; rc_up `<stage>:<item>:<children>[;…]`.
-- `rights.lua` stands above.

local batch_bits = { 'done', 'out', 'failed', 'ready', 'again', 'seen', 'counted', 'recent', 'kept', 'why' }
local batch_days = 30 * 86400

local function batch_keys(head, stages, act)
  act(head)
  act(head .. ':plan')
  for stage = 0, stages - 1 do
    for _, name in ipairs(batch_bits) do act(head .. ':' .. stage .. ':' .. name) end
  end
end

-- Jobs that have ended stay to be looked at, so many of them, for as long as a batch that has ended does.
local function keep_job(list, job, most)
  redis.call('EXPIRE', job, batch_days)
  redis.call('LPUSH', list, job)
  if redis.call('LLEN', list) <= most then return end
  local old = redis.call('RPOP', list)
  local status = read(old, 'status')[1]
  if status == 'done' or status == 'failed' then redis.call('UNLINK', old) end
end

-- A stage is over when all of its items are; a batch is when all stages are.
local function end_stage(head, batch, stage)
  local is = redis.call('HMGET', head, stage .. ':total', stage .. ':done', stage .. ':failed', 'stages', stage .. ':ended')
  if is[5] or not is[1] or tonumber(is[2] or 0) + tonumber(is[3] or 0) < tonumber(is[1]) then return end
  redis.call('HSET', head, stage .. ':ended', redis.call('TIME')[1])
  redis.call('HDEL', head, stage .. ':forced')
  if redis.call('HINCRBY', head, 'ended', 1) < tonumber(is[4]) then return end
  redis.call('HSET', head, 'state', 'finished', 'ended_at', redis.call('TIME')[1])
  -- Not before: whoever works one queue of the batch feeds the others too, whose consumers may not be there yet.
  for other = 0, is[4] - 1 do
    redis.call('ZREM', 'rc:feed:' .. redis.call('HGET', head, other .. ':queue'), batch)
  end
  batch_keys(head, tonumber(is[4]), function(key) redis.call('EXPIRE', key, batch_days) end)
end

-- A stage goes on, and its batch.
local function revive_stage(head, batch, stage)
  local is = redis.call('HMGET', head, 'stages', 'priority', 'state')
  if redis.call('HDEL', head, stage .. ':ended') == 0 then return end
  redis.call('HINCRBY', head, 'ended', -1)
  if is[3] ~= 'finished' then return end
  redis.call('HSET', head, 'state', 'running')
  redis.call('HDEL', head, 'ended_at')
  for other = 0, is[1] - 1 do
    redis.call('ZADD', 'rc:feed:' .. redis.call('HGET', head, other .. ':queue'), is[2] or 0, batch)
  end
  batch_keys(head, tonumber(is[1]), function(key) redis.call('PERSIST', key) end)
end

local function place_of(place)
  local stage, item = (place or ''):match('^(%d+):(%d+)$')
  return stage, item
end

-- An item is to be fed once more: it has no job any more, or none that counts.
local function again(head, batch, stage, item)
  local at = head .. ':' .. stage .. ':'
  for _, kind in ipairs({ 'out', 'failed' }) do
    if redis.call('SETBIT', at .. kind, item, 0) == 1 then redis.call('HINCRBY', head, stage .. ':' .. kind, -1) end
  end
  if redis.call('SETBIT', at .. 'again', item, 1) == 0 then redis.call('HINCRBY', head, stage .. ':again', 1) end
  revive_stage(head, batch, stage)
end

-- Whether an item has been fed, or is to be fed once more: its children do not release it.
local function is_marked(at, item)
  for _, kind in ipairs({ 'done', 'out', 'failed', 'again' }) do
    if redis.call('GETBIT', at .. kind, item) == 1 then return true end
  end
end

-- Tells the items above that one below has ended. Those that were worked before stay as they are: the one below was repaired.
local function count_up(head, ups)
  for above, parent, children in (ups or ''):gmatch('(%d+):(%d+):(%d+)') do
    local at, bits = head .. ':' .. above .. ':', redis.call('HGET', head, above .. ':bits')
    local seen = redis.call('BITFIELD', at .. 'seen', 'INCRBY', 'u' .. bits, '#' .. parent, 1)[1]
    if seen == tonumber(children) and not is_marked(at, parent) and redis.call('SETBIT', at .. 'ready', parent, 1) == 0 then
      redis.call('HINCRBY', head, above .. ':ready', 1)
    end
  end
end

-- The job of an item has ended.
local function count_item(job, batch, place, ups, status)
  local head, stage, item = 'rc:batch:' .. batch, place_of(place)
  if not stage then return end
  local is = read(head, 'state', stage .. ':keep', stage .. ':go_on', stage .. ':same', stage .. ':most', stage .. ':held')
  if is.err or not is[1] then return end -- the batch was deleted
  need(head, 'HSET', 'HINCRBY', 'HDEL', 'HMGET')
  for _, name in ipairs({ 'done', 'out', 'failed' }) do need(head .. ':' .. stage .. ':' .. name, 'SETBIT', 'GETBIT') end
  need(head .. ':' .. stage .. ':seen', 'BITFIELD') -- that of a stage above is no other to the user
  need(head .. ':' .. stage .. ':recent', 'LPUSH', 'RPOP', 'LLEN')
  need(head .. ':' .. stage .. ':why', 'HLEN', 'HEXISTS')
  need(job, 'EXPIRE', 'UNLINK')
  local at, is_done = head .. ':' .. stage .. ':', status == 'done'
  local record = is_done and {} or read(job, 'rc_why', 'error_class')
  -- A stage that is cancelled by itself is held as `cancelled by …`.
  local is_cancelled = is[1] == 'cancelled' or (is[6] or ''):sub(1, 9) == 'cancelled'
  if is_cancelled and record[2] == 'cancelled' then
    redis.call('EXPIRE', job, 86400)
    return again(head, batch, stage, item)
  end
  if redis.call('SETBIT', at .. 'out', item, 0) == 1 then redis.call('HINCRBY', head, stage .. ':out', -1) end
  if is_done then
    if redis.call('SETBIT', at .. 'failed', item, 0) == 1 then redis.call('HINCRBY', head, stage .. ':failed', -1) end
    if redis.call('SETBIT', at .. 'done', item, 1) == 1 then return end
    redis.call('HINCRBY', head, stage .. ':done', 1)
    keep_job(at .. 'recent', job, tonumber(is[2] or 1000))
  else
    -- One whose output was found counts as done, whatever becomes of its job.
    if redis.call('GETBIT', at .. 'done', item) == 1 or redis.call('SETBIT', at .. 'failed', item, 1) == 1 then return end
    local failed = redis.call('HINCRBY', head, stage .. ':failed', 1)
    local why = record[1] or 'other'
    if redis.call('HLEN', at .. 'why') >= 200 and redis.call('HEXISTS', at .. 'why', why) == 0 then why = 'other' end
    local same = redis.call('HINCRBY', at .. 'why', why, 1)
    if not is[6] and is[4] and same >= tonumber(is[4]) then
      redis.call('HSET', head, stage .. ':held', same .. ' items have failed of one cause: ' .. why)
    elseif not is[6] and is[5] and failed >= tonumber(is[5]) then
      redis.call('HSET', head, stage .. ':held', failed .. ' items have failed')
    end
    keep_job(at .. 'kept', job, 10000)
  end
  if (is_done and not is[3]) or (is[3] and redis.call('SETBIT', at .. 'counted', item, 1) == 0) then count_up(head, ups) end
  end_stage(head, batch, stage)
end

-- The job of an item that has failed of this cause is worked once more.
local function reopen_item(job, why)
  local record = read(job, 'rc_batch', 'rc_item')
  local stage, item = place_of(record[2])
  if record.err or not record[1] or not stage then return end
  local head, batch = 'rc:batch:' .. record[1], record[1]
  if redis.call('EXISTS', head) == 0 then return end
  local at = head .. ':' .. stage .. ':'
  if redis.call('GETBIT', at .. 'done', item) == 1 then return end
  if redis.call('SETBIT', at .. 'again', item, 0) == 1 then redis.call('HINCRBY', head, stage .. ':again', -1) end
  if redis.call('SETBIT', at .. 'failed', item, 0) == 1 then
    redis.call('HINCRBY', head, stage .. ':failed', -1)
    if not why or redis.call('HEXISTS', at .. 'why', why) == 0 then why = 'other' end
    if redis.call('HINCRBY', at .. 'why', why, -1) <= 0 then redis.call('HDEL', at .. 'why', why) end
  end
  if redis.call('SETBIT', at .. 'out', item, 1) == 0 then redis.call('HINCRBY', head, stage .. ':out', 1) end
  revive_stage(head, batch, stage)
end

-- Makes jobs of items of one stage, in one step or not at all: nothing is lost if the caller dies before it, and two callers that
-- do the same work do it once.
-- KEYS[1]: batch   KEYS[2]: queue   KEYS[3]: done   KEYS[4]: out   KEYS[5]: failed   KEYS[6]: items that are released, or are to be
-- fed once more   KEYS[7]: names of queues
-- ARGV[1]: stage   ARGV[2]: position at which the caller began, or the counter of released items: 'ready', 'again'
-- ARGV[3]: position after these   ARGV[4]: longest queue   ARGV[5]: items that may be under way; 0 is no limit
-- ARGV[6]: time stamp   ARGV[7]: 'front' or 'back' of the queue
-- ARGV[8…]: for each item its number, position, key, number of words, field, value, …
-- `rights.lua` stands above.
-- Returns: OK, jobs made, items passed over; FULL, room; MOVED, position; HELD, state or why
local head, queue, stage = KEYS[1], KEYS[2], ARGV[1]
need(head, 'HMGET', 'HSET', 'HSETNX', 'HINCRBY')
need(queue, 'LLEN', 'LPUSH', 'RPUSH')
for i = 3, 6 do need(KEYS[i], 'GETBIT', 'SETBIT') end
need(KEYS[6], 'DEL')
need(KEYS[7], 'SADD')
if ARGV[10] then need(ARGV[10], 'HGET', 'DEL', 'HSET') end -- those of the others begin with the same queue
local is = redis.call('HMGET', head, 'state', stage .. ':next', stage .. ':held', stage .. ':out')
if is[1] ~= 'running' then return { 'HELD', is[1] or 'gone' } end
if is[3] then return { 'HELD', is[3] } end
local released = (ARGV[2] == 'ready' or ARGV[2] == 'again') and ARGV[2]
if not released and (is[2] or '0') ~= ARGV[2] then return { 'MOVED', is[2] or '0' } end
local room, most = ARGV[4] - redis.call('LLEN', queue), tonumber(ARGV[5])
if most > 0 then room = math.min(room, most - tonumber(is[4] or 0)) end
if room <= 0 then return { 'FULL', '0' } end

local made, passed, given, next, i = 0, 0, 0, ARGV[3], 8
while ARGV[i] do
  local item, key, words = ARGV[i], ARGV[i + 2], tonumber(ARGV[i + 3])
  if made >= room then
    next = ARGV[i + 1]
    break
  end
  local wanted = not released or redis.call('SETBIT', KEYS[6], item, 0) == 1
  if wanted and released then given = given + 1 end
  local is_settled = redis.call('GETBIT', KEYS[3], item) == 1 or redis.call('GETBIT', KEYS[5], item) == 1
  if wanted and not is_settled and redis.call('SETBIT', KEYS[4], item, 1) == 0 then
    local record = redis.pcall('HGET', key, 'status')
    local status = type(record) == 'string' and record
    made = made + 1
    -- One that is not over is somebody's, or in the queue: it ends as this item.
    if not status or status == 'done' or status == 'failed' then
      redis.call('DEL', key)
      redis.call('HSET', key, 'status', 'new', 'created_at', ARGV[6], 'updated_at', ARGV[6], unpack(ARGV, i + 4, i + 3 + words))
      redis.call(ARGV[7] == 'front' and 'RPUSH' or 'LPUSH', queue, key)
    end
  else
    passed = passed + 1
  end
  i = i + 4 + words
end
if not released then redis.call('HSET', head, stage .. ':next', next) end
if given > 0 and redis.call('HINCRBY', head, stage .. ':' .. released, -given) <= 0 then redis.call('DEL', KEYS[6]) end
if made > 0 then
  redis.call('HINCRBY', head, stage .. ':out', made)
  redis.call('HSETNX', head, stage .. ':began', redis.call('TIME')[1])
  redis.call('SADD', KEYS[7], queue)
end
return { 'OK', tostring(made), tostring(passed) }

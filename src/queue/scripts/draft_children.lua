-- Writes children that nobody sees yet, as long as their parent is held. What a parent has made visible in an earlier life and
-- is still waiting or worked is left alone; what has ended is made anew.
-- KEYS[1]: parent   KEYS[2…]: children
-- ARGV[1]: token of the parent   ARGV[2]: seconds until a child that is never made visible is forgotten
-- ARGV[3…]: for each child the number of fields, then field, value, …
-- Returns: 1 if written, 0 if the parent is no longer held, or finished by others
local own = redis.pcall('HMGET', KEYS[1], 'rc_token', 'status')
if own.err or own[1] ~= ARGV[1] or own[2] == 'done' or own[2] == 'failed' then return 0 end
local at = 3
for i = 2, #KEYS do
  local child, last = KEYS[i], at + 2 * ARGV[at]
  local status = redis.call('HGET', child, 'status')
  if not status or status == 'done' or status == 'failed' then
    redis.call('DEL', child)
    redis.call('HSET', child, unpack(ARGV, at + 1, last))
    redis.call('EXPIRE', child, ARGV[2])
  end
  at = last + 1
end
return 1

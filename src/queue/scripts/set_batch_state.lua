-- Changes the state of a batch, unless it has finished meanwhile.
-- KEYS[1]: batch   ARGV[1]: state
-- Returns: the state that it has now, or nothing if there is no such batch
local state = redis.call('HGET', KEYS[1], 'state')
if not state or state == 'finished' then return state end
redis.call('HSET', KEYS[1], 'state', ARGV[1])
return ARGV[1]

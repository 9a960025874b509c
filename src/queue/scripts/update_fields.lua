-- Writes fields of a job that is still held.
-- KEYS[1]: job
-- ARGV[1]: token   ARGV[2…]: field, value, …
-- Returns: 1 if written, 0 if the job is no longer held, or finished by others
local own = redis.pcall('HMGET', KEYS[1], 'rc_token', 'status')
if own.err and not own.err:find('WRONGTYPE', 1, true) then return redis.error_reply(own.err) end
if own.err or own[1] ~= ARGV[1] or own[2] == 'done' or own[2] == 'failed' then return 0 end
redis.call('HSET', KEYS[1], unpack(ARGV, 2))
return 1

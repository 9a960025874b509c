-- Writes fields of a job that is still held.
-- KEYS[1]: job
-- ARGV[1]: token   ARGV[2…]: field, value, …
-- Returns: 1 if written, 0 if the job is no longer held
if redis.call('TYPE', KEYS[1])['ok'] ~= 'hash' or redis.call('HGET', KEYS[1], 'rc_token') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], unpack(ARGV, 2))
return 1

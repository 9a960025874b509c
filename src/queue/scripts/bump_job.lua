-- Puts a waiting job before all others of its queue.
-- KEYS[1]: queue   ARGV[1]: job
-- Returns: 1 if it waits there
if redis.call('LREM', KEYS[1], 1, ARGV[1]) == 0 then return 0 end
redis.call('RPUSH', KEYS[1], ARGV[1])
return 1

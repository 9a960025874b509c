-- Ends the claim of a held job until a later time.
-- ARGV[2]: 'in' or 'at'   ARGV[3]: ms from now, or ms since 1970   ARGV[4…]: field, value, …
-- Returns: OK, GONE, LOST; DUE (the moment has passed and the job is still held);
--          MOVED (taken out of the list, or finished by others)
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local due = tonumber(ARGV[3]) + (ARGV[2] == 'in' and now or 0)
local answer = not_held()
if answer then return answer end
if ARGV[2] == 'at' and due <= now then return 'DUE' end
if not release_lease() then return 'MOVED' end
if ARGV[4] then redis.call('HSET', job, unpack(ARGV, 4)) end
if ARGV[2] == 'in' then redis.call('HSET', job, 'rc_delay', ARGV[3]) end
redis.call('ZADD', KEYS[4], due, job)
return 'OK'

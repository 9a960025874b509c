-- Lets the hash of a job go after a while, if it has ended and is no item of a batch, which keeps it as its plan says.
-- KEYS[1]: job
-- ARGV[1]: seconds
-- Returns: OK, KEPT for an item of a batch, OPEN if the job has not ended, or GONE if there is no such job
local record = redis.pcall('HMGET', KEYS[1], 'status', 'rc_batch')
if record.err or not record[1] then return 'GONE' end
if record[1] ~= 'done' and record[1] ~= 'failed' then return 'OPEN' end
if record[2] then return 'KEPT' end
redis.call('EXPIRE', KEYS[1], ARGV[1])
return 'OK'

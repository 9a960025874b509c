-- Takes a certain job into a processing list, under a lease, wherever it waits, even if the queue is paused.
-- `requeue.lua`, `take_lease.lua` and `lists.lua` stand above.
-- KEYS[5]: parked jobs   KEYS[6]: the job
-- ARGV[7]: what names of processing lists begin with
-- Returns: GONE, FINAL, HELD (by a consumer), PARKED (until its children are final), ELSEWHERE (it does not wait here), or {job, token, crashes, fields}
local job = KEYS[6]
need(queue, 'LREM')
need(processing, 'LPUSH')
need(job, 'HSET', 'HGETALL', 'EXISTS')

local record = read(job, 'status', 'rc_crashes', 'rc_claims', 'rc_owner', 'rc_token', 'updated_by', 'identity_started')
if record.err or not record[1] then return 'GONE' end
if record[1] == 'done' or record[1] == 'failed' then return 'FINAL' end
if record[5] ~= ARGV[4] then -- or else the answer to this call was lost
  if redis.call('ZSCORE', leases, job) or (record[4] and is_in(record[4], job)) or is_held_by(ARGV[7], job, record[6], record[7]) then
    return 'HELD'
  end
  if redis.call('ZSCORE', KEYS[5], job) then return 'PARKED' end
  if redis.call('LREM', queue, -1, job) + redis.call('ZREM', delayed, job) == 0 then return 'ELSEWHERE' end
  redis.call('LPUSH', processing, job)
end
return { take_lease(job, count(record[2]), record[3], redis.call('HGETALL', job)) }

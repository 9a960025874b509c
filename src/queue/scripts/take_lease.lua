-- Shared by `claim` and `claim_job`, which stand below it: how a job comes under a lease.
-- `requeue.lua` stands above.
-- KEYS[4]: processing list that has the job's entry   KEYS[5]: consumers by last heartbeat
-- ARGV[3]: consumer name   ARGV[4]: token, never used before   ARGV[5]: lease in ms   ARGV[6]: time stamp for updated_at
local processing = KEYS[4]
need(leases, 'ZADD', 'ZREM')
need(delayed, 'ZADD', 'ZREM')
need(processing, 'LREM')
need(KEYS[5], 'ZADD')
-- The slot may be given an entry while it waits for one. Should the consumer die then, its lists are looked into only if it is known.
redis.call('ZADD', KEYS[5], now, ARGV[3])

-- Takes a job whose crashes and claims are these. Returns: job, token, crashes, fields
local function take_lease(job, crashes, claims)
  redis.call('HSET', job, 'rc_claims', count(claims) + 1, 'rc_token', ARGV[4], 'rc_owner', processing,
    'updated_at', ARGV[6], 'updated_by', ARGV[3])
  redis.call('ZADD', leases, now + ARGV[5], job)
  return job, ARGV[4], crashes, redis.call('HGETALL', job)
end

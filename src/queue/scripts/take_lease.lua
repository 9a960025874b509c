-- Shared by `claim` and `claim_job`, which stand below it: how a job comes under a lease.
-- `requeue.lua` stands above.
-- KEYS[4]: processing list that has the job's entry
-- ARGV[3]: consumer name   ARGV[4]: token, never used before   ARGV[5]: lease in ms   ARGV[6]: time stamp for updated_at
local processing = KEYS[4]
need(leases, 'ZADD', 'ZREM')
need(delayed, 'ZADD', 'ZREM')
need(processing, 'LREM')

-- Takes a job that has these fields, a flat list of name, value, … Returns: job, token, crashes, fields
local function take_lease(job, crashes, claims, fields)
  local written = { 'rc_claims', ('%d'):format(count(claims) + 1), 'rc_token', ARGV[4], 'rc_owner', processing,
    'updated_at', ARGV[6], 'updated_by', ARGV[3] }
  redis.call('HSET', job, unpack(written))
  redis.call('ZADD', leases, now + ARGV[5], job)
  -- The newest value of a field is the last one. What is known is not asked again.
  for _, word in ipairs(written) do fields[#fields + 1] = word end
  return job, ARGV[4], crashes, fields
end

-- Shared by `nack`, `release` and `wait_for_children`, which stand below it: how a consumer gives up the lease of a job.
-- KEYS[1]: job   KEYS[2]: processing list   KEYS[3]: leases   KEYS[4]: delayed jobs
-- ARGV[1]: token
-- `rights.lua` stands above.
local job = KEYS[1]
local final = false
need(job, 'EXISTS', 'HSET', 'HDEL')
need(KEYS[2], 'LREM')
need(KEYS[3], 'ZREM')
need(KEYS[4], 'ZADD', 'ZREM')
redis.call('TIME') -- what stands below asks for it when it is too late to be refused

-- Nothing while the job is held, else the answer: GONE (the hash has vanished), LOST (claimed by another), or OK (our own
-- call, whose reply was lost).
local function not_held()
  local own = read(job, 'rc_token', 'rc_let_go', 'status', 'rc_owner')
  if own.err or (not own[1] and redis.call('EXISTS', job) == 0) then
    redis.call('LREM', KEYS[2], 1, job)
    redis.call('ZREM', KEYS[3], job)
    return 'GONE'
  end
  final = own[3] == 'done' or own[3] == 'failed'
  if own[1] == ARGV[1] then return nil end
  if own[2] == ARGV[1] then return 'OK' end
  -- It was claimed through a second entry of the same job: ours has nothing to keep any more.
  if final or (own[4] and own[4] ~= KEYS[2]) then redis.call('LREM', KEYS[2], 1, job) end
  return 'LOST'
end

-- Ends the claim. False if the entry had been taken out of the list, or the job finished by others.
local function release_lease()
  redis.call('HDEL', job, 'rc_token', 'rc_owner')
  redis.call('ZREM', KEYS[3], job)
  if redis.call('LREM', KEYS[2], 1, job) + redis.call('ZREM', KEYS[4], job) == 0 or final then return false end
  redis.call('HSET', job, 'rc_let_go', ARGV[1])
  return true
end

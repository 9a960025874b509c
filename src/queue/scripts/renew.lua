-- Shared by `requeue_jobs` and `create_children`: how a job that has ended becomes new.

-- Fields that say how the job has fared.
local outcome = { reason = 1, error_class = 1, finished_at = 1, identity_started = 1, output_url = 1, output_file_name = 1,
  failures = 1, progress = 1, total_jobs = 1, dim_order = 1, log_file_name = 1 }
-- Fields of ours that say what is to be done.
local orders = { rc_timeout = 1, rc_memory = 1, rc_attempts_max = 1, rc_crashes_max = 1, rc_requeued = 1, rc_child_queue = 1,
  rc_birth = 1, rc_round = 1, rc_expect = 1, rc_batch = 1, rc_item = 1, rc_up = 1 }

-- Forgets the outcome of a job, and its children too if it starts over.
local function renew(job, stamp, starts_over)
  local old = {}
  for _, field in ipairs(redis.call('HKEYS', job)) do
    local is_outcome = outcome[field] or field:sub(-5) == '_time' or (field:sub(1, 3) == 'rc_' and not orders[field])
    if is_outcome or (starts_over and field:sub(1, 8) == 'children') then old[#old + 1] = field end
  end
  if #old > 0 then redis.call('HDEL', job, unpack(old)) end
  redis.call('HSET', job, 'status', 'new', 'updated_at', stamp)
  redis.call('PERSIST', job)
end

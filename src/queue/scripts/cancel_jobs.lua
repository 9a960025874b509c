-- Ends jobs that are not final: those that nobody works at once, those that a consumer of ours holds at its next heartbeat.
-- KEYS[1]: queue   KEYS[2]: leases   KEYS[3]: delayed jobs   KEYS[4]: parked jobs
-- ARGV[1]: time stamp   ARGV[2]: by whom and why   ARGV[3]: what names of processing lists begin with   ARGV[4…]: jobs
-- `rights.lua`, `lists.lua`, `children.lua` and `batch.lua` stand above: a parent that waits for the job is told.
-- Returns: for each job GONE, OVER (final), ASKED (its consumer ends it), FOREIGN (a consumer that cannot be asked works it), or OK
need(KEYS[3], 'ZREM')
need(KEYS[4], 'ZREM')

local function cancel(job)
  need(job, 'HSET')
  need('rc:pending:' .. job, 'DEL')
  local record = read(job, 'status', 'rc_token', 'updated_by', 'identity_started', 'parent', 'rc_batch', 'rc_item', 'rc_up')
  if record.err or not record[1] then return 'GONE' end
  if record[1] == 'done' or record[1] == 'failed' then return 'OVER' end
  if record[2] then
    redis.call('HSET', job, 'rc_cancel', ARGV[2])
    return 'ASKED'
  end
  if is_held_by(ARGV[3], job, record[3], record[4]) then return 'FOREIGN' end
  -- Its entry stays in the queue: whoever meets it drops it, as it is final.
  redis.call('HSET', job, 'status', 'failed', 'error_class', 'cancelled', 'reason', 'Cancelled: by ' .. ARGV[2],
    'updated_at', ARGV[1], 'finished_at', ARGV[1])
  redis.call('ZREM', KEYS[3], job)
  redis.call('ZREM', KEYS[4], job)
  redis.call('DEL', 'rc:pending:' .. job)
  if record[5] then
    count_child(record[5], job, 'failed')
    wake_if_ready(record[5])
  end
  if record[6] then count_item(job, record[6], record[7], record[8], 'failed') end
  return 'OK'
end

local answers = {}
for i = 4, #ARGV do answers[#answers + 1] = cancel(ARGV[i]) end
return answers

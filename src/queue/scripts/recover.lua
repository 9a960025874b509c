-- Requeues what an earlier process of the same name left in a processing list, and counts its death.
-- KEYS[4]: processing list
-- Returns: {requeued, dropped}; requeued is a flat list of job, cause, crashes
local processing = KEYS[4]
need(processing, 'LREM')

local function settle(job)
  local record = unfinished(job)
  local lease = redis.call('ZSCORE', leases, job)
  redis.call('LREM', processing, 1, job)
  if not record then
    drop(job)
  elseif record[2] and record[2] ~= processing and lease and tonumber(lease) > now then
    dropped[#dropped + 1] = job -- somebody else works on it
  else
    requeue(job, 'restart', record[2])
  end
end

if redis.call('TYPE', processing)['ok'] == 'list' then
  for _, job in ipairs(redis.call('LRANGE', processing, 0, -1)) do
    if is_ours(job) then settle(job) end
  end
end
return { requeued, dropped }

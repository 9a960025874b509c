-- Shared by scripts that look for a job in a list.

-- Whether a short list has a job; a key of another type has none.
local function is_in(list, job)
  if redis.call('TYPE', list)['ok'] ~= 'list' then return false end
  for _, entry in ipairs(redis.call('LRANGE', list, 0, -1)) do
    if entry == job then return true end
  end
  return false
end

-- Whether a consumer that knows no tokens works a job. What it may be called is told by the job; false is no name.
local function is_held_by(prefix, job, ...)
  for _, name in ipairs({ ... }) do
    if name and is_in(prefix .. name, job) then return true end
  end
  return false
end

-- Whether a queue has a job, however long it is.
local function is_queued(queue, job)
  local place = redis.pcall('LPOS', queue, job)
  if type(place) == 'table' then return is_in(queue, job) end -- before 6.0.6 there was no LPOS
  return place ~= false
end

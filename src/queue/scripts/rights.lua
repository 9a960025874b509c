-- Shared by scripts that write, and stands above all else: what the user of Redis may not do is found out before anything is
-- written, because Redis does not take back what a script has written when it is refused something on the way.

-- To ask for each right takes a third of the time of a claim. Who may remove everything and write any key has them all, as the
-- default user does; before Redis 7 nobody can tell.
local check = redis.acl_check_cmd
local has_all = not check or (check('FLUSHALL') and check('SET', 'some key or other', ''))

-- Whether the user may run these commands on a key.
local function may(key, ...)
  if has_all then return true end
  for _, command in ipairs({ ... }) do
    if not check(command, key) then return false, command end
  end
  return true
end

local function need(key, ...)
  local is_allowed, command = may(key, ...)
  if not is_allowed then error({ err = 'NOPERM this user may not run ' .. command .. ' on a key that a script needs' }) end
end

-- Fields of a job; an error if the key holds something else. What the user may not read may well be a job.
local function read(job, ...)
  local record = redis.pcall('HMGET', job, ...)
  if record.err and not record.err:find('WRONGTYPE', 1, true) then redis.call('HMGET', job, ...) end
  return record
end

-- Shared by `reclaim` and `take_turn`: a lock that one consumer at a time gets.

-- Takes a lock for a while, in ms. One that lasts longer than that was taken before the clock of the server was put back.
local function take_turn(lock, ms)
  if redis.call('SET', lock, '1', 'NX', 'PX', ms) then return true end
  if redis.call('PTTL', lock) <= ms + 1000 then return false end
  redis.call('SET', lock, '1', 'PX', ms)
  return true
end

-- Returns a held job to the front of its queue; nothing is counted against it.
-- KEYS[5]: queue
-- Returns: OK, GONE, LOST; MOVED (taken out of the list, or finished by others)
need(KEYS[5], 'RPUSH')
local answer = not_held()
if answer then return answer end
if not release_lease() then return 'MOVED' end
redis.call('RPUSH', KEYS[5], job)
return 'OK'

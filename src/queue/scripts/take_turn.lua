-- Whether it is the caller's turn; it is somebody's once in a while. `turn.lua` stands above.
-- KEYS[1]: lock
-- ARGV[1]: ms to hold it
-- Returns: 1 if it is
return take_turn(KEYS[1], ARGV[1]) and 1 or 0

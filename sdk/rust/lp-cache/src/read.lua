-- The record of KEYS[1], and Valkey's time in microseconds, by which its age is known.
local time = redis.call('TIME')
local record = redis.pcall('GET', KEYS[1])
if type(record) ~= 'string' then record = false end
return { time[1] * 1000000 + time[2], record }

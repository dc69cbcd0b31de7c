-- The record of KEYS[1] and Valkey's time in milliseconds, by which its age is known.
local time = redis.call('TIME')
local record = redis.pcall('GET', KEYS[1])
if type(record) ~= 'string' then record = false end
return { time[1] * 1000 + math.floor(time[2] / 1000), record }

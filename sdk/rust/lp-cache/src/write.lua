-- Writes the record "{version} {as of} {value}" upwards only; answers with Valkey's time in microseconds.
-- ARGV: version as sortable digits, or '' to invalidate; as-of time, or '' for now; ttl in µs; value.
local version, ttl, value = ARGV[1], ARGV[3], ARGV[4]
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local as_of = tonumber(ARGV[2]) or now

local record = redis.pcall('GET', KEYS[1])
if version ~= '' and type(record) == 'string' then
  local standing, since = string.match(record, '^(%d*) (%d+) ')
  since = tonumber(since)
  if standing and standing > version then return now end
  -- A time ahead of ours was written before Valkey's clock went back: it proves nothing.
  if standing and since <= now then
    if standing == '' and as_of < since then return now end
    if standing == version and as_of <= since then return now end
  end
end
record = version .. ' ' .. string.format('%.0f', as_of) .. ' ' .. value
redis.call('SET', KEYS[1], record, 'PXAT', math.floor((as_of + ttl) / 1000))
return now

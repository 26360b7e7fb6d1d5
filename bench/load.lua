-- What wrk sends, when, and how it reports: the last line of its output is one JSON object.
-- All it is told comes in files that the environment names, because a command line is readable by
-- everyone on the machine:
--   BENCH_HEADERS  one "name: value" a line
--   BENCH_BODY     the body, as it is
--   BENCH_KEYS     one key a line, to be used in this order; {key} in a header stands for it
--   BENCH_START    how many lines of BENCH_KEYS to skip
--   BENCH_RATE     requests/s for an open loop; without it, a connection sends when it is answered
local ffi = require "ffi"
ffi.cdef [[
  typedef struct { long seconds; long nanoseconds; } bench_time;
  int clock_gettime(int clock, bench_time *time);
]]
local CLOCK_MONOTONIC = 1
local HELD_BACK_SECONDS = 0.005   -- wrk's timers go by milliseconds
local threads = {}

local function lines(name)
  local found = {}
  for line in io.lines(os.getenv(name)) do found[#found + 1] = line end
  return found
end

local function contents(name)
  local file = assert(io.open(os.getenv(name), "rb"))
  local text = file:read("*a")
  file:close()
  return text
end

wrk.method = "POST"
wrk.body = contents("BENCH_BODY")
for _, line in ipairs(lines("BENCH_HEADERS")) do
  local name, value = line:match("^([^:]+): (.*)$")
  wrk.headers[name] = value
end

local keys = lines("BENCH_KEYS")
local turn = tonumber(os.getenv("BENCH_START"))

local function next_key()
  turn = turn % #keys + 1
  return keys[turn]
end

local function with_key(text, key)
  return (text:gsub("{key}", function() return key end))
end

-- Only wrk's threads have what `init` is given; a request that never changes costs them nothing.
if #keys == 1 then
  for name, value in pairs(wrk.headers) do wrk.headers[name] = with_key(value, keys[1]) end
else
  local before, after
  function request()
    if not before then before, after = wrk.format():match("^(.-){key}(.*)$") end
    return before .. next_key() .. after
  end
end

local rate = tonumber(os.getenv("BENCH_RATE"))
local clock = ffi.new("bench_time")
local function now()
  ffi.C.clock_gettime(CLOCK_MONOTONIC, clock)
  return tonumber(clock.seconds) + tonumber(clock.nanoseconds) / 1e9
end

sent, held_back = 0, 0   -- read by `done`, so they are global

-- An open loop: whichever connection is free takes the next moment of the schedule, and waits for
-- it. A moment that is over already was missed because no connection was free, and is counted.
if rate then
  local begun
  function delay()
    local moment = now()
    begun = begun or moment
    local wait = begun + sent / rate - moment
    sent = sent + 1
    if wait < -HELD_BACK_SECONDS then held_back = held_back + 1 end
    return math.max(0, math.floor(wait * 1e3))
  end
end

function setup(thread)
  threads[#threads + 1] = thread
end

-- Called once, when all is done. Times are in microseconds; `errors.status` counts answers of 400
-- and more. os.clock is the CPU time of the whole process.
function done(summary, latency)
  local errors, late = summary.errors, 0
  for _, thread in ipairs(threads) do late = late + thread:get("held_back") end
  io.write(string.format(
    '\n{"requests": %d, "seconds": %.6f, "p50_ms": %.4f, "p99_ms": %.4f, "p999_ms": %.4f,'
      .. ' "max_ms": %.4f, "refused": %d, "failed": %d, "held_back": %d, "cpu_seconds": %.3f}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3,
    latency:percentile(99) / 1e3, latency:percentile(99.9) / 1e3, latency.max / 1e3,
    errors.status, errors.connect + errors.read + errors.write + errors.timeout, late, os.clock()
  ))
end

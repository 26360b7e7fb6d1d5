-- Adds what a lost ledger had settled in a month, once.
--
-- KEYS  see prelude.lua
-- ARGV  1 month, such as 2026-11
--       2 how many counters, and for each: "week" | "month", label, scope, nano-dollars
--       then rows of the history, for each: "days kept|project|key|alias", day, and
--       "requests|input|output|cached tokens|nano-dollars|errors"
-- Returns 1, or 0 if that month was restored here before.

local FIRST_COUNTER = 3

local slot = open_slot(KEYS[1])
local restored = hash(slot.stem .. "restored", COUNTERS_KEPT.month)
if text(restored, ARGV[1]) then
  return 0
end
put(restored, ARGV[1], "1")

local first_row = FIRST_COUNTER + 4 * tonumber(ARGV[2])
for place = FIRST_COUNTER, first_row - 1, 4 do
  local kind, label, scope = ARGV[place], ARGV[place + 1], ARGV[place + 2]
  add(counters(slot, kind, label), scope, tonumber(ARGV[place + 3]))
end
for place = first_row, #ARGV, 3 do
  local amounts = {}
  for amount in string.gmatch(ARGV[place + 2], "%d+") do
    amounts[#amounts + 1] = tonumber(amount)
  end
  note_usage(slot, ARGV[place], ARGV[place + 1], amounts)
end
sum_up()
write()
return 1

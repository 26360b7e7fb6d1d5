-- The calendar: Redis has none.

-- Of `days`, a list of "day|first second|first second after|week|its end|month|its end,…", the one
-- that holds `second`, or nil.
local function day_at(second, days)
  for day, starts, ends, week, week_ends, month, month_ends in
    string.gmatch(days, "([^|,]+)|(%d+)|(%d+)|([^|,]+)|(%d+)|([^|,]+)|(%d+)")
  do
    if second >= tonumber(starts) and second < tonumber(ends) then
      return {
        day = day, week = week, month = month,
        day_ends = tonumber(ends), week_ends = tonumber(week_ends), month_ends = tonumber(month_ends),
      }
    end
  end
  return nil
end

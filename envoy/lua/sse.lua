-- Reads an event stream as it passes: counts events and content, takes the usage, hides the usage
-- event from clients who did not ask for it, and the provider's own names. Chunks may split events
-- anywhere. Whatever is malformed passes unchanged; nothing here raises on what a provider sends.
--
-- An event ends with an empty line; a line ends with LF, CRLF or CR (WHATWG HTML, 9.2.6).

local events = require("events")
local shown = require("shown")

local M = {}

local byte, find, gmatch, sub = string.byte, string.find, string.gmatch, string.sub
local concat = table.concat

local CR, LF, SPACE = 13, 10, 32
local MAX_EVENT_BYTES = 8 * 1024 * 1024
local MAX_SEARCHED_BYTES = 65536 -- of an event that is not complete, for its choices
local MAX_START_BYTES = 64 -- the same, for whether it is an object

-- The place of the only data line's text, and of its end. Nearly every event has one such line, after
-- lines of other fields or none, and ends with an empty one after LF; nil for all others.
local function only_data(event)
  local first = 6
  if find(event, "data:", 1, true) ~= 1 then
    local _, before = find(event, "\ndata:", 1, true)
    first = before and before + 1
  end
  local last = #event - 2
  if first and find(event, "\n", first, true) == last + 1 and not find(event, "\r", 1, true) then
    return first, last
  end
  return nil
end

-- The data lines, joined as a client joins them, and where each begins: in the data, in the event.
local function joined_data(event)
  local lines, starts, size = {}, {}, 0
  for at, line in gmatch(event, "()([^\r\n]+)") do
    if sub(line, 1, 5) == "data:" then
      lines[#lines + 1] = sub(line, 6)
      starts[#starts + 1] = { size + 1, at + 5 }
      size = size + #line - 5 + 1
    end
  end
  return #lines > 0 and concat(lines, "\n") or nil, starts
end

-- Where a byte of the data is in the event.
local function placing(starts)
  return function(p)
    local line = #starts
    while starts[line][1] > p do
      line = line - 1
    end
    return p - starts[line][1] + starts[line][2]
  end
end

-- The event's data, nil when it has none, and a function from places in it to places in the event.
local function data_of(event)
  local first, last = only_data(event)
  if first then
    return sub(event, first, last), first - 1, nil
  end
  local data, starts = joined_data(event)
  return data, nil, data and placing(starts)
end

-- Where events end.

local function line_end(s, p) -- p at CR or LF: the place after the line break
  if byte(s, p) == CR and byte(s, p + 1) == LF then
    return p + 2
  end
  return p + 1
end

local function boundary_with_cr(s, from)
  local p, size = from, #s
  while p < size do
    local c = byte(s, p)
    if c ~= LF and c ~= CR then
      p = p + 1
    else
      p = line_end(s, p)
      c = byte(s, p)
      if c == LF or c == CR then
        return line_end(s, p) - 1
      end
    end
  end
  return nil
end

-- The last byte of the first empty line at or after `from`, or nil.
local function boundary(s, from, has_cr)
  if has_cr then
    return boundary_with_cr(s, from)
  end
  local _, last = find(s, "\n\n", from, true)
  return last
end

-- The reader.

local Reader = {}
Reader.__index = Reader

local function edited(event, edits, shift, place)
  local only = shift and #edits == 1 and edits[1]
  if only then
    return sub(event, 1, only[1] + shift - 1) .. only[3] .. sub(event, only[2] + shift + 1)
  end
  return shown.splice(event, edits, place or function(p)
    return p + shift
  end)
end

-- What takes the place of an error is of the provider's making too: response.failed has its names.
local function failure_edits(self, data)
  local first = byte(data, 1) == SPACE and 2 or 1
  local failure = find(data, '"error"', 1, true) and self.failure(sub(data, first))
  if not failure then
    return nil
  end
  local names = self.watch and self.watch:edits(failure) or {}
  return { { first, #data, shown.splice(failure, names) } }
end

-- Takes what one event tells. Gives what the client sees of it, nil for nothing.
local function take(self, event)
  local data, shift, place = data_of(event)
  if not data then
    return event
  end
  local only_reports = self.read(self, data)
  if only_reports and self.hide then
    return nil
  end
  local edits = self.failure and failure_edits(self, data) or self.watch and self.watch:edits(data)
  return edits and #edits > 0 and edited(event, edits, shift, place) or event
end

-- The whole event, and how much of it was sent before it was complete.
local function take_held(self, more)
  local event, sent = self.held == 0 and more or concat(self.parts) .. more, self.sent
  if self.held > 0 then
    self.parts, self.held, self.sent = {}, 0, 0
  end
  self.edge = ""
  return event, sent
end

-- Whether a part of an event can still become one of which a client must not see all: not once its
-- data is no object. One that only reports usage has no choice.
local function must_be_held(self, part)
  if find(part, "^data: ?[^ {]") then
    return false
  end
  return self.watch or self.failure or not find(part, '"choices"%s*:%s*%[%s*{')
end

-- What can be sent of an event that is not complete: nothing can be sent once the stream has
-- ended, and not every provider closes its last event.
local function send_ahead(self, out)
  local searched = not self.watch and not self.failure
  if self.held > (searched and MAX_SEARCHED_BYTES or MAX_START_BYTES) then
    return -- put together each time that it grows, it would cost the square of its length
  end
  local part = concat(self.parts)
  if not must_be_held(self, part) then
    out[#out + 1] = sub(part, self.sent + 1)
    self.sent = #part
  end
end

-- An event beyond all measure is let through unread: holding on could fill the proxy's memory.
local function let_go(self, out)
  local event, sent = take_held(self, "")
  local rest = sub(event, sent + 1)
  out[#out + 1] = self.watch and self.watch:without_learnt(rest) or rest
  self.edge, self.passing = sub(event, -1), true
end

-- The rest of a chunk, in which no event ends.
local function take_tail(self, tail, out)
  self.edge = sub(tail, -1) -- an empty line may lie across the chunks
  if self.passing then
    out[#out + 1] = tail
    return
  end
  self.parts[#self.parts + 1] = tail
  self.held = self.held + #tail
  if self.held > MAX_EVENT_BYTES then
    let_go(self, out)
  elseif self.holding then
    send_ahead(self, out)
  end
end

-- When the empty line ended in CR at the end of a chunk, an LF that opens the next is part of it,
-- and shares the fate of its event.
local function join_line_break(self, chunk, out)
  if self.after_cr and byte(chunk, 1) == LF then
    if not self.last_hidden then
      out[1] = "\n"
    end
    chunk = sub(chunk, 2)
  end
  self.after_cr = false
  return chunk
end

-- The last bytes of an event have come.
local function end_event(self, piece, out)
  if self.passing then
    self.passing, self.last_hidden, self.edge = false, false, ""
    out[#out + 1] = piece
    return
  end
  local event, sent = take_held(self, piece)
  local seen = take(self, event)
  self.last_hidden = not seen and sent == 0
  if not self.last_hidden then
    out[#out + 1] = sub(seen or event, sent + 1)
  end
end

local function take_events(self, chunk, out)
  local window, offset, from = self.edge .. chunk, #self.edge, 1
  local has_cr = find(window, "\r", 1, true) ~= nil
  local last = boundary(window, 1, has_cr)
  while last do
    end_event(self, sub(chunk, from, last - offset), out)
    from = last - offset + 1
    last = boundary(window, last + 1, has_cr)
  end
  return from
end

-- Takes the next bytes of the stream, cut anywhere; returns the bytes to send on now. With nothing to
-- hide these are the same. Else an event of which something may be hidden is sent once it is complete.
function Reader:feed(chunk)
  if chunk == "" then
    return ""
  end
  local out = {}
  local rest = join_line_break(self, chunk, out)
  local from = take_events(self, rest, out)
  if from <= #rest then
    take_tail(self, sub(rest, from), out)
  else
    self.after_cr = byte(rest, -1) == CR
  end
  return self.holding and concat(out) or chunk
end

-- The stream has ended. Returns what was still held: an event that its sender never closed, unless
-- it only reports usage that is to be hidden.
function Reader:finish()
  local event, sent = take_held(self, "")
  local seen = take(self, event)
  events.conclude(self)
  return self.holding and seen and sub(seen, sent + 1) or ""
end

-- options:
--   endpoint     whose events they are (events.lua); chat completions when nil
--   pictures     how many pictures were asked for; 1 when nil
--   hide_usage   bool: keep the event that only reports usage from the client
--   show         what the client sees in place of the provider's names (shown.lua); nil: nothing
--   failure      function(data of an event) -> the data to send in its place, or nil; of events with an
--                "error" (failure.lua)
-- Fields to read at any time:
--   usage            the last usage table seen (usage.lua), or nil
--   counted_events   events and content_bytes when it came: what came later is not in it
--   counted_bytes
--   input            the counts of the input, where they are known before the usage is
--   events           events with content
--   content_bytes    bytes of text in them, reasoning and arguments too, as spelled in JSON
--   done             bool: the last event of all was seen
function M.new(options)
  local watch = options.show and shown.watch(options.endpoint or "chat/completions", options.show)
  return setmetatable({
    read = events.reading(options.endpoint),
    watch = watch,
    pictures = options.pictures or 1,
    hide = options.hide_usage,
    failure = options.failure,
    holding = options.hide_usage or watch ~= nil or options.failure ~= nil,
    usage = nil,
    counted_events = 0,
    counted_bytes = 0,
    input = nil,
    events = 0,
    content_bytes = 0,
    done = false,
    parts = {}, -- of the event that is not complete yet
    held = 0, -- bytes in them
    sent = 0, -- of these bytes, how many were sent on
    edge = "", -- the last of these bytes
    passing = false, -- its bytes are sent as they come
    after_cr = false,
    last_hidden = false,
  }, Reader)
end

return M

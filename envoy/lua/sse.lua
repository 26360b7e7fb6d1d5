-- Reads an OpenAI-dialect event stream as it passes: counts events and content, takes the usage,
-- and hides the usage event from clients who did not ask for it. Chunks may split events anywhere.
-- Whatever is malformed passes unchanged; nothing here raises on what a provider sends.
--
-- An event ends with an empty line; a line ends with LF, CRLF or CR (WHATWG HTML, 9.2.6).

local event_data = require("event")

local M = {}

local byte, find, gmatch, sub = string.byte, string.find, string.gmatch, string.sub
local concat = table.concat

local CR, LF, COLON = 13, 10, 58
local MAX_EVENT_BYTES = 8 * 1024 * 1024
local MAX_SEARCHED_BYTES = 65536 -- a part is searched each time that it grows

-- Nearly every event is one line, `data:…`, and an empty one after LF.
local function is_single_line(event)
  local d, a, t, a2, colon = byte(event, 1, 5)
  if d ~= 100 or a ~= 97 or t ~= 116 or a2 ~= 97 or colon ~= COLON then
    return false
  end
  return find(event, "\n", 6, true) == #event - 1 and not find(event, "\r", 6, true)
end

-- The data lines of an event, joined as a client joins them; nil when it has none.
local function data_of(event)
  if is_single_line(event) then
    return sub(event, 6)
  end
  local lines = {}
  for line in gmatch(event, "[^\r\n]+") do
    if sub(line, 1, 5) == "data:" then
      lines[#lines + 1] = sub(line, 6)
    end
  end
  return #lines > 0 and concat(lines, "\n") or nil
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

-- Takes what one event tells; true when the client must not see it.
local function take(self, event)
  local data = data_of(event)
  if not data then
    return false
  end
  if event_data.has_choices(data) then
    self.events = self.events + 1
    self.content_bytes = self.content_bytes + event_data.content_bytes(data)
  elseif find(data, "[DONE]", 1, true) and find(data, "^ ?%[DONE%]%s*$") then
    self.done = true
  end
  if not event_data.may_report_usage(data) then
    return false
  end
  local counts, nothing_else = event_data.read_usage(data)
  self.usage = counts or self.usage
  return nothing_else and self.hide
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

local function hold(self, tail)
  self.parts[#self.parts + 1] = tail
  self.held = self.held + #tail
  self.edge = sub(tail, -1) -- an empty line may lie across the chunks
end

-- Whether a part of an event can still become one that only reports usage: not once its data is
-- no object, or has a choice.
local function may_be_hidden(part)
  if find(part, "^data: ?[^ {]") then
    return false
  end
  return #part > MAX_SEARCHED_BYTES or not find(part, '"choices"%s*:%s*%[%s*{')
end

-- What can be sent of an event that is not complete: nothing can be sent once the stream has
-- ended, and not every provider closes its last event.
local function send_ahead(self, out)
  local part = concat(self.parts)
  if not may_be_hidden(part) then
    out[#out + 1] = sub(part, self.sent + 1)
    self.sent = #part
  end
end

-- An event beyond all measure is let through unread, and so is a usage event after it: holding
-- on could fill the proxy's memory.
local function let_go(self, out)
  local event, sent = take_held(self, "")
  out[#out + 1] = sub(event, sent + 1)
  self.hide = false
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

local function take_events(self, chunk, out)
  local window, offset, from = self.edge .. chunk, #self.edge, 1
  local has_cr = find(window, "\r", 1, true) ~= nil
  local last = boundary(window, 1, has_cr)
  while last do
    local event, sent = take_held(self, sub(chunk, from, last - offset))
    self.last_hidden = take(self, event) and sent == 0
    if not self.last_hidden then
      out[#out + 1] = sub(event, sent + 1)
    end
    from = last - offset + 1
    last = boundary(window, last + 1, has_cr)
  end
  return from
end

-- Takes the next bytes of the stream, cut anywhere; returns the bytes to send on now. Without
-- hiding these are the same. With it, an event that may have to be hidden is sent once it is complete.
function Reader:feed(chunk)
  if chunk == "" then
    return ""
  end
  local hiding, out = self.hide, {}
  local rest = join_line_break(self, chunk, out)
  local from = take_events(self, rest, out)
  if from <= #rest then
    hold(self, sub(rest, from))
    if hiding then
      send_ahead(self, out)
    end
  else
    self.after_cr = byte(rest, -1) == CR
  end
  if self.held > MAX_EVENT_BYTES then
    let_go(self, out)
  end
  return hiding and concat(out) or chunk
end

-- The stream has ended. Returns what was still held: an event that its sender never closed, unless
-- it only reports usage that is to be hidden.
function Reader:finish()
  local event, sent = take_held(self, "")
  local hidden = take(self, event)
  return self.hide and not hidden and sub(event, sent + 1) or ""
end

-- options.hide_usage: bool, keep the event that only reports usage from the client.
-- Fields to read at any time:
--   usage           the last usage table seen (see usage.lua), or nil
--   events          events with at least one choice
--   content_bytes   bytes of content, refusals, reasoning and arguments in them, as spelled in JSON
--   done            bool: the closing [DONE] was seen
function M.new(options)
  return setmetatable({
    hide = options.hide_usage,
    usage = nil,
    events = 0,
    content_bytes = 0,
    done = false,
    parts = {}, -- of the event that is not complete yet
    held = 0, -- bytes in them
    sent = 0, -- of these bytes, how many were sent on
    edge = "", -- the last of these bytes
    after_cr = false,
    last_hidden = false,
  }, Reader)
end

return M

-- What a client sees in place of the provider's own names: the alias for the model, and ids bound to
-- its key for those of stored responses. All other bytes stay as the provider sent them.
--
-- show:
--   model                  the alias, or nil: the provider's name stays
--   response_id            function(the id of a response) -> the id to show, or nil: ids stay
--   previous_response_id   the id that the client sent, or nil
-- An edit is {first, last, text}: what takes the place of these bytes.

local fields = require("fields")
local json = require("json")

local M = {}

local find, sub = string.find, string.sub
local concat, sort = table.concat, table.sort
local is_object, is_string = fields.is_object, fields.is_string

local function by_place(one, other)
  return one[1] < other[1]
end

-- s with its edits made, which do not overlap. `place` (optional) turns a position of the edits into
-- one of s.
function M.splice(s, edits, place)
  sort(edits, by_place)
  local pieces, from = {}, 1
  for _, edit in ipairs(edits) do
    local first, last = edit[1], edit[2]
    if place then
      first, last = place(first), place(last)
    end
    pieces[#pieces + 1] = sub(s, from, first - 1)
    pieces[#pieces + 1] = edit[3]
    from = last + 1
  end
  pieces[#pieces + 1] = sub(s, from)
  return concat(pieces)
end

local function edit(edits, s, member, text)
  if text and is_string(s, member) then
    edits[#edits + 1] = { member.value_start, member.value_end, json.encode_string(text) }
  end
end

local function edit_id(edits, s, member, show)
  if show.response_id and is_string(s, member) then
    local raw = json.decode_string(sub(s, member.value_start, member.value_end))
    edit(edits, s, member, raw and show.response_id(raw))
  end
end

local function edit_response(edits, s, response, show)
  edit_id(edits, s, response.id, show)
  if show.previous_response_id then
    edit(edits, s, response.previous_response_id, show.previous_response_id)
  else
    edit_id(edits, s, response.previous_response_id, show)
  end
end

local function is_responses(endpoint)
  return endpoint == "responses" or endpoint == "responses/id"
end

-- Whether an answer of this endpoint may have to be changed.
function M.changes(endpoint, show)
  return show.model ~= nil or (is_responses(endpoint) and show.response_id ~= nil)
end

-- A complete JSON answer of these members (fields.by_key), as the client sees it.
function M.answer(s, answer, endpoint, show)
  local edits = {}
  edit(edits, s, answer.model, show.model)
  if is_responses(endpoint) then
    edit_response(edits, s, answer, show)
  end
  return #edits > 0 and M.splice(s, edits) or s
end

-- Events.

local Watch = {}
Watch.__index = Watch

-- Most events spell the model as the one before did, and then nobody needs to read their JSON.
local function learn(self, data, member)
  if is_string(data, member) and member.raw == member.key then
    self.learnt = sub(data, member.key_start, member.value_end)
    self.value_at = member.value_start - member.key_start
  end
end

-- Whether data[first..last] is in the outermost object, seen without reading the JSON: nothing is
-- opened before it, or nothing is closed after it. False where that is not plain.
local function is_outermost(data, first, last)
  local open = find(data, "{", 1, true)
  local object, array = find(data, "{", open + 1, true), find(data, "[", 1, true)
  if (not object or object > first) and (not array or array > first) then
    return true
  end
  local close = find(data, "}", last, true)
  return close ~= nil and not find(data, "}", close + 1, true) and not find(data, "]", last, true)
end

local function learnt_edit(self, data, first)
  local learnt = self.learnt
  if not learnt or find(data, learnt, first, true) ~= first then
    return nil
  end
  local last = first + #learnt - 1
  return is_outermost(data, first, last) and { { first + self.value_at, last, self.literal } } or nil
end

local function chat(self, data)
  local first = find(data, '"model"', 1, true)
  if not first or not self.show.model then
    return nil
  end
  local known = learnt_edit(self, data, first)
  if known then
    return known
  end
  local edits, members = {}, json.document(data)
  for _, member in ipairs(members or {}) do
    if member.key == "model" then
      edit(edits, data, member, self.show.model)
      learn(self, data, member)
    end
  end
  return edits
end

local function responses(self, data)
  if not find(data, '"response"', 1, true) and not find(data, '"response_id"', 1, true) then
    return nil
  end
  local edits, event = {}, fields.by_key(json.document(data))
  edit_id(edits, data, event.response_id, self.show)
  if is_object(data, event.response) then
    local response = fields.object(data, event.response)
    edit(edits, data, response.model, self.show.model)
    learn(self, data, response.model)
    edit_response(edits, data, response, self.show)
  end
  return edits
end

local function messages(self, data)
  if not find(data, '"message_start"', 1, true) then
    return nil
  end
  local edits = {}
  local message = fields.object(data, fields.by_key(json.document(data)).message)
  edit(edits, data, message.model, self.show.model)
  return edits
end

local EDITS = {
  ["chat/completions"] = chat,
  completions = chat,
  messages = messages,
  responses = responses,
  ["responses/id"] = responses,
}

-- The edits of an event's data; nil or none where it stays as it is.
function Watch:edits(data)
  return self.find_edits(self, data)
end

-- Part of an event that is too long to be read: the model goes where it is spelled as before.
function Watch:without_learnt(part)
  local first = self.learnt and self.show.model and find(part, self.learnt, 1, true)
  if not first then
    return part
  end
  return M.splice(part, { { first + self.value_at, first + #self.learnt - 1, self.literal } })
end

-- What watches the events of a stream; nil where there is nothing to put in place of anything.
function M.watch(endpoint, show)
  local find_edits = EDITS[endpoint]
  if not find_edits or not M.changes(endpoint, show) then
    return nil
  end
  local literal = show.model and json.encode_string(show.model)
  return setmetatable({ show = show, find_edits = find_edits, literal = literal }, Watch)
end

return M

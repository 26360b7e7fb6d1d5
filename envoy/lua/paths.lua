-- Which path is which endpoint, and how its request is read. docs/endpoints.md has the table.

local endpoints = require("endpoints")

local M = {}

local find, match, sub = string.find, string.match, string.sub

local PREFIX = "/v1/"
local NONE = { name = "none" }
local BY_ID = { GET = true, DELETE = true }

local BODIES, UNREAD = {}, {}
for name in pairs(endpoints.has_body) do
  local reader = endpoints.is_multipart[name] and "form" or "json"
  BODIES[name] = { name = name, reader = reader, methods = { POST = true } }
end
for name in pairs(endpoints.is_unchecked) do
  UNREAD[name] = { name = name, reader = "none" }
end

local function by_id(rest)
  local id = match(rest, "^responses/([%w_.-]+)$")
  if not id or #id > 200 or id == "none" or not find(id, "%w") then
    return nil
  end
  return { name = "responses/id", reader = "id", methods = BY_ID, response_id = id }
end

-- What a provider could take for another path than the one that is seen here is no path of these.
local function unread(rest)
  local name, below = match(rest, "^([%l_]+)(.*)$")
  local is_plain = name and find(below, "^[%w/:_.-]*$") and not find(below, "//", 1, true)
  if is_plain and (below == "" or sub(below, 1, 1) == "/") and not find(below, "/%.+%f[/%z]") then
    return UNREAD[name]
  end
  return nil
end

-- The endpoint of a path without its query:
--   name         as in policies, "responses/id" for a response by its id, "none" for all others
--   reader       json, form, id (no body), none (the body passes unread)
--   methods      set of those that are read; nil: all
--   response_id  of responses/id
function M.of(path)
  if sub(path, 1, #PREFIX) ~= PREFIX then
    return NONE
  end
  local rest = sub(path, #PREFIX + 1)
  return BODIES[rest] or by_id(rest) or unread(rest) or NONE
end

return M

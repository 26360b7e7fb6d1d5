-- What a provider does or keeps by itself for a call: tools that run there, and items of earlier
-- answers that are input without being in the body.

local endpoints = require("endpoints")
local items = require("items")
local json = require("json")
local lex = require("lex")

local M = {}

local find, sub = string.find, string.sub

local OPEN_OBJECT = 123

-- Types of tools that the client runs; all others run at the provider. A `shell` of the Responses
-- API runs at either, so it is not among them.
local OPENAI = { ['"function"'] = true, ['"custom"'] = true }
local RESPONSES = {
  ['"apply_patch"'] = true,
  ['"computer"'] = true,
  ['"computer_use_preview"'] = true,
  ['"custom"'] = true,
  ['"function"'] = true,
  ['"local_shell"'] = true,
}
-- Anthropic dates its types: bash_20250124.
-- https://docs.claude.com/en/docs/agents-and-tools/tool-use/overview lists which the client runs.
local ANTHROPIC = { '^"bash_%d+"$', '^"computer_%d+"$', '^"memory_%d+"$', '^"text_editor_%d+"$' }

local function run_by_client_of_anthropic(kind)
  if kind == '"custom"' or kind == "null" then
    return true
  end
  for _, pattern in ipairs(ANTHROPIC) do
    if find(kind, pattern) then
      return true
    end
  end
  return false
end

-- The values of `type`, as spelled, under whatever spelling of that name.
local function types_of(s, members)
  local types = {}
  for _, member in ipairs(members) do
    if lex.fold(member.key) == "type" then
      types[#types + 1] = sub(s, member.value_start, member.value_end)
    end
  end
  return types
end

local function is_known(kind, endpoint)
  if endpoints.is_anthropic[endpoint] then
    return run_by_client_of_anthropic(kind)
  end
  return (endpoint == "responses" and RESPONSES or OPENAI)[kind]
end

-- Whether the client runs every tool of the array that is the member's value.
function M.all_run_by_client(s, member, endpoint)
  local needs_type = not endpoints.is_anthropic[endpoint]
  return items.count(s, member, function(_, first, c)
    local members = c == OPEN_OBJECT and json.members(s, first)
    local types = members and types_of(s, members)
    if not types or needs_type and #types == 0 then
      return false
    end
    for _, kind in ipairs(types) do
      if not is_known(kind, endpoint) then
        return false
      end
    end
    return true
  end) ~= nil
end

-- OpenAI reads an object without a type and a role as a reference, too: ItemReferenceParam of its
-- specification has an optional type.
local function is_reference(s, members)
  local has_role, types = false, types_of(s, members)
  for _, member in ipairs(members) do
    has_role = has_role or member.key == "role"
  end
  for _, kind in ipairs(types) do
    if kind == '"item_reference"' or find(kind, "\\", 1, true) then
      return true
    end
  end
  return not has_role and (#types == 0 or types[1] == "null")
end

-- Whether an item of the member's value stands for one that the provider keeps.
function M.refers_to_items(s, member)
  local found = false
  items.count(s, member, function(_, first, c)
    local members = c == OPEN_OBJECT and json.members(s, first)
    -- What cannot be read may stand for anything.
    found = c == OPEN_OBJECT and (not members or is_reference(s, members))
    return not found
  end)
  return found
end

return M

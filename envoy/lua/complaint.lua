-- What a provider's error says, whatever its shape. Pure; nothing here raises on what a provider sends.
--
-- Shapes that are read, by whose they are:
--   {"error":{message,type,param,code}}                OpenAI, Groq, Together, DeepSeek, vLLM since 0.10
--   {"error":{code,message,innererror}}                Azure; {"statusCode","message"} of its front door
--   {"type":"error","error":{type,message}}            Anthropic
--   [{"error":{code,message,status}}]                  Gemini, in an array or not; the message may be JSON again
--   {"object":"error",message,type,param,code}         Mistral, vLLM; message may be {"detail":[…]}
--   {"detail":[{loc,msg}]}, {"detail":"…"}             FastAPI: Mistral, vLLM, any server of one's own
--   {"error":"…"}                                      Ollama
--   {"error":{message,metadata:{raw,provider_name}}}   OpenRouter
--   {"message":"…"}, {"Message":"…"}                   Bedrock

local json = require("json")
local lex = require("lex")

local M = {}

local byte, find, gmatch, sub = string.byte, string.find, string.gmatch, string.sub

M.MAX_BYTES = 256 * 1024
local MAX_DETAILS = 5
local OPEN_ARRAY, OPEN_OBJECT, COMMA = 91, 123, 44

-- The members of the object at p by name, and the place of its end; nil when there is none.
local function object_at(s, p)
  local members, last = json.members(s, p, { utf8 = true })
  if not members then return nil end
  local index = {}
  for _, member in ipairs(members) do index[member.key] = member end
  return index, last
end

local function object_of(s, member)
  return member and byte(s, member.value_start) == OPEN_OBJECT and object_at(s, member.value_start) or nil
end

local function text_of(s, member)
  local text = member and json.decode_string(sub(s, member.value_start, member.value_end))
  return text ~= "" and text or nil
end

-- "messages.0.content" of ["body","messages",0,"content"].
local function path_of(s, member)
  local parts = {}
  for part in gmatch(member and sub(s, member.value_start, member.value_end) or "", "[%w_]+") do
    parts[#parts + 1] = part
  end
  if parts[1] == "body" then table.remove(parts, 1) end
  return parts[1] and table.concat(parts, ".") or nil
end

-- What a FastAPI server finds wrong, and the parameter it finds first. What was sent (`input`) is left out.
local function details(s, member)
  if not member or byte(s, member.value_start) ~= OPEN_ARRAY then return text_of(s, member) end
  local said, param = {}, nil
  local p, c = lex.skip_space(s, member.value_start + 1)
  while c == OPEN_OBJECT and #said < MAX_DETAILS do
    local one, last = object_at(s, p)
    if not one then break end
    local where, what = path_of(s, one.loc), text_of(s, one.msg)
    if what then
      said[#said + 1] = where and where .. ": " .. what or what
      param = param or where
    end
    p, c = lex.skip_space(s, last + 1)
    if c == COMMA then p, c = lex.skip_space(s, p + 1) end
  end
  return said[1] and table.concat(said, "; ") or nil, param
end

-- What another provider said, as OpenRouter and Gemini hand it on: the text, or the message of the JSON in it.
local function said_within(text, inner)
  if not text or not find(text, "^%s*[%[{]") then return text end
  local found = inner(text)
  return found and found.message or nil
end

local function message_of(s, own, inner)
  local message, param = text_of(s, own.message) or text_of(s, own.Message), nil
  if message then return said_within(message, inner) or message, nil end
  local within = object_of(s, own.message)
  message, param = details(s, (within or own).detail)
  return message, param
end

local function fields(s, own, inner)
  local message, param = message_of(s, own, inner)
  local metadata = object_of(s, own.metadata) or {}
  local raw = said_within(text_of(s, metadata.raw), inner)
  return {
    message = raw and (message and message .. ": " .. raw or raw) or message,
    type = text_of(s, own.type),
    param = text_of(s, own.param) or param,
    code = text_of(s, own.code) or text_of(s, own.status),
    provider_name = text_of(s, metadata.provider_name),
  }
end

local function nothing() return nil end

local function root_of(s)
  local start, c = lex.skip_space(s, 1)
  return object_at(s, c == OPEN_ARRAY and start + 1 or start)
end

local function of_root(s, root, inner)
  local found
  if object_of(s, root.error) then
    found = fields(s, object_of(s, root.error), inner)
  else
    found = fields(s, root, inner)
    found.message = text_of(s, root.error) or found.message
  end
  return found.message and found or nil
end

local function read(s, inner)
  local root = #s <= M.MAX_BYTES and root_of(s)
  return root and of_root(s, root, inner) or nil
end

-- {message, type, param, code, provider_name}: texts, all but message may be nil. nil when the body is not JSON, is
-- cut off, is longer than MAX_BYTES, or has no message.
function M.read(s)
  return read(s, M.read_within)
end

-- The same of a text inside of a message, which no other is looked for in.
function M.read_within(s)
  return read(s, nothing)
end

local function of_failed_response(s, root)
  local response = object_of(s, root.response) or {}
  local own = object_of(s, response.error)
  if not own then return nil end
  local found = fields(s, own, M.read_within)
  return "response.failed", found.message and found, response.error
end

-- Whether the data of a stream's event is an error: its kind, and what it says (as `read`, nil where it says nothing).
--   "plain"             any shape above
--   "error"             {"type":"error",code,message,param} of /v1/responses
--   "response.failed"   of /v1/responses, with the member that holds the error as a third value
-- nil when it is none.
function M.of_event(s)
  if not find(s, '"error"', 1, true) or #s > M.MAX_BYTES then return nil end
  local root = root_of(s)
  if not root then return find(s, '^%s*%[?%s*{%s*"error"') and "plain" or nil, nil end
  local kind = text_of(s, root.type)
  if kind == "response.failed" then return of_failed_response(s, root) end
  if object_of(s, root.error) or text_of(s, root.error) then return "plain", of_root(s, root, M.read_within) end
  if kind == "error" then return "error", of_root(s, root, M.read_within) end
  return nil
end

return M

-- On the way in: one reading of the body, told to the services as dynamic metadata. It refuses
-- nothing itself: what it found wrong goes to authz_service, which checks the key first, so that a
-- stranger learns nothing and every refusal is logged with the key that caused it.
--
-- Hides what looks like a key in the path and the user agent, before anything logs them.
--
-- Writes  tollhouse.request   strings: path, endpoint; of what may be granted size (below), and where the
--                             body was read model, stream, text_bytes, max_tokens; only where there is
--                             something to say include_usage, media_parts, n, unbounded, characters,
--                             audio_bytes, documents, image_variant, previous_response_id, response_id;
--                             or error, error_message
--         tollhouse.body      spans of what rewrite.lua may rewrite

local form = require("form")
local multipart = require("multipart")
local paths = require("paths")
local scan = require("scan")

local M = {}

local function without_query(path)
  local query = path:find("?", 1, true)
  return query and path:sub(1, query - 1) or path
end

local SHORTEST_KEY = 16

local function hidden(prefix, rest)
  return prefix .. (#prefix + #rest < SHORTEST_KEY and rest or "…")
end

-- People paste a key where a path or a name belongs. Ours begin with tlh_ or tlm_; OpenAI's and Anthropic's with
-- sk-, Groq's gsk_, xAI's xai-, Google's AIza, AWS's AKIA, GitHub's ghp_, gho_ or ghs_.
local PREFIXES = {"tlh_", "tlm_", "sk-", "gsk_", "xai-", "AIza", "AKIA", "gh"}

-- Seven patterns take longer than all else that is done for a small request.
local function may_hold_a_key(text)
  for _, prefix in ipairs(PREFIXES) do
    if text:find(prefix, 1, true) then return true end
  end
  return false
end

local function without_keys(text)
  if not may_hold_a_key(text) then return text end
  return (text:gsub("(tl[hm]_)([%w_-]+)", hidden):gsub("%f[%w](sk%-)([%w_-]+)", hidden)
    :gsub("%f[%w](gsk_)([%w_-]+)", hidden):gsub("%f[%w](xai%-)([%w_-]+)", hidden)
    :gsub("%f[%w](AIza)([%w_-]+)", hidden):gsub("%f[%w](AKIA)([%w_-]+)", hidden)
    :gsub("%f[%w](gh[pos]_)([%w_-]+)", hidden))
end

local function hide_keys(headers, name)
  local sent = headers:get(name)
  local shown = sent and without_keys(sent)
  if shown ~= sent then headers:replace(name, shown) end
end

-- In another charset a provider would read another body than the one that is read here.
local function is_json(content_type)
  if content_type == "application/json" then return true end
  local text = (content_type or ""):lower()
  local parameters = text:match("^%s*application/json%s*(.*)$")
  -- Two headers are one with a comma.
  if not parameters or text:find(",", 1, true) then return false end
  return parameters == "" or parameters:find('^;%s*charset%s*=%s*"?utf%-8"?%s*;?%s*$')
    or parameters:sub(1, 1) == ";" and not parameters:find("charset", 1, true)
end

local function refuse(handle, code, message)
  local metadata = handle:streamInfo():dynamicMetadata()
  metadata:set("tollhouse.request", "error", code)
  metadata:set("tollhouse.request", "error_message", message)
end

local function text(value)
  return type(value) == "number" and string.format("%.0f", value) or tostring(value)
end

-- What the size of a call consists of beside its endpoint, with what is not worth saying.
local SIZE = {
  {"text_bytes", 0}, {"media_parts", 0}, {"max_tokens", nil}, {"n", 1}, {"tools", false}, {"prediction", false},
  {"unbounded", nil}, {"cache_control", false}, {"service_tier", "none"}, {"characters", 0}, {"audio_bytes", 0},
  {"documents", 0}, {"image_variant", nil},
}

-- All that ratelimit_service decides by, as one string (each further one costs an action of the route
-- and an entry of its descriptor): "endpoint=rerank;text_bytes=140;documents=2".
local function size_of(endpoint, facts)
  local size = "endpoint=" .. endpoint
  for _, fact in ipairs(SIZE) do
    local value = facts[fact[1]]
    if value ~= nil and value ~= fact[2] then size = size .. ";" .. fact[1] .. "=" .. text(value) end
  end
  local is_continued = (facts.previous_response_id or "none") ~= "none"
  return is_continued and size .. ";continued=true" or size
end

-- Told only where they are something else.
local USUAL = {
  {"include_usage", false}, {"media_parts", 0}, {"n", 1}, {"unbounded", nil}, {"characters", 0}, {"audio_bytes", 0},
  {"documents", 0}, {"image_variant", nil}, {"previous_response_id", "none"}, {"response_id", nil},
}

local function tell(handle, endpoint, facts)
  local metadata = handle:streamInfo():dynamicMetadata()
  local function set(name, value) metadata:set("tollhouse.request", name, text(value)) end
  set("size", size_of(endpoint, facts))
  for _, fact in ipairs(USUAL) do
    local value = facts[fact[1]]
    if value ~= nil and value ~= fact[2] then set(fact[1], value) end
  end
  if not facts.model then return end
  set("model", facts.model)
  set("stream", facts.stream)
  set("text_bytes", facts.text_bytes)
  set("max_tokens", facts.max_tokens or "none")
  if facts.spans then metadata:set("tollhouse.body", "spans", facts.spans) end
end

-- The bytes of the body, or nil. Yields until the body is complete: every wrapper fetched before
-- (headers, metadata) is dead afterwards.
local function read_body(handle)
  local body = handle:body()
  if not body then return nil end
  return body:getBytes(0, body:length())
end

-- The readers, by how paths.lua says a request is read: facts, or nil, a code and a sentence.
-- None of them may use what was fetched before it was called.

local READERS = {}

function READERS.json(handle, endpoint)
  if not is_json(handle:headers():get("content-type")) then
    return nil, "invalid_body", "Send the body as content-type: application/json, in UTF-8."
  end
  local bytes = read_body(handle)
  if not bytes then return nil, "invalid_body", "The request has no body." end
  return scan.read(bytes, endpoint.name)
end

function READERS.form(handle, endpoint)
  local content_type = handle:headers():get("content-type")
  if not multipart.is_form(content_type) then return nil, "invalid_body", multipart.NOT_A_FORM end
  local bytes = read_body(handle)
  if not bytes then return nil, "invalid_body", "The request has no body." end
  return form.read(bytes, content_type, endpoint.name)
end

function READERS.id(handle, endpoint)
  local bytes = read_body(handle)
  if bytes and #bytes > 0 then return nil, "invalid_body", "Send no body to /v1/responses/{id}." end
  return {response_id = endpoint.response_id}
end

local function has_key(headers)
  return headers:get("authorization") or headers:get("x-api-key")
end

local function read(handle)
  local headers = handle:headers()
  local path = without_keys(without_query(headers:get(":path")))
  hide_keys(headers, "user-agent")
  local endpoint = paths.of(path)
  local metadata = handle:streamInfo():dynamicMetadata()
  metadata:set("tollhouse.request", "path", path) -- for the log: rewrite.lua changes the header
  metadata:set("tollhouse.request", "endpoint", endpoint.name)
  if endpoint.reader == "none" then return tell(handle, endpoint.name, {}) end
  if not endpoint.reader or not endpoint.methods[headers:get(":method")] then return end
  -- Without a key the answer is 401 whatever the body says: do not hold a stranger's 30 MB.
  if not has_key(headers) then return end
  local facts, code, message = READERS[endpoint.reader](handle, endpoint)
  if not facts then return refuse(handle, code, message) end
  tell(handle, endpoint.name, facts)
end

local FAILED = '{"error":{"message":"The gateway could not read this request and did not send it. '
  .. 'Tell the gateway\'s operator the request id.","type":"api_error","param":null,"code":"internal_error"}}'

-- An error in a Lua filter would let the request go on unread.
function M.on_request(handle)
  local ok, problem = pcall(read, handle)
  if ok then return end
  handle:logErr("request.lua: " .. tostring(problem))
  handle:respond({
    [":status"] = "500", ["content-type"] = "application/json",
    ["x-tollhouse-decision"] = "internal_error",
  }, FAILED)
end

return M

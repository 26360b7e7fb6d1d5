-- On the way in: one reading of the body, told to the services as dynamic metadata. It refuses
-- nothing itself: what it found wrong goes to authz_service, which checks the key first, so that a
-- stranger learns nothing and every refusal is logged with the key that caused it.
--
-- Hides what looks like a key in the path and the user agent, before anything logs them.
--
-- Writes  tollhouse.request   strings, all of them for what may be granted: path, endpoint, model, stream,
--                             include_usage, text_bytes, media_parts, max_tokens, n, tools, prediction,
--                             unbounded, cache_control, service_tier, characters, audio_bytes, documents,
--                             image_variant, previous_response_id, response_id; or error, error_message
--         tollhouse.body      spans of what rewrite.lua may rewrite

local form = require("form")
local multipart = require("multipart")
local paths = require("paths")
local scan = require("scan")

local M = {}

local function without_query(path)
  return path:match("^[^?]*")
end

local SHORTEST_KEY = 16

local function hidden(prefix, rest)
  return prefix .. (#prefix + #rest < SHORTEST_KEY and rest or "…")
end

-- People paste a key where a path or a name belongs. Ours begin with tlh_ or tlm_; OpenAI's and Anthropic's with
-- sk-, Groq's gsk_, xAI's xai-, Google's AIza, AWS's AKIA, GitHub's ghp_, gho_ or ghs_.
local function without_keys(text)
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

local function text(value, missing)
  if value == nil then return missing end
  return type(value) == "number" and string.format("%.0f", value) or tostring(value)
end

local function tell(handle, facts)
  local metadata = handle:streamInfo():dynamicMetadata()
  local function set(name, value, missing)
    metadata:set("tollhouse.request", name, text(value, missing))
  end
  set("model", facts.model, "none")
  set("stream", facts.stream, "false")
  set("include_usage", facts.include_usage, "false")
  set("text_bytes", facts.text_bytes, "0")
  set("media_parts", facts.media_parts, "0")
  set("n", facts.n, "1")
  set("max_tokens", facts.max_tokens, "none")
  set("tools", facts.tools, "false")
  set("prediction", facts.prediction, "false")
  set("unbounded", facts.unbounded, "none")
  set("cache_control", facts.cache_control, "false")
  set("service_tier", facts.service_tier, "none")
  set("characters", facts.characters, "0")
  set("audio_bytes", facts.audio_bytes, "0")
  set("documents", facts.documents, "0")
  set("image_variant", facts.image_variant, "none")
  set("previous_response_id", facts.previous_response_id, "none")
  set("response_id", facts.response_id, "none")
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
  if endpoint.reader == "none" then return tell(handle, {}) end
  if not endpoint.reader or not endpoint.methods[headers:get(":method")] then return end
  -- Without a key the answer is 401 whatever the body says: do not hold a stranger's 30 MB.
  if not has_key(headers) then return end
  local facts, code, message = READERS[endpoint.reader](handle, endpoint)
  if not facts then return refuse(handle, code, message) end
  tell(handle, facts)
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

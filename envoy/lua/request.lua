-- On the way in: one reading of the body, told to the services as dynamic metadata. It refuses
-- nothing itself: what it found wrong goes to authz_service, which checks the key first, so that a
-- stranger learns nothing and every refusal is logged with the key that caused it.
--
-- Hides what looks like a key in the path and the user agent, before anything logs them.
--
-- Writes  tollhouse.request   strings: path, endpoint, model, stream, include_usage, text_bytes, media_parts,
--                             max_tokens, n, tools, prediction, unbounded; or error, error_message
--         tollhouse.body      spans of the top-level members, for rewrite.lua

local scan = require("scan")

local M = {}

-- The endpoints whose body names the model (tollhouse/contract.py has the same list).
M.endpoints = {
  ["/v1/chat/completions"] = "chat/completions",
  ["/v1/embeddings"] = "embeddings",
}

local function without_query(path)
  return path:match("^[^?]*")
end

local SHORTEST_KEY = 16

local function hidden(prefix, rest)
  return prefix .. (#prefix + #rest < SHORTEST_KEY and rest or "…")
end

-- People paste a key where a path or a name belongs. Ours begin with tlh_ or tlm_, providers' with sk-.
local function without_keys(text)
  return (text:gsub("(tl[hm]_)([%w_-]+)", hidden):gsub("%f[%w](sk%-)([%w_-]+)", hidden))
end

local function hide_keys(headers, name)
  local sent = headers:get(name)
  local shown = sent and without_keys(sent)
  if shown ~= sent then headers:replace(name, shown) end
end

local function is_json(content_type)
  return content_type ~= nil and content_type:lower():find("^%s*application/json%s*$")
    or content_type ~= nil and content_type:lower():find("^%s*application/json%s*;")
end

local function refuse(handle, code, message)
  local metadata = handle:streamInfo():dynamicMetadata()
  metadata:set("tollhouse.request", "error", code)
  metadata:set("tollhouse.request", "error_message", message)
end

local function tell(handle, facts)
  local metadata = handle:streamInfo():dynamicMetadata()
  local function set(name, value)
    metadata:set("tollhouse.request", name, tostring(value))
  end
  set("model", facts.model)
  set("stream", facts.stream)
  set("include_usage", facts.include_usage)
  set("text_bytes", string.format("%d", facts.text_bytes))
  set("media_parts", string.format("%d", facts.media_parts))
  set("n", string.format("%d", facts.n))
  set("max_tokens", facts.max_tokens and string.format("%.0f", facts.max_tokens) or "none")
  set("tools", facts.tools)
  set("prediction", facts.prediction)
  set("unbounded", facts.unbounded or "none")
  metadata:set("tollhouse.body", "spans", facts.spans)
end

-- The bytes of the body, or nil. Yields until the body is complete: every wrapper fetched before
-- (headers, metadata) is dead afterwards.
local function read_body(handle)
  local body = handle:body()
  if not body then return nil end
  return body:getBytes(0, body:length())
end

local function read(handle)
  local headers = handle:headers()
  local method = headers:get(":method")
  local path = without_keys(without_query(headers:get(":path")))
  hide_keys(headers, "user-agent")
  local endpoint = M.endpoints[path]
  local metadata = handle:streamInfo():dynamicMetadata()
  metadata:set("tollhouse.request", "path", path) -- for the log: rewrite.lua changes the header
  metadata:set("tollhouse.request", "endpoint", endpoint or "none")
  if not endpoint or method ~= "POST" then return end
  -- Without a key the answer is 401 whatever the body says: do not hold a stranger's 30 MB.
  if not headers:get("authorization") and not headers:get("x-api-key") then return end
  if not is_json(headers:get("content-type")) then
    return refuse(handle, "invalid_body", "Send the body as content-type: application/json.")
  end
  local bytes = read_body(handle)
  if not bytes then return refuse(handle, "invalid_body", "The request has no body.") end
  local facts, code, message = scan.chat_like(bytes)
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

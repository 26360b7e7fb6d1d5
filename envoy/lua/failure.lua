-- An error reaches the caller in the caller's shape, whoever made it and however it was spelled:
--   OpenAI's       {"error":{"message","type","param","code"}}
--   Anthropic's    {"type":"error","error":{"type","message","code"?,"param"?},"request_id"}, on /v1/messages and below
--
-- A provider's error (read by complaint.lua) keeps its status, and its message, type, param and code where they are
-- texts; redact.lua says what is taken out of them. Its 401 and 403 are about the gateway's credential: 502.
-- A refusal of our own keeps its message and code; in Anthropic's shape its type follows the status.
--
-- Reads  tollhouse.caller               dialect, request_id: of an Anthropic caller alone (remember)
--        envoy.filters.http.ext_authz   alias, attempts: the provider's model of each
--        tollhouse.attempt              asked: provider_model

local complaint = require("complaint")
local json = require("json")
local redact = require("redact")

local M = {}

local NAMESPACE = "tollhouse.caller"
local MAX_LABEL_BYTES = 100

local CREDENTIAL = "The provider refused the gateway's own credential. This is not about your key: "
  .. "tell the gateway's operator."
local UNREADABLE = "The provider failed with status %s and gave no reason that can be read. "
  .. "Try again after a 429 or a 5xx."
local BROKEN_OFF = "The provider broke off with an error and gave no reason that can be read. Try again."

-- https://docs.claude.com/en/api/errors
local ANTHROPIC_TYPES = {
  ["400"] = "invalid_request_error", ["401"] = "authentication_error", ["402"] = "billing_error",
  ["403"] = "permission_error", ["404"] = "not_found_error", ["413"] = "request_too_large",
  ["429"] = "rate_limit_error", ["504"] = "timeout_error", ["529"] = "overloaded_error",
}
local KNOWN_ANTHROPIC = { invalid_request_error = true, api_error = true }
for _, name in pairs(ANTHROPIC_TYPES) do KNOWN_ANTHROPIC[name] = true end

local function type_of(status, dialect)
  local usual = tonumber(status) < 500 and "invalid_request_error" or "api_error"
  if dialect == "anthropic" then return ANTHROPIC_TYPES[status] or usual end
  return status == "429" and "rate_limit_error" or usual
end

local function quoted(text)
  return text and json.encode_string(text) or "null"
end

local function openai(found)
  return ('{"message":%s,"type":%s,"param":%s,"code":%s}'):format(
    quoted(found.message), quoted(found.type), quoted(found.param), quoted(found.code)
  )
end

local function anthropic(found)
  local code = found.code and ',"code":' .. quoted(found.code) or ""
  local param = found.param and ',"param":' .. quoted(found.param) or ""
  return ('{"type":%s,"message":%s%s%s}'):format(quoted(found.type), quoted(found.message), code, param)
end

local function in_shape(found, status, caller)
  if caller.dialect ~= "anthropic" then
    found.type = found.type or type_of(status)
    return '{"error":' .. openai(found) .. "}"
  end
  if not KNOWN_ANTHROPIC[found.type or ""] then found.type = type_of(status, "anthropic") end
  return ('{"type":"error","error":%s,"request_id":%s}'):format(anthropic(found), quoted(caller.request_id))
end

-- A type, param or code is kept whole or not at all.
local function label(text, names)
  if not text or #text > MAX_LABEL_BYTES or redact.text(text, names) ~= text then return nil end
  return text
end

local function cleaned(found, caller)
  local names = { models = caller.models, alias = caller.alias, provider = found.provider_name }
  return {
    message = redact.text(found.message, names),
    type = label(found.type, names),
    param = label(found.param, names),
    code = label(found.code, names),
  }
end

local function gateway_error(message)
  return { message = message, type = "api_error", code = "provider_error" }
end

-- Its type follows the status, by which it is retried or not.
local function unreadable(status)
  return { message = UNREADABLE:format(status), code = "provider_error" }
end

-- Gemini says 400 to a key that it does not know.
local function is_about_the_credential(status, body)
  return status == "401" or status == "403" or status == "400" and body:find('"API_KEY_INVALID"', 1, true) ~= nil
end

-- caller: {dialect = "openai" | "anthropic", request_id, alias, models = {the provider's names of the model}}.
-- The status to send and the body, for a provider's answer of `status` (a string, 300 or more: nobody here
-- follows a redirect).
function M.translate(status, body, caller)
  if tonumber(status) < 400 then return "502", in_shape(unreadable(status), "502", caller) end
  if is_about_the_credential(status, body) then return "502", in_shape(gateway_error(CREDENTIAL), "502", caller) end
  local found = complaint.read(body)
  if not found then return status, in_shape(unreadable(status), status, caller) end
  return status, in_shape(cleaned(found, caller), status, caller)
end

-- A refusal of ours (OpenAI's shape) in Anthropic's; nil when it is no such refusal.
function M.refusal(status, body, caller)
  local found = complaint.read(body)
  if not found then return nil end
  found.type = type_of(status, "anthropic")
  return in_shape(found, status, caller)
end

-- Errors inside of streams.

-- /v1/responses has shapes of its own; of response.failed the rest stays.
local function in_responses_shape(data, kind, found, member)
  local body = ('"code":%s,"message":%s'):format(quoted(found.code or "provider_error"), quoted(found.message))
  if kind == "error" then return ('{"type":"error",%s,"param":%s}'):format(body, quoted(found.param)) end
  return data:sub(1, member.value_start - 1) .. "{" .. body .. "}" .. data:sub(member.value_end + 1)
end

-- The text to send for the data of one event of a provider's stream (a JSON text), or nil when it is no error.
-- Its status is past: 500's type stands in for one that is missing.
function M.event(data, caller)
  local kind, found, member = complaint.of_event(data)
  if not kind then return nil end
  found = found and cleaned(found, caller) or gateway_error(BROKEN_OFF)
  if kind == "plain" or caller.dialect == "anthropic" then return in_shape(found, "500", caller) end
  return in_responses_shape(data, kind, found, member)
end

-- What the filters call.

local function is_anthropic(path)
  return path == "/v1/messages" or path:sub(1, 13) == "/v1/messages/"
end

-- On the way up: who asks in Anthropic's dialect. A HEAD has no body to give a shape to.
function M.remember(handle)
  local headers = handle:headers()
  local path = headers:get(":path"):match("^[^?]*")
  if not is_anthropic(path) or headers:get(":method") == "HEAD" then return end
  local metadata = handle:streamInfo():dynamicMetadata()
  metadata:set(NAMESPACE, "dialect", "anthropic")
  metadata:set(NAMESPACE, "request_id", headers:get("x-request-id") or "")
end

-- All that could be asked, since an earlier one may be told of too; the one that was asked first.
local function models_of(granted, asked)
  local models = { asked["provider_model"] }
  for _, each in ipairs(granted["attempts"] or {}) do models[#models + 1] = each["model"] end
  return models
end

-- The caller as translate, refusal and event want it, from the metadata of a call.
function M.caller(metadata)
  local own, granted = metadata:get(NAMESPACE) or {}, metadata:get("envoy.filters.http.ext_authz") or {}
  local asked = (metadata:get("tollhouse.attempt") or {})["asked"] or {}
  return {
    dialect = own["dialect"] or "openai",
    request_id = own["request_id"],
    alias = granted["alias"],
    models = models_of(granted, asked),
  }
end

local function answer(handle, status, text)
  local body = handle:body(true)
  body:setBytes(text)
  local headers = handle:headers()
  headers:replace(":status", status)
  headers:replace("content-type", "application/json")
  headers:remove("content-encoding")
end

local function bytes_of(handle)
  local body = handle:body(true) -- yields: what was fetched before this line is dead after it
  return body:length() > 0 and body:getBytes(0, body:length()) or ""
end

-- A provider's answer of 400 or more. Were this to fail, its words would pass as they came.
function M.of_provider(handle, status)
  local caller = M.caller(handle:streamInfo():dynamicMetadata())
  local body = bytes_of(handle)
  local ok, shown, text = pcall(M.translate, status, body, caller)
  if not ok then
    handle:logErr("failure.lua: " .. tostring(shown))
    shown, text = status, in_shape(unreadable(status), status, { dialect = caller.dialect })
  end
  answer(handle, shown, text)
end

-- The header by which Anthropic's SDKs know a request: for what a caller quotes, our own id.
function M.name_request(handle)
  local caller = handle:streamInfo():dynamicMetadata():get(NAMESPACE)
  if caller then handle:headers():replace("request-id", caller["request_id"]) end
end

-- A reply of our own. What Envoy refuses before any filter has run brings its path (x-tollhouse-asked, envoy.yaml).
function M.of_ours(handle, status)
  local caller = M.caller(handle:streamInfo():dynamicMetadata())
  local headers = handle:headers()
  if is_anthropic(headers:get("x-tollhouse-asked") or "") then caller.dialect = "anthropic" end
  headers:remove("x-tollhouse-asked")
  if caller.dialect ~= "anthropic" or tonumber(status) < 400 then return end
  local text = M.refusal(status, bytes_of(handle), caller)
  if text then answer(handle, status, text) end
end

return M

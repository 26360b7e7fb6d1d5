-- Rewrites a request body by the spans that scan.lua or form.lua found: the provider's model name and
-- the policy's parameters go in, every other byte stays as the client sent it. In a form only the
-- model's value is replaced.
--
-- rules:
--   model                       the provider's name for the model
--   drop_stream_options         bool: the provider reports the usage of streams unasked, and may refuse
--                               to be asked
--   include_usage               bool: make the provider report usage at the end of the stream
--   max_output_tokens           tokens, or nil: what is larger is lowered to it
--   default_max_output_tokens   tokens, or nil: used when the client set no cap and there is none
--                               above; with neither, nothing is capped
--   max_tokens_field            the field that caps this provider's output
--   defaults                    {name = JSON text}, for parameters that the client did not set
--   previous_response_id        the provider's id, or nil: replaces the client's

local json = require("json")

local M = {}

local byte, find, format, sub = string.byte, string.find, string.format, string.sub
local concat, insert, sort = table.concat, table.insert, table.sort

local QUOTE, OPEN_OBJECT = 34, 123
local INCLUDE_USAGE = "stream_options.include_usage"
local MODEL_LENGTH = "model.content_length" -- of a form

-- By the configured field, the fields that a provider obeys. OpenAI takes either but refuses both;
-- a provider that is configured for the older one need not know the newer, and one that ignores an
-- unknown field would run without a cap.
local OBEYED = {
  max_tokens = { "max_tokens" },
  max_completion_tokens = { "max_completion_tokens", "max_tokens" },
  max_output_tokens = { "max_output_tokens" },
}
local MAX_TOKENS_FIELDS = { "max_tokens", "max_completion_tokens", "max_output_tokens" }

-- The cap in force, in tokens, for a client that set client_max (nil: none); nil when uncapped.
function M.effective_max(rules, client_max)
  local limit = rules.max_output_tokens
  if not client_max then
    return limit or rules.default_max_output_tokens
  end
  return limit and math.min(limit, client_max) or client_max
end

local function value_text(plan, name)
  local span = plan.spans[name]
  return span and sub(plan.s, span[1], span[2]) or "null"
end

local function replace(plan, name, text)
  local span = plan.spans[name]
  insert(plan.edits, { first = span[1], last = span[2], text = text })
end

local function inject(plan, name, text)
  insert(plan.injected, "," .. json.encode_string(name) .. ":" .. text)
end

local function set(plan, name, text)
  if plan.spans[name] then
    replace(plan, name, text)
  else
    inject(plan, name, text)
  end
end

local function force_usage(plan)
  local options = plan.spans.stream_options
  if plan.spans[INCLUDE_USAGE] then
    if value_text(plan, INCLUDE_USAGE) ~= "true" then
      replace(plan, INCLUDE_USAGE, "true")
    end
  elseif options and byte(plan.s, options[1]) == OPEN_OBJECT then
    local inside = options[1] + 1
    local text = '"include_usage":true'
    if not find(plan.s, "^[ \t\r\n]*}", inside) then
      text = text .. ","
    end
    insert(plan.edits, { first = inside, last = inside - 1, text = text })
  else
    set(plan, "stream_options", '{"include_usage":true}')
  end
end

-- Lowers what is larger than the limit; returns the largest cap the client set, or nil.
local function clamp(plan, limit)
  local largest
  for _, name in ipairs(MAX_TOKENS_FIELDS) do
    local value = tonumber(value_text(plan, name))
    if value and limit and value > limit then
      replace(plan, name, format("%.0f", limit))
    end
    if value and value > (largest or -1) then
      largest = value
    end
  end
  return largest
end

local function is_capped(plan, field)
  for _, name in ipairs(OBEYED[field] or error("unknown max_tokens_field")) do
    if value_text(plan, name) ~= "null" then
      return true
    end
  end
  return false
end

local function cap_output(plan, rules)
  if not (rules.max_output_tokens or rules.default_max_output_tokens) then
    return
  end
  local client_max = clamp(plan, rules.max_output_tokens)
  if not is_capped(plan, rules.max_tokens_field) then
    set(plan, rules.max_tokens_field, format("%.0f", M.effective_max(rules, client_max)))
  end
end

local function add_defaults(plan, defaults)
  local names = {}
  for name in pairs(defaults) do
    if not plan.spans[name] then
      insert(names, name)
    end
  end
  sort(names)
  for _, name in ipairs(names) do
    inject(plan, name, defaults[name])
  end
end

local function set_previous_response(plan, id)
  if not id then
    return
  elseif not plan.spans.previous_response_id then
    error("no span for the previous response")
  end
  replace(plan, "previous_response_id", json.encode_string(id))
end

local function check_spans(s, spans)
  for _, span in pairs(spans) do
    if not (span[1] >= 1 and span[1] <= span[2] and span[2] <= #s) then
      error("a span lies outside the body")
    end
  end
  if not spans.model then
    error("no span for the model")
  end
end

local function check_string(s, span)
  if span[1] == span[2] or byte(s, span[1]) ~= QUOTE or byte(s, span[2]) ~= QUOTE then
    error("the model's span is not a string")
  end
end

local function apply(s, edits)
  sort(edits, function(a, b)
    return a.first < b.first
  end)
  local pieces, from = {}, 1
  for _, edit in ipairs(edits) do
    if edit.first < from then
      error("overlapping edits")
    end
    insert(pieces, sub(s, from, edit.first - 1))
    insert(pieces, edit.text)
    from = edit.last + 1
  end
  insert(pieces, sub(s, from))
  return concat(pieces)
end

local function rewrite_form(plan, model)
  if find(model, "%c") then
    error("the provider's model name has control characters")
  end
  replace(plan, "model", model)
  if plan.spans[MODEL_LENGTH] then
    replace(plan, MODEL_LENGTH, format("%d", #model))
  end
end

-- What a provider would refuse of what the gateway governs anyway.

local function back_over_space(s, p)
  while find(s, "^[ \t\r\n]", p) do
    p = p - 1
  end
  return p
end

-- The place of the opening quote of a governed name, which is spelled without escapes.
local function name_start(plan, name)
  local s = plan.s
  local colon = back_over_space(s, plan.spans[name][1] - 1)
  local last = back_over_space(s, colon - 1)
  local first = last - #name - 1
  if sub(s, first, last) ~= '"' .. name .. '"' then
    error("the name of a governed member is not where it belongs")
  end
  return first, last
end

-- Takes members out, from left to right, each with the comma before it, or after it where that one is
-- gone or there is none: `model` always stays.
local function remove(plan, names)
  local s, gone = plan.s, 0
  sort(names, function(a, b)
    return plan.spans[a][1] < plan.spans[b][1]
  end)
  for _, name in ipairs(names) do
    local first, last = name_start(plan, name), plan.spans[name][2]
    local before = back_over_space(s, first - 1)
    if sub(s, before, before) == "," and before > gone then
      first = before
    else
      last = find(s, ",", last + 1, true)
    end
    insert(plan.edits, { first = first, last = last, text = "" })
    gone, plan.spans[name] = last, nil
  end
end

local function rename(plan, name, other)
  local first, last = name_start(plan, name)
  insert(plan.edits, { first = first, last = last, text = '"' .. other .. '"' })
  plan.spans[other], plan.spans[name] = plan.spans[name], nil
end

-- What a member says; less than nothing where it is absent, and least where there is none.
local function number_of(plan, name)
  return tonumber(value_text(plan, name)) or plan.spans[name] and -1 or -2
end

-- Some providers that know only `max_tokens` refuse whatever else they do not know (Mistral, 422).
local function speak_older_dialect(plan, rules)
  local unwanted, renamed = {}, false
  if rules.max_tokens_field == "max_tokens" and plan.spans.max_completion_tokens then
    -- Of both the larger one stays, which is reserved for.
    renamed = number_of(plan, "max_completion_tokens") > number_of(plan, "max_tokens")
    if not renamed then
      insert(unwanted, "max_completion_tokens")
    elseif plan.spans.max_tokens then
      insert(unwanted, "max_tokens")
    end
  end
  if rules.drop_stream_options and plan.spans.stream_options then
    insert(unwanted, "stream_options")
    plan.spans[INCLUDE_USAGE] = nil
  end
  remove(plan, unwanted)
  if renamed then
    rename(plan, "max_completion_tokens", "max_tokens")
  end
end

local function rewrite_json(plan, rules)
  speak_older_dialect(plan, rules)
  check_string(plan.s, plan.spans.model)
  if rules.include_usage then
    force_usage(plan)
  end
  cap_output(plan, rules)
  set_previous_response(plan, rules.previous_response_id)
  add_defaults(plan, rules.defaults)
  replace(plan, "model", json.encode_string(rules.model) .. concat(plan.injected))
end

local function copied(spans)
  local copy = {}
  for name, span in pairs(spans) do
    copy[name] = span
  end
  return copy
end

-- The rewritten body. Raises when the spans do not fit it: nothing may be sent then.
function M.rewrite(s, spans, rules)
  check_spans(s, spans)
  local plan = { s = s, spans = copied(spans), edits = {}, injected = {} }
  if sub(s, 1, 2) == "--" then -- a form begins with its boundary; no JSON begins so
    rewrite_form(plan, rules.model)
  else
    rewrite_json(plan, rules)
  end
  return apply(s, plan.edits)
end

return M

-- Finds parameters that can cost more than the tokens of the call at the alias's price: a provider's
-- own tools, dearer tiers and kinds of output, other models, text from elsewhere. docs/reservation.md
-- lists them; ratelimit_service refuses them under a hard budget.

local json = require("json")
local lex = require("lex")

local M = {}

local byte, sub = string.byte, string.sub
local skip_space = lex.skip_space

local QUOTE, COMMA, OPEN_ARRAY, OPEN_OBJECT, FALSE, NULL = 34, 44, 91, 123, 102, 110

-- Unless null or false. The first of them that a body has is told, and those that name another model
-- come first: authz_service refuses them whatever the budget.
M.PARAMETERS = {
  "fallbacks", -- gateways such as LiteLLM: another model
  "models", -- OpenRouter: another model
  "audio", -- OpenAI: spoken output
  "best_of", -- vLLM: choices that are made and not returned
  "cached_content", -- Gemini: a prompt kept by the provider
  "chat_template", -- vLLM: a program that writes the prompt
  "data_sources", -- Azure: text is searched and added to the prompt
  "deferred", -- xAI: the answer is fetched by another call, and reports its usage there
  "enable_search", -- Qwen: billed by the search
  "extra_body", -- Gemini: holds cached_content
  "mm_processor_kwargs", -- vLLM: how many tokens a picture makes
  "plugins", -- OpenRouter: billed by the search or the page
  "provider", -- OpenRouter: which host answers, each at its own price
  "search_parameters", -- xAI: billed by the source
  "web_search_options", -- OpenAI: billed by the search
}

-- Those that cost no more than the usual price.
local SERVICE_TIERS = { ['"auto"'] = true, ['"default"'] = true, ['"flex"'] = true }
-- Tools that the client runs; all others run at the provider.
local CLIENT_TOOLS = { ['"function"'] = true, ['"custom"'] = true }

local function text_of(s, member)
  return sub(s, member.value_start, member.value_end)
end

local function is_set(s, member)
  local first = member and byte(s, member.value_start) or NULL
  return first ~= NULL and first ~= FALSE
end

-- Whether the member's value is an array whose every item is good: is_good(s, p, c) gives the last
-- byte of a good item that starts at p with c.
local function all_items(s, member, is_good)
  local p, c = skip_space(s, member.value_start + 1)
  if byte(s, member.value_start) ~= OPEN_ARRAY then
    return false
  end
  while p < member.value_end do
    local last = is_good(s, p, c)
    if not last then
      return false
    end
    p, c = skip_space(s, last + 1)
    if c == COMMA then
      p, c = skip_space(s, p + 1)
    end
  end
  return true
end

local function text_modality(s, p, c)
  return c == QUOTE and sub(s, p, p + 5) == '"text"' and p + 5
end

local function client_tool(s, p, c)
  local members, last = json.members(s, p)
  if c ~= OPEN_OBJECT or not members then
    return nil
  end
  local known = false
  for _, member in ipairs(members) do
    if lex.fold(member.key) == "type" then
      known = CLIENT_TOOLS[text_of(s, member)]
      if not known then
        return nil
      end
    end
  end
  return known and last
end

-- The name of the first such parameter among the top-level members of a valid body, or nil.
function M.first(s, index)
  for _, name in ipairs(M.PARAMETERS) do
    if is_set(s, index[name]) then
      return name
    end
  end
  local tier, modalities, tools = index.service_tier, index.modalities, index.tools
  if is_set(s, tier) and not SERVICE_TIERS[text_of(s, tier)] then
    return "service_tier"
  elseif is_set(s, modalities) and not all_items(s, modalities, text_modality) then
    return "modalities"
  elseif is_set(s, tools) and not all_items(s, tools, client_tool) then
    return "tools"
  end
  return nil
end

return M

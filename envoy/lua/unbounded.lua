-- Finds parameters that can cost more than what the call's facts say at the alias's price: a
-- provider's own tools, dearer tiers and kinds of output, other models, text from elsewhere.
-- docs/reservation.md lists them; ratelimit_service refuses them under a hard budget.

local hosted = require("hosted")
local items = require("items")

local M = {}

local byte, find, sub = string.byte, string.find, string.sub

local QUOTE, ZERO, FALSE, NULL = 34, 48, 102, 110

-- By these a provider may answer with another model. Whatever is in M.OTHER_MODELS or M.KEPT, or is an
-- item_reference, is told before all others: authz_service refuses it whatever the budget.
M.OTHER_MODELS = {
  "fallbacks",
  "models",
  "api_base",
  "content_policy_fallbacks",
  "context_window_fallbacks",
  "user_config",
}

-- These name what a provider keeps in the account that all keys share, and nothing says whose it is.
M.KEPT = {
  messages = { "container" },
  responses = { "conversation" },
}

-- Unless null, false or 0. The first of them that a body has is told.
M.PARAMETERS = {
  "fallbacks", -- gateways such as LiteLLM: another model
  "models", -- OpenRouter: another model
  "api_base", -- LiteLLM: another provider
  "content_policy_fallbacks", -- LiteLLM: another model
  "context_window_fallbacks", -- LiteLLM: another model
  "user_config", -- LiteLLM: other models
  "audio", -- OpenAI: spoken output
  "best_of", -- OpenAI, vLLM: choices that are made and not returned
  "cached_content", -- Gemini: a prompt kept by the provider
  "chat_template", -- vLLM: a program that writes the prompt
  "chat_template_kwargs", -- vLLM: what that program is given
  "data_sources", -- Azure: text is searched and added to the prompt
  "deferred", -- xAI: the answer is fetched by another call, and reports its usage there
  "enable_search", -- Qwen: billed by the search
  "extra_body", -- Gemini: holds cached_content
  "mm_processor_kwargs", -- vLLM: how many tokens a picture makes
  "preset", -- OpenRouter: a prompt and parameters that it keeps
  "safety_model", -- Together: a second model
  "plugins", -- OpenRouter: billed by the search or the page
  "provider", -- OpenRouter: which host answers, each at its own price
  "search_parameters", -- xAI: billed by the source
  "web_search_options", -- OpenAI: billed by the search
}

-- The same at some endpoints only; elsewhere the name means something else, or nothing.
local ANTHROPIC = {
  "container", -- runs code at the provider, billed by the hour
  "inference_geo", -- another price
  "mcp_servers", -- the provider calls tools, whose results are input
  "speed", -- another price
}
M.OF_ENDPOINT = {
  completions = {
    "prompt_embeds", -- vLLM: further prompts
  },
  ["images/generations"] = {
    "partial_images", -- OpenAI: tokens for each
  },
  messages = ANTHROPIC,
  ["messages/count_tokens"] = ANTHROPIC,
  responses = {
    "background", -- the answer is fetched by another call, and reports its usage there
    "conversation", -- input that the provider keeps
    "prompt", -- a template that the provider keeps
  },
}

-- Fields of a form: those from which a provider fetches what the body does not hold.
M.FIELDS = {
  "audio_url", -- another sound
  "file_id", -- another file
  "file_url", -- Mistral: another sound
  "image_url", -- another picture
  "partial_images", -- OpenAI: tokens for each
  "url", -- Groq: another sound
}

-- Values that cost no more than the usual price.
local USUAL = {
  inference_geo = { ['"global"'] = true },
  service_tier = {
    ['"auto"'] = true,
    ['"default"'] = true,
    ['"flex"'] = true,
    ['"standard_only"'] = true,
  },
  speed = { ['"standard"'] = true },
}

local function text_of(s, member)
  return sub(s, member.value_start, member.value_end)
end

local function is_set(s, member)
  local first = member and byte(s, member.value_start) or NULL
  return first ~= NULL and first ~= FALSE and not (first == ZERO and text_of(s, member) == "0")
end

local function is_dear(s, index, name)
  local member = index[name]
  return is_set(s, member) and not (USUAL[name] and USUAL[name][text_of(s, member)])
end

local function text_modality(s, p, c)
  return c == QUOTE and sub(s, p, p + 5) == '"text"'
end

-- Both providers that compact a conversation bill the tokens of doing so beside the answer's.
local function compacts(s, member)
  local text = is_set(s, member) and text_of(s, member) or ""
  return find(text, "compact", 1, true) or find(text, "\\", 1, true)
end

-- What only a closer look at the value tells.
local CLOSER = {
  { "modalities", function(s, member)
    return is_set(s, member) and not items.count(s, member, text_modality)
  end },
  { "tools", function(s, member, endpoint)
    return is_set(s, member) and not hosted.all_run_by_client(s, member, endpoint)
  end },
  { "context_management", compacts },
}

local NO_NAMES = {}

local function named(s, index, names)
  for _, name in ipairs(names or NO_NAMES) do
    if index[name] and is_dear(s, index, name) then
      return name
    end
  end
  return nil
end

local function looked_at(s, index, endpoint)
  for _, rule in ipairs(CLOSER) do
    if index[rule[1]] and rule[2](s, index[rule[1]], endpoint) then
      return rule[1]
    end
  end
  return nil
end

-- A suffix is read once for every prompt, and stands in the body once.
local function of_prompts(s, index, prompts)
  return (prompts or 1) > 1 and is_set(s, index.suffix) and "suffix" or nil
end

local function of_input(s, index, endpoint)
  local input = endpoint == "responses" and index.input
  return input and hosted.refers_to_items(s, input) and "item_reference" or nil
end

-- The name of the first such parameter among the top-level members of a valid body, or nil.
-- `service_tier` is told only when there is no other: some tiers have a price of their own.
function M.first(s, index, endpoint, prompts)
  return named(s, index, M.OTHER_MODELS)
    or named(s, index, M.KEPT[endpoint])
    or of_input(s, index, endpoint)
    or named(s, index, M.PARAMETERS)
    or named(s, index, M.OF_ENDPOINT[endpoint])
    or looked_at(s, index, endpoint)
    or of_prompts(s, index, prompts)
    or is_dear(s, index, "service_tier") and "service_tier"
    or nil
end

-- The same for a form: `index` has a value's text by each field's name.
function M.first_field(index)
  for _, names in ipairs({ M.PARAMETERS, M.FIELDS }) do
    for _, name in ipairs(names) do
      if index[name] and index[name] ~= "" and index[name] ~= "0" then
        return name
      end
    end
  end
  return nil
end

-- All names that must be spelled exactly, so that none of them is overlooked.
function M.names()
  local names = { "context_management" }
  for _, list in pairs(M.OF_ENDPOINT) do
    for _, name in ipairs(list) do
      names[#names + 1] = name
    end
  end
  for _, name in ipairs(M.PARAMETERS) do
    names[#names + 1] = name
  end
  return names
end

return M

-- What the ways in and out need to know of each endpoint; tollhouse/endpoints.py has the same, and a
-- test holds the two together.

local M = {}

local function set(names)
  local found = {}
  for _, name in ipairs(names) do found[name] = true end
  return found
end

-- Their body names the model.
M.has_body = set({
  "chat/completions", "completions", "responses", "embeddings", "messages", "messages/count_tokens",
  "audio/transcriptions", "audio/translations", "audio/speech", "images/generations", "images/edits",
  "moderations", "rerank",
})

-- Passed through as they are.
M.is_unchecked = set({
  "files", "batches", "fine_tuning", "assistants", "threads", "vector_stores", "uploads", "containers",
  "conversations", "evals", "videos",
})

-- Their output is text that a limit of output tokens bounds.
M.generates = set({ "chat/completions", "completions", "responses", "messages" })

M.is_multipart = set({ "audio/transcriptions", "audio/translations", "images/edits" })

M.is_anthropic = set({ "messages", "messages/count_tokens" })

-- Whether the alias's default parameters go into the body.
function M.takes_defaults(endpoint)
  return M.has_body[endpoint] and not M.is_multipart[endpoint] and endpoint ~= "messages/count_tokens"
end

return M

-- What a call used, for as long as its provider has not said.

local endpoints = require("endpoints")

local M = {}

local ceil, huge, min, max = math.ceil, math.huge, math.min, math.max

local BYTES_PER_TOKEN = 4 -- OpenAI's rule of thumb for English text
local TOKENS_PER_MEDIA_PART = 85 -- OpenAI's price of a picture at low detail
-- What a provider has generated and not yet delivered when a call is cut off: half a second to a
-- second of the usual 30 to 80 tokens a second.
local AHEAD = 32
-- Sound is not longer than this makes it: Opus goes down to 6 kbit/s (RFC 6716, section 2.1.1), as
-- the reservation has it.
local LEAST_BYTES_PER_SECOND = 750
local DOCUMENTS_PER_SEARCH = 100 -- Cohere: "one query with up to 100 documents to be ranked"

-- The parts of a total that a reservation can have, the dearest first.
local PARTS = {
  input_tokens = {
    "cache_write_1h_tokens", "cache_write_tokens", "input_audio_tokens", "input_image_tokens", "cached_input_tokens",
  },
  output_tokens = { "output_audio_tokens", "output_image_tokens" },
}

-- The most that the call of these facts (tollhouse.request) can use, by its reservation
-- (envoy.filters.http.ratelimit, nil where there is none), in tokens: input, output.
function M.most(request, reservation)
  local reserved = reservation or {}
  local input, output = reserved["input_tokens"], reserved["output_tokens"]
  return input or huge, output or endpoints.generates[request["endpoint"]] and huge or 0
end

-- A number among the facts of a request; one that is not there has its default.
local function fact(request, name, default)
  return tonumber(request[name]) or default
end

-- Input tokens of a request.
function M.input(request, most)
  local text = ceil(fact(request, "text_bytes", 0) / BYTES_PER_TOKEN)
  return min(text + fact(request, "media_parts", 0) * TOKENS_PER_MEDIA_PART, most)
end

-- Output tokens of a stream that has brought so many events and bytes of content: an event is about
-- one token.
function M.of_stream(events, bytes, done, most)
  return min(max(events, ceil(bytes / BYTES_PER_TOKEN)) + (done and 0 or AHEAD), most)
end

-- Output tokens of a stream as far as it was read (sse.lua): what its provider has counted, and what
-- came later.
function M.of_reader(reader, most)
  local counted = reader.usage and reader.usage.output_tokens or 0
  local events, bytes = reader.events - reader.counted_events, reader.content_bytes - reader.counted_bytes
  return min(counted + M.of_stream(events, bytes, reader.done, most), most)
end

-- Output tokens of an answer in one piece, of which so many bytes have passed. A provider generates
-- it to its end before it sends the first byte, and whether or not anybody waits for it: of one that
-- did not come whole nobody knows how long it is, so it is as long as was reserved for it.
function M.of_whole(bytes, done, most)
  local seen = ceil(bytes / BYTES_PER_TOKEN)
  if done or most == huge then
    return min(max(seen, done and 0 or AHEAD), most)
  end
  return most
end

-- What is first said.

local FREE = { usage_source = "none", input_tokens = 0, output_tokens = 0 }
-- Billed by the alias's price per request, whatever is in it.
local BY_RULE = { usage_source = "rule", input_tokens = 0, output_tokens = 0 }

-- Sound and pictures: how many tokens they are is the provider's to say, so all that was reserved.
local function is_sensed(endpoint)
  return endpoint:find("^audio/") ~= nil or endpoint:find("^images/") ~= nil
end

-- What a stored response adds to the input nobody has seen either.
local function is_continued(request)
  return (request["previous_response_id"] or "none") ~= "none"
end

local function input_of(request, reserved, most)
  if is_sensed(request["endpoint"]) or is_continued(request) then
    return reserved["input_tokens"] or M.input(request, most)
  end
  return M.input(request, most)
end

local function output_of(request, most)
  if not endpoints.generates[request["endpoint"]] then
    return most
  end
  return request["stream"] == "true" and M.of_stream(0, 0, false, most) or M.of_whole(0, false, most)
end

-- Of a part, as much as was reserved, within what its total has left; of sound and pictures in a body
-- of text, as much as their parts are taken for.
local function add_parts(counts, reserved, request)
  local media = is_sensed(request["endpoint"]) and huge or fact(request, "media_parts", 0) * TOKENS_PER_MEDIA_PART
  local caps = { input_audio_tokens = media, input_image_tokens = media }
  for total, names in pairs(PARTS) do
    local left = counts[total]
    for _, name in ipairs(names) do
      if reserved[name] then
        counts[name] = min(reserved[name], left, caps[name] or huge)
        left = left - counts[name]
      end
    end
  end
end

-- What is counted otherwise than in tokens, from the facts of the request.
local function units(request)
  local endpoint = request["endpoint"]
  return {
    images = endpoint:find("^images/") and fact(request, "n", 1) or nil,
    audio_milliseconds = ceil(fact(request, "audio_bytes", 0) * 1000 / LEAST_BYTES_PER_SECOND),
    characters = fact(request, "characters", 0),
    search_units = endpoint == "rerank" and max(ceil(fact(request, "documents", 0) / DOCUMENTS_PER_SEARCH), 1) or nil,
  }
end

-- What a request counts from the moment it may reach its provider, until that says something: no
-- count is above its reservation.
function M.first(request, reservation)
  local endpoint, reserved = request["endpoint"], reservation or {}
  if endpoints.is_unchecked[endpoint] then return BY_RULE end
  if endpoint == "responses/id" or endpoint == "messages/count_tokens" then return FREE end
  local most_input, most_output = M.most(request, reservation)
  local counts = {
    usage_source = "estimated",
    input_tokens = input_of(request, reserved, most_input),
    output_tokens = output_of(request, most_output),
  }
  if endpoint:find("^images/") then counts.image_variant = request["image_variant"] end
  add_parts(counts, reserved, request)
  for name, value in pairs(units(request)) do
    if value > 0 then counts[name] = min(value, reserved[name] or huge) end
  end
  return counts
end

return M

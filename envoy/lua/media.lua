-- Finds the media of a body while json.lua reads it. Every byte that is not counted as text belongs
-- to a media part that is counted: max_tokens_per_media of the alias bounds what it costs.

local json = require("json")
local lex = require("lex")

local M = {}

local lower, sub = string.lower, string.sub

-- Object keys whose value is a picture, a sound, a film or a document, or refers to one, as OpenAI
-- and the providers that speak its dialect spell them. Under "audio" an assistant's message refers
-- to what it said before; in an array each item counts.
local PARTS = {
  audio = true,
  audio_url = true,
  document = true,
  document_url = true,
  file = true,
  file_data = true,
  file_id = true,
  file_url = true,
  image = true,
  image_file = true,
  image_url = true,
  input_audio = true,
  input_file = true,
  input_image = true,
  input_video = true,
  video = true,
  video_url = true,
}

-- Directly inside of a part these say where its bytes are, and are no parts of their own. Other
-- members, such as a file's name, can be text that the model is shown.
local INSIDE_PART = { data = true, file_data = true, file_id = true, file_url = true, url = true }

-- Top-level parameters that hold no media, but schemas, whose properties may bear any name.
local WITHOUT_MEDIA = { functions = true, metadata = true, response_format = true, tools = true }

-- What is perceived, not read: its tokens do not follow from its bytes. A document's do, so a PDF
-- or a text file counts as a part and as text.
local PERCEIVED = { ["data:audio/"] = true, ["data:image/"] = true, ["data:video/"] = true }

local LENGTHS, LONGEST = {}, 0 -- for a quick no
for _, names in ipairs({ PARTS, INSIDE_PART }) do
  for name in pairs(names) do
    LENGTHS[#name] = true
    LONGEST = math.max(LONGEST, #name)
  end
end

local function name_at(s, first, last, escaped)
  if escaped and last - first < 6 * LONGEST then
    return lower(lex.unescape(s, first, last) or "")
  end
  return LENGTHS[last - first + 1] and lower(sub(s, first, last))
end

local function on_key(watch, s, first, last, reader, inside_part)
  if reader.depth == 1 then
    watch.elsewhere = WITHOUT_MEDIA[sub(s, first, last)]
  end
  local name = not watch.elsewhere and name_at(s, first, last, reader.escaped)
  if not name then
    return nil
  elseif inside_part and INSIDE_PART[name] then
    return json.STRING
  elseif PARTS[name] then
    watch.parts = watch.parts + 1
    return json.MEMBERS
  end
  return nil
end

local function on_marked_string(watch, s, first, last)
  if PERCEIVED[sub(s, first, first + 10)] then
    watch.bytes = watch.bytes + last - first + 1
  end
end

local function on_marked_item(watch)
  watch.parts = watch.parts + 1
end

-- A watch for json.lua that counts, to be read afterwards:
--   parts   media parts
--   bytes   bytes of their `data:` strings with pictures, sounds and films
function M.watch()
  return {
    parts = 0,
    bytes = 0,
    on_key = on_key,
    on_marked_string = on_marked_string,
    on_marked_item = on_marked_item,
  }
end

return M

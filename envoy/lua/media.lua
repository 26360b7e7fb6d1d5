-- Finds the media of a body while json.lua reads it. Every byte that is not counted as text belongs
-- to a media part that is counted: max_tokens_per_media of the alias bounds what it costs.

local endpoints = require("endpoints")
local json = require("json")
local lex = require("lex")

local M = {}

local find, lower, sub = string.find, string.lower, string.sub
local skip_space = lex.skip_space

local OPEN_OBJECT = 123

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
local WITHOUT_MEDIA = {
  functions = true,
  metadata = true,
  output_config = true,
  output_format = true,
  response_format = true,
  text = true,
  tools = true,
}

-- Objects of any names, which the model is shown as text: what a tool is called with. Nothing below them
-- is media, wherever they stand but at the top, where `input` is the conversation.
local FREE_FORM = { action = true, arguments = true, env = true, input = true }

-- What is perceived, not read: its tokens do not follow from its bytes. A document's do, so a PDF
-- or a text file counts as a part and as text.
local PERCEIVED = { ["data:audio/"] = true, ["data:image/"] = true, ["data:video/"] = true }

-- Anthropic spells a picture {"type": "image", "source": {"type": "base64", "media_type":
-- "image/png", "data": "…"}}: https://docs.claude.com/en/docs/build-with-claude/vision. The members
-- of a source in any order; one that stands there twice has two readings, and all of it is text.
local SOURCE = "source"
local SOURCE_MEMBERS = { type = true, media_type = true, data = true }
local LONGEST_TYPE = 64

local CACHE_CONTROL = "cache_control"

local LENGTHS, LONGEST = {}, 0 -- for a quick no
for _, names in ipairs({ PARTS, INSIDE_PART, SOURCE_MEMBERS, FREE_FORM, { source = true, cache_control = true } }) do
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

-- A source ends before the next name that is not deeper than its own. In what lies in it, other
-- than its own members, nothing is a member of it.
local function source_at(watch, depth)
  local source = watch.source
  if source and depth < source.depth then
    watch.source, source = nil, nil
  end
  return source and source.depth == depth and source
end

local function opens_source(watch, s, last, name)
  if name ~= SOURCE or not watch.has_sources then
    return false
  end
  local colon = skip_space(s, last + 2)
  local _, c = skip_space(s, colon + 1)
  return c == OPEN_OBJECT
end

-- Takes back what was not counted as text.
local function spoil(watch, source)
  source.spoiled = true
  watch.bytes = watch.bytes - source.bytes
  source.bytes = 0
end

local function on_source_member(watch, source, name)
  if source.seen[name] then
    spoil(watch, source)
  end
  source.seen[name] = true
  watch.member_of, watch.member = source, name
  return json.STRING
end

-- Below which depth everything is free; it ends before the next name that is not deeper.
local function is_free(watch, name, depth)
  if watch.free and depth <= watch.free then
    watch.free = nil
  end
  local was_free = watch.free ~= nil
  if not was_free and depth > 1 and FREE_FORM[name or ""] then
    watch.free = depth
  end
  return was_free
end

local function on_part(watch)
  watch.parts = watch.parts + 1
  return json.MEMBERS
end

local function on_key(watch, s, first, last, reader, inside_part)
  local depth = reader.depth
  local source = source_at(watch, depth)
  watch.member_of = nil
  if depth == 1 then
    watch.elsewhere = WITHOUT_MEDIA[sub(s, first, last)]
  end
  local name = name_at(s, first, last, reader.escaped)
  watch.name = name
  local free = is_free(watch, name, depth)
  if name == CACHE_CONTROL then
    watch.cache_control = true
  elseif not name or watch.elsewhere or free then
    return nil
  elseif source and inside_part and SOURCE_MEMBERS[name] then
    return on_source_member(watch, source, name)
  elseif inside_part and INSIDE_PART[name] then
    return json.STRING
  elseif opens_source(watch, s, last, name) then
    watch.source = { depth = depth + 1, seen = {}, bytes = 0 }
    return on_part(watch)
  elseif PARTS[name] then
    return on_part(watch)
  end
  return nil
end

local function on_source_string(watch, s, first, last)
  local source, name = watch.member_of, watch.member
  if name == "data" then
    source.data = last - first + 1
  elseif last - first < LONGEST_TYPE then
    source[name] = lex.unescape(s, first, last) or ""
  end
  local is_picture = source.type == "base64" and find(source.media_type or "", "^image/")
  if is_picture and source.data and source.bytes == 0 and not source.spoiled then
    source.bytes = source.data
    watch.bytes = watch.bytes + source.data
  end
end

-- Only as base64: what is written out can be read. Under file_data there are documents.
local function is_perceived(watch, s, first)
  local head = sub(s, first, first + 99)
  if watch.name == "file_data" or not find(head, ";base64,", 1, true) then
    return false
  end
  -- PHP escapes the slash.
  return PERCEIVED[sub(s, first, first + 10)]
    or sub(s, first + 10, first + 11) == "\\/" and PERCEIVED[sub(s, first, first + 9) .. "/"]
end

local function on_marked_string(watch, s, first, last)
  if watch.member_of then
    on_source_string(watch, s, first, last)
  elseif is_perceived(watch, s, first) then
    watch.bytes = watch.bytes + last - first + 1
  end
end

local function on_marked_item(watch)
  watch.parts = watch.parts + 1
end

-- A watch for json.lua that counts, to be read afterwards:
--   parts   media parts
--   bytes   bytes of their `data:` strings with pictures, sounds and films, and of the pictures in
--           Anthropic's sources, where `endpoint` has such
--   cache_control   bool: the name occurs at any depth, in any spelling
function M.watch(endpoint)
  -- Made with all its fields: setting another one later would make the table again.
  return {
    max_members = nil,
    max_name_bytes = nil,
    utf8 = nil,
    source = nil,
    member_of = nil,
    member = nil,
    elsewhere = nil,
    name = nil,
    free = nil,
    parts = 0,
    bytes = 0,
    cache_control = false,
    has_sources = endpoints.is_anthropic[endpoint],
    on_key = on_key,
    on_marked_string = on_marked_string,
    on_marked_item = on_marked_item,
  }
end

return M

-- The facts of a multipart body: the model is a form field there. scan.lua reads JSON.

local lex = require("lex")
local multipart = require("multipart")
local scan = require("scan")
local unbounded = require("unbounded")
local values = require("values")

local M = {}

local find, format, match, sub = string.find, string.format, string.match, string.sub

-- The name in `spans` of the model part's Content-Length, if it states one.
M.MODEL_LENGTH = "model.content_length"

local MAX_IMAGES = 10 -- the most images that OpenAI's API makes at once

-- Fields that are read or mean money: each at most once, as text.
local FIELDS = {
  model = true,
  stream = true,
  n = true,
  response_format = true,
  quality = true,
  size = true,
  prompt = true,
  _charset_ = false, -- RFC 7578 section 4.6: how to read the others
}
for _, names in ipairs({ unbounded.PARAMETERS, unbounded.FIELDS }) do
  for _, name in ipairs(names) do
    FIELDS[name] = true
  end
end
-- Names that only files have, and how often; OpenAI's SDKs send several pictures as image[].
local FILES = { file = "once", mask = "once", image = "often" }

local function refuse(reading, code, message, ...)
  return values.refuse(reading, code, format(message, ...))
end

-- Some parsers strip brackets, and some do not tell capitals apart.
local function meant(name)
  return lex.fold(match(name, "^[^%[]*"))
end

local function check_file(reading, part, base)
  local is_exact = part.name == base or base == "image" and part.name == "image[]"
  if not is_exact or not part.is_file or FILES[base] == "once" and reading.index[base] then
    return refuse(reading, "ambiguous_body", "Send the form's `%s` once, as a file with a file name.", base)
  end
  reading.index[base] = part
end

local function text_of(reading, part)
  return sub(reading.s, part.first, part.last)
end

local function is_readable(reading, part)
  if not lex.is_utf8(reading.s, part.first, part.last) then
    return false
  end
  return part.is_plain == true or part.is_plain and not find(text_of(reading, part), "[\128-\255]")
end

local function check_field(reading, part, base)
  if part.name ~= base or reading.index[base] or not FIELDS[base] then
    return refuse(reading, "ambiguous_body", "Send the form's `%s` at most once, spelled so.", base)
  elseif part.is_file or not is_readable(reading, part) then
    return refuse(reading, "ambiguous_body", "Send the form's `%s` as plain text, without a file name.", base)
  end
  reading.index[base] = part
  reading.text[base] = part.last - part.first < 1024 and text_of(reading, part) or "too long"
end

local function add(reading, part)
  local base = meant(part.name)
  if FILES[base] then
    check_file(reading, part, base)
  elseif FIELDS[base] ~= nil then
    check_field(reading, part, base)
  elseif not part.is_file and not lex.is_utf8(reading.s, part.first, part.last) then
    refuse(reading, "invalid_body", "The text fields of the form must be UTF-8.")
  end
  local bytes = part.last - part.first + 1
  if part.is_file then
    reading.files, reading.file_bytes = reading.files + 1, reading.file_bytes + bytes
  else
    reading.text_bytes = reading.text_bytes + bytes
  end
end

local function model_name(reading)
  local part = reading.index.model
  if not part then
    return refuse(reading, "model_missing", "Name a model: the form needs a text field `model`.")
  end
  local model = text_of(reading, part)
  local problem = values.model_problem(model)
  return problem and refuse(reading, "model_missing", "%s", problem) or model
end

local function flag(reading, name)
  local text = reading.text[name] or "false"
  if text ~= "true" and text ~= "false" then
    refuse(reading, "invalid_body", "The form's `%s` must be true or false.", name)
  end
  return text == "true"
end

local function images(reading)
  local text = reading.text.n or "1"
  local n = find(text, "^[1-9]%d?$") and tonumber(text)
  if not n or n > MAX_IMAGES then
    return refuse(reading, "invalid_body", "The form's `n` must be an integer from 1 to %d.", MAX_IMAGES)
  end
  return n
end

local function spans_of(index)
  local part = index.model
  return {
    model = { part.first, part.last },
    [M.MODEL_LENGTH] = part.length and { part.length_first, part.length_last } or nil,
  }
end

local function of_images(reading, facts)
  facts.n, facts.media_parts = images(reading), reading.files
  facts.image_variant = scan.image_variant(reading.text.quality or "default", reading.text.size or "default")
end

local function of_audio(reading, facts)
  facts.n, facts.media_parts, facts.audio_bytes = 1, 0, reading.file_bytes
  if not reading.index.file and not facts.unbounded then
    refuse(reading, "invalid_body", "Send the audio as the form's `file`.")
  end
end

local function read(reading, parts, endpoint)
  for _, part in ipairs(parts) do
    add(reading, part)
  end
  local facts = {
    model = model_name(reading),
    stream = flag(reading, "stream"),
    text_bytes = reading.text_bytes,
    unbounded = unbounded.first_field(reading.text),
  }
  local own = endpoint == "images/edits" and of_images or of_audio
  own(reading, facts)
  if not reading.code then
    facts.spans = spans_of(reading.index)
  end
  return facts
end

-- Reads the multipart body of a call of `endpoint`, by its content-type. Returns its facts, as
-- scan.lua does:
--   model, stream, n, unbounded, image_variant   as there
--   text_bytes     bytes of the fields that are no files
--   media_parts    number of pictures (images/edits)
--   audio_bytes    bytes of the files (audio/*)
--   spans          {first, last} byte of the model's value, and of its part's Content-Length
-- or nil, a decision code and a sentence that quotes nothing of the body.
function M.read(s, content_type, endpoint)
  local boundary, code, message = multipart.boundary(content_type)
  if not boundary then
    return nil, code, message
  end
  local parts
  parts, code, message = multipart.parts(s, boundary)
  if not parts then
    return nil, code, message
  end
  local reading = { s = s, index = {}, text = {}, text_bytes = 0, files = 0, file_bytes = 0 }
  local facts = read(reading, parts, endpoint)
  if reading.code then
    return nil, reading.code, reading.message
  end
  return facts
end

return M

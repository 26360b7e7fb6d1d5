-- Strict multipart/form-data (RFC 7578, RFC 2046), read in place: parts are located by byte offset,
-- and nothing in them is copied. Whatever two parsers could take differently is refused: text before
-- the first boundary or after the last, lines that end in a bare LF, the boundary inside of a part.
-- Positions are 1-based byte offsets. Only plain finds touch the bytes of files.

local disposition = require("disposition")

local M = {}

local find, format, lower, match, sub = string.find, string.format, string.lower, string.match, string.sub

local MAX_PARTS = 256
local MAX_HEADER_BYTES = 4096
local MAX_BOUNDARY_BYTES = 70 -- RFC 2046 section 5.1.1

M.NOT_A_FORM = "Send the body as content-type: multipart/form-data; boundary=…"
local BOUNDARY = "Name the boundary once in the content-type, in at most 70 letters, digits and '()+_,-./:=?."
local DELIMITER = "The body must be only the parts of the form, each between two lines that are the "
  .. "boundary; lines end in CRLF, and the boundary occurs nowhere else."
local FINAL = "The body must end with its final boundary."
local HEADERS = "Part %d of the form has headers that could be read in two ways. Send "
  .. 'Content-Disposition: form-data; name="…" (a file: and filename="…", without quotes, backslashes '
  .. "and semicolons in it), no transfer encoding, and no multipart inside."
local LENGTH = "Part %d of the form is not as long as its Content-Length says."

local function ambiguous(message, ...)
  return nil, "ambiguous_body", format(message, ...)
end

local function invalid(message, ...)
  return nil, "invalid_body", format(message, ...)
end

function M.is_form(content_type)
  return find(lower(content_type or ""), "^%s*multipart/form%-data%f[%s;%z]") ~= nil
end

local PARAMETERS = { -- a token, or in quotes what RFC 2046 allows, less the space
  "^%s*;%s*([%w*-]+)=([%w'+_.-]+)%s*()",
  "^%s*;%s*([%w*-]+)=\"([%w'()+_,./:=?-]+)\"%s*()",
}

local function parameter(text, at)
  for _, pattern in ipairs(PARAMETERS) do
    local name, value, after = match(text, pattern, at)
    if name then
      return lower(name), value, after
    end
  end
  return nil
end

-- The boundary that a content-type names; nil, a code and a sentence when it is not the type of a
-- form or its boundary is not certain.
function M.boundary(content_type)
  if not M.is_form(content_type) then
    return invalid(M.NOT_A_FORM)
  end
  local at, found = find(content_type, ";", 1, true) or #content_type + 1, {}
  while at <= #content_type do
    local name, value, after = parameter(content_type, at)
    local is_known = name == "boundary" or name == "charset" and lower(value) == "utf-8"
    if not is_known or found[name] then
      return ambiguous(BOUNDARY)
    end
    found[name], at = value, after
  end
  if not found.boundary then
    return invalid(M.NOT_A_FORM)
  elseif #found.boundary > MAX_BOUNDARY_BYTES then
    return ambiguous(BOUNDARY)
  end
  return found.boundary
end

-- The part in s[first..last]: its headers, an empty line, its value.
local function read_part(s, first, last, number)
  local blank = find(s, "\r\n\r\n", first, true)
  if not blank or blank + 3 > last or blank - first > MAX_HEADER_BYTES then
    return ambiguous(HEADERS, number)
  end
  local part = disposition.read(s, first, blank - 1)
  if not part then
    return ambiguous(HEADERS, number)
  end
  part.first, part.last = blank + 4, last
  if part.length and part.length ~= last - part.first + 1 then
    return ambiguous(LENGTH, number)
  end
  return part
end

-- The parts of a body in their order:
--   name, is_file, is_plain, length, length_first, length_last   as in disposition.lua
--   first, last                                                  its value; last is first - 1 if empty
-- or nil, a decision code and a sentence that quotes nothing of the body.
function M.parts(s, boundary)
  local delimiter = "--" .. boundary
  if sub(s, 1, #delimiter) ~= delimiter then
    return invalid("The body must begin with the boundary that its content-type names.")
  end
  local parts, at = {}, 1
  while true do
    local after = at + #delimiter
    local follows = sub(s, after, after + 1)
    if follows == "--" then
      local rest = sub(s, after + 2, after + 4)
      if rest ~= "" and rest ~= "\r\n" then
        return ambiguous(DELIMITER)
      end
      return parts
    elseif follows ~= "\r\n" then
      return ambiguous(DELIMITER)
    elseif #parts == MAX_PARTS then
      return invalid("The form must have at most %d parts.", MAX_PARTS)
    end
    local next_at = find(s, delimiter, after, true)
    if not next_at then
      return ambiguous(FINAL)
    elseif sub(s, next_at - 2, next_at - 1) ~= "\r\n" then
      return ambiguous(DELIMITER)
    end
    local part, code, message = read_part(s, after + 2, next_at - 3, #parts + 1)
    if not part then
      return nil, code, message
    end
    parts[#parts + 1], at = part, next_at
  end
end

return M

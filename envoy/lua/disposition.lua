-- The headers of one part of multipart/form-data (RFC 7578), in the one spelling that all parsers
-- read alike: no folded lines, no escapes, no parameter twice.

local M = {}

local find, lower, match, sub = string.find, string.lower, string.match, string.sub

local KNOWN = {
  ["content-disposition"] = true,
  ["content-length"] = true, -- older okhttp
  ["content-transfer-encoding"] = true,
  ["content-type"] = true,
}
local AS_IT_IS = { ["7bit"] = true, ["8bit"] = true, binary = true }
local CHARSETS = { ["utf-8"] = true, ["us-ascii"] = "ascii", ["iso-8859-1"] = "ascii" }

local TOKEN = "^ *; *([%w*-]+)=([%w!#$&'*+.^_`|~%%-]+) *()"
local QUOTED = '^ *; *([%w*-]+)="([^"\\;]*)" *()'

-- One line: the name, the value, and where the value begins in the line.
local function header(line)
  local name, at, value = match(line, "^([%w-]+):[ \t]*()(.-)[ \t]*$")
  if not name or find(value, "%c") then
    return nil
  end
  return lower(name), value, at
end

-- The parameters by name; nil for any that stands there twice or in another spelling.
local function parameters(text, known)
  local found, at = {}, 1
  while at <= #text do
    local name, value, after = match(text, TOKEN, at)
    if not name then
      name, value, after = match(text, QUOTED, at)
    end
    if not name or not known[name] or found[name] then
      return nil
    end
    found[name], at = value, after
  end
  return found
end

local DISPOSITION = { name = true, filename = true, ["filename*"] = true }

-- `filename*` only repeats in UTF-8 what `filename` says (.NET sends both).
local function disposition(part, value)
  local kind, rest = match(value, "^([%a-]+)(.*)$")
  local found = kind and lower(kind) == "form-data" and parameters(rest, DISPOSITION)
  if not found or not match(found.name or "", "^[%w_.%[%]-]+$") then
    return false
  end
  if found.filename == "" or found["filename*"] and not found.filename then
    return false
  end
  part.name, part.is_file = found.name, found.filename ~= nil
  return true
end

-- Others, such as `name`, are a file's name to some.
local TYPE_PARAMETERS = { charset = true, codecs = true }

-- is_plain: the bytes are text, in UTF-8 or in a charset that reads ASCII alike.
local function content_type(part, value)
  local kind, rest = match(lower(value), "^([%w+.-]+/[%w+.-]+)(.*)$")
  local found = kind and parameters(rest, TYPE_PARAMETERS)
  if not found or find(kind, "^multipart/") or find(kind, "^message/") then
    return false
  end
  part.is_plain = kind == "text/plain" and CHARSETS[found.charset or "utf-8"] or false
  return true
end

local function read(part, name, value, at)
  if name == "content-disposition" then
    return disposition(part, value)
  elseif name == "content-type" then
    return content_type(part, value)
  elseif name == "content-transfer-encoding" then
    return AS_IT_IS[lower(value)]
  end
  part.length, part.length_first = tonumber(match(value, "^%d+$")), at
  part.length_last = at + #value - 1
  return part.length
end

-- Reads s[first..last], the lines of a part's headers without the last CRLF. Returns
--   name        of the field
--   is_file     bool: it has a file name
--   is_plain    true: text in UTF-8; "ascii": text, in which only ASCII is certain; false
--   length, length_first, length_last   of its Content-Length, and where in s that stands; or nil
-- or nil where two parsers could read them differently.
function M.read(s, first, last)
  local part, seen, from = { is_plain = true }, {}, first
  while from <= last do
    local stop = find(s, "\r\n", from, true)
    stop = stop and stop <= last and stop or last + 1
    local name, value, at = header(sub(s, from, stop - 1))
    if not name or not KNOWN[name] or seen[name] or not read(part, name, value, from + at - 1) then
      return nil
    end
    seen[name], from = true, stop + 2
  end
  return part.name and part or nil
end

return M

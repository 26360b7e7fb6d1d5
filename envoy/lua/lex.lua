-- The tokens of strict JSON (RFC 8259), recognised by byte offset; json.lua puts them together.
-- Positions are 1-based byte offsets. Nothing here raises on hostile input.
--
-- The loops use string.byte and plain string.find, which LuaJIT compiles; a pattern find is
-- interpreted, and reads 10 MB in 275 ms where the compiled loop below needs 10.

local M = {}

local bit = require("bit")

local byte, char, find, format, gsub, lower, match, sub =
  string.byte, string.char, string.find, string.format, string.gsub, string.lower, string.match, string.sub
local band, bor, rshift = bit.band, bit.bor, bit.rshift

local FAR = math.huge -- "no further backslash": compares greater than every position

local HEX = {}
for digit = 0, 9 do
  HEX[48 + digit] = digit
end
for digit = 10, 15 do
  HEX[55 + digit], HEX[87 + digit] = digit, digit
end

-- What each one-letter escape stands for, by the letter's byte.
local SIMPLE_ESCAPES = {
  [34] = '"',
  [47] = "/",
  [92] = "\\",
  [98] = "\b",
  [102] = "\f",
  [110] = "\n",
  [114] = "\r",
  [116] = "\t",
}
function M.fail(reader, what, at)
  reader.problem = format("%s at byte %d", what, at)
  return nil
end

function M.skip_space(s, p)
  local c = byte(s, p)
  while c == 32 or c == 10 or c == 13 or c == 9 do
    p = p + 1
    c = byte(s, p)
  end
  return p, c
end

-- Scalars. Each `*_end` takes the first byte's place and gives the place after the token, or nil.

local function digits_end(s, p)
  local c = byte(s, p)
  while c and c >= 48 and c <= 57 do
    p = p + 1
    c = byte(s, p)
  end
  return p
end

local function exponent_end(s, p)
  local sign = byte(s, p)
  if sign == 43 or sign == 45 then
    p = p + 1
  end
  local after = digits_end(s, p)
  return after > p and after or nil
end

local function fraction_end(s, p)
  local c = byte(s, p)
  if c == 46 then
    local after = digits_end(s, p + 1)
    if after == p + 1 then
      return nil
    end
    p, c = after, byte(s, after)
  end
  if c == 101 or c == 69 then
    return exponent_end(s, p + 1)
  end
  return p
end

function M.number_end(s, p)
  local c = byte(s, p)
  if c == 45 then
    p = p + 1
    c = byte(s, p)
  end
  if c == 48 then
    return fraction_end(s, p + 1)
  end
  if not c or c < 49 or c > 57 then
    return nil
  end
  return fraction_end(s, digits_end(s, p + 1))
end

function M.literal_end(s, p, c)
  local b2, b3, b4, b5 = byte(s, p + 1, p + 4)
  if c == 116 and b2 == 114 and b3 == 117 and b4 == 101 then -- true
    return p + 4
  elseif c == 110 and b2 == 117 and b3 == 108 and b4 == 108 then -- null
    return p + 4
  elseif c == 102 and b2 == 97 and b3 == 108 and b4 == 115 and b5 == 101 then -- false
    return p + 5
  end
  return nil
end

local function code_unit(s, p)
  local a, b, c, d = byte(s, p, p + 3)
  a, b, c, d = HEX[a or 0], HEX[b or 0], HEX[c or 0], HEX[d or 0]
  if a and b and c and d then
    return a * 4096 + b * 256 + c * 16 + d
  end
  return nil
end

local function escape_end(s, p)
  local c = byte(s, p + 1)
  if c == 117 then
    return code_unit(s, p + 2) and p + 6
  end
  return SIMPLE_ESCAPES[c or 0] and p + 2
end

local function control_byte(s, first, last)
  local p = first
  while p <= last - 3 do -- four at a time: twice as fast as one by one
    local a, b, c, d = byte(s, p, p + 3)
    if a < 32 or b < 32 or c < 32 or d < 32 then
      break
    end
    p = p + 4
  end
  while p <= last do
    if byte(s, p) < 32 then
      return p
    end
    p = p + 1
  end
  return nil
end

-- Well-formed UTF-8 beyond ASCII (Unicode 16, table 3-7), by its first byte: how many bytes follow,
-- and the range of the first of them.
local FOLLOWING = {}
for first = 0xC2, 0xF4 do
  FOLLOWING[first] = { first < 0xE0 and 1 or first < 0xF0 and 2 or 3, 0x80, 0xBF }
end
FOLLOWING[0xE0][2], FOLLOWING[0xED][3] = 0xA0, 0x9F
FOLLOWING[0xF0][2], FOLLOWING[0xF4][3] = 0x90, 0x8F

-- The place after the character at p, which is not ASCII; nil when it is malformed.
local function character_end(s, p)
  local rule, second = FOLLOWING[byte(s, p)], byte(s, p + 1)
  if not rule or not second or second < rule[2] or second > rule[3] then
    return nil
  end
  for at = p + 2, p + rule[1] do
    local c = byte(s, at)
    if not c or c < 0x80 or c > 0xBF then
      return nil
    end
  end
  return p + rule[1] + 1
end

local function malformed_utf8(s, first, last)
  local p = first
  while p <= last do
    local a, b, c, d = byte(s, p, p + 3)
    if p <= last - 3 and bor(a, b, c, d) < 0x80 then
      p = p + 4
    elseif a < 0x80 then
      p = p + 1
    else
      local after = character_end(s, p)
      if not after then
        return p
      end
      p = after
    end
  end
  return nil
end

function M.is_utf8(s, first, last)
  return malformed_utf8(s, first, last) == nil
end

-- `reader.slash`, the next backslash of the whole text, is kept between strings, so that a body
-- without escapes is searched for them once.
--
-- Of a part of the text (`reader.is_part`) that may not be: the parts are many, and each would search
-- the rest of the text.
local function quote_of_part(reader, p)
  local s = reader.s
  local quote = find(s, '"', p + 1, true)
  reader.escaped = quote ~= nil and find(sub(s, p + 1, quote), "\\", 1, true) ~= nil
  if not reader.escaped then
    return quote
  end
  local at = p + 1
  repeat
    at = find(s, '[\\"]', at)
    if not at or byte(s, at) == 34 then
      return at
    end
    local after = escape_end(s, at)
    if not after then
      return nil, at
    end
    at = after
  until false
end

local function quote_of_text(reader, p)
  local s, slash = reader.s, reader.slash
  if slash <= p then
    slash = find(s, "\\", p + 1, true) or FAR
  end
  local quote = find(s, '"', p + 1, true)
  reader.escaped = quote ~= nil and slash < quote
  while quote and slash < quote do
    local after = escape_end(s, slash)
    if not after then
      return nil, slash
    end
    slash = find(s, "\\", after, true) or FAR
    if quote < after then
      quote = find(s, '"', after, true)
    end
  end
  reader.slash = slash
  return quote
end

-- The place after the string that opens at p; nil where it is malformed. Says whether it has escapes.
function M.string_end(reader, p)
  local s = reader.s
  local quote, malformed_escape = (reader.is_part and quote_of_part or quote_of_text)(reader, p)
  if malformed_escape then
    return M.fail(reader, "malformed escape", malformed_escape)
  elseif not quote then
    return M.fail(reader, "unterminated string", p)
  end
  local control = control_byte(s, p + 1, quote - 1)
  if control then
    return M.fail(reader, "raw control character in a string", control)
  end
  local malformed = reader.utf8 and malformed_utf8(s, p + 1, quote - 1)
  if malformed then
    return M.fail(reader, "text that is not UTF-8", malformed)
  end
  return quote + 1
end

-- What a string says.

-- Other parsers match names without regard to case: Go's encoding/json folds these two beyond
-- ASCII (U+017F, U+212A). Parsers on C strings end a name at its first NUL.
function M.fold(name)
  if not find(name, "[^%l%d_]") then
    return name
  end
  local folded = lower(match(name, "^%Z*"))
  return (gsub(gsub(folded, "\197\191", "s"), "\226\132\170", "k"))
end

local function utf8(point)
  if point < 0x80 then
    return char(point)
  elseif point < 0x800 then
    return char(0xC0 + rshift(point, 6), 0x80 + band(point, 63))
  elseif point < 0x10000 then
    return char(0xE0 + rshift(point, 12), 0x80 + band(rshift(point, 6), 63), 0x80 + band(point, 63))
  end
  return char(
    0xF0 + rshift(point, 18),
    0x80 + band(rshift(point, 12), 63),
    0x80 + band(rshift(point, 6), 63),
    0x80 + band(point, 63)
  )
end

-- The character of the escape at p and the place after it; nil for half a surrogate pair.
local function escaped_text(s, p)
  local c = byte(s, p + 1)
  if c ~= 117 then
    return SIMPLE_ESCAPES[c], p + 2
  end
  local unit = code_unit(s, p + 2)
  if unit < 0xD800 or unit > 0xDFFF then
    return utf8(unit), p + 6
  end
  local low = sub(s, p + 6, p + 7) == "\\u" and code_unit(s, p + 8) or 0
  if unit > 0xDBFF or low < 0xDC00 or low > 0xDFFF then
    return nil
  end
  return utf8(0x10000 + (unit - 0xD800) * 0x400 + low - 0xDC00), p + 12
end

-- Decodes s[first..last], the inside of a string literal already read as valid, to UTF-8; nil when
-- it holds half a surrogate pair, which no UTF-8 can express.
function M.unescape(s, first, last)
  local inside = sub(s, first, last) -- whose end bounds the search
  local slash = find(inside, "\\", 1, true)
  if not slash then
    return inside
  end
  local pieces, count, from = {}, 0, 1
  while slash do
    local text, after = escaped_text(inside, slash)
    if not text then
      return nil
    end
    pieces[count + 1], pieces[count + 2] = sub(inside, from, slash - 1), text
    count = count + 2
    from, slash = after, find(inside, "\\", after, true)
  end
  pieces[count + 1] = sub(inside, from)
  return table.concat(pieces)
end

return M

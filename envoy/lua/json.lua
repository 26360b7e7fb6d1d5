-- Strict JSON (RFC 8259), read in place: a text is validated and its members located by byte
-- offset; no value is built, because the gateway rewrites a few spans and sends all other bytes on.
-- Positions are 1-based byte offsets, both ends inclusive. Nothing here raises on hostile input and
-- no message quotes the text. There is no recursion: depth costs two bits a level.

local bit = require("bit")
local lex = require("lex")

local M = {}

local byte, format, gsub, sub = string.byte, string.format, string.gsub, string.sub
local band, bor, lshift, rshift = bit.band, bit.bor, bit.lshift, bit.rshift
local fail, skip_space, string_end = lex.fail, lex.skip_space, lex.string_end

local LARGEST_INTEGER = 2 ^ 53 -- beyond it a double no longer holds every integer

-- What a watch says of a member's value: a string in this place is marked, or so are the members of
-- an object and the items of an array.
M.STRING, M.MEMBERS = 1, 2

-- Two bits each on the stack of open containers; arrays before objects.
local ARRAY, MARKED_ARRAY, OBJECT, MARKED_OBJECT = 0, 1, 2, 3
local LEVELS_PER_WORD = 16

-- The stack of open containers.

local function push(reader, kind)
  local depth = reader.depth
  if depth > 0 and depth % LEVELS_PER_WORD == 0 then
    reader.words[depth / LEVELS_PER_WORD] = reader.word
    reader.word = 0
  end
  reader.word = bor(lshift(reader.word, 2), kind)
  reader.depth = depth + 1
end

local function pop(reader)
  local depth = reader.depth - 1
  reader.depth = depth
  if depth > 0 and depth % LEVELS_PER_WORD == 0 then
    reader.word = reader.words[depth / LEVELS_PER_WORD]
  else
    reader.word = rshift(reader.word, 2)
  end
end

-- The reading proper: a step goes from the place of one value to the place of the next.

local function add_member(reader, p, after, value_start)
  local list = reader.members
  local count = #list + 1
  if count > reader.max_members then
    return fail(reader, format("more than %d members", reader.max_members), p)
  end
  if after - p - 2 > reader.max_name_bytes then
    return fail(reader, format("member name of more than %d bytes", reader.max_name_bytes), p)
  end
  local raw = sub(reader.s, p + 1, after - 2)
  local key = raw
  if reader.escaped then
    key = lex.unescape(reader.s, p + 1, after - 2)
  end
  if not key then
    return fail(reader, "half a surrogate pair in a member name", p)
  end
  -- A table that is made with all its fields is not made again when one is set.
  list[count] = { key = key, raw = raw, key_start = p, value_start = value_start, value_end = 0 }
  return value_start
end

local function read_key(reader, p)
  local s = reader.s
  if byte(s, p) ~= 34 then
    return fail(reader, "expected a member name", p)
  end
  local after = string_end(reader, p)
  if not after then
    return nil
  end
  local colon, c = skip_space(s, after)
  if c ~= 58 then
    return fail(reader, "expected a colon", colon)
  end
  local on_key = reader.on_key
  if on_key then
    local inside_marked = band(reader.word, 3) == MARKED_OBJECT
    reader.mark = on_key(reader.watch, s, p + 1, after - 2, reader, inside_marked)
  end
  local value_start = skip_space(s, colon + 1)
  if reader.depth == 1 then
    return add_member(reader, p, after, value_start)
  end
  return value_start
end

-- After a value: its containers that end here are closed. Gives the next value's place; nil when
-- the root has closed (`reader.last`) or the text is wrong (`reader.problem`).
local function next_value(reader, p)
  local s = reader.s
  while true do
    local kind = band(reader.word, 3)
    if reader.depth == 1 then
      reader.members[#reader.members].value_end = p - 1
    end
    local c
    p, c = skip_space(s, p)
    if c == 44 then
      p = skip_space(s, p + 1)
      if kind >= OBJECT then
        return read_key(reader, p)
      elseif kind == MARKED_ARRAY then
        reader.watch:on_marked_item()
      end
      reader.mark = nil
      return p
    elseif c ~= (kind < OBJECT and 93 or 125) then
      local container = kind < OBJECT and "array" or "object"
      return fail(reader, "expected a comma or the end of the " .. container, p)
    end
    pop(reader)
    if reader.depth == 0 then
      reader.last = p
      return nil
    end
    p = p + 1
  end
end

local function open_array(reader, p)
  local inside, c = skip_space(reader.s, p + 1)
  if c == 93 then
    return next_value(reader, inside + 1)
  end
  push(reader, reader.mark == M.MEMBERS and MARKED_ARRAY or ARRAY)
  reader.mark = nil
  return inside
end

local function open_object(reader, p)
  local inside, c = skip_space(reader.s, p + 1)
  if c == 125 then
    return next_value(reader, inside + 1)
  end
  push(reader, reader.mark == M.MEMBERS and MARKED_OBJECT or OBJECT)
  return read_key(reader, inside)
end

local function read_string(reader, p)
  local after = string_end(reader, p)
  if not after then
    return nil
  end
  if reader.mark then
    reader.watch:on_marked_string(reader.s, p + 1, after - 2)
  end
  return next_value(reader, after)
end

local function read_value(reader, p)
  local s = reader.s
  local c = byte(s, p)
  if c == 34 then
    return read_string(reader, p)
  elseif c == 123 then
    return open_object(reader, p)
  elseif c == 91 then
    return open_array(reader, p)
  end
  local after = lex.number_end(s, p) or lex.literal_end(s, p, c)
  if not after then
    return fail(reader, "expected a value", p)
  end
  return next_value(reader, after)
end

local function new_reader(s, watch)
  return {
    s = s,
    watch = watch,
    on_key = watch and watch.on_key,
    max_members = watch and watch.max_members or math.huge,
    max_name_bytes = watch and watch.max_name_bytes or math.huge,
    members = {},
    slash = 0,
    escaped = false,
    mark = nil,
    problem = nil,
    last = nil,
    utf8 = watch and watch.utf8,
    depth = 0,
    word = 0, -- the innermost levels of the stack
    words = {}, -- the levels below, LEVELS_PER_WORD in each
  }
end

-- Reads the object that starts at s[pos], after optional white space, to its end.
-- Returns its members in order, `{key, raw, key_start, value_start, value_end}` (`key` decoded,
-- `raw` as spelled, both without quotes; spans include them), and the place of its closing brace.
-- Returns nil and a message with a position when it is not strict JSON.
-- `watch` (optional, and so is all in it) limits the reading and sees what is inside:
--   max_members, max_name_bytes   of the object itself: more members, or a longer name, are errors
--   utf8                                      strings must be well-formed UTF-8
--   on_key(watch, s, first, last, reader, inside_marked)
--                                             each member name at any depth (reader.depth), perhaps
--                                             with escapes (reader.escaped); inside_marked: in an
--                                             object with M.MEMBERS. Gives M.STRING, M.MEMBERS, nil
--   on_marked_string(watch, s, first, last)   each string whose name was given either
--   on_marked_item(watch)                     each item after the first of an array with M.MEMBERS
function M.members(s, pos, watch)
  local reader = new_reader(s, watch)
  reader.is_part = pos > 1
  local start, c = skip_space(s, pos)
  if c ~= 123 then
    return nil, format("expected an object at byte %d", start)
  end
  local inside, first = skip_space(s, start + 1)
  if first == 125 then
    return reader.members, inside
  end
  push(reader, OBJECT)
  local p = read_key(reader, inside)
  while p do
    p = read_value(reader, p)
  end
  if reader.problem then
    return nil, reader.problem
  end
  return reader.members, reader.last
end

-- The same for a whole text: the object is all there is, white space aside (so no byte order mark).
function M.document(s, watch)
  local members, last = M.members(s, 1, watch)
  if not members then
    return nil, last
  end
  local after, c = skip_space(s, last + 1)
  if c then
    return nil, format("unexpected data after the object at byte %d", after)
  end
  return members, last
end

-- The value of s[first..last], a JSON number in any legal spelling (10, 1e1, 10.0), when it is an
-- integer from 0 to 2^53; else nil.
function M.integer(s, first, last)
  if lex.number_end(s, first) ~= last + 1 then
    return nil
  end
  local value = tonumber(sub(s, first, last))
  if not value or value < 0 or value > LARGEST_INTEGER or value % 1 ~= 0 then
    return nil
  end
  return value + 0 -- -0 becomes 0
end

-- Decodes a string literal, quotes included, to UTF-8; nil and a message when it is not one.
function M.decode_string(raw)
  local reader = new_reader(raw)
  if byte(raw, 1) ~= 34 or string_end(reader, 1) ~= #raw + 1 then
    return nil, "not a string literal"
  end
  local decoded = lex.unescape(raw, 2, #raw - 1)
  if not decoded then
    return nil, "half a surrogate pair"
  end
  return decoded
end

-- The string literal for s: only what RFC 8259 section 7 says must be escaped is.
function M.encode_string(s)
  return '"' .. gsub(s, '[%z\1-\31"\\]', function(c)
    return format("\\u%04x", byte(c))
  end) .. '"'
end

return M

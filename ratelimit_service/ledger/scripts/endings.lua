-- How reservations ended, remembered for four days: one letter each, 64 in a text.
--
-- The ids of one process count up (ids.py). So those that were made in the same half minute and
-- differ in their last six bits alone stand together: the hash is named by the half minute, the
-- field by the digits after the milliseconds, down to these bits. Within its half minute an id is
-- known by these digits alone: 74 bits, random at another's ids, and only less dense there.
--
--   done:59863532   7bc8849a360b7de15e0 → "ss.w"   …00 and …01 settled, …03 withdrawn
--                   7bc8849a360b7de15e1 → "As.s"   …51 and …53 settled: "A" is place 17 of this text
--
-- Redis keeps a hash compact while its texts have 64 characters at most. So there are 64 places; no
-- more is stored than from the first that has ended to the last; and only where the first is not
-- place 0 there is a character for it, in the room of those that are left out.

local NOT_ENDED, SETTLED, WITHDRAWN, EXPIRED = ".", "s", "w", "x"
local TOGETHER = 64
local PLACE_0 = 48 -- "0"; the places end below all letters
local DONE_KEPT_SECONDS = 4 * DAY_SECONDS
local DONE_TOGETHER_MS = 30000

local function id_millis(id)
  return tonumber(string.sub(id, 1, 12), 16)
end

-- Adds to something with an id where its end is remembered, and returns it.
local function located(of)
  local id, last = of.id, tonumber(string.sub(of.id, 31), 16)
  of.done = "done:" .. whole(math.floor(id_millis(id) / DONE_TOGETHER_MS))
  of.group = string.sub(id, 13, 30) .. string.char(PLACE_0 + math.floor(last / TOGETHER))
  of.place = last % TOGETHER
  return of
end

local function done(slot, of)
  return hash(slot.stem .. of.done, DONE_KEPT_SECONDS)
end

-- The letters of a group, from place 0 on. `stored`: false if nothing is.
local function letters_in(stored)
  local first = stored and string.byte(stored) - PLACE_0 or 0
  if first > 0 and first < TOGETHER then
    return string.rep(NOT_ENDED, first) .. string.sub(stored, 2)
  end
  return stored or ""
end

-- Says that an ending is going to be read, or written: the letters beside it are kept. Most calls
-- of a run have the group of the one before.
local function want_ending(slot, of)
  local found = done(slot, of)
  if found.last ~= of.group then
    found.last = of.group
    want(found, of.group)
  end
end

-- The letter of how it ended here, or nil.
local function ending(slot, of)
  local letters = letters_in(text(done(slot, of), of.group))
  local letter = string.sub(letters, of.place + 1, of.place + 1)
  return letter ~= "" and letter ~= NOT_ENDED and letter or nil
end

local function note_ending(slot, of, letter)
  local found, place = done(slot, of), of.place
  local letters = letters_in(text(found, of.group))
  letters = string.sub(letters, 1, place) .. string.rep(NOT_ENDED, place - #letters) .. letter
    .. string.sub(letters, place + 2)
  local first = string.find(letters, "%a") - 1
  if first > 0 then
    letters = string.char(PLACE_0 + first) .. string.sub(letters, first + 1)
  end
  put(found, of.group, letters)
end

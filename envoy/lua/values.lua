-- Single values among the members of a body. A member that is absent or null gives nil (a flag:
-- false); a wrong one refuses the body, and what is read after that is not used.
--
-- reading: {s = the body}; a refusal is kept in it as `code` and `message`.

local json = require("json")
local lex = require("lex")

local M = {}

local byte, find, format, match = string.byte, string.find, string.format, string.match

local QUOTE, FALSE, NULL, TRUE = 34, 102, 110, 116

local MAX_MODEL_BYTES = 256 -- twice the longest alias; a longer one would only burden the services
local MODEL_TOO_LONG = format("`model` must be at most %d bytes long.", MAX_MODEL_BYTES)

-- The first reason to refuse is kept.
function M.refuse(reading, code, message)
  if not reading.code then
    reading.code, reading.message = code, message
  end
  return nil
end

-- The byte that tells what kind of value it is; absent is null.
function M.first_byte(reading, member)
  return member and byte(reading.s, member.value_start) or NULL
end

function M.is_set(reading, member)
  return M.first_byte(reading, member) ~= NULL
end

function M.flag(reading, member, name)
  local first = M.first_byte(reading, member)
  if first ~= TRUE and first ~= FALSE and first ~= NULL then
    M.refuse(reading, "invalid_body", format("`%s` must be true, false or null.", name))
  end
  return first == TRUE
end

function M.integer(reading, member, least, most, message)
  if not M.is_set(reading, member) then
    return nil
  end
  local value = json.integer(reading.s, member.value_start, member.value_end)
  if not value or value < least or value > most then
    return M.refuse(reading, "invalid_body", message)
  end
  return value
end

-- What a string says, decoded; nil for any other value, and for half a surrogate pair.
function M.text(reading, member)
  if M.first_byte(reading, member) ~= QUOTE then
    return nil
  end
  return lex.unescape(reading.s, member.value_start + 1, member.value_end - 1)
end

-- The same where only a short word means something: "other" for all that does not match `pattern`
-- from end to end.
function M.word(reading, member, pattern, missing)
  if not M.is_set(reading, member) then
    return missing
  elseif member.value_end - member.value_start > 255 then
    return "other"
  end
  return match(M.text(reading, member) or "", pattern) or "other"
end

-- What is wrong with a model's name, or nil.
function M.model_problem(model)
  if not model or find(model, "%c") then
    return "`model` must be Unicode text without control characters."
  elseif model == "" then
    return "`model` must not be empty."
  elseif #model > MAX_MODEL_BYTES then
    return MODEL_TOO_LONG
  end
  return nil
end

function M.model_name(reading, member)
  if not member then
    return M.refuse(reading, "model_missing", "Name a model: the body needs a string `model`.")
  elseif M.first_byte(reading, member) ~= QUOTE then
    return M.refuse(reading, "model_missing", "`model` must be a string.")
  elseif member.value_end - member.value_start > 6 * MAX_MODEL_BYTES + 1 then -- even if all escaped
    return M.refuse(reading, "model_missing", MODEL_TOO_LONG)
  end
  local model = M.text(reading, member)
  local problem = M.model_problem(model)
  if problem then
    return M.refuse(reading, "model_missing", problem)
  end
  return model
end

return M

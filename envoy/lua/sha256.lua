-- SHA-256 (FIPS 180-4) and HMAC (RFC 2104) over short texts, as lowercase hex digits. Envoy's Lua has
-- neither, and the id of a stored response is known only as the answer passes.

local bit = require("bit")

local M = {}

local band, bnot, bxor, ror, rshift, tobit, tohex = bit.band, bit.bnot, bit.bxor, bit.ror, bit.rshift, bit.tobit, bit.tohex
local byte, char, rep, sub = string.byte, string.char, string.rep, string.sub

local BLOCK = 64

-- The first 32 bits of the fractional parts of the cube roots (and, for the start, of the square
-- roots) of the first primes.
local function fraction(root)
  return tobit(math.floor((root % 1) * 2 ^ 32))
end

local function primes(count)
  local found, n = {}, 2
  while #found < count do
    local is_prime = true
    for _, p in ipairs(found) do
      if n % p == 0 then is_prime = false break end
    end
    if is_prime then found[#found + 1] = n end
    n = n + 1
  end
  return found
end

local K, START = {}, {}
for i, p in ipairs(primes(64)) do
  K[i] = fraction(p ^ (1 / 3))
  if i <= 8 then START[i] = fraction(p ^ 0.5) end
end

local function padded(s)
  local bits = #s * 8
  local zeros = (BLOCK - (#s + 9) % BLOCK) % BLOCK
  local length = char(0, 0, 0, 0, band(rshift(bits, 24), 255), band(rshift(bits, 16), 255),
    band(rshift(bits, 8), 255), band(bits, 255))
  return s .. "\128" .. rep("\0", zeros) .. length
end

local function schedule(s, at, w)
  for i = 1, 16 do
    local a, b, c, d = byte(s, at + i * 4 - 4, at + i * 4 - 1)
    w[i] = tobit(a * 2 ^ 24 + b * 2 ^ 16 + c * 2 ^ 8 + d)
  end
  for i = 17, 64 do
    local x, y = w[i - 15], w[i - 2]
    local s0 = bxor(ror(x, 7), ror(x, 18), rshift(x, 3))
    local s1 = bxor(ror(y, 17), ror(y, 19), rshift(y, 10))
    w[i] = tobit(w[i - 16] + s0 + w[i - 7] + s1)
  end
end

local function compress(state, w)
  local a, b, c, d, e, f, g, h = unpack(state)
  for i = 1, 64 do
    local s1 = bxor(ror(e, 6), ror(e, 11), ror(e, 25))
    local choice = bxor(band(e, f), band(bnot(e), g))
    local t1 = tobit(h + s1 + choice + K[i] + w[i])
    local s0 = bxor(ror(a, 2), ror(a, 13), ror(a, 22))
    local majority = bxor(band(a, b), band(a, c), band(b, c))
    h, g, f, e, d, c, b, a = g, f, e, tobit(d + t1), c, b, a, tobit(t1 + s0 + majority)
  end
  for i, value in ipairs({ a, b, c, d, e, f, g, h }) do
    state[i] = tobit(state[i] + value)
  end
end

local function state_of(s)
  local state, w = { unpack(START) }, {}
  local text = padded(s)
  for at = 1, #text, BLOCK do
    schedule(text, at, w)
    compress(state, w)
  end
  return state
end

local function bytes_of(state)
  local out = {}
  for i, word in ipairs(state) do
    out[i] = char(band(rshift(word, 24), 255), band(rshift(word, 16), 255), band(rshift(word, 8), 255), band(word, 255))
  end
  return table.concat(out)
end

-- 64 hex digits.
function M.hex(s)
  local out = {}
  for i, word in ipairs(state_of(s)) do out[i] = tohex(word) end
  return table.concat(out)
end

local function xored(key, with)
  local out = {}
  for i = 1, BLOCK do out[i] = char(bxor(byte(key, i) or 0, with)) end
  return table.concat(out)
end

-- HMAC-SHA256 as 64 hex digits; the key has at most 64 bytes.
function M.hmac(key, s)
  if #key > BLOCK then error("the key of an HMAC is longer than a block") end
  return M.hex(xored(key, 92) .. bytes_of(state_of(xored(key, 54) .. s)))
end

return M

-- Ids of stored responses as a client sees them: RAW.TAG.MAC, bound to the key whose call made them.
-- authz_service/stored.py says why, and checks them.

local sha256 = require("sha256")

local M = {}

local MAC_DIGITS = 32

-- asked: of tollhouse.attempt; its `bind` is the secret of the caller's ids and `deployment` the tag.
-- Gives a function from a raw id to the one that is shown; nil where ids are not bound.
function M.binder(asked)
  local bind, tag = asked["bind"], asked["deployment"]
  if not bind or not tag then return nil end
  return function(raw)
    local signed = raw .. "." .. tag
    return signed .. "." .. sha256.hmac(bind, signed):sub(1, MAC_DIGITS)
  end
end

return M

-- Says of a request whether its body may be large, before anything of it is held: authz_service is then
-- asked whether the key is known at all.
--
-- Writes  tollhouse.large   body: "true", or nothing

local M = {}

-- What a stranger may make the gateway hold and read: the prompt of nearly every call is shorter.
local SMALL_BYTES = 65536

local function is_large(headers)
  local method, length = headers:get(":method"), headers:get("content-length")
  if method == "GET" or method == "HEAD" or method == "DELETE" then return length ~= nil and length ~= "0" end
  return (tonumber(length) or math.huge) > SMALL_BYTES
end

-- Were it to fail, the body would be taken for a large one.
function M.on_request(handle)
  local ok, large = pcall(is_large, handle:headers())
  if ok and not large then return end
  handle:streamInfo():dynamicMetadata():set("tollhouse.large", "body", "true")
end

return M

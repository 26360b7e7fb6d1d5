-- Takes out of a provider's words what tells whose account stands behind an alias. Pure.
--
-- In this order, each left as a word in brackets, so that the sentence can still be read:
--   the provider's model name   the alias. With what hangs on it (models/NAME, NAME-2024-08-06), in any case
--   a told provider's name      "the provider"
--   [url]     scheme://…
--   [email]   name@host
--   [id]      arn:…; UUIDs; 12 digits (AWS accounts), also as 4-4-4; projects/NAME and project_number:N (Google);
--             org-…, proj_…, acct_…, req_… and their like; what follows "request id", "account id" and their like
--   [key]     sk-… and other providers' prefixes; Bearer …; anything starred out (ab***yz)
--   [host]    names under the usual top-level domains (Azure's resource hosts), IPv4 addresses
--   [key]     any run that looks like a secret: 16 letters and digits in one piece with both among
--             them; 24 with small and capital letters and digits, dashes and the like included; 40 of any
-- A caller can have a long run of one letter quoted back: every pattern here starts at the edge of a run, so that none
-- is tried again from each of its bytes.
-- Kept: ids that the caller sent or was given (call_…, toolu_…, resp_…, msg_…), words, numbers, paths of parameters.

local M = {}

local find, gmatch, gsub, lower, match, sub =
  string.find, string.gmatch, string.gsub, string.lower, string.match, string.sub

M.MAX_BYTES = 4096

-- Stands for the alias until the end: the alias is the caller's own word, and is not searched.
local ALIAS = "\1"

local function set(words)
  local found = {}
  for word in gmatch(words, "%S+") do found[word] = true end
  return found
end

local KEY_PREFIXES = set "sk pk rk csk gsk xai hf r8 ghp gho tlh tlm fw nvapi pplx key esecret api apikey secret token"
local ID_PREFIXES = set(
  "org proj acct acc account req request wrkspc workspace ws sess session trace tenant user cus grp sub gen project ocid"
)
-- Short words behind such a prefix that make a word of it: org-level, user_content, request-id.
local SHORTEST_ID = 5
local ORDINARY = set "level based scoped specific defined content input message messages count token tokens limit limits"
local OWN_IDS = set "call toolu srvtoolu resp msg rs fc cmpl chatcmpl file batch asst thread run vs"
local TOP_LEVEL = set "com net org io ai dev cloud app co us eu uk de fr cn in internal local svc lan corp test"

-- The last byte that is not in `marks`; the pattern "[…]*$" would be tried from every byte.
local function last_without(text, marks, last)
  while last > 0 and find(sub(text, last, last), marks) do last = last - 1 end
  return last
end

-- Names.

local NAME_BYTES = "[%w%-%._@/]"

-- The place before which a token that ends at `last` begins, and the place after which it ends.
local function token_around(text, first, last)
  while first > 1 and find(sub(text, first - 1, first - 1), NAME_BYTES) do first = first - 1 end
  local after = match(text, "^[%w%-%._@/:]*()", last + 1)
  return first, math.max(last, last_without(text, "[%.:/@%-]", after - 1))
end

local function stands_alone(text, first, last)
  return not find(sub(text, first - 1, first - 1), "%w") and not find(sub(text, last + 1, last + 1), "%w")
end

-- Replaces each token that has `name` in it, as whole words.
local function replace_name(text, name, by)
  local lowered, wanted, out, from = lower(text), lower(name), {}, 1
  local first, last = find(lowered, wanted, 1, true)
  while first do
    if stands_alone(lowered, first, last) then
      first, last = token_around(text, first, last)
      out[#out + 1] = sub(text, from, math.max(first, from) - 1) .. by
      from = last + 1
    end
    first, last = find(lowered, wanted, last + 1, true)
  end
  return table.concat(out) .. sub(text, from)
end

-- Providers often say the last part of acme/large-2 alone. One that is a plain word is left.
local function last_part(name)
  local part = match(name, "/([^/]+)$")
  return part and #part > 3 and find(part, "[%d%-]") and part or nil
end

local function without_names(text, names)
  for _, model in ipairs(names.models or {}) do
    if model ~= "" then
      text = replace_name(text, model, ALIAS)
      local part = last_part(model)
      if part then text = replace_name(text, part, ALIAS) end
    end
  end
  if names.provider and #names.provider > 1 then text = replace_name(text, names.provider, "the provider") end
  return text
end

-- Addresses.

local MAX_SCHEME_BYTES = 20

local function without_urls(text)
  local out, from = {}, 1
  local first, last = find(text, "://", 1, true)
  while first do
    local scheme = match(sub(text, math.max(from, first - MAX_SCHEME_BYTES), first - 1), "%a[%w+%.%-]*$") or ""
    last = match(text, "^[^%s\"'`<>]*()", last + 1) - 1
    out[#out + 1] = sub(text, from, first - #scheme - 1) .. "[url]"
    from = last_without(text, "[%.,;:%)%]}]", last) + 1
    first, last = find(text, "://", last + 1, true)
  end
  return table.concat(out) .. sub(text, from)
end

local function without_emails(text)
  return (gsub(text, "%f[%w%._%%+%-][%w%._%%+%-]+@[%w%-]+%.[%w%.%-]*%w", "[email]"))
end

local function host(run)
  local first, last = find(run, "[^%.]"), last_without(run, "%.", #run)
  local name = first and sub(run, first, last) or ""
  local top = match(name, "%.(%a+)$")
  local is_host = top and TOP_LEVEL[lower(top)] or find(name, "%.com%.") or find(name, "%.net%.")
  return is_host and sub(run, 1, first - 1) .. "[host]" .. sub(run, last + 1) or nil
end

local function without_hosts(text)
  text = gsub(text, "%f[%w%-%.][%w%-%.]+", host)
  return (gsub(text, "%f[%d]%d%d?%d?%.%d%d?%d?%.%d%d?%d?%.%d%d?%d?%f[^%d%.]", "[host]"))
end

-- Ids.

local function labelled_id(label, between, id)
  if find(id, "%d") then return label .. between .. "[id]" end
end

local HEX4 = "%x%x%x%x"
local UUID = HEX4 .. HEX4 .. ("%-" .. HEX4):rep(4) .. HEX4 .. HEX4
local DIGITS4 = "%d%d%d%d"

local function without_ids(text)
  text = gsub(text, "[aA][rR][nN]:[%w%-]*:[^%s\"'`,;%)]*", "[id]")
  text = gsub(text, UUID, "[id]")
  text = gsub(text, "%f[%w]projects/[%w%-_%.:]*[%w%-_]", "projects/[id]")
  text = gsub(text, "(project[_ ]number[:= ]*)%d+", "%1[id]")
  text = gsub(text, "(%a[iI][dD])([%s:=\"'`#]+)([%w_%-%.]*[%w_%-])", labelled_id)
  text = gsub(text, "(%f[%a][iI][dD])([%s:=\"'`#]+)([%w_%-%.]*[%w_%-])", function(label, between, id)
    local prefix = match(id, "^(%a+)_")
    if not OWN_IDS[prefix or ""] then return labelled_id(label, between, id) end
  end)
  text = gsub(text, "%f[%w]" .. DIGITS4:rep(3) .. "%f[%W]", "[id]")
  return (gsub(text, "%f[%w]" .. (DIGITS4 .. "%-"):rep(2) .. DIGITS4 .. "%f[%W]", "[id]"))
end

-- Keys, and runs of whatever else.

local function looks_random(run)
  for piece in gmatch(run, "%w+") do
    local both = find(piece, "%d") and find(piece, "%a")
    if #piece >= 40 or #piece >= 16 and both then return true end
  end
  return #run >= 24 and find(run, "%d") and find(run, "%l") and find(run, "%u")
end

local function prefixed(run)
  local prefix, rest = match(run, "^(%w+)[%-_](.+)$")
  if not prefix then
    local known = find(run, "^AIza[%w_%-]") or find(run, "^A[KSGRI][IDRP]A%u%w%w%w%w") or find(run, "^eyJ%w")
    return known and "[key]" or nil
  end
  prefix = lower(prefix)
  if OWN_IDS[prefix] then return run end
  local telling = find(rest, "%d") or #rest >= 16
  if prefix == "sk" or KEY_PREFIXES[prefix] and telling and #rest >= 8 then return "[key]" end
  local strict = prefix == "org" or prefix == "proj" or prefix == "acct" or prefix == "req"
  local is_id = ID_PREFIXES[prefix] and #rest >= SHORTEST_ID and (strict or telling)
  return is_id and not ORDINARY[lower(rest)] and "[id]" or nil
end

local function secret(run)
  local own = prefixed(run)
  if own then return own end
  return looks_random(run) and "[key]" or nil
end

local function bearer(word, space, token)
  if find(token, "[%d%*]") or #token >= 16 then return word .. space .. "[key]" end
end

local function starred_out(run)
  return find(run, "***", 1, true) and "[key]" or nil
end

local function without_keys(text)
  text = gsub(text, "(%f[%a][bB]earer)(%s+)([^%s\"'`,]+)", bearer)
  text = gsub(text, "%f[%w_%-%*][%w_%-%*]+", starred_out)
  text = gsub(text, "%f[%w_%-][%w_%-]+%.%.%.+[%w_%-]+", "[key]") -- sk-ab...yz
  return (gsub(text, "%f[%w_%-][%w_%-]+", secret))
end

-- Base64 has + / and = beside. A path is no such run: it has no capital letters, or no digits.
local function encoded(run)
  return find(run, "[%+/=]") and looks_random(run) and not find(run, "^[%l%d/_%-]+$") and "[key]" or nil
end

-- The text up to MAX_BYTES, to the end of a word: what is cut in two could not be recognised.
local function shortened(text)
  if #text <= M.MAX_BYTES then return text end
  return (match(sub(text, 1, M.MAX_BYTES), "^(.*)%s%S*$") or "") .. " …"
end

-- `text` (UTF-8) without what is listed above. names: {models = the provider's names of the model,
-- alias = what the caller calls it, provider = the provider's name, nil where it is not told}.
function M.text(text, names)
  text = gsub(shortened(text), "[%z\1-\8\11\12\14-\31]", " ")
  text = without_names(text, names)
  text = without_keys(without_ids(without_emails(without_urls(text))))
  text = without_hosts(text)
  text = gsub(text, "%f[%w_%-+/=][%w_%-+/=]+", encoded)
  local alias = names.alias or "the model"
  return (gsub(text, ALIAS, function() return alias end))
end

return M

-- Exercises Lua: tables, strings, coroutines and closures, with much garbage.
local seed = 12345
local function number()
    seed = (seed * 1103515245 + 12345) % 2147483648
    return seed
end

local function sum(text)
    local h = 5381
    for i = 1, #text do h = (h * 33 + text:byte(i)) % 4294967296 end
    return h
end

local table_of = {}
for i = 1, 200000 do
    local n = number()
    local next = table_of["key" .. n % 997] and n or nil
    table_of["key" .. n % 20011] = { n, tostring(n), next = next }
    if n % 5 == 0 then table_of["key" .. n % 1999] = nil end
end
local keys = {}
for k in pairs(table_of) do keys[#keys + 1] = k end
table.sort(keys)
local parts = {}
for i, k in ipairs(keys) do parts[i] = k .. "=" .. table_of[k][2] end
print("tables", #keys, sum(table.concat(parts, ",")))

local text = {}
for i = 1, 30000 do text[i] = ("x"):rep(i % 50) .. number() end
text = table.concat(text, " ")
local changed, n = text:gsub("(x+)(%d+)", "%2%1")
print("strings", #text, n, sum(changed))

local grown = ""
for i = 1, 3000 do grown = grown .. i .. ";" end
print("grown", #grown, sum(grown))

local total = 0
for i = 1, 3000 do
    local walk = coroutine.wrap(function() for j = 1, 20 do coroutine.yield({ i * j }) end end)
    for _ = 1, 20 do total = total + walk()[1] end
end
print("coroutines", total)
collectgarbage()
print("collected", collectgarbage("count") < 100000)

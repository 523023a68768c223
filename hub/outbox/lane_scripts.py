"""The Lua scripts of the lanes.

Each script gets all keys that it uses as `KEYS`, because Redis in cluster mode and services that are compatible with it
reject scripts that use other keys. All keys are in one hash slot if HUB_REDIS_PREFIX contains a hash tag.
"""

WAIT = """
local function wait(waiting, lane)
    local last = redis.call('ZREVRANGE', waiting, 0, 0, 'WITHSCORES')[2]
    redis.call('ZADD', waiting, 'NX', tonumber(last or 0) + 1, lane)
end
local function wake(wakeup)
    if redis.call('LLEN', wakeup) == 0 then redis.call('RPUSH', wakeup, 1) end
end
"""
"""`wait` adds a lane after all waiting lanes, unless it is already waiting."""

PUT = (
    WAIT
    + """
local lane_max, gather_ms, lanes = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local refused, listed, wakeups = {}, {}, {}
for i = 4 + 3 * lanes, #ARGV, 2 do
    local number, id = tonumber(ARGV[i]), ARGV[i + 1]
    local key = KEYS[number]
    if redis.call('LLEN', key) >= lane_max then
        refused[#refused + 1] = id
    else
        redis.call('RPUSH', key, id)
        if not listed[number] then
            listed[number] = true
            local lane, group, low = ARGV[3 * number + 1], tonumber(ARGV[3 * number + 2]), ARGV[3 * number + 3] == '1'
            local waiting, gathering, wakeup = unpack(KEYS, lanes + 3 * group + 1, lanes + 3 * group + 3)
            if low and gather_ms > 0 and redis.call('EXISTS', waiting) == 0 then
                redis.call('SET', gathering, 1, 'PX', gather_ms)
            end
            wait(waiting, lane)
            if not low then wakeups[wakeup] = true end
        end
    end
end
for wakeup in pairs(wakeups) do wake(wakeup) end
return refused
"""
)
"""KEYS: the lanes, then for each channel and priority the waiting lanes, the gathering mark, and the wake-up token.
ARGV: the maximum of ids, the gathering time, the number of lanes; name, group, and 1 for LOW of each lane; then the
number of a lane and an id for each entry."""

FREE_CAPACITY = (
    WAIT
    + """
local lane_max, capacities = tonumber(ARGV[1]), {}
for i = 2, #ARGV do
    local length = redis.call('LLEN', KEYS[2 * i - 3])
    if length > 0 then wait(KEYS[2 * i - 2], ARGV[i]) end
    capacities[#capacities + 1] = math.max(0, lane_max - length)
end
return capacities
"""
)
"""KEYS: each lane, followed by its waiting lanes. ARGV: the maximum of ids, and the names of the lanes."""

NEXT_LANES = """
local found = {}
for i, waiting in ipairs(KEYS) do found[i] = redis.call('ZRANGE', waiting, 0, ARGV[1]) end
return found
"""
"""KEYS: the waiting lanes of each priority. ARGV: the index of the last lane to return."""

TAKE_FIXED_KEYS = 7  # before the lanes
TAKE = (
    WAIT
    + """
local limit, share, orders, rotation = tonumber(ARGV[1]), tonumber(ARGV[2]), cjson.decode(ARGV[3]), ARGV[4]
local per_tenant_max, lanes = tonumber(ARGV[5]), tonumber(ARGV[7])
local gather_left, gather_ms = redis.call('PTTL', KEYS[1]), tonumber(ARGV[6])
local gathered = gather_left > 0 and gather_left <= gather_ms and 4
local found, held = {{}, {}, {}, {}}, {}
for i = 1, lanes do
    local at = 5 + 3 * i
    table.insert(found[tonumber(ARGV[at + 2])], {name = ARGV[at], tenant = ARGV[at + 1], key = KEYS[7 + i]})
end
for i = 8 + 3 * lanes, #ARGV, 2 do held[ARGV[i]] = tonumber(ARGV[i + 1]) end
local turn = (tonumber(redis.call('GET', KEYS[2]) or 0) + 1) % #rotation + 1
local order = orders[tonumber(string.sub(rotation, turn, turn))]
local taken, from, left = {}, {}, false

local function in_turn(priority)
    local waiting = {}
    for _, lane in ipairs(found[priority]) do
        lane.score = tonumber(redis.call('ZSCORE', KEYS[3 + priority], lane.name))
        if lane.score then waiting[#waiting + 1] = lane end
    end
    table.sort(waiting, function(one, other) return one.score < other.score end)
    return waiting
end

local function drain(priority, share_max)
    if priority == gathered then return end
    local waiting, passed, taken_before = KEYS[3 + priority], {}, #taken
    while #taken - taken_before < share_max do
        local turns, before = in_turn(priority), #taken
        for n, lane in ipairs(turns) do
            local remaining = share_max - (#taken - taken_before)
            if remaining <= 0 then break end
            redis.call('ZREM', waiting, lane.name)
            local fair = math.ceil(remaining / (#turns - n + 1))
            local allowed = math.min(fair, per_tenant_max - (held[lane.tenant] or 0))
            if allowed <= 0 then
                passed[#passed + 1] = lane
            else
                local ids = redis.call('LPOP', lane.key, allowed) or {}
                for _, id in ipairs(ids) do
                    taken[#taken + 1] = id
                    from[#from + 1] = lane.name
                end
                held[lane.tenant] = (held[lane.tenant] or 0) + #ids
                if redis.call('LLEN', lane.key) > 0 then wait(waiting, lane.name) end
            end
        end
        if #taken == before then break end
    end
    if redis.call('ZCARD', waiting) > 0 then left = true end
    for _, lane in ipairs(passed) do wait(waiting, lane.name) end
end

if order ~= orders[1] then drain(order[1], math.ceil(limit / share)) end
for _, priority in ipairs(orders[1]) do
    if #taken >= limit then
        if priority ~= gathered and redis.call('EXISTS', KEYS[3 + priority]) > 0 then left = true end
    else
        drain(priority, limit - #taken)
    end
end
if #taken > 0 then redis.call('INCR', KEYS[2]) end
if left and #taken > 0 then wake(KEYS[3]) end
return {from, taken}
"""
)
"""KEYS: the gathering mark, the rotation, the wake-up token, the waiting lanes of each priority, and the lanes. ARGV:
the limit, the divisor of an anti-starvation share, the priority orders, the rotation, the maximum per tenant, the
gathering time, the number of lanes; name, tenant, and priority of each lane; then tenants and what the caller holds of
them. Lanes that are not in KEYS keep their turn."""

TICK = """
local left = redis.call('PTTL', KEYS[1])
if left >= 0 and left <= tonumber(ARGV[1]) then return 0 end
redis.call('SET', KEYS[1], 1, 'PX', ARGV[1])
return 1
"""
"""The lock expires automatically. A key with a longer or no expiry was not written by the hub and is replaced."""

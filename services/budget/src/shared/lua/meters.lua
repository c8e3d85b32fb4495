-- Naturals of any size: lists of digits to the base of a million, the least first.
local function big(text)
  local limbs = {}
  for last = #text, 1, -6 do
    limbs[#limbs + 1] = tonumber(text:sub(math.max(last - 5, 1), last))
  end
  return limbs
end

-- a * n + more, for n and more up to 2^32.
local function times(a, n, more)
  local product, carry = {}, more or 0
  for i = 1, #a do
    local x = a[i] * n + carry
    product[i] = fmod(x, 1000000)
    carry = (x - product[i]) / 1000000
  end
  while carry > 0 do
    local digit = fmod(carry, 1000000)
    product[#product + 1] = digit
    carry = (carry - digit) / 1000000
  end
  return product
end

-- a / n rounded down, and the rest, for n up to 2^32.
local function over(a, n)
  local quotient, rest = {}, 0
  for i = #a, 1, -1 do
    local x = rest * 1000000 + a[i]
    rest = fmod(x, n)
    quotient[i] = (x - rest) / n
  end
  return quotient, rest
end

local function digits(a)
  local text = {}
  for i = #a, 1, -1 do
    text[#text + 1] = format('%06d', a[i])
  end
  local shown = table.concat(text):gsub('^0+', '')
  return shown == '' and '0' or shown
end

local function exceeds(a, b)
  for i = math.max(#a, #b), 1, -1 do
    local x, y = a[i] or 0, b[i] or 0
    if x ~= y then
      return x > y
    end
  end
  return false
end

-- a * b / period rounded down, and the rest: a less than the period, b up to 2^32.
local function scaled(a, b, period)
  local low = fmod(b, 65536)
  local x = a * ((b - low) / 65536)
  local rest = fmod(x, period)
  local y = rest * 65536 + a * low
  local left = fmod(y, period)
  return (x - rest) / period * 65536 + (y - left) / period, left
end

-- Meters are as in kit's gcra.rs. A fill is whole cells and parts of a cell, of which a period's microseconds make one.
-- What is stored: cells, parts, since when, and the burst they were counted under.
local function meter(text)
  if not text then
    return 0, 0, 0, 0
  end
  local cells, parts, at, burst = text:match('^(%d+) (%d+) (%d+) (%d+)$')
  return tonumber(cells), tonumber(parts), tonumber(at), tonumber(burst)
end

-- The fill of a stored meter now, and since when that is so.
local function fill(text, limit, burst, period, now)
  local cells, parts, at, old = meter(text)
  if old == 0 then
    return 0, 0, now
  end
  if old ~= burst then
    local share = over(times(times(big(whole(cells)), period, parts), burst, old - 1), old)
    share, parts = over(share, period)
    cells = tonumber(digits(share))
  end
  local elapsed = now - at
  if elapsed <= 0 then
    return cells, parts, at
  end
  local rest = fmod(elapsed, period)
  local emptied = (elapsed - rest) / period * limit
  if emptied > cells then
    return 0, 0, now
  end
  local more, left = scaled(rest, limit, period)
  cells, parts = cells - emptied - more, parts - left
  if parts < 0 then
    cells, parts = cells - 1, parts + period
  end
  if cells < 0 then
    cells, parts = 0, 0
  end
  return cells, parts, now
end

local function metered(cells, parts, at, burst)
  if cells < 0 then
    cells, parts = 0, 0
  end
  return format('%d %d %d %d', cells, parts, at, burst)
end

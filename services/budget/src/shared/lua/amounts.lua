-- Amounts of any 64 bits are pairs: whole billions (rounded down) and the rest from 0 to 999,999,999. Redis keeps them
-- as decimal text.
local BILLION = 1000000000

-- Text to pair. Nothing is 0.
local function amount(text)
  if not text or text == '' then
    return 0, 0
  end
  if text:byte(1) == 45 then
    local hi, lo = amount(text:sub(2))
    if lo == 0 then
      return -hi, 0
    end
    return -hi - 1, BILLION - lo
  end
  if #text <= 9 then
    return 0, tonumber(text)
  end
  return tonumber(text:sub(1, -10)), tonumber(text:sub(-9))
end

-- Pair to text.
local function decimal(hi, lo)
  if hi < 0 then
    if lo == 0 then
      return '-' .. decimal(-hi, 0)
    end
    return '-' .. decimal(-hi - 1, BILLION - lo)
  end
  if hi == 0 then
    return whole(lo)
  end
  return format('%d%09d', hi, lo)
end

local function plus(ah, al, bh, bl)
  local hi, lo = ah + bh, al + bl
  if lo >= BILLION then
    return hi + 1, lo - BILLION
  end
  return hi, lo
end

local function minus(ah, al, bh, bl)
  local hi, lo = ah - bh, al - bl
  if lo < 0 then
    return hi - 1, lo + BILLION
  end
  return hi, lo
end

local function less(ah, al, bh, bl)
  return ah < bh or (ah == bh and al < bl)
end

-- Whether two amounts are so small that a double holds their sum and their difference.
local function small(a, b)
  return #a < 16 and #b < 16
end

local function sum(a, b)
  if not (a and b) then
    return a or b or '0'
  end
  if small(a, b) then
    return whole(a + b)
  end
  local ah, al = amount(a)
  return decimal(plus(ah, al, amount(b)))
end

local function difference(a, b)
  if not b then
    return a or '0'
  end
  a = a or '0'
  if small(a, b) then
    return whole(a - b)
  end
  local ah, al = amount(a)
  return decimal(minus(ah, al, amount(b)))
end

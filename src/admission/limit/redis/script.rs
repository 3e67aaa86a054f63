//! What Redis itself does: each script is one atomic step on one key, by Redis' own clock.
//!
//! Numbers stay below 2^53, where Lua's are exact; they are written with `%.0f`, because Lua's own
//! writing rounds to 14 digits.

use redis::Script;

/// Microseconds since the epoch. The only line in which the tests differ: there the time is given.
const CLOCK: &str = "local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
";

/// A bucket, whose key holds the microsecond at which it is full again and is gone by then.
/// Arguments: the change of its debt, the most that it may owe, and what it owes as far as the asking
/// relay knows if Redis may have lost it. Answer: whether the change was made, and the debt.
const BUCKET: &str = "local change, burst, known = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local full_at = tonumber(redis.call('GET', KEYS[1]) or '0')
local debt = math.min(math.max(full_at - now, known, 0), burst)
local after = math.max(debt + change, 0)
local is_made = after <= burst
if is_made then debt = after end
if debt == 0 then
  redis.call('DEL', KEYS[1])
elseif is_made or known > 0 then
  redis.call('SET', KEYS[1], string.format('%.0f', now + debt), 'PX', string.format('%.0f', math.ceil(debt / 1000)))
end
return {is_made and 1 or 0, debt}
";

/// A set of places, each with the microsecond at which it is free again unless it is renewed.
/// Arguments: how many there are, how long one lasts, and who asks. Answer: whether it has one, and
/// how many are taken.
const PLACES: &str = "local most, life = tonumber(ARGV[1]), tonumber(ARGV[2])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now))
local taken = redis.call('ZCARD', KEYS[1])
if not redis.call('ZSCORE', KEYS[1], ARGV[3]) then
  if taken >= most then return {0, taken} end
  taken = taken + 1
end
redis.call('ZADD', KEYS[1], string.format('%.0f', now + life), ARGV[3])
redis.call('PEXPIRE', KEYS[1], string.format('%.0f', math.ceil(life / 1000)))
return {1, taken}
";

/// A text that lasts for so many milliseconds.
const NOTE: &str = "redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])";
const NOTED: &str = "return redis.call('GET', KEYS[1])";

/// The scripts, ready to be called.
#[derive(Debug)]
pub(super) struct Scripts {
    pub(super) bucket: Script,
    pub(super) places: Script,
    pub(super) note: Script,
    pub(super) noted: Script,
}

impl Scripts {
    pub(super) fn new() -> Scripts {
        Scripts::with(CLOCK)
    }

    /// The same by a clock of the caller's: Lua that sets `now`.
    pub(super) fn with(clock: &str) -> Scripts {
        Scripts {
            bucket: Script::new(&format!("{clock}{BUCKET}")),
            places: Script::new(&format!("{clock}{PLACES}")),
            note: Script::new(NOTE),
            noted: Script::new(NOTED),
        }
    }
}

//! Newtypes for the units and identities that cross rooms: sizes, request ids, route ids, client addresses.
//!
//! Not here: parsing of whole configuration values with their positions (that is `config`), or anything that reads
//! a clock more than once.

use std::cell::Cell;
use std::fmt;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher, Hasher, RandomState};
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Serialize, Serializer};
use weir_features::ClientKey;

/// A size in bytes, written in configuration as `256KiB`, `1MiB`, `500kB` or a plain number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Bytes(pub u64);

impl Bytes {
    /// `n` kibibytes.
    pub const fn kib(n: u64) -> Self {
        Self(n * 1024)
    }

    /// `n` mebibytes.
    pub const fn mib(n: u64) -> Self {
        Self(n * 1024 * 1024)
    }

    /// As a `usize`, saturating where the address space is smaller.
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(u64, &str); 3] = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
        for (unit, name) in UNITS {
            if self.0 >= unit && self.0.is_multiple_of(unit) {
                return write!(f, "{}{name}", self.0 / unit);
            }
        }
        write!(f, "{}B", self.0)
    }
}

impl FromStr for Bytes {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let (number, unit) = split_number(text);
        let factor: u64 = match unit.to_ascii_lowercase().as_str() {
            "" | "b" => 1,
            "kib" | "k" => 1 << 10,
            "mib" | "m" => 1 << 20,
            "gib" | "g" => 1 << 30,
            "kb" => 1_000,
            "mb" => 1_000_000,
            "gb" => 1_000_000_000,
            _ => return Err(UnitError::Size),
        };
        let number: u64 = number.parse().map_err(|_| UnitError::Size)?;
        number.checked_mul(factor).map(Self).ok_or(UnitError::Size)
    }
}

/// Why a text is no size or duration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UnitError {
    /// Not a whole number with a known size unit.
    #[error("expected a size such as 64KiB, 1MiB or 4096")]
    Size,
    /// Not a whole number with a known time unit.
    #[error("expected a duration such as 250ms, 5s, 10m or 1h")]
    Duration,
}

/// Parses `200us`, `250ms`, `5s`, `10m`, `1h`, `2d` into a duration. A plain number is refused: its unit would be a guess.
pub fn parse_duration(text: &str) -> Result<std::time::Duration, UnitError> {
    let (number, unit) = split_number(text);
    let micros: u64 = match unit {
        "us" => 1,
        "ms" => 1_000,
        "s" => 1_000_000,
        "m" | "min" => 60_000_000,
        "h" => 3_600_000_000,
        "d" => 86_400_000_000,
        _ => return Err(UnitError::Duration),
    };
    let number: u64 = number.parse().map_err(|_| UnitError::Duration)?;
    let total = number.checked_mul(micros).ok_or(UnitError::Duration)?;
    Ok(std::time::Duration::from_micros(total))
}

/// A duration as the configuration writes it: the largest unit that divides it.
pub fn format_duration(duration: std::time::Duration) -> String {
    let millis = duration.as_millis();
    let micros = duration.as_micros();
    if !micros.is_multiple_of(1_000) {
        return format!("{micros}us");
    }
    for (unit, name) in [(3_600_000, "h"), (60_000, "m"), (1_000, "s")] {
        if millis >= unit && millis.is_multiple_of(unit) {
            return format!("{}{name}", millis / unit);
        }
    }
    format!("{millis}ms")
}

fn split_number(text: &str) -> (&str, &str) {
    let text = text.trim();
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    (number, unit.trim_start())
}

/// Names one request in responses, decision records and logs: made here, 48 bits of time and 80 random bits, written
/// as 26 characters of Crockford's base 32 (the ULID form), so that ids sort by time and can be read over a
/// telephone; or taken over from a trusted peer.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct RequestId {
    text: [u8; Self::MAX],
    length: u8,
}

impl RequestId {
    /// Characters of an id that is taken over.
    const MAX: usize = 64;

    /// A fresh id for a request that arrived at `time`. Unique, not secret.
    pub fn fresh(time: SystemTime) -> Self {
        thread_local! {
            static SEED: RandomState = RandomState::new();
            static COUNT: Cell<u64> = const { Cell::new(0) };
        }
        let millis = time
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_millis());
        let count = COUNT.with(|count| {
            count.set(count.get().wrapping_add(1));
            count.get()
        });
        let (high, low) = SEED.with(|seed| {
            let mut hasher = seed.build_hasher();
            hasher.write_u64(count);
            let high = hasher.finish();
            hasher.write_u64(high);
            (high, hasher.finish())
        });
        let random = (u128::from(high) << 64 | u128::from(low)) & ((1 << 80) - 1);
        Self::encode((millis & ((1 << 48) - 1)) << 80 | random)
    }

    fn encode(id: u128) -> Self {
        const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
        const LENGTH: usize = 26;
        let mut text = [0_u8; Self::MAX];
        for (position, slot) in text.iter_mut().take(LENGTH).enumerate() {
            let digit = (id >> (5 * (LENGTH - 1 - position))) & 31;
            *slot = usize::try_from(digit)
                .ok()
                .and_then(|digit| ALPHABET.get(digit).copied())
                .unwrap_or(b'0');
        }
        Self {
            text,
            length: LENGTH as u8,
        }
    }

    /// The id that a trusted peer gave: 1 to 64 characters that mean nothing to HTML, JSON, headers and shells.
    pub fn received(given: &[u8]) -> Option<Self> {
        let plain =
            |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b':');
        let length = u8::try_from(given.len()).ok()?;
        let mut text = [0_u8; Self::MAX];
        if given.is_empty() || !given.iter().all(plain) {
            return None;
        }
        text.get_mut(..given.len())?.copy_from_slice(given);
        Some(Self { text, length })
    }

    /// Its characters, all ASCII.
    pub fn as_str(&self) -> &str {
        let text = self
            .text
            .get(..usize::from(self.length))
            .unwrap_or_default();
        std::str::from_utf8(text).unwrap_or_default()
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RequestId({self})")
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for RequestId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// The `id` of a route: names it in records, metrics and the admin interface. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RouteId(Arc<str>);

impl RouteId {
    /// Wraps a name that the configuration has validated.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self(name.into())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RouteId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for RouteId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

/// The address of the client behind trusted proxies. IPv4-mapped IPv6 addresses are unwrapped, so that one client
/// has one identity on a dual-stack listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ClientIp(IpAddr);

impl ClientIp {
    /// Wraps an address in its canonical form.
    pub fn new(address: IpAddr) -> Self {
        Self(address.to_canonical())
    }

    /// The canonical address.
    pub fn address(self) -> IpAddr {
        self.0
    }

    /// The key of the client's sliding windows: the address, or for IPv6 its /64.
    pub fn key(self) -> ClientKey {
        ClientKey::from(self.0)
    }

    /// What rate limits count: the address, or for IPv6 its /64, because one customer owns at least that much.
    pub fn limit_key(self) -> u128 {
        match self.0 {
            IpAddr::V4(address) => u128::from(address.to_bits()),
            IpAddr::V6(address) => address.to_bits() >> 64 << 64 | 1 << 32,
        }
    }

    /// A hash of the one whom a rate limit counts: who owns a /64 is one visitor.
    pub fn visitor(self) -> u64 {
        BuildHasherDefault::<DefaultHasher>::default().hash_one(self.limit_key())
    }

    /// Whether the address is private, loopback, link-local or unique-local.
    pub fn is_private(self) -> bool {
        match self.0 {
            IpAddr::V4(address) => {
                address.is_private() || address.is_loopback() || address.is_link_local()
            }
            IpAddr::V6(address) => {
                address.is_loopback()
                    || is_unique_local(address)
                    || address
                        .segments()
                        .first()
                        .is_some_and(|s| s & 0xffc0 == 0xfe80)
            }
        }
    }
}

fn is_unique_local(address: Ipv6Addr) -> bool {
    address
        .segments()
        .first()
        .is_some_and(|s| s & 0xfe00 == 0xfc00)
}

impl fmt::Display for ClientIp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Seconds since the epoch, the form that features and records use.
pub fn epoch_seconds(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH)
        .map_or(0.0, |since| since.as_secs_f64())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;
    use std::time::Duration;

    #[test]
    fn sizes_parse_with_binary_and_decimal_units() {
        assert_eq!("256KiB".parse(), Ok(Bytes::kib(256)));
        assert_eq!("1 MiB".parse(), Ok(Bytes::mib(1)));
        assert_eq!("4096".parse(), Ok(Bytes(4096)));
        assert_eq!("2kB".parse(), Ok(Bytes(2000)));
        for bad in ["", "KiB", "1.5MiB", "-1", "1XB", "99999999999GiB"] {
            assert_eq!(bad.parse::<Bytes>(), Err(UnitError::Size), "{bad}");
        }
        assert_eq!(Bytes::kib(256).to_string(), "256KiB");
    }

    #[test]
    fn durations_need_a_unit() {
        assert_eq!(parse_duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(parse_duration("200us"), Ok(Duration::from_micros(200)));
        assert_eq!(parse_duration("5s"), Ok(Duration::from_secs(5)));
        assert_eq!(parse_duration("10m"), Ok(Duration::from_secs(600)));
        for bad in ["5", "s", "-1s", "1.5s", "5 weeks"] {
            assert_eq!(parse_duration(bad), Err(UnitError::Duration), "{bad}");
        }
        assert_eq!(format_duration(Duration::from_secs(90)), "90s");
        assert_eq!(format_duration(Duration::from_millis(1500)), "1500ms");
        assert_eq!(format_duration(Duration::from_micros(1500)), "1500us");
    }

    #[test]
    fn request_ids_are_distinct_and_sort_by_time() {
        let early = RequestId::fresh(UNIX_EPOCH + Duration::from_secs(1));
        let late = RequestId::fresh(UNIX_EPOCH + Duration::from_secs(2));
        assert_ne!(RequestId::fresh(UNIX_EPOCH), RequestId::fresh(UNIX_EPOCH));
        assert_eq!(early.to_string().len(), 26);
        assert!(early.to_string() < late.to_string());
        let taken = RequestId::received(b"a1-b2_c3.d4:e5").unwrap();
        assert_eq!(taken.as_str(), "a1-b2_c3.d4:e5");
        for bad in ["", "a b", "<b>", "\u{e9}", "a\"", &"x".repeat(65)] {
            assert_eq!(RequestId::received(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn mapped_addresses_are_one_client_and_ipv6_is_limited_by_network() {
        let four: IpAddr = "192.0.2.7".parse().unwrap();
        let mapped: IpAddr = "::ffff:192.0.2.7".parse().unwrap();
        assert_eq!(ClientIp::new(four), ClientIp::new(mapped));
        let one = ClientIp::new("2001:db8:1:2::1".parse().unwrap());
        let two = ClientIp::new("2001:db8:1:2:ffff::9".parse().unwrap());
        let other = ClientIp::new("2001:db8:1:3::1".parse().unwrap());
        assert_eq!(one.limit_key(), two.limit_key());
        assert_eq!(one.key(), two.key());
        assert_ne!(one.key(), other.key());
        let near = ClientIp::new("192.0.2.8".parse().unwrap());
        assert_ne!(ClientIp::new(four).key(), near.key());
        assert_ne!(one.limit_key(), other.limit_key());
        assert!(ClientIp::new("fd00::1".parse().unwrap()).is_private());
        assert!(!ClientIp::new("8.8.8.8".parse().unwrap()).is_private());
    }
}

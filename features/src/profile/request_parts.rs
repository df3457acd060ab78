//! Which host, endpoint and names a request has. Not here: whether they are usual.

use siphasher::sip::SipHasher13;

use super::hash::{Domain, hash, parameter_hash, stream};
use super::host::MAX_DEPTH;
use super::symbols::{is_date, is_uuid};
use crate::field::{Field, Fields, Marks};
use crate::location::Location;
use crate::request::{RequestView, split_target};

/// The host's hash: the target's authority before the header, in lower case, without port and trailing dot.
pub(crate) fn host_hash(hasher: SipHasher13, request: &RequestView<'_>) -> u64 {
    let authority = split_target(request.target).0;
    let host = authority
        .or_else(|| request.header("host"))
        .unwrap_or_default()
        .trim_ascii();
    let host = match host.iter().rposition(|byte| *byte == b'@') {
        Some(at) => host.get(at + 1..).unwrap_or_default(),
        None => host,
    };
    let host = match host.iter().rposition(|byte| *byte == b':') {
        Some(at)
            if host
                .get(at + 1..)
                .is_some_and(|port| port.iter().all(u8::is_ascii_digit)) =>
        {
            host.get(..at).unwrap_or_default()
        }
        _ => host,
    };
    let host = host.strip_suffix(b".").unwrap_or(host);
    stream(
        hasher,
        Domain::Host,
        host.iter().map(u8::to_ascii_lowercase),
    )
}

/// The decoded, normalised path: the first path field, which for long paths is its beginning.
pub(crate) fn path<'s>(fields: &Fields<'s>) -> &'s [u8] {
    fields
        .iter()
        .find(is_request_path)
        .map_or(&b"/"[..], |field| field.value)
}

/// Whether a field is the request's own path and not something hidden in it.
pub(crate) fn is_request_path(field: &Field<'_>) -> bool {
    field.location == Location::Path && !field.marks.contains(Marks::NESTED)
}

/// The path's segments without path parameters, at most [`MAX_DEPTH`].
pub(crate) fn segments(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.split(|byte| *byte == b'/')
        .map(|segment| {
            segment
                .split(|byte| *byte == b';')
                .next()
                .unwrap_or_default()
        })
        .filter(|segment| !segment.is_empty())
        .take(MAX_DEPTH)
}

/// A segment's hash; `None` when it is an identifier.
pub(crate) fn segment_hash(hasher: SipHasher13, segment: &[u8]) -> Option<u64> {
    (!is_identifier(segment)).then(|| hash(hasher, Domain::Segment, segment))
}

/// Numbers, dates, UUIDs, hashes, tokens and slugs: what stands for one of many things of a kind.
fn is_identifier(segment: &[u8]) -> bool {
    let count = |test: fn(&u8) -> bool| segment.iter().filter(|byte| test(byte)).count();
    let digits = count(u8::is_ascii_digit);
    let letters = count(u8::is_ascii_alphabetic);
    if digits == segment.len() || is_uuid(segment) || is_date(segment) {
        return true;
    }
    let hex = segment.iter().all(u8::is_ascii_hexdigit);
    if hex && digits > 0 && segment.len() >= 8 {
        return true;
    }
    let words = segment
        .split(|byte| matches!(byte, b'-' | b'_'))
        .filter(|word| word.len() > 1)
        .count();
    let token = digits >= 3 && letters >= 3 && segment.len() >= 16 && digits * 5 >= segment.len();
    token || words >= 4 || segment.len() > 48
}

/// The file extension of a path's last segment; empty when it has none.
pub(crate) fn extension(path: &[u8]) -> &[u8] {
    let Some(last) = segments(path).last() else {
        return b"";
    };
    match last.iter().rposition(|byte| *byte == b'.') {
        Some(at) if at > 0 && last.len() - at <= 9 => last.get(at + 1..).unwrap_or_default(),
        _ => b"",
    }
}

/// Whether a field's value is the name of a parameter of the request itself.
pub(crate) fn is_name(field: &Field<'_>) -> bool {
    matches!(field.location, Location::QueryKey | Location::BodyKey)
        && !field.marks.contains(Marks::NESTED)
}

/// Whether a field's value belongs to a parameter of the request itself.
pub(crate) fn is_parameter(field: &Field<'_>) -> bool {
    matches!(
        field.location,
        Location::QueryValue | Location::BodyValue | Location::Json | Location::Xml
    ) && !field.marks.contains(Marks::NESTED)
        && !field.marks.contains(Marks::WINDOW)
}

/// Whether a field is judged by what the host is used to, not by what the endpoint is: headers and cookies hardly
/// depend on the endpoint, and at most endpoints too few were seen.
pub(crate) fn belongs_to_host(location: Location) -> bool {
    matches!(
        location,
        Location::Header | Location::Cookie | Location::Referer | Location::UserAgent
    )
}

/// The parameter of a field. What was found inside other values is not what the parameter's own values look like, so
/// both are learned apart.
pub(crate) fn field_hash(hasher: SipHasher13, field: &Field<'_>) -> u64 {
    let own = parameter_hash(hasher, field.location, field.key);
    if field.marks.contains(Marks::NESTED) {
        own.rotate_left(32) ^ NESTED
    } else {
        own
    }
}

/// Hashes of the parameters of one request, of which arrays in JSON bring the same ones over and over.
pub(crate) struct Parameters<'f> {
    hasher: SipHasher13,
    last: [Option<(Location, &'f [u8], u64)>; REMEMBERED],
}

/// Parameters whose hashes are remembered: more than most objects in arrays have.
const REMEMBERED: usize = 32;

impl<'f> Parameters<'f> {
    pub(crate) fn new(hasher: SipHasher13) -> Self {
        Self {
            hasher,
            last: [None; REMEMBERED],
        }
    }

    /// The hash of a field that is a parameter, as [`field_hash`] has it.
    pub(crate) fn hash(&mut self, field: &Field<'f>) -> u64 {
        let (location, key) = (field.location, field.key);
        let end = key.iter().rev().take(3);
        let place = end.fold(key.len(), |sum, byte| sum * 5 + usize::from(*byte));
        let Some(slot) = self.last.get_mut(place % REMEMBERED) else {
            return field_hash(self.hasher, field);
        };
        match *slot {
            Some((known, of, hash)) if known == location && of == key => hash,
            _ => {
                let hash = field_hash(self.hasher, field);
                *slot = Some((location, key, hash));
                hash
            }
        }
    }
}

/// Tells the hash of a parameter's nested values from that of its own: the fractional part of the golden ratio.
const NESTED: u64 = 0x9e37_79b9_7f4a_7c15;

/// Adds a name to the order-independent hash of a set.
pub(crate) fn with_name(set: u64, name: u64) -> u64 {
    set.wrapping_add(name.rotate_left(17).wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

/// Parameters whose duplicates are counted.
const COUNTED: usize = 64;

/// Counts values beyond the first of the same parameter, among the first [`COUNTED`] parameters.
#[derive(Debug)]
pub(crate) struct Duplicates {
    seen: [u64; COUNTED],
    held: usize,
    pub(crate) count: u16,
}

impl Duplicates {
    pub(crate) fn new() -> Self {
        Self {
            seen: [0; COUNTED],
            held: 0,
            count: 0,
        }
    }

    /// True when the parameter is new.
    pub(crate) fn add(&mut self, key: u64) -> bool {
        if self.seen.iter().take(self.held).any(|seen| *seen == key) {
            self.count = self.count.saturating_add(1);
            return false;
        }
        if let Some(slot) = self.seen.get_mut(self.held) {
            *slot = key;
            self.held += 1;
        }
        true
    }
}

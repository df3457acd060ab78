use proptest::prelude::*;

use super::*;

/// Kinds that are looked for byte by byte, wherever they are looked for.
fn plain(value: &[u8]) -> u16 {
    let unsigned = value.strip_prefix(b"-").unwrap_or(value);
    let integer = !unsigned.is_empty() && unsigned.iter().all(u8::is_ascii_digit);
    let hex = |byte: &u8| byte.is_ascii_hexdigit() || *byte == b'-';
    let hex = value.iter().all(hex);
    let words = ["0", "1", "true", "false", "yes", "no", "on", "off"];
    let boolean = |word: &&str| value.eq_ignore_ascii_case(word.as_bytes());
    [
        (Kind::Boolean, words.iter().any(boolean)),
        (Kind::Integer, integer),
        (Kind::Number, integer || is_number(unsigned)),
        (Kind::Uuid, hex && is_uuid(value)),
        (Kind::Hex, hex && value.len() >= 8 && !value.contains(&b'-')),
        (Kind::Date, is_date(value)),
    ]
    .into_iter()
    .map(|(kind, holds)| if holds { kind.bit() } else { 0 })
    .sum()
}

fn assert_same(value: &[u8]) {
    let looked_for = [
        Kind::Boolean,
        Kind::Integer,
        Kind::Number,
        Kind::Uuid,
        Kind::Hex,
        Kind::Date,
    ];
    let mask = looked_for.iter().fold(0, |bits, kind| bits | kind.bit());
    assert_eq!(Summary::of(value).kinds & mask, plain(value), "{value:?}");
}

proptest! {
    #[test]
    fn kinds_are_those_of_every_byte(
        number in "-?[0-9.,]{0,6}",
        date in "[0-9TZ :+./-]{0,20}",
        hex in "[0-9a-fA-FgG-]{0,40}",
        word in "(?i)(true|false|yes|no|on|off|[01])x?",
        any in prop::collection::vec(any::<u8>(), 0..12),
    ) {
        for value in [number.as_bytes(), date.as_bytes(), hex.as_bytes(), word.as_bytes(), &any] {
            assert_same(value);
        }
    }
}

#[test]
fn uuids_and_dates_are_seen() {
    assert_same(b"f81d4fae-7dec-11d0-a765-00a0c91e6bf6");
    assert_same(b"2026-11-20T19:12:00Z");
    assert_same(b"-");
    assert_same(b"");
    let kinds = Summary::of(b"f81d4fae-7dec-11d0-a765-00a0c91e6bf6").kinds;
    assert_eq!(kinds & Kind::Uuid.bit(), Kind::Uuid.bit());
    let kinds = Summary::of(b"2026-11-20T19:12:00Z").kinds;
    assert_eq!(kinds & Kind::Date.bit(), Kind::Date.bit());
}

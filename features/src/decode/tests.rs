#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use proptest::prelude::*;

use super::{decode, decode_form};

fn text(input: &str) -> String {
    String::from_utf8_lossy(&decode(input.as_bytes()).bytes).into_owned()
}

#[test]
fn every_encoding_is_undone() {
    for (encoded, plain) in [
        ("%3Cscript%3E", "<script>"),
        ("%253Cscript%253E", "<script>"),
        ("%25253Cscript%25253E", "<script>"),
        ("%u003cscript%u003e", "<script>"),
        ("%%32%37", "'"),
        ("%zz%4", "%zz%4"),
        ("&lt;script&gt;", "<script>"),
        ("&LTscript&GT", "<script>"),
        ("&#60;b&#x3e;&#0000060b", "<b><b"),
        ("a&lt=1&amp=2", "a&lt=1&amp=2"),
        ("\\x3cb\\x3e", "<b>"),
        ("\\u003cb\\u{3e}", "<b>"),
        ("\\ud83d\\ude00", "\u{1f600}"),
        ("\u{ff1c}script\u{ff1e}", "<script>"),
        ("..\u{2215}..\u{2216}", "../..\\"),
        ("..0x2f..0x5cetc", "../..\\etc"),
        ("0x2e0x2e0x2f", "../"),
        ("0x2f6574", "0x2f6574"),
        ("..%c0%af..%e0%80%af..%f0%80%80%af", "../../../"),
        ("%c0%2f", "/"),
        ("%c0%ee%c0%ee%c1%dc", "..\\"),
        ("C:\\users\\xavier", "C:\\users\\xavier"),
        ("D:\\backup\\2024\\file", "D:\\backup\\2024\\file"),
        ("..\\057..\\057etc", "../../etc"),
        ("\\0057bin\\0057sh", "/bin/sh"),
        ("\\3c script\\3e ", "<script>"),
        ("\\00003cscript\\00003e", "<script>"),
        ("\\65\\78\\70ression", "ex\\70ression"),
        ("e\\78 pression(1)", "expression(1)"),
        ("scr\\\nipt", "script"),
        ("{\\\"a\\\"}", "{\\\"a\\\"}"),
        ("\\x{3c}b", "<b"),
        ("&ltscript&gt", "<script>"),
        ("a=1&ltv=2", "a=1&ltv=2"),
        ("java&shy;script&colon;", "java\u{ad}script:"),
        ("\u{ff1c}b\u{ff1e}\\", "<b>\\"),
    ] {
        assert_eq!(text(encoded), plain, "{encoded}");
    }
}

#[test]
fn layers_and_obfuscations_are_counted() {
    let plain = decode(b"hello world");
    assert_eq!((plain.layers, plain.obfuscations), (0, 0));
    let once = decode(b"a%20b");
    assert_eq!((once.layers, once.obfuscations), (1, 0));
    let twice = decode(b"a%2520b");
    assert_eq!((twice.layers, twice.obfuscations), (2, 0));
    let hidden = decode(b"%u0027");
    assert_eq!((hidden.layers, hidden.obfuscations), (1, 1));
}

#[test]
fn plus_is_a_space_only_in_forms_and_only_once() {
    assert_eq!(decode(b"1+1").bytes.as_ref(), b"1+1");
    assert_eq!(decode_form(b"1+1%2B1").bytes.as_ref(), b"1 1+1");
}

#[test]
fn phrases_in_one_character_are_spelled_out_unless_there_are_many() {
    let few = text(&"\u{fdfa}".repeat(16));
    assert!(few.starts_with("\u{635}\u{644}\u{649} ") && !few.contains('\u{fdfa}'));
    let many = format!("\u{ff1c}{}\u{ff1e}", "\u{fdfa}".repeat(17));
    let folded = decode(many.as_bytes());
    assert_eq!(
        folded.bytes.as_ref(),
        many.replace('\u{ff1c}', "<")
            .replace('\u{ff1e}', ">")
            .as_bytes()
    );
    assert!(!folded.limited);
}

#[test]
fn the_layer_limit_is_said() {
    let deep = decode(b"%25252525252527");
    assert!(deep.limited);
    assert_eq!(deep.layers, crate::MAX_DECODE_LAYERS);
    assert!(!decode(b"%27").limited);
}

#[test]
fn an_overlong_byte_takes_what_an_escape_behind_it_hides() {
    let plain = |input: &[u8]| decode(input).bytes.into_owned();
    assert_eq!(plain(b"%c0%2527"), b"'");
    assert_eq!(plain(b"\xc0%27"), b"'");
    assert_eq!(plain(b"%c0%25%30%30"), plain(b"\xc0%00"));
}

/// Bytes with far more escapes in them than chance would bring.
fn encoded_bytes() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..6),
        "[%&\\\\0xu#;{}25cfa7+]{0,10}".prop_map(String::into_bytes),
        "\\PC{0,4}".prop_map(String::into_bytes),
    ];
    proptest::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn decoding_is_idempotent_at_its_fixed_point(input in encoded_bytes()) {
        let once = decode(&input);
        if !once.limited {
            let again = decode(&once.bytes);
            prop_assert_eq!(again.layers, 0);
            prop_assert_eq!(again.bytes.as_ref(), once.bytes.as_ref());
        }
    }

    #[test]
    fn percent_encoding_is_undone_whatever_it_hides(input in proptest::collection::vec(any::<u8>(), 0..40)) {
        let escaped: String = input.iter().map(|byte| format!("%{byte:02x}")).collect();
        let direct = decode(&input);
        let undone = decode(escaped.as_bytes());
        if !undone.limited && !direct.limited {
            prop_assert_eq!(undone.bytes.as_ref(), direct.bytes.as_ref());
        }
    }
}

//! HTML character references.

use super::{Change, hex, push_code_point};

/// Named references to ASCII characters (HTML Living Standard, section 13.5). Others cannot hide code and stay.
const NAMED: [(&[u8], u8); 47] = [
    (b"Tab", b'\t'),
    (b"NewLine", b'\n'),
    (b"nbsp", b' '),
    (b"excl", b'!'),
    (b"quot", b'"'),
    (b"QUOT", b'"'),
    (b"num", b'#'),
    (b"dollar", b'$'),
    (b"percnt", b'%'),
    (b"amp", b'&'),
    (b"AMP", b'&'),
    (b"apos", b'\''),
    (b"lpar", b'('),
    (b"rpar", b')'),
    (b"ast", b'*'),
    (b"midast", b'*'),
    (b"plus", b'+'),
    (b"comma", b','),
    (b"period", b'.'),
    (b"sol", b'/'),
    (b"colon", b':'),
    (b"semi", b';'),
    (b"lt", b'<'),
    (b"LT", b'<'),
    (b"equals", b'='),
    (b"gt", b'>'),
    (b"GT", b'>'),
    (b"quest", b'?'),
    (b"commat", b'@'),
    (b"lsqb", b'['),
    (b"lbrack", b'['),
    (b"bsol", b'\\'),
    (b"rsqb", b']'),
    (b"rbrack", b']'),
    (b"Hat", b'^'),
    (b"lowbar", b'_'),
    (b"UnderBar", b'_'),
    (b"grave", b'`'),
    (b"DiacriticalGrave", b'`'),
    (b"lcub", b'{'),
    (b"lbrace", b'{'),
    (b"verbar", b'|'),
    (b"vert", b'|'),
    (b"VerticalLine", b'|'),
    (b"rcub", b'}'),
    (b"rbrace", b'}'),
    (b"hyphen", b'-'),
];

/// References that browsers accept without a semicolon.
const LEGACY: [&[u8]; 8] = [b"lt", b"LT", b"gt", b"GT", b"amp", b"AMP", b"quot", b"QUOT"];

/// The longest name in [`NAMED`].
const LONGEST_NAME: usize = 16;

/// Undoes `&lt;`, `&#60;` and `&#x3c;`, the semicolon being optional where browsers take it so.
pub(super) fn entities(input: &[u8], out: &mut Vec<u8>) -> Change {
    let mut change = Change::default();
    let mut copied = 0;
    for at in memchr::memchr_iter(b'&', input) {
        if at < copied {
            continue;
        }
        let Some((code_point, length)) = numeric(input, at).or_else(|| named(input, at)) else {
            continue;
        };
        out.extend_from_slice(input.get(copied..at).unwrap_or_default());
        push_code_point(out, code_point);
        copied = at + length;
        change.changed = true;
    }
    if change.changed {
        out.extend_from_slice(input.get(copied..).unwrap_or_default());
    }
    change
}

fn numeric(input: &[u8], at: usize) -> Option<(u32, usize)> {
    if input.get(at + 1) != Some(&b'#') {
        return None;
    }
    let hexadecimal = matches!(input.get(at + 2), Some(b'x' | b'X'));
    let start = at + 2 + usize::from(hexadecimal);
    let mut number: u32 = 0;
    let mut end = start;
    while let Some(byte) = input.get(end) {
        let digit = match (hexadecimal, byte) {
            (true, _) => hex(Some(byte)),
            (false, b'0'..=b'9') => Some(byte - b'0'),
            _ => None,
        };
        let Some(digit) = digit else { break };
        number = number
            .saturating_mul(if hexadecimal { 16 } else { 10 })
            .saturating_add(u32::from(digit));
        end += 1;
    }
    if end == start {
        return None;
    }
    end += usize::from(input.get(end) == Some(&b';'));
    Some((number, end - at))
}

fn named(input: &[u8], at: usize) -> Option<(u32, usize)> {
    let rest = input.get(at + 1..)?;
    let letters = rest
        .iter()
        .take(LONGEST_NAME + 1)
        .take_while(|byte| byte.is_ascii_alphabetic())
        .count();
    let name = rest.get(..letters)?;
    let closed = rest.get(letters) == Some(&b';');
    // Without a semicolon a name directly before `=` is a parameter of a query, not a reference.
    let bare =
        !closed && LEGACY.contains(&name) && !matches!(rest.get(letters), Some(b'=' | b'0'..=b'9'));
    if !closed && !bare {
        return None;
    }
    let (_, byte) = NAMED.iter().find(|(known, _)| *known == name)?;
    Some((u32::from(*byte), 1 + letters + usize::from(closed)))
}

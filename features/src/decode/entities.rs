//! HTML character references.

use super::{Change, hex, push_code_point};

/// Named references to ASCII characters and to invisible ones (HTML Living Standard, section 13.5). Others cannot
/// hide code and stay.
const NAMED: [(&[u8], char); 61] = [
    (b"Tab", '\t'),
    (b"NewLine", '\n'),
    (b"nbsp", ' '),
    (b"excl", '!'),
    (b"quot", '"'),
    (b"QUOT", '"'),
    (b"num", '#'),
    (b"dollar", '$'),
    (b"percnt", '%'),
    (b"amp", '&'),
    (b"AMP", '&'),
    (b"apos", '\''),
    (b"lpar", '('),
    (b"rpar", ')'),
    (b"ast", '*'),
    (b"midast", '*'),
    (b"plus", '+'),
    (b"comma", ','),
    (b"period", '.'),
    (b"sol", '/'),
    (b"colon", ':'),
    (b"semi", ';'),
    (b"lt", '<'),
    (b"LT", '<'),
    (b"equals", '='),
    (b"gt", '>'),
    (b"GT", '>'),
    (b"quest", '?'),
    (b"commat", '@'),
    (b"lsqb", '['),
    (b"lbrack", '['),
    (b"bsol", '\\'),
    (b"rsqb", ']'),
    (b"rbrack", ']'),
    (b"Hat", '^'),
    (b"lowbar", '_'),
    (b"UnderBar", '_'),
    (b"grave", '`'),
    (b"DiacriticalGrave", '`'),
    (b"lcub", '{'),
    (b"lbrace", '{'),
    (b"verbar", '|'),
    (b"vert", '|'),
    (b"VerticalLine", '|'),
    (b"rcub", '}'),
    (b"rbrace", '}'),
    (b"hyphen", '-'),
    (b"dash", '-'),
    (b"ThinSpace", ' '),
    (b"thinsp", ' '),
    (b"ensp", ' '),
    (b"emsp", ' '),
    (b"NonBreakingSpace", ' '),
    (b"shy", '\u{ad}'),
    (b"zwj", '\u{200d}'),
    (b"zwnj", '\u{200c}'),
    (b"ZeroWidthSpace", '\u{200b}'),
    (b"NoBreak", '\u{2060}'),
    (b"ApplyFunction", '\u{2061}'),
    (b"af", '\u{2061}'),
    (b"lrm", '\u{200e}'),
];

/// References that browsers accept without a semicolon.
const LEGACY: [&[u8]; 10] = [
    b"lt", b"LT", b"gt", b"GT", b"amp", b"AMP", b"quot", b"QUOT", b"nbsp", b"shy",
];

/// The longest name in [`NAMED`]; HTML has longer ones for characters that hide nothing.
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
    let after = rest.get(letters);
    let closed = after == Some(&b';');
    // Without a semicolon a name directly before `=` is a parameter of a query, not a reference.
    let bare = !closed && LEGACY.contains(&name) && !matches!(after, Some(b'=' | b'0'..=b'9'));
    if closed || bare {
        let found = NAMED.iter().find(|(known, _)| *known == name);
        if let Some((_, character)) = found {
            return Some((u32::from(*character), 1 + letters + usize::from(closed)));
        }
    }
    // `&ltscript>`: browsers take the longest name that the letters begin with.
    let tag = matches!(name, [b'l', b't', _, ..] | [b'L', b'T', _, ..])
        && matches!(after, Some(b'>' | b'&' | b' ' | b'\t' | b'\n' | b'/'));
    tag.then_some((u32::from('<'), 3))
}

//! The 35 numbers of the request detector. Not here: scaling, which the training range decides.
//!
//! Counts, lengths and times go in as `ln(1 + x)`; what is not known is `NaN`.

use std::sync::LazyLock;

use aho_corasick::AhoCorasick;

use crate::decode::decode;
use crate::lexicon::{Family, Lexicon};
use crate::request::{RequestContext, RequestVector, RequestView};
use crate::windows::{Activity, FIVE_MINUTES, ONE_MINUTE, TEN_MINUTES};

/// Methods by number; 0 is any other.
const METHODS: [&[u8]; 7] = [
    b"GET", b"POST", b"HEAD", b"PUT", b"DELETE", b"PATCH", b"OPTIONS",
];

/// File extensions by number, grouped by what they are; 0 is any other, 1 is none.
const EXTENSIONS: [(&str, u8); 42] = [
    ("html", 2),
    ("htm", 2),
    ("xhtml", 2),
    ("php", 3),
    ("asp", 3),
    ("aspx", 3),
    ("jsp", 3),
    ("do", 3),
    ("cgi", 3),
    ("js", 4),
    ("mjs", 4),
    ("map", 4),
    ("css", 5),
    ("json", 6),
    ("xml", 6),
    ("txt", 6),
    ("csv", 6),
    ("png", 7),
    ("jpg", 7),
    ("jpeg", 7),
    ("gif", 7),
    ("webp", 7),
    ("svg", 7),
    ("ico", 7),
    ("avif", 7),
    ("woff", 8),
    ("woff2", 8),
    ("ttf", 8),
    ("mp4", 9),
    ("webm", 9),
    ("mp3", 9),
    ("m3u8", 9),
    ("ts", 9),
    ("pdf", 10),
    ("zip", 11),
    ("gz", 11),
    ("sql", 12),
    ("bak", 12),
    ("old", 12),
    ("env", 12),
    ("log", 12),
    ("ini", 12),
];

/// Countries by number, those with most Internet users first; 0 is unknown, 255 any other.
const COUNTRIES: [&[u8; 2]; 30] = [
    b"CN", b"IN", b"US", b"ID", b"BR", b"RU", b"JP", b"NG", b"MX", b"DE", b"BD", b"PH", b"VN",
    b"PK", b"GB", b"TR", b"FR", b"IR", b"TH", b"IT", b"EG", b"KR", b"ES", b"PL", b"UA", b"CA",
    b"AR", b"NL", b"ZA", b"AU",
];

/// Names that well-behaved crawlers give themselves.
const BOTS: [&str; 18] = [
    "googlebot",
    "bingbot",
    "duckduckbot",
    "yandexbot",
    "baiduspider",
    "applebot",
    "slurp",
    "facebookexternalhit",
    "twitterbot",
    "linkedinbot",
    "ahrefsbot",
    "semrushbot",
    "mj12bot",
    "petalbot",
    "gptbot",
    "claudebot",
    "ccbot",
    "crawler",
];

struct Patterns {
    bots: AhoCorasick,
    lexicon: Lexicon,
}

static PATTERNS: LazyLock<Patterns> = LazyLock::new(|| Patterns {
    bots: names(&BOTS),
    lexicon: Lexicon::new(),
});

#[expect(
    clippy::expect_used,
    reason = "the names are constants of this file; tests build them"
)]
fn names(list: &[&str]) -> AhoCorasick {
    AhoCorasick::builder()
        .ascii_case_insensitive(true)
        .build(list)
        .expect("the names are well formed")
}

/// Whether a user agent is a scanner's by its own account.
fn names_scanner(lexicon: &Lexicon, agent: &[u8]) -> bool {
    let hits = lexicon.hits(agent, &mut Vec::new());
    hits.distinct
        .get(Family::Scanner.index())
        .is_some_and(|count| *count > 0)
}

/// What a request looks like, apart from its client.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shape {
    pub(crate) method: u8,
    pub(crate) depth: usize,
    pub(crate) path_hash: u64,
    pub(crate) agent_hash: u64,
    path_entropy: f32,
    path_length: usize,
    query_length: usize,
    parameters: usize,
    layers: u8,
    agent: Agent,
    attack_pattern: bool,
    special: f32,
    extension: u8,
}

#[derive(Clone, Copy, Debug, Default)]
struct Agent {
    length: usize,
    entropy: f32,
    bot: bool,
    scanner: bool,
}

/// Marks of code in a target from which on it counts as an attack pattern: one alone stands in many honest URLs.
const MARKS_OF_AN_ATTACK: u16 = 2;

impl Shape {
    /// What the windows of a client count, and nothing else.
    pub(crate) fn outline(request: &RequestView<'_>) -> Self {
        let path = request.path();
        Self {
            method: position(&METHODS, request.method),
            depth: path.iter().filter(|byte| **byte == b'/').count(),
            path_hash: hash(path),
            agent_hash: hash(request.header("user-agent").unwrap_or_default()),
            ..Self::default()
        }
    }

    pub(crate) fn of(request: &RequestView<'_>) -> Self {
        let (path, query) = (request.path(), request.query().unwrap_or_default());
        let decoded = decode(request.target);
        let agent = request.header("user-agent").unwrap_or_default();
        let patterns = &*PATTERNS;
        let hits = patterns.lexicon.hits(&decoded.bytes, &mut Vec::new());
        let code = Family::ALL
            .iter()
            .filter(|family| !matches!(family, Family::Address | Family::Scanner));
        let marks: u16 = code
            .filter_map(|family| hits.marks.get(family.index()))
            .sum();
        let special = decoded
            .bytes
            .iter()
            .filter(|byte| !byte.is_ascii_alphanumeric() && **byte != b'/')
            .count();
        Self {
            path_entropy: entropy(path),
            path_length: path.len(),
            query_length: query.len(),
            parameters: query
                .split(|byte| *byte == b'&')
                .filter(|pair| !pair.is_empty())
                .count(),
            layers: decoded.layers,
            agent: Agent {
                length: agent.len(),
                entropy: entropy(agent),
                bot: patterns.bots.is_match(agent),
                scanner: names_scanner(&patterns.lexicon, agent),
            },
            attack_pattern: marks >= MARKS_OF_AN_ATTACK,
            special: special as f32 / decoded.bytes.len().max(1) as f32,
            extension: extension(path),
            ..Self::outline(request)
        }
    }
}

fn position(table: &[&[u8]], item: &[u8]) -> u8 {
    table
        .iter()
        .position(|known| *known == item)
        .map_or(0, |index| index as u8 + 1)
}

/// FNV-1a: spreads paths over a bitmap of 64 bits, nothing depends on its strength.
fn hash(bytes: &[u8]) -> u64 {
    let mixed = bytes.iter().fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
    });
    mixed ^ mixed >> 32
}

/// Shannon entropy in bits a byte.
fn entropy(bytes: &[u8]) -> f32 {
    let mut counts = [0u32; 256];
    for &byte in bytes {
        if let Some(count) = counts.get_mut(usize::from(byte)) {
            *count += 1;
        }
    }
    let total = bytes.len().max(1) as f32;
    let shares = counts
        .iter()
        .filter(|count| **count > 0)
        .map(|count| *count as f32 / total);
    shares.map(|share| -share * share.log2()).sum()
}

fn extension(path: &[u8]) -> u8 {
    let file = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    let Some(dot) = memchr::memrchr(b'.', file) else {
        return 1;
    };
    let name = file.get(dot + 1..).unwrap_or_default();
    EXTENSIONS
        .iter()
        .find(|(known, _)| name.eq_ignore_ascii_case(known.as_bytes()))
        .map_or(0, |(_, number)| *number)
}

fn country(code: [u8; 2]) -> u8 {
    match COUNTRIES.iter().position(|known| **known == code) {
        Some(index) => index as u8 + 1,
        None => u8::MAX,
    }
}

/// Puts the columns together in the order of [`crate::schema::request_feature_name`].
pub(crate) fn vector(
    shape: &Shape,
    activity: &Activity,
    context: &RequestContext,
) -> RequestVector {
    let flag = |condition: bool| f32::from(u8::from(condition));
    let log = |number: usize| (number as f32).ln_1p();
    let (status, size) = activity
        .last_response
        .map_or((f32::NAN, f32::NAN), |(status, bytes)| {
            (f32::from(status), (bytes as f32).ln_1p())
        });
    let days = (context.time / 86_400.0).floor();
    let hour = ((context.time - days * 86_400.0) / 3600.0).floor();
    // The epoch began on a Thursday; Monday is 0.
    let weekday = (days + 3.0).rem_euclid(7.0);
    let one = activity.totals(ONE_MINUTE);
    let five = activity.totals(FIVE_MINUTES);
    let ten = activity.totals(TEN_MINUTES);
    let answered = five.responses > 0;
    let responses = five.responses.max(1) as f32;
    let (gap, deviation) = ten.gaps().unwrap_or((f32::NAN, f32::NAN));
    [
        f32::from(shape.method),
        log(shape.depth),
        shape.path_entropy,
        log(shape.path_length),
        log(shape.query_length),
        log(shape.parameters),
        flag(shape.layers > 0),
        flag(shape.layers > 1),
        status,
        (status / 100.0).floor(),
        size,
        hour as f32,
        weekday as f32,
        flag(weekday >= 5.0),
        log(shape.agent.length),
        shape.agent.entropy,
        flag(shape.agent.bot),
        flag(shape.agent.scanner),
        flag(shape.attack_pattern),
        shape.special,
        f32::from(shape.extension),
        context.country.map_or(0.0, |code| f32::from(country(code))),
        flag(context.private_address),
        (one.requests as f32).ln_1p(),
        (five.requests as f32).ln_1p(),
        (ten.requests as f32).ln_1p(),
        if answered {
            five.errors as f32 / responses
        } else {
            f32::NAN
        },
        five.paths().ln_1p(),
        ten.agents().ln_1p(),
        method_entropy(&five.methods),
        if answered {
            (five.bytes as f32 / responses).ln_1p()
        } else {
            f32::NAN
        },
        five.classes.count_ones() as f32,
        five.depth_variance().ln_1p(),
        gap.ln_1p(),
        deviation.ln_1p(),
    ]
}

fn method_entropy(methods: &[u32]) -> f32 {
    let total = methods.iter().sum::<u32>().max(1) as f32;
    let shares = methods
        .iter()
        .filter(|count| **count > 0)
        .map(|count| *count as f32 / total);
    shares.map(|share| -share * share.log2()).sum()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing)]
    use super::{Shape, vector};
    use crate::client::ClientKey;
    use crate::request::{RequestContext, RequestView};
    use crate::windows::Activity;

    fn of(target: &str, agent: &str) -> crate::RequestVector {
        let headers = [(&b"User-Agent"[..], agent.as_bytes())];
        let request = RequestView {
            method: b"GET",
            target: target.as_bytes(),
            headers: &headers,
            body: b"",
            body_truncated: false,
        };
        let shape = Shape::of(&request);
        let mut activity = Activity::default();
        // Saturday, 2023-11-18, 10:00:00 UTC.
        let time = 1_700_301_600.0;
        activity.request(time, &shape);
        let context = RequestContext {
            client: ClientKey(1),
            time,
            private_address: true,
            country: Some(*b"DE"),
        };
        vector(&shape, &activity, &context)
    }

    #[test]
    fn columns_say_what_their_names_say() {
        let calm = of("/shop/list.php?a=1&b=2", "Mozilla/5.0");
        assert_eq!(calm[0], 1.0);
        assert_eq!(calm[5], 2f32.ln_1p());
        assert_eq!((calm[11], calm[12], calm[13]), (10.0, 5.0, 1.0));
        assert_eq!(
            (calm[17], calm[18], calm[20], calm[21], calm[22]),
            (0.0, 0.0, 3.0, 10.0, 1.0)
        );
        assert!(calm[8].is_nan() && calm[26].is_nan() && calm[33].is_nan());
        let scan = of("/a.php?id=1%2527%20union%20select%201,2--%20", "sqlmap/1.7");
        assert_eq!((scan[6], scan[7], scan[17], scan[18]), (1.0, 1.0, 1.0, 1.0));
    }
}

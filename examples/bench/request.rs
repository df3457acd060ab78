//! A request as it goes over the wire, and the places in it that can be filled anew, so that no value comes twice.

use std::cell::Cell;

use weir_features::RequestView;

/// What a browser sends with every request.
const HEADERS: [(&str, &str); 8] = [
    ("Host", "shop.example.test"),
    (
        "User-Agent",
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
    ),
    (
        "Accept",
        "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8",
    ),
    ("Accept-Language", "en-GB,en;q=0.9,de;q=0.7"),
    ("Accept-Encoding", "gzip, deflate, br"),
    ("Referer", "https://shop.example.test/catalogue?page=2"),
    (
        "Cookie",
        "session=9f86d081884c7d659a2feaa0c55ad015; theme=dark; consent=yes",
    ),
    ("Cache-Control", "max-age=0"),
];

/// Whether a request says the same every time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Values {
    /// A cache that has seen the request knows all of it.
    Same,
    /// Every value of the body is new in every request.
    Distinct,
}

/// How many requests of distinct values were filled so far: no number is used twice in a run.
#[derive(Debug, Default)]
pub(crate) struct Counter(Cell<u64>);

impl Counter {
    fn next(&self) -> u64 {
        self.0.replace(self.0.get() + 1)
    }
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Word,
    Number,
}

/// Eight bytes of a body.
#[derive(Debug, Clone, Copy)]
struct Slot {
    at: usize,
    kind: Kind,
}

const SLOT: usize = 8;
/// Four syllables make a word, so that it reads like a name in some language and not like a token.
const CONSONANTS: &[u8; 16] = b"bcdfghjklmnprstv";
const VOWELS: &[u8; 5] = b"aeiou";
const SYLLABLES: u64 = 80;
const WORDS: u64 = SYLLABLES * SYLLABLES * SYLLABLES * SYLLABLES;
/// Neighbours are far apart. Prime to the number of words and to that of numbers, so that none comes twice.
const STRIDE: u64 = 7_368_787;

/// A body while it is written: its text, with values that are the same or distinct.
#[derive(Debug)]
pub(crate) struct Body {
    values: Values,
    bytes: Vec<u8>,
    slots: Vec<Slot>,
}

impl Body {
    pub(crate) fn new(values: Values) -> Self {
        Self {
            values,
            bytes: Vec::new(),
            slots: Vec::new(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn text(&mut self, text: &str) {
        self.bytes.extend_from_slice(text.as_bytes());
    }

    /// A word: this one, or another in every request.
    pub(crate) fn word(&mut self, same: &str) {
        self.value(same, Kind::Word);
    }

    /// A number: this one, or another in every request.
    pub(crate) fn number(&mut self, same: &str) {
        if self.values == Values::Distinct {
            // JSON knows no numbers that begin with 0.
            self.text("1");
        }
        self.value(same, Kind::Number);
    }

    fn value(&mut self, same: &str, kind: Kind) {
        match self.values {
            Values::Same => self.text(same),
            Values::Distinct => {
                let at = self.bytes.len();
                self.slots.push(Slot { at, kind });
                self.text("00000000");
            }
        }
    }
}

/// A request that can be sent again and again.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    method: &'static str,
    target: String,
    content_type: Option<&'static str>,
    wire: Vec<u8>,
    body_at: usize,
    slots: Vec<Slot>,
}

impl Request {
    pub(crate) fn get(target: impl Into<String>) -> Self {
        Self::new("GET", target.into(), None, Body::new(Values::Same))
    }

    pub(crate) fn post(target: &str, content_type: &'static str, body: Body) -> Self {
        Self::new("POST", target.to_owned(), Some(content_type), body)
    }

    fn new(
        method: &'static str,
        target: String,
        content_type: Option<&'static str>,
        body: Body,
    ) -> Self {
        let mut head = format!("{method} {target} HTTP/1.1\r\n");
        for (name, value) in HEADERS {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if let Some(kind) = content_type {
            head.push_str(&format!("Content-Type: {kind}\r\n"));
            head.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        head.push_str("\r\n");
        let body_at = head.len();
        let mut wire = head.into_bytes();
        wire.extend_from_slice(&body.bytes);
        let slots = body.slots.into_iter().map(|slot| Slot {
            at: slot.at + body_at,
            ..slot
        });
        Self {
            method,
            target,
            content_type,
            wire,
            body_at,
            slots: slots.collect(),
        }
    }

    /// What is sent.
    pub(crate) fn wire(&self) -> &[u8] {
        &self.wire
    }

    pub(crate) fn body(&self) -> &[u8] {
        self.wire.get(self.body_at..).unwrap_or_default()
    }

    /// How many values change.
    #[cfg(test)]
    pub(crate) fn distinct(&self) -> usize {
        self.slots.len()
    }

    /// Whether it has values that are new every time.
    pub(crate) fn varies(&self) -> bool {
        !self.slots.is_empty()
    }

    /// Gives every value that changes a new one.
    pub(crate) fn renew(&mut self, counter: &Counter) {
        if !self.varies() {
            return;
        }
        let first = counter.next().wrapping_mul(self.slots.len() as u64);
        for (number, slot) in (first..).zip(&self.slots) {
            if let Some(place) = self.wire.get_mut(slot.at..slot.at + SLOT) {
                fill(place, slot.kind, number);
            }
        }
    }

    /// As the detector sees it.
    pub(crate) fn with_view<T>(&self, act: impl FnOnce(&RequestView<'_>) -> T) -> T {
        let kind = self.content_type.map(|kind| ("Content-Type", kind));
        let headers: Vec<(&[u8], &[u8])> = HEADERS
            .into_iter()
            .chain(kind)
            .map(|(name, value)| (name.as_bytes(), value.as_bytes()))
            .collect();
        act(&RequestView {
            method: self.method.as_bytes(),
            target: self.target.as_bytes(),
            headers: &headers,
            body: self.body(),
            body_truncated: false,
        })
    }
}

fn fill(place: &mut [u8], kind: Kind, number: u64) {
    let mut rest = number.wrapping_mul(STRIDE);
    let of = |set: &[u8], at: u64| set.get(at as usize).copied().unwrap_or(b'a');
    match kind {
        Kind::Word => {
            rest %= WORDS;
            for pair in place.chunks_exact_mut(2) {
                let syllable = rest % SYLLABLES;
                rest /= SYLLABLES;
                pair.copy_from_slice(&[of(CONSONANTS, syllable / 5), of(VOWELS, syllable % 5)]);
            }
        }
        Kind::Number => {
            for digit in place.iter_mut().rev() {
                *digit = b'0' + (rest % 10) as u8;
                rest /= 10;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn renewed(count: usize) -> Vec<String> {
        let mut body = Body::new(Values::Distinct);
        body.word("anna");
        body.text("=");
        body.number("7");
        let mut request = Request::post("/", "text/plain", body);
        let counter = Counter::default();
        (0..count)
            .map(|_| {
                request.renew(&counter);
                String::from_utf8_lossy(request.body()).into_owned()
            })
            .collect()
    }

    #[test]
    fn no_value_comes_twice_and_all_have_the_same_length() {
        let mut seen = HashSet::new();
        for body in renewed(20_000) {
            let (word, number) = body.split_once('=').unwrap_or_default();
            assert_eq!((word.len(), number.len()), (8, 9), "{body}");
            assert!(number.starts_with('1') && number.bytes().all(|byte| byte.is_ascii_digit()));
            assert!(
                seen.insert(word.to_owned()) && seen.insert(number.to_owned()),
                "{body}"
            );
        }
    }

    #[test]
    fn the_same_request_stays_as_it_is() {
        let mut request = Request::get("/a");
        let before = request.wire().to_vec();
        request.renew(&Counter::default());
        assert_eq!(request.wire(), before);
        assert!(before.starts_with(b"GET /a HTTP/1.1\r\nHost: ") && before.ends_with(b"\r\n\r\n"));
        assert_eq!(request.with_view(|view| view.headers.len()), 8);
    }
}

//! Rewrites a payload into another that does the same: evasion, for exposure and for measuring how much of it gets through.
//!
//! Must not be here: transport encoding (`exposure::transport`), the choice of location, and scoring. Operators are named;
//! those held out are never used for training, so that what is measured with them was not learnt.

mod carrier;
mod common;
mod markup;
mod paths;
mod server;
mod shell;
mod sql;

use weir_features::Location;

use crate::exposure::Payload;
use crate::exposure::dice::Dice;

/// Whether training may use an operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Used to augment exposure.
    Training,
    /// Only ever measured.
    HeldOut,
}

/// What an operator makes of a payload; none where it finds nothing to change.
type Rewrite = fn(&[u8], &mut Dice) -> Option<Vec<u8>>;

/// One way to rewrite payloads of some classes.
#[derive(Debug, Clone, Copy)]
pub struct Operator {
    /// Its name, unique.
    pub name: &'static str,
    /// What it does, by example.
    pub about: &'static str,
    /// The classes of attack whose payloads keep working in principle.
    pub classes: &'static [&'static str],
    /// Whether training may use it.
    pub side: Side,
    /// Where the result has to stand; none: wherever the payload can.
    pub place: Option<Location>,
    rewrite: Rewrite,
}

impl PartialEq for Operator {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Operator {}

/// A rewritten payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mutated {
    /// The bytes, as different from the original's.
    pub bytes: Vec<u8>,
    /// What made them.
    pub operator: Operator,
    /// Where they have to stand, if not wherever the payload can: at `query_key` they are a raw piece of a query.
    pub place: Option<Location>,
}

const SQL: &[&str] = &["sqli"];
const XSS: &[&str] = &["xss"];
const SHELL: &[&str] = &["cmdi"];
const FILES: &[&str] = &["traversal", "lfi"];
const TEMPLATE: &[&str] = &["ssti"];
const ADDRESS: &[&str] = &["ssrf", "rfi"];
/// Classes whose targets decode percent escapes more than once, or decode text before they use it.
const DECODED: &[&str] = &[
    "sqli",
    "xss",
    "traversal",
    "lfi",
    "cmdi",
    "rce",
    "ssti",
    "ldap",
    "xpath",
    "jndi",
];

/// Classes whose payloads are values: what stands before, after or beside them does not disarm them.
const VALUES: &[&str] = &[
    "sqli",
    "xss",
    "traversal",
    "lfi",
    "rfi",
    "cmdi",
    "rce",
    "ssti",
    "ssi",
    "ldap",
    "xpath",
    "jndi",
    "crlf",
    "mail",
    "nosqli",
    "ssrf",
    "open_redirect",
];
/// Of these, the ones that work in the middle of other text.
const EMBEDDED: &[&str] = &[
    "sqli", "xss", "cmdi", "rce", "ssti", "ssi", "ldap", "xpath", "jndi", "crlf", "mail",
];

const fn train(
    name: &'static str,
    classes: &'static [&'static str],
    about: &'static str,
    rewrite: Rewrite,
) -> Operator {
    Operator {
        name,
        about,
        classes,
        side: Side::Training,
        place: None,
        rewrite,
    }
}

const fn hold(
    name: &'static str,
    classes: &'static [&'static str],
    about: &'static str,
    rewrite: Rewrite,
) -> Operator {
    Operator {
        side: Side::HeldOut,
        ..train(name, classes, about, rewrite)
    }
}

const fn piece(operator: Operator) -> Operator {
    Operator {
        place: Some(Location::QueryKey),
        ..operator
    }
}

#[rustfmt::skip]
const OPERATORS: [Operator; 57] = [
    train("sql-case", SQL, "union select -> uNiOn SeLEct", sql::case),
    train("sql-comments", SQL, "union select -> union/**/select", sql::comments),
    train("sql-line-comments", SQL, "union select -> union--x\\nselect", sql::line_comments),
    train("sql-blanks", SQL, "blanks -> tabs, line and form feeds", sql::blanks),
    train("sql-logic", SQL, "or, and, = -> ||, &&, like", sql::logic),
    train("sql-concat", SQL, "'admin' -> 'ad'||'min'", sql::concat),
    train("sql-hex", SQL, "'admin' -> 0x61646d696e", sql::hex),
    train("sql-brackets", SQL, "or 1=1 -> or(1)=(1)", sql::brackets),
    hold("sql-version-comments", SQL, "union select -> /*!50000union*/ /*!50000select*/", sql::version_comments),
    hold("sql-hash-comments", SQL, "union select -> union#x\\nselect", sql::hash_comments),
    hold("sql-odd-blanks", SQL, "blanks -> vertical tabs and no-break spaces", sql::odd_blanks),
    hold("sql-comparison", SQL, "1=1 -> 1 between 1 and 1, 1 in (1), 1 rlike 1", sql::comparison),
    hold("sql-char", SQL, "'ab' -> CHAR(97,98)", sql::char_codes),
    hold("sql-arithmetic", SQL, "1=1 -> 8-7=5-4", sql::arithmetic),
    train("html-case", XSS, "<svg onload= -> <sVg OnLoAd=", markup::case),
    train("html-slash", XSS, "<svg onload= -> <svg/onload=", markup::slash),
    train("html-attribute", XSS, "<svg onload= -> <svg id=\"x\" onload=", markup::attribute),
    train("html-entities", XSS, "onload=alert(1) -> onload=alert&#40;1&#41;", markup::entities),
    train("js-concat", XSS, "alert(1) -> window['al'+'ert'](1)", markup::js_concat),
    train("js-escape", XSS, "alert(1) -> \\u0061lert(1)", markup::js_escape),
    hold("html-blanks", XSS, "<svg onload= -> <svg\\x0conload=", markup::blanks),
    hold("html-quotes", XSS, "onload=\"alert(1)\" -> onload='alert(1)'", markup::quotes),
    hold("html-named-entities", XSS, "onload=alert(1) -> onload=alert&lpar;1&rpar;", markup::named_entities),
    hold("js-call", XSS, "alert(1) -> (alert)(1), [1].map(alert), alert`1`", markup::js_call),
    hold("js-comments", XSS, "alert(1) -> alert/*x*/(1)", markup::js_comments),
    train("shell-quotes", SHELL, "cat -> c'a't", shell::quotes),
    train("shell-ifs", SHELL, "cat x -> cat${IFS}x", shell::ifs),
    train("shell-program-path", SHELL, "cat -> /bin/cat", shell::program_path),
    train("shell-separator", SHELL, "; -> &&, ||, line feed", shell::separator),
    hold("shell-variables", SHELL, "cat -> c$@at, c${x}at", shell::variables),
    hold("shell-braces", SHELL, "cat x -> {cat,x}", shell::braces),
    hold("shell-wildcards", SHELL, "/etc/passwd -> /e?c/pass?d", shell::wildcards),
    hold("shell-base64", SHELL, "; id -> ; echo aWQ=|base64 -d|sh", shell::base64),
    train("path-dot", FILES, "../x -> .././x", paths::dot),
    train("path-slashes", FILES, "../x -> ..//x", paths::slashes),
    train("path-backslashes", FILES, "../x -> ..\\x", paths::backslashes),
    train("path-detour", FILES, "etc/passwd -> etc/x/../passwd", paths::detour),
    hold("path-semicolon", FILES, "../x -> ..;/x", paths::semicolon),
    hold("path-nested", FILES, "../x -> ....//x", paths::nested),
    hold("path-suffix", FILES, "etc/passwd -> etc/passwd%00.png", paths::suffix),
    train("template-blanks", TEMPLATE, "{{7*7}} -> {{ 7 * 7 }}", server::template_blanks),
    hold("template-brackets", TEMPLATE, "x.__class__ -> x['__class__']", server::template_brackets),
    train("jndi-lower", &["jndi"], "${jndi: -> ${${lower:j}ndi:", server::jndi_lower),
    hold("jndi-default", &["jndi"], "${jndi: -> ${${::-j}${::-n}di:", server::jndi_default),
    train("address-number", ADDRESS, "127.0.0.1 -> 2130706433, 0x7f000001", server::address_number),
    hold("address-octal", ADDRESS, "127.0.0.1 -> 0177.0.0.01", server::address_octal),
    train("line-break", &["crlf", "mail"], "\\r\\n -> \\n", server::line_feed),
    hold("line-break-unicode", &["crlf"], "\\r\\n -> %E5%98%8D%E5%98%8A", server::line_break_unicode),
    train("json-escape", &["nosqli", "prototype", "graphql"], "\"$ne\" -> \"\\u0024ne\"", server::json_escape),
    hold("json-blanks", &["nosqli", "prototype"], "{\"$ne\":1} -> {\\n \"$ne\" : 1 }", server::json_blanks),
    train("percent", DECODED, "' -> %27", carrier::percent),
    hold("percent-mixed", DECODED, "letters and marks by chance, %2F and %2f", carrier::percent_mixed),
    hold("entities-percent", XSS, "' -> &#39; -> %26%2339%3b", carrier::entities_percent),
    train("pad-before", EMBEDDED, "harmless text of up to 64 KiB before", carrier::pad_before),
    train("pad-after", EMBEDDED, "harmless text of up to 64 KiB after", carrier::pad_after),
    piece(train("split-parameters", SQL, "1 union select 2 -> id=1/*&id=*/union select 2", carrier::split)),
    piece(hold("repeat-parameter", VALUES, "p=harmless&p=payload", carrier::repeat)),
];

impl Operator {
    /// Every operator. The list is the documentation of what is held out.
    pub const ALL: &'static [Self] = &OPERATORS;

    /// Those that training may use.
    #[must_use]
    pub fn training() -> Vec<Self> {
        Self::on(Side::Training)
    }

    /// Those that only measure.
    #[must_use]
    pub fn held_out() -> Vec<Self> {
        Self::on(Side::HeldOut)
    }

    fn on(side: Side) -> Vec<Self> {
        Self::ALL
            .iter()
            .copied()
            .filter(|operator| operator.side == side)
            .collect()
    }

    /// The operator of a name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|operator| operator.name == name)
    }

    /// Whether payloads of a class keep working in principle.
    #[must_use]
    pub fn suits(&self, class: &str) -> bool {
        self.classes.contains(&class)
    }

    /// Whether the result can stand where the payload belongs: one that needs a place of its own cannot replace a body or a path.
    #[must_use]
    pub fn fits(&self, location: Option<Location>) -> bool {
        self.place.is_none()
            || matches!(
                location,
                None | Some(Location::QueryValue | Location::BodyValue)
            )
    }

    /// The payload rewritten by this operator alone; none where it finds nothing to change.
    #[must_use]
    pub fn apply(&self, payload: &[u8], dice: &mut Dice) -> Option<Mutated> {
        (self.rewrite)(payload, dice)
            .filter(|bytes| bytes != payload)
            .map(|bytes| Mutated {
                bytes,
                operator: *self,
                place: self.place,
            })
    }
}

/// The payload rewritten by one of the operators that suit its class, drawn by chance; none where none changes it.
#[must_use]
pub fn mutate(
    payload: &[u8],
    class: &str,
    operators: &[Operator],
    dice: &mut Dice,
) -> Option<Mutated> {
    let mut suiting: Vec<&Operator> = operators
        .iter()
        .filter(|operator| operator.suits(class))
        .collect();
    dice.shuffle(&mut suiting);
    suiting
        .into_iter()
        .find_map(|operator| operator.apply(payload, dice))
}

/// Share of payloads that training rewrites.
const AUGMENTED_SHARE: f64 = 0.15;

/// Longer results are not trained on: length is measured, not learnt, and long rows cost time.
const MOST_AUGMENTED: usize = 8 * 1024;

/// For exposure: a share of payloads as somebody who evades filters writes them, by operators that are not held out.
pub(crate) fn augmented(payload: Payload, dice: &mut Dice) -> Payload {
    let raw_piece = matches!(
        payload.location,
        Some(Location::QueryKey | Location::BodyKey | Location::RawBody)
    );
    if raw_piece || !dice.chance(AUGMENTED_SHARE) {
        return payload;
    }
    let mut operators = Operator::training();
    operators.retain(|operator| operator.fits(payload.location));
    match mutate(&payload.bytes, &payload.class, &operators, dice)
        .filter(|made| made.bytes.len() <= MOST_AUGMENTED)
    {
        Some(made) => Payload {
            bytes: made.bytes,
            location: made.place.or(payload.location),
            ..payload
        },
        None => payload,
    }
}

#[cfg(test)]
mod tests;

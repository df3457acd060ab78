//! Puts a value into a real request at a given location, so that the whole extractor runs on what a server would get.
//!
//! Must not be here: the choice of payload and location.

mod body;

use weir_features::Location;
use weir_scoring::record::OwnedRequest;

use super::dice::Dice;
use super::transport;
use super::{benign, encode};

/// How the old value of a field and the grafted one combine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Instead of the old value.
    Replace,
    /// After the old value.
    Append,
    /// Before the old value.
    Prepend,
}

impl Mode {
    /// A random mode, mostly a replacement.
    pub fn draw(dice: &mut Dice) -> Self {
        match dice.weighted(&[0.7, 0.22, 0.08]) {
            0 => Self::Replace,
            1 => Self::Append,
            _ => Self::Prepend,
        }
    }

    /// A random mode that leaves `value` something that an application could read.
    pub fn fitting(value: &[u8], dice: &mut Dice) -> Self {
        let drawn = Self::draw(dice);
        if encode::is_base64_text(value) {
            Self::Replace
        } else {
            drawn
        }
    }

    fn apply(self, old: &[u8], new: Vec<u8>) -> Vec<u8> {
        match self {
            Self::Replace => new,
            Self::Append => [old, &new].concat(),
            Self::Prepend => [&new, old].concat(),
        }
    }
}

/// A request with a value in it, and the request that it was before.
#[derive(Debug, Clone)]
pub struct Grafted {
    /// The real request, changed only so far that it has a place for the value.
    pub before: OwnedRequest,
    /// With the value in it.
    pub after: OwnedRequest,
}

/// Headers that carry framing or routing; a value there would break the request or give it away.
const STRUCTURAL: [&[u8]; 14] = [
    b"host",
    b"content-length",
    b"content-type",
    b"content-encoding",
    b"transfer-encoding",
    b"connection",
    b"cookie",
    b"referer",
    b"user-agent",
    b"accept-encoding",
    b"upgrade",
    b"expect",
    b"te",
    b"keep-alive",
];

/// Grafts `value` into `template` at `location`. The value is written as its place demands and not otherwise encoded.
pub fn graft(
    template: &OwnedRequest,
    location: Location,
    value: &[u8],
    mode: Mode,
    dice: &mut Dice,
) -> Grafted {
    let before = match location {
        Location::BodyKey | Location::BodyValue => body::with_form(template, dice),
        Location::Json => body::with_json(template, dice),
        Location::Xml => body::with_xml(template, dice),
        Location::RawBody => body::as_post(template),
        _ => template.clone(),
    };
    let mut after = before.clone();
    match location {
        Location::Path => path(&mut after, value, mode, dice),
        Location::QueryKey => query_piece(&mut after, value),
        Location::QueryValue => query_value(&mut after, value, mode, dice),
        Location::BodyKey => body::form_piece(&mut after, value),
        Location::BodyValue => body::form_value(&mut after, value, mode, dice),
        Location::Json => body::json(&mut after, value, mode, dice),
        Location::Xml => body::xml(&mut after, value, mode, dice),
        Location::RawBody => body::raw(&mut after, value),
        Location::Header => header(&mut after, value, mode, dice),
        Location::Cookie => cookie(&mut after, value, mode, dice),
        Location::Referer => referer(&mut after, value, dice),
        Location::UserAgent => user_agent(&mut after, value, mode),
    }
    body::fix_length(&mut after);
    Grafted { before, after }
}

fn split_target(target: &[u8]) -> (&[u8], Option<&[u8]>) {
    match target.iter().position(|byte| *byte == b'?') {
        Some(at) => {
            let (path, query) = target.split_at(at);
            (path, query.get(1..))
        }
        None => (target, None),
    }
}

/// Where the path begins in an absolute target; 0 in origin form.
fn path_start(target: &[u8]) -> usize {
    let scheme = target
        .windows(3)
        .take(9)
        .position(|window| window == b"://");
    scheme.map_or(0, |at| {
        let authority = at + 3;
        target
            .iter()
            .skip(authority)
            .position(|byte| matches!(byte, b'/' | b'?'))
            .map_or(target.len(), |end| authority + end)
    })
}

fn path(request: &mut OwnedRequest, value: &[u8], mode: Mode, dice: &mut Dice) {
    let start = path_start(&request.target);
    let (origin, rest) = request.target.split_at(start);
    let (old, query) = split_target(rest);
    let written = transport::path(value, dice);
    let new = if written.starts_with(b"/") && (dice.chance(0.6) || written.contains(&b'?')) {
        written
    } else {
        let mut segments: Vec<&[u8]> = old.split(|byte| *byte == b'/').collect();
        let last = segments.pop().unwrap_or_default();
        let folder = [segments.join(&b'/'), b"/".to_vec()].concat();
        let value = written.strip_prefix(b"/").unwrap_or(&written).to_vec();
        [folder, mode.apply(last, value)].concat()
    };
    let mut target = [origin, &new].concat();
    if let Some(query) = query.filter(|_| !new.contains(&b'?')) {
        target.push(b'?');
        target.extend_from_slice(query);
    }
    request.target = target;
}

fn query_piece(request: &mut OwnedRequest, piece: &[u8]) {
    let piece = transport::pairs(piece);
    let separator: &[u8] = if request.target.contains(&b'?') {
        b"&"
    } else {
        b"?"
    };
    request.target = [&request.target, separator, &piece].concat();
}

fn query_value(request: &mut OwnedRequest, value: &[u8], mode: Mode, dice: &mut Dice) {
    let (path, query) = split_target(&request.target);
    let query = query.unwrap_or_default();
    let written = transport::query(value, dice);
    let pairs = replace_pair(query, b'&', &written, mode, dice);
    request.target = [path, b"?", &pairs].concat();
}

/// Changes the value of one pair, or adds a pair where there is none to change.
fn replace_pair(
    pairs: &[u8],
    separator: u8,
    written: &[u8],
    mode: Mode,
    dice: &mut Dice,
) -> Vec<u8> {
    let mut parts: Vec<Vec<u8>> = pairs
        .split(|byte| *byte == separator)
        .filter(|part| !part.is_empty())
        .map(<[u8]>::to_vec)
        .collect();
    let named: Vec<usize> = (0..parts.len())
        .filter(|index| parts.get(*index).is_some_and(|part| part.contains(&b'=')))
        .collect();
    let chosen = dice.choose(&named).copied().filter(|_| !dice.chance(0.15));
    match chosen.and_then(|index| parts.get_mut(index)) {
        Some(part) => {
            let at = part
                .iter()
                .position(|byte| *byte == b'=')
                .map_or(part.len(), |at| at + 1);
            let (key, old) = part.split_at(at);
            *part = [key, &mode.apply(old, written.to_vec())].concat();
        }
        None => {
            let name = benign::key(dice);
            parts.push([name.as_bytes(), b"=", written].concat());
        }
    }
    parts.join(&separator)
}

fn header(request: &mut OwnedRequest, value: &[u8], mode: Mode, dice: &mut Dice) {
    let written = transport::header(value);
    let free: Vec<usize> = (0..request.headers.len())
        .filter(|index| {
            request.headers.get(*index).is_some_and(|(name, _)| {
                !STRUCTURAL.contains(&name.to_ascii_lowercase().as_slice())
            })
        })
        .collect();
    let chosen = dice.choose(&free).copied().filter(|_| dice.chance(0.5));
    match chosen.and_then(|index| request.headers.get_mut(index)) {
        Some((_, old)) => *old = mode.apply(old, written),
        None => {
            let name = dice.word(&[
                "X-Forwarded-For",
                "X-Api-Version",
                "X-Requested-With",
                "X-Client-Id",
                "X-Real-IP",
                "X-Custom",
                "Origin",
                "X-Trace",
                "X-Language",
                "Accept-Language",
                "X-Forwarded-Host",
                "Authorization",
            ]);
            request.headers.push((name.into(), written));
        }
    }
}

fn find_header<'a>(request: &'a mut OwnedRequest, name: &str) -> Option<&'a mut Vec<u8>> {
    request
        .headers
        .iter_mut()
        .find(|(key, _)| key.eq_ignore_ascii_case(name.as_bytes()))
        .map(|(_, value)| value)
}

pub(super) fn set_header(request: &mut OwnedRequest, name: &str, value: Vec<u8>) {
    match find_header(request, name) {
        Some(old) => *old = value,
        None => request.headers.push((name.into(), value)),
    }
}

fn cookie(request: &mut OwnedRequest, value: &[u8], mode: Mode, dice: &mut Dice) {
    let written = transport::cookie(value, dice);
    let old = request.header("cookie").unwrap_or_default().to_vec();
    let pairs: Vec<u8> = old
        .split(|byte| *byte == b';')
        .map(<[u8]>::trim_ascii)
        .collect::<Vec<_>>()
        .join(&b';');
    let changed = replace_pair(&pairs, b';', &written, mode, dice);
    let spaced: Vec<&[u8]> = changed.split(|byte| *byte == b';').collect();
    set_header(request, "Cookie", spaced.join(&b"; "[..]));
}

fn referer(request: &mut OwnedRequest, value: &[u8], dice: &mut Dice) {
    let host = request.host().unwrap_or(b"www.example.com").to_vec();
    let old = request.header("referer").unwrap_or_default().to_vec();
    let new = match dice.below(3) {
        0 => transport::header(value),
        1 if old.contains(&b'=') => {
            let (path, query) = split_target(&old);
            let written = transport::query(value, dice);
            [
                path,
                b"?",
                &replace_pair(
                    query.unwrap_or_default(),
                    b'&',
                    &written,
                    Mode::Replace,
                    dice,
                ),
            ]
            .concat()
        }
        _ => [
            b"https://",
            host.as_slice(),
            b"/?",
            benign::key(dice).as_bytes(),
            b"=",
            &transport::query(value, dice),
        ]
        .concat(),
    };
    set_header(request, "Referer", new);
}

fn user_agent(request: &mut OwnedRequest, value: &[u8], mode: Mode) {
    let old = request.header("user-agent").unwrap_or_default().to_vec();
    set_header(
        request,
        "User-Agent",
        mode.apply(&old, transport::header(value)),
    );
}

/// Whether a payload names its own script and parameters (`/a.php?inc=http://...`): only the parameters are the attack.
#[must_use]
pub fn is_whole_target(value: &[u8]) -> bool {
    value.starts_with(b"/")
        && value.contains(&b'?')
        && value.contains(&b'=')
        && !encode::has_escapes(value.split(|byte| *byte == b'?').next().unwrap_or_default())
}

#[cfg(test)]
mod tests;

//! What is usual at a place, in words and numbers for explanations. Not here: whether a value is unusual.

use super::Endpoint;
use super::key_profile::KeyProfile;
use super::symbols::Kind;
use crate::field::Field;
use crate::skeleton;

/// Which part of a profile an explanation rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UsualLevel {
    /// This parameter at this endpoint.
    Endpoint,
    /// This parameter anywhere on the host.
    Host,
}

/// A shape that values often have.
#[derive(Clone, Debug, PartialEq)]
pub struct UsualShape {
    /// `a` for letters, `0` for digits, punctuation as it is; at most the first 40 symbols.
    pub skeleton: String,
    /// Which share of the values has it.
    pub share: f32,
}

/// What a profile knows about the place of a field. Nothing in it is a value that anybody sent.
#[derive(Clone, Debug, PartialEq)]
pub struct UsualValue {
    /// What the numbers below rest on.
    pub level: UsualLevel,
    /// The endpoint as the profile sees it, such as `/item/*`; `None` when the endpoint is not known.
    pub template: Option<String>,
    /// Whether the endpoint is known.
    pub is_endpoint_known: bool,
    /// Whether the parameter is known on this host; when it is not, nothing below says anything.
    pub is_key_known: bool,
    /// How many values were seen there.
    pub observations: u64,
    /// Which share of the endpoint's requests (or the host's, at that level) has the parameter.
    pub requests_share: f64,
    /// What nearly all values are: "integer", "one of 5 values", "word", "free text".
    pub kind: String,
    /// The shortest and the longest length seen, in bytes; long ones are rounded up by at most 9%.
    pub lengths: Option<(u32, u32)>,
    /// The most frequent shapes, at most three.
    pub shapes: Vec<UsualShape>,
    /// How many parameters of this request were never missing before.
    pub missing_parameters: u32,
    /// How many parameters of this request its endpoint does not know.
    pub unknown_parameters: u32,
}

/// Parameters with no more values than this are enumerations.
const FEW_VALUES: usize = 12;

impl Endpoint<'_> {
    /// What is usual where `field` stands, for explanations; `None` when the host is not known.
    #[must_use]
    pub fn usual(&self, field: &Field<'_>) -> Option<UsualValue> {
        let host = self.host?;
        let known = self.key(host, field);
        let level = if known.at_endpoint {
            UsualLevel::Endpoint
        } else {
            UsualLevel::Host
        };
        let requests = match self.endpoint {
            Some(endpoint) if known.at_endpoint => endpoint.requests,
            _ => host.requests,
        };
        let mut usual = UsualValue {
            level,
            template: self.endpoint.map(|_| self.template()),
            is_endpoint_known: self.endpoint.is_some(),
            is_key_known: known.profile.is_some(),
            observations: 0,
            requests_share: 0.0,
            kind: String::new(),
            lengths: None,
            shapes: Vec::new(),
            missing_parameters: self.missing,
            unknown_parameters: self.unknown,
        };
        if let Some(profile) = known.profile {
            usual.observations = profile.observations;
            usual.requests_share = profile.requests as f64 / requests.max(1) as f64;
            usual.kind = kind(profile);
            usual.lengths = profile.length_range();
            usual.shapes = shapes(profile);
        }
        Some(usual)
    }
}

fn kind(profile: &KeyProfile) -> String {
    let values = profile.values.len();
    // An integer from 1 to 9 is an integer, and a constant is a constant.
    let few = values <= FEW_VALUES
        && profile.observations >= 20
        && profile.values.novelty * 50.0 <= 1.0
        && values > 0;
    let kind = Kind::ALL
        .iter()
        .zip(profile.kinds)
        .find(|(_, weight)| *weight > 0.0)
        .map(|(kind, _)| kind.name());
    match (few, kind) {
        (true, _) if values == 1 => "always the same value".to_owned(),
        (true, Some(kind)) => format!("{kind}, one of {values} values"),
        (true, None) => format!("one of {values} values"),
        (false, Some(kind)) => kind.to_owned(),
        (false, None) => "free text".to_owned(),
    }
}

fn shapes(profile: &KeyProfile) -> Vec<UsualShape> {
    profile
        .examples
        .iter()
        .map(|(skeleton, share)| UsualShape {
            skeleton: skeleton.iter().map(|symbol| shown(*symbol)).collect(),
            share: *share,
        })
        .collect()
}

/// Control characters and non-ASCII bytes have symbols that nobody can read.
fn shown(symbol: u8) -> char {
    match symbol {
        skeleton::CONTROL => '\u{b7}',
        skeleton::OTHER => '\u{e4}',
        symbol => char::from(symbol),
    }
}

//! What a site's profile knows of a place, in words and as an object. Not here: in what a value departs from it.

use serde::Serialize;
use weir_features::profile::{Departures, Endpoint, UsualLevel, UsualShape, UsualValue};
use weir_features::{Field, Fields, Location};

use super::attribution::Kind;
use super::cause::Cause;
use super::departure::{Departure, known_values, noun, short};
use super::secrets::SecretKeys;
use super::snippet::printable;
use super::usual::{named_shapes, thousands};
use crate::bundle::Usual;

/// What the profile of a site says of a field and its place.
#[derive(Clone, Debug)]
pub(crate) struct Site {
    pub(super) usual: UsualValue,
    pub(super) departures: Option<Departures>,
    /// Names of parameters that the endpoint does not know, fit to be shown.
    pub(super) unknown_names: Vec<String>,
}

impl Site {
    /// `None` where the profile does not know the host.
    pub(crate) fn of(
        endpoint: &Endpoint<'_>,
        field: &Field<'_>,
        fields: &Fields<'_>,
        secrets: &SecretKeys,
    ) -> Option<Self> {
        let mut usual = endpoint.usual(field)?;
        if let Some(template) = &mut usual.template {
            *template = printable(&secrets.mask_inline(template.as_bytes()));
        }
        Some(Self {
            usual,
            departures: endpoint.departures(field),
            unknown_names: endpoint
                .unknown_names(fields)
                .into_iter()
                .map(|name| short(&secrets.mask_inline(name)))
                .collect(),
        })
    }

    /// True of the name of a parameter that the endpoint does not know.
    pub(super) fn is_unknown_name(&self, field: &Field<'_>) -> bool {
        let is_name = matches!(field.location, Location::QueryKey | Location::BodyKey);
        let name = || short(field.value);
        is_name && !self.unknown_names.is_empty() && self.unknown_names.contains(&name())
    }

    /// Where the place is: "at /item/*", or "on this site" where the endpoint does not count.
    pub(super) fn whereabouts(&self) -> String {
        match (&self.usual.template, self.usual.level) {
            (Some(template), UsualLevel::Endpoint) => format!("at {template}"),
            _ => "on this site".to_owned(),
        }
    }

    fn requests(&self) -> String {
        match (&self.usual.template, self.usual.level) {
            (Some(template), UsualLevel::Endpoint) => format!("to {template}"),
            _ => "to this site".to_owned(),
        }
    }
}

/// What is usual where a field stands, as far as it is known.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct UsualHere {
    /// What it rests on: `endpoint` (this parameter at this endpoint), `site` (this parameter anywhere on the site) or
    /// `location` (all values that the model was trained on at such a location).
    pub level: &'static str,
    /// The endpoint as the profile sees it, such as `/item/*`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// Values seen.
    pub observations: u64,
    /// Share of the requests (to the endpoint, or to the site) that have the parameter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub share_of_requests: Option<f64>,
    /// What nearly all values are; absent for secrets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// The shortest and the longest usual length in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub length: Option<[u32; 2]>,
    /// The most frequent shapes; none for secrets.
    pub shapes: Vec<ShapeShare>,
    /// How many parameters the request misses that nearly every request to the endpoint had.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missing_parameters: Option<u32>,
    /// How many names of parameters the request has that the endpoint does not know.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unknown_parameters: Option<u32>,
}

/// A shape and how many values have it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ShapeShare {
    /// `a` for letters, `0` for digits, punctuation as it is.
    pub shape: String,
    /// Share of the values, where it was counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub share: Option<f32>,
}

impl UsualHere {
    /// From the site's profile, else from the bundle's statistics of the location; `None` where neither knows anything.
    pub(super) fn of(site: Option<&Site>, location: Option<&Usual>, secret: bool) -> Option<Self> {
        let mut here = match (site, location.filter(|usual| usual.rows > 0)) {
            (Some(site), _) if site.usual.is_key_known => Self::at_place(&site.usual),
            (_, Some(usual)) => Self::at_location(usual),
            (Some(_), None) => Self::nothing(),
            (None, None) => return None,
        };
        if let Some(site) = site {
            here.template.clone_from(&site.usual.template);
            here.missing_parameters = Some(site.usual.missing_parameters);
            here.unknown_parameters = Some(site.usual.unknown_parameters);
        }
        if secret {
            here.kind = None;
            here.shapes.clear();
        }
        Some(here)
    }

    fn nothing() -> Self {
        Self {
            level: "location",
            template: None,
            observations: 0,
            share_of_requests: None,
            kind: None,
            length: None,
            shapes: Vec::new(),
            missing_parameters: None,
            unknown_parameters: None,
        }
    }

    fn at_place(usual: &UsualValue) -> Self {
        Self {
            level: match usual.level {
                UsualLevel::Endpoint => "endpoint",
                UsualLevel::Host => "site",
            },
            observations: usual.observations,
            share_of_requests: Some((usual.requests_share * 1e4).round() / 1e4),
            kind: Some(usual.kind.clone()),
            length: usual.lengths.map(|(least, most)| [least, most]),
            shapes: usual
                .shapes
                .iter()
                .map(|UsualShape { skeleton, share }| ShapeShare {
                    shape: printable(skeleton.as_bytes()),
                    share: Some((share * 1e3).round() / 1e3),
                })
                .collect(),
            ..Self::nothing()
        }
    }

    fn at_location(usual: &Usual) -> Self {
        let shape = |example: &String| ShapeShare {
            shape: printable(example.as_bytes()),
            share: None,
        };
        Self {
            observations: usual.rows,
            length: Some([usual.length_p01, usual.length_p99]),
            shapes: usual.examples.iter().map(shape).collect(),
            ..Self::nothing()
        }
    }
}

/// What is usual at a place that the site's profile knows, in words; `None` where it does not.
pub(super) fn usual(site: &Site, secret: bool) -> Option<String> {
    let known = &site.usual;
    if !known.is_key_known {
        return None;
    }
    let mut parts: Vec<String> = Vec::new();
    if !secret {
        let is_loose =
            ["free text", "identifier", "text without punctuation"].contains(&known.kind.as_str());
        parts.push(match shapes(site, false).filter(|_| is_loose) {
            Some(shapes) => format!("{}, mostly {shapes}", known.kind),
            None => known.kind.clone(),
        });
    }
    // Of a single value, the length is known in steps only.
    let is_single = !secret && known.kind == "always the same value";
    if let Some((least, most)) = known.lengths.filter(|_| !is_single) {
        parts.push(range(least, most, "bytes"));
    }
    parts.push(format!(
        "{} {} ({} seen)",
        frequency(known.requests_share),
        site.requests(),
        thousands(known.observations)
    ));
    Some(parts.join("; "))
}

/// Of a parameter that the site does not know.
pub(super) fn unheard_of(site: &Site, field: &Field<'_>) -> String {
    let place = match &site.usual.template {
        Some(template) => format!("at {template}"),
        None => "on this site".to_owned(),
    };
    format!("{} was never seen {place}", noun(field))
}

fn frequency(share: f64) -> String {
    if share >= 0.9995 {
        "in every request".to_owned()
    } else if share >= 0.0095 {
        format!("in {:.0}% of the requests", share * 100.0)
    } else {
        "in fewer than 1% of the requests".to_owned()
    }
}

fn range(least: u32, most: u32, unit: &str) -> String {
    let (short, long) = (thousands(least.into()), thousands(most.into()));
    if (least, most) == (1, 1) {
        format!("1 {}", unit.trim_end_matches('s'))
    } else if least == most {
        format!("{long} {unit}")
    } else {
        format!("{short} to {long} {unit}")
    }
}

/// What would have passed as far as the site's profile can say; `None` where text in general says more.
pub(super) fn would_pass(site: &Site, field: &Field<'_>, causes: &[Cause]) -> Option<String> {
    let first = causes.first()?;
    match first.kind {
        Kind::Profile(Departure::Key) => {
            return Some(format!("the request without {}", noun(field)));
        }
        Kind::Profile(Departure::Names) => {
            return Some(format!(
                "the parameters that requests {} usually have",
                site.requests()
            ));
        }
        _ => {}
    }
    let has = |departure| {
        let kind = Kind::Profile(departure);
        causes.iter().any(|cause| cause.kind == kind)
    };
    if !site.usual.is_endpoint_known && has(Departure::Endpoint) {
        return Some("a path that the site is known to have".to_owned());
    }
    if site.is_unknown_name(field) {
        return Some(format!(
            "the request without the parameter `{}`",
            short(field.value)
        ));
    }
    if let Some(known) = known_values(&site.usual.kind)
        && [
            Departure::Type,
            Departure::Value,
            Departure::Shape,
            Departure::Length,
        ]
        .into_iter()
        .any(has)
    {
        return Some(format!("{known} usual here"));
    }
    let seen = site.departures.as_ref()?;
    match seen.is_no.filter(|_| has(Departure::Type)) {
        Some(kind) => Some(typed(kind, &site.usual)),
        None if has(Departure::Length) => {
            let kind = site.usual.kind.split(',').next()?;
            STRICT.contains(&kind).then(|| typed(kind, &site.usual))
        }
        None => None,
    }
}

/// Types that leave no room for anything else.
const STRICT: [&str; 6] = [
    "integer",
    "number",
    "UUID",
    "hexadecimal code",
    "date or time",
    "word",
];

/// The shapes of most values, in words; of a secret's only their lengths.
pub(super) fn shapes(site: &Site, secret: bool) -> Option<String> {
    if secret {
        let (least, most) = site.usual.lengths?;
        return Some(format!("values of {}", range(least, most, "bytes")));
    }
    named_shapes(
        site.usual
            .shapes
            .iter()
            .map(|shape| shape.skeleton.as_str()),
    )
}

/// "an integer of 1 to 9 digits".
fn typed(kind: &str, usual: &UsualValue) -> String {
    let kind = match kind {
        "yes or no" => "a yes-or-no value".to_owned(),
        "text without punctuation" => "plain text without punctuation".to_owned(),
        kind if kind.starts_with(['a', 'e', 'i', 'o']) => format!("an {kind}"),
        kind => format!("a {kind}"),
    };
    let unsigned = usual.shapes.iter().all(|shape| shape.skeleton == "0");
    let unit = if unsigned { "digits" } else { "bytes" };
    match usual.lengths {
        Some((least, most)) => format!("{kind} of {}", range(least, most, unit)),
        None => kind,
    }
}

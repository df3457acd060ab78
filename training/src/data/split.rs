//! Fixed splits without a seed: the same record always falls on the same side, on every machine and in every language.
//!
//! Must not be here: random splits by row. They put neighbours of a test row into training and flatter every figure.

use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use weir_scoring::record::{OwnedRequest, Timestamp, to_bytes};

/// One domain in this many is left out.
const DOMAIN_MODULUS: u8 = 5;

/// Shares of payloads are known to one in so many.
const PAYLOAD_MODULUS: u64 = 10_000;

/// The registrable domain of a host by the public-suffix list; the host itself for an address or a bare name.
#[must_use]
pub fn registrable_domain(host: &str) -> String {
    let host = without_port(host)
        .trim_end_matches('.')
        .to_ascii_lowercase();
    if host.parse::<std::net::IpAddr>().is_ok() {
        return host;
    }
    psl::domain_str(&host).map_or_else(|| host.clone(), str::to_owned)
}

/// A host without its port; the brackets of an IPv6 address go as well.
#[must_use]
pub fn without_port(host: &str) -> &str {
    if let Some(rest) = host.strip_prefix('[') {
        return rest.split(']').next().unwrap_or_default();
    }
    match host.split_once(':') {
        Some((name, port)) if !port.contains(':') => name,
        _ => host,
    }
}

/// Whether a host's registrable domain is left out of training: the first byte of its SHA-256 modulo 5 is 0.
#[must_use]
pub fn is_left_out(host: &str) -> bool {
    Sha256::digest(registrable_domain(host).as_bytes())
        .first()
        .is_some_and(|byte| byte % DOMAIN_MODULUS == 0)
}

/// Whether a payload is left out of training by its own bytes: the first eight bytes of its SHA-256 modulo 10,000, compared with the
/// share. Copies of a payload in several sources fall on the same side.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "a number below 10,000")]
pub fn is_payload_left_out(payload: &[u8], share: f64) -> bool {
    let digest = Sha256::digest(payload);
    let hash = digest
        .iter()
        .take(8)
        .fold(0_u64, |hash, byte| (hash << 8) | u64::from(*byte));
    ((hash % PAYLOAD_MODULUS) as f64) < share * PAYLOAD_MODULUS as f64 - 1e-9
}

/// How many records of a host come before its cut, when the last `share` of each host's `count` is left out.
#[must_use]
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a position in a list"
)]
pub fn position_cut(count: u64, share: f64) -> u64 {
    (count as f64 * (1.0 - share.clamp(0.0, 1.0))).round() as u64
}

/// What a split looks at in a line; keys that are absent or of another type are none.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LineKeys {
    /// The host of a request record.
    pub host: Option<String>,
    /// Seconds since the epoch.
    pub time: Option<f64>,
    /// The `source` key.
    pub source: Option<String>,
    /// What of an attack is told apart: the payload, or of a request its method, target and body.
    pub payload: Vec<u8>,
}

impl LineKeys {
    /// Reads the keys of one line; none if it is no JSON object.
    #[must_use]
    pub fn of(line: &[u8]) -> Option<Self> {
        #[derive(Deserialize)]
        struct Keys {
            #[serde(default)]
            uri: Option<String>,
            #[serde(default)]
            headers: Vec<(String, String)>,
            #[serde(default)]
            time: Option<Timestamp>,
            #[serde(default)]
            source: Option<String>,
            #[serde(default)]
            payload: Option<String>,
            #[serde(default)]
            method: Option<String>,
            #[serde(default)]
            body: Option<String>,
            #[serde(default)]
            body_base64: Option<String>,
        }
        let keys: Keys = serde_json::from_slice(line).ok()?;
        let request = OwnedRequest {
            target: keys.uri.as_deref().map(to_bytes).unwrap_or_default(),
            headers: keys
                .headers
                .iter()
                .map(|(name, value)| (to_bytes(name), to_bytes(value)))
                .collect(),
            ..OwnedRequest::default()
        };
        let payload = match &keys.payload {
            Some(payload) => to_bytes(payload),
            None => {
                let parts = [&keys.method, &keys.uri, &keys.body, &keys.body_base64];
                parts
                    .map(|part| part.clone().unwrap_or_default())
                    .join("\n")
                    .into_bytes()
            }
        };
        Some(Self {
            payload,
            host: request
                .host()
                .map(|host| String::from_utf8_lossy(host).into_owned()),
            time: keys.time.map(Timestamp::seconds),
            source: keys.source,
        })
    }
}

/// The moment from which on records are left out, so that the last `fraction` of `times` is.
#[must_use]
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a position in a list"
)]
pub fn time_cut(times: &[f64], fraction: f64) -> Option<f64> {
    let mut sorted = times.to_vec();
    sorted.sort_by(f64::total_cmp);
    let position = (sorted.len() as f64 * (1.0 - fraction.clamp(0.0, 1.0))).round() as usize;
    sorted.get(position).copied()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]

    use super::*;

    #[test]
    fn domains_follow_the_public_suffix_list() {
        assert_eq!(registrable_domain("www.shop.co.uk:443"), "shop.co.uk");
        assert_eq!(registrable_domain("A.B.Example.COM."), "example.com");
        assert_eq!(registrable_domain("10.1.2.3:80"), "10.1.2.3");
        assert_eq!(registrable_domain("[::1]:8080"), "::1");
        assert_eq!(registrable_domain("localhost:8080"), "localhost");
    }

    #[test]
    fn subdomains_and_ports_stay_on_one_side_and_about_a_fifth_is_left_out() {
        assert_eq!(
            is_left_out("www.ryanair.com"),
            is_left_out("api.ryanair.com:8443")
        );
        let out = (0..2000)
            .filter(|n| is_left_out(&format!("site{n}.com")))
            .count();
        assert!((320..480).contains(&out), "{out}");
    }

    #[test]
    fn the_rule_is_the_documented_hash() {
        let byte = Sha256::digest(b"example.com")[0];
        assert_eq!(is_left_out("www.example.com"), byte % 5 == 0);
    }

    #[test]
    fn keys_come_from_target_or_host_header() {
        let keys = LineKeys::of(br#"{"method":"GET","uri":"http://a.com/x","headers":[["Host","b.com"]],"time":"1970-01-01T00:00:10Z"}"#).unwrap();
        assert_eq!(
            (keys.host.as_deref(), keys.time),
            (Some("a.com"), Some(10.0))
        );
        let keys = LineKeys::of(br#"{"payload":"x","source":"list"}"#).unwrap();
        assert_eq!((keys.host, keys.source.as_deref()), (None, Some("list")));
        assert_eq!(LineKeys::of(b"nonsense"), None);
    }

    #[test]
    fn a_payload_falls_on_one_side_wherever_it_stands() {
        let out = (0..5000)
            .filter(|n| is_payload_left_out(format!("' or {n}=1").as_bytes(), 0.2))
            .count();
        assert!((900..1100).contains(&out), "{out}");
        assert!(!is_payload_left_out(b"x", 0.0) && is_payload_left_out(b"x", 1.0));
        let of = |line: &[u8]| LineKeys::of(line).unwrap().payload;
        assert_eq!(
            of(br#"{"payload":"x","source":"a"}"#),
            of(br#"{"source":"b","payload":"x"}"#)
        );
        assert_ne!(
            of(br#"{"method":"GET","uri":"/","body":"a"}"#),
            of(br#"{"method":"GET","uri":"/","body":"b"}"#)
        );
    }

    #[test]
    fn a_host_is_cut_by_position() {
        assert_eq!(
            [
                position_cut(10, 0.4),
                position_cut(1, 0.4),
                position_cut(0, 0.4),
                position_cut(5, 1.0)
            ],
            [6, 1, 0, 0]
        );
    }

    #[test]
    fn the_last_fraction_of_time_is_left_out() {
        let times: Vec<f64> = (0..10).rev().map(f64::from).collect();
        assert_eq!(time_cut(&times, 0.2), Some(8.0));
        assert_eq!(time_cut(&[], 0.2), None);
    }
}

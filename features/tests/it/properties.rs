//! What holds for every input: no panic, bounded output, order kept, nothing lost.

use crate::support::Sample;
use proptest::prelude::*;
use weir_features::{
    Extractor, FIELD_WIDTH, Location, MAX_DECODE_LAYERS, MAX_FIELDS, Marks, Scratch, WINDOW,
    WINDOW_STRIDE,
};

/// Bytes that look like the formats the extractor enters.
fn crafted() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..12),
        "[\\[\\]{}\"':,%&=?\\\\u0-9a-f<>;+/ \r\n-]{0,24}".prop_map(String::into_bytes),
        Just(b"eyJhIjoiYiJ9.eyJjIjoiZCJ9.".to_vec()),
        Just(b"--b\r\nContent-Disposition: form-data; name=\"x\"\r\n\r\n".to_vec()),
        Just(b"<!DOCTYPE a [<!ENTITY b \"c\">]><a d='e'>".to_vec()),
        Just(b"query { a(b: \"c\") }".to_vec()),
        Just(b"https://a.example/?b=c&d=".to_vec()),
    ];
    proptest::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

fn content_type() -> impl Strategy<Value = &'static str> {
    proptest::sample::select(vec![
        "application/json",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=b",
        "text/xml",
        "application/graphql",
        "text/plain",
        "",
    ])
}

proptest! {
    #[test]
    fn nothing_panics_and_every_row_is_finite(
        target in crafted(), cookie in crafted(), body in crafted(), kind in content_type(),
        encoding in proptest::sample::select(vec!["", "gzip", "deflate", "br"]),
    ) {
        let mut sample = Sample::post(kind, body).header("Cookie", cookie).header("Content-Encoding", encoding);
        sample.target = target;
        let mut scratch = Scratch::default();
        let mut row = vec![0.0; FIELD_WIDTH];
        sample.with_view(|request| {
            let fields = Extractor::shared().extract(request, &mut scratch);
            for field in fields.iter() {
                assert!(field.value.len() <= WINDOW.max(weir_features::MAX_VALUE));
                assert!(!field.value.is_empty());
                Extractor::shared().row(&field, &mut row);
                assert!(row.iter().all(|number| number.is_finite()), "{field:?}");
                assert_eq!(row[..Location::COUNT].iter().sum::<f32>(), 1.0);
            }
        });
    }

    #[test]
    fn limits_hold(keys in 0usize..3000, layers in 0usize..9) {
        let mut value = "'".to_owned();
        for _ in 0..layers {
            value = value.bytes().map(|byte| format!("%{byte:02x}")).collect();
        }
        let body: Vec<String> = (0..keys).map(|key| format!("k{key}=v{key}")).collect();
        let sample = Sample::post("application/x-www-form-urlencoded", body.join("&"));
        let fields = sample.fields();
        let parsed = fields.iter().filter(|field| !field.marks.contains(Marks::WINDOW)).count();
        prop_assert!(parsed <= MAX_FIELDS);
        let decoded = weir_features::decode(value.as_bytes());
        prop_assert!(decoded.layers <= MAX_DECODE_LAYERS);
        prop_assert_eq!(decoded.limited, layers > usize::from(MAX_DECODE_LAYERS));
    }

    #[test]
    fn distinct_query_pairs_keep_their_order(values in proptest::collection::vec("[a-z]{1,6}", 1..20)) {
        let query: Vec<String> = values.iter().enumerate().map(|(index, value)| format!("{value}{index}=v{index}")).collect();
        let sample = Sample::get(format!("/?{}", query.join("&")));
        let expected: Vec<String> = (0..values.len()).map(|index| format!("v{index}")).collect();
        prop_assert_eq!(sample.values(Location::QueryValue), expected);
    }

    #[test]
    fn a_payload_is_whole_in_some_window_wherever_it_stands(before in 0usize..5000, after in 0usize..5000) {
        let payload = "' UNION SELECT name, password FROM users WHERE 1=1 -- ";
        let longest = WINDOW - WINDOW_STRIDE;
        prop_assert!(payload.len() <= longest);
        let text = format!("{}{payload}{}", "x".repeat(before), "y".repeat(after));
        let sample = Sample::post("text/plain", text);
        prop_assert!(sample.fields().iter().any(|field| field.value.contains(payload.trim_end())));
    }

    #[test]
    fn scratch_memory_carries_nothing_over(first in crafted(), second in crafted()) {
        let mut used = Scratch::default();
        let (first, second) = (Sample::post("application/json", first), Sample::post("application/json", second));
        first.with_view(|request| { Extractor::shared().extract(request, &mut used); });
        let fresh = second.fields();
        second.with_view(|request| {
            let fields = Extractor::shared().extract(request, &mut used);
            assert_eq!(fields.len(), fresh.len());
            for (reused, fresh) in fields.iter().zip(&fresh) {
                assert_eq!(String::from_utf8_lossy(reused.value), fresh.value);
            }
        });
    }

    #[test]
    fn what_came_before_comes_to_the_same_again(
        values in proptest::collection::vec(values(), 1..4), body in crafted(), kind in content_type(),
        order in proptest::collection::vec(any::<proptest::sample::Index>(), 1..9),
    ) {
        let samples: Vec<Sample> = values.iter().map(|values| sample(values, &body, kind)).collect();
        let (mut used, mut fresh) = (Scratch::default(), Scratch::default());
        for at in order {
            at.get(&samples).with_view(|request| {
                fresh = Scratch::default();
                let recalled = Extractor::shared().extract(request, &mut used);
                let found = Extractor::shared().extract(request, &mut fresh);
                assert!(recalled.iter().eq(found.iter()), "{:?} is not {:?}", every(&recalled), every(&found));
                assert_eq!(recalled.overflow(), found.overflow());
                for index in 0..found.len() {
                    assert_eq!(recalled.digest(index), found.digest(index));
                }
            });
        }
    }
}

fn every(fields: &weir_features::Fields<'_>) -> Vec<String> {
    fields.iter().map(|field| format!("{field:?}")).collect()
}

/// Values of four places, some of which are equal, or what another reads as.
fn values() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let encoded = "[a-z ]{12,20}".prop_map(|text| {
        use base64::Engine as _;
        base64::engine::general_purpose::STANDARD
            .encode(text)
            .into_bytes()
    });
    let value = prop_oneof![
        crafted(),
        encoded,
        "un/\\*\\*/ion select [a-c]|union select [a-c]|[a-c]{1,3}%[0-9a-f]{2}[a-c]{1,3}|\\{\"a\":\"[a-c' ]{0,4}\"\\}"
            .prop_map(String::into_bytes),
        proptest::collection::vec(any::<u8>(), 1000..1100),
    ];
    proptest::collection::vec(value, 4)
}

fn sample(values: &[Vec<u8>], body: &[u8], kind: &str) -> Sample {
    let [path, query, cookie, agent] = values else {
        unreachable!("four values")
    };
    let mut sample = Sample::post(kind, body.to_vec())
        .header(
            "Cookie",
            [b"a=", cookie.as_slice(), b"; b=", agent].concat(),
        )
        .header("User-Agent", agent.clone())
        .header("X-One", query.clone())
        .header("X-One", cookie.clone());
    sample.target = [
        b"/",
        path.as_slice(),
        b"?q=",
        query,
        b"&q=",
        agent,
        b"&r=",
        cookie,
    ]
    .concat();
    sample
}

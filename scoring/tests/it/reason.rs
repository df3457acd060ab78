//! Explanations, as an operator reads them.

use weir_scoring::engine::{EngineScratch, NoExceptions, Subject};
use weir_scoring::gate::{self, ModelShape};
use weir_scoring::reason::{Reason, SecretKeys, TOP_FIELDS};
use weir_scoring::record::OwnedRequest;

use crate::traffic::{ENGINE, PARTS, request};

fn explain(request: &OwnedRequest) -> Reason {
    let mut scratch = EngineScratch::default();
    request
        .with_view(|view| {
            let subject = Subject {
                vector: Some(&[0.5; 35]),
                ..Subject::of(view)
            };
            ENGINE.explain(
                0,
                &subject,
                &NoExceptions,
                &mut scratch,
                &SecretKeys::default(),
            )
        })
        .unwrap()
}

#[test]
fn a_reason_names_place_value_cause_and_way_out() {
    let reason = explain(&request(
        "/search?q=lamp%27%20UNION%20SELECT%20name%20FROM%20users--%20&page=1",
    ));
    let field = &reason.fields[0];
    assert_eq!((field.location, field.key.as_str()), ("query_value", "q"));
    assert!(field.value.before.starts_with("lamp"), "{field:?}");
    assert!(
        field.value.marked.to_lowercase().contains("union select"),
        "{field:?}"
    );
    assert!(
        field
            .because
            .iter()
            .any(|cause| cause.what.starts_with("SQL: `union select`, `from`")),
        "{field:?}"
    );
    assert!(
        field
            .usual
            .contains("1 to 11 bytes, half of them at most 5; 0.2% contain SQL terms"),
        "{}",
        field.usual
    );
    assert!(!field.would_pass.is_empty());
    assert!(reason.fields.len() <= TOP_FIELDS);
    assert!(reason.fields.is_sorted_by(|a, b| a.score >= b.score));
    let text = reason.to_text();
    for part in [
        "Query value `q`: lamp»",
        "Score ",
        "Because: ",
        "Usual here: mostly plain text; ",
        "Would pass: ",
    ] {
        assert!(text.contains(part), "{part} is missing in\n{text}");
    }
    let json = serde_json::to_value(&reason).unwrap();
    assert_eq!(json["fields"][0]["location"], "query_value");
    assert!(json["request"]["because"].is_array());
}

#[test]
fn removing_the_marked_part_is_tried_and_told() {
    let reason = explain(&request(
        "/search?q=lamp%20%3Cscript%3Ealert(document.cookie)%3C/script%3E&page=1",
    ));
    assert!(
        reason.fields[0]
            .would_pass
            .starts_with("the same value without the marked part (score "),
        "{reason:?}"
    );
}

#[test]
fn the_planted_family_has_the_most_influence() {
    for (target, cause) in [
        (
            "/?q=x%20%2e%2e/%2e%2e/%2e%2e/etc/passwd",
            "a path that steps out of its folder, a path to a file that attackers read: `",
        ),
        (
            "/?q=lamp%0d%0aSet-Cookie:%20a=b",
            "a line break and a protocol line: `set-cookie:`",
        ),
    ] {
        let reason = explain(&request(target));
        let because = &reason.fields[0].because;
        assert!(
            because
                .iter()
                .any(|found| found.what.starts_with(cause) && found.share > 0.1),
            "{reason:#?}"
        );
        let total: f32 = because.iter().map(|found| found.share).sum();
        assert!(because.len() <= 6 && total <= 1.01, "{because:?}");
        assert!(
            because.is_sorted_by(|a, b| a.share >= b.share),
            "{because:?}"
        );
    }
}

#[test]
fn an_ordinary_request_is_one_line() {
    let reason = explain(&request("/search?q=green+desk&page=4"));
    assert_eq!(reason.fields.len(), 1);
    assert!(reason.fields[0].because.is_empty());
    let text = reason.to_text();
    let line = text.lines().next().unwrap();
    assert!(
        line.starts_with("Nothing unusual: the highest score of a field is 0."),
        "{text}"
    );
    let json = serde_json::to_value(&reason.fields[0]).unwrap();
    for name in [
        "location",
        "key",
        "score",
        "value",
        "because",
        "usual",
        "would_pass",
    ] {
        assert!(json.get(name).is_some(), "{name}");
    }
}

#[test]
fn the_windows_of_a_long_value_are_explained_once() {
    let reason = explain(&request(&format!("/?q={}", "A(".repeat(4000))));
    let places = reason
        .fields
        .iter()
        .filter(|field| field.key.starts_with('q'));
    assert_eq!(places.count(), 1, "{reason:#?}");
}

#[test]
fn the_baseline_is_read_from_the_model() {
    let shape = ModelShape::field(&PARTS.field.fingerprint);
    let model = gate::inspect(&PARTS.field.bytes(), &shape).unwrap();
    assert_eq!(model.vector("input.shift").unwrap().len(), shape.width);
    assert_eq!(model.vector("input.scale"), None);
}

#[test]
fn secrets_never_leave() {
    let secret = "Hunter2' OR 1=1 UNION SELECT x--";
    let mut login = request("/login?api_key=Hunter2%27+OR+1%3D1+UNION+SELECT+x--");
    login.method = b"POST".to_vec();
    login.headers.push((
        b"Authorization".to_vec(),
        format!("Bearer {secret}").into_bytes(),
    ));
    login
        .headers
        .push((b"Cookie".to_vec(), format!("theme={secret}").into_bytes()));
    login
        .headers
        .push((b"Content-Type".to_vec(), b"application/json".to_vec()));
    login.body = format!("{{\"user\":{{\"password\":\"{secret}\"}}}}").into_bytes();
    let reason = explain(&login);
    let all = format!(
        "{}{}",
        reason.to_text(),
        serde_json::to_string(&reason).unwrap()
    );
    assert!(!all.to_lowercase().contains("hunter2"), "{all}");
    assert!(!all.to_lowercase().contains("union"), "{all}");
    assert!(all.contains("[redacted, 32 bytes: "), "{all}");
}

#[test]
fn secrets_in_a_text_that_does_not_parse_are_masked() {
    let mut broken = request("/login");
    broken.method = b"POST".to_vec();
    broken
        .headers
        .push((b"Content-Type".to_vec(), b"text/plain".to_vec()));
    broken.body = b"'; DROP TABLE users; -- password=Hunter2 <script>alert(1)</script>".to_vec();
    let text = explain(&broken).to_text();
    assert!(text.contains("password=*******"), "{text}");
    assert!(!text.contains("Hunter2"), "{text}");
}

#[test]
fn hostile_names_and_values_stay_on_their_line() {
    let reason = explain(&request("/a?%0a%1b[2Jx=%0aunion%0aselect%1b]0;x%07"));
    for line in reason.to_text().lines() {
        assert!(
            !line.contains(|character: char| character.is_control()),
            "{line:?}"
        );
    }
    assert_eq!(
        reason.to_text().lines().count(),
        reason.fields.len() * 5 + 2
    );
}

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::time::Duration;

use super::*;
use crate::detect::BatchOptions;
use crate::units::Bytes;

const MINIMAL: &str = "\
listen:
  - address: 127.0.0.1:8080
model:
  bundle: ../models/base
upstreams:
  - name: app
    address: 127.0.0.1:9000
routes:
  - id: all
    upstream: app
";

fn read(_: &Path) -> io::Result<Vec<u8>> {
    Ok(b"0123456789abcdef0123456789abcdef\n".to_vec())
}

fn check(text: &str) -> Result<Config, Vec<Problem>> {
    parse(text, Path::new("/etc/weir"), &read)
}

fn problems(text: &str) -> Vec<String> {
    check(text)
        .expect_err("an error")
        .iter()
        .map(ToString::to_string)
        .collect()
}

/// The minimal configuration with one replacement; every problem in one text.
fn broken(from: &str, to: &str) -> String {
    assert!(MINIMAL.contains(from), "{from}");
    problems(&MINIMAL.replace(from, to)).join("\n")
}

#[test]
fn a_minimal_configuration_has_safe_defaults() {
    let config = check(MINIMAL).unwrap();
    let route = &config.routes[0];
    assert_eq!((route.mode, route.fail), (Mode::Shadow, FailMode::Open));
    assert_eq!(route.host, HostPattern::Any);
    assert_eq!(route.inspect.body, Bytes::kib(256));
    assert_eq!(route.inspect, Inspect::default());
    assert!(config.admin.address.ip().is_loopback());
    assert!(config.capture.is_none() && config.trusted_proxies.is_empty() && config.model.required);
    assert_eq!(
        config.model.bundle.as_deref(),
        Some(Path::new("/etc/weir/../models/base"))
    );
}

#[test]
fn the_reference_configuration_is_valid_and_states_the_defaults() {
    let text = include_str!("../../config/weir.yaml");
    let reference = check(text).unwrap();
    let minimal = check(MINIMAL).unwrap();
    assert_eq!(reference.limits, minimal.limits);
    assert_eq!(reference.model.score_cache, minimal.model.score_cache);
    assert_eq!(reference.timeouts, minimal.timeouts);
    assert_eq!(reference.sockets, minimal.sockets);
    assert_eq!(reference.audit, minimal.audit);
    assert_eq!(reference.redact, minimal.redact);
    assert_eq!(reference.log, minimal.log);
    assert_eq!(reference.admin, minimal.admin);
    assert_eq!(reference.upstreams[0], minimal.upstreams[0]);
    let (route, plain) = (&reference.routes[0], &minimal.routes[0]);
    assert_eq!(
        (route.mode, route.fail, &route.inspect),
        (plain.mode, plain.fail, &plain.inspect)
    );
}

/// Uncomments every `# key: value` of the reference: what it documents must exist.
#[test]
fn every_documented_key_exists() {
    let text = include_str!("../../config/weir.yaml");
    let uncommented: Vec<String> = text
        .lines()
        .map(|line| {
            let body = line.trim_start();
            let indent = &line[..line.len() - body.len()];
            match body.strip_prefix("#~ ") {
                Some(rest) => format!("{indent}{rest}"),
                None => line.to_owned(),
            }
        })
        .collect();
    let config = check(&uncommented.join("\n")).unwrap_or_else(|problems| panic_with(&problems));
    assert!(
        config.capture.is_some()
            && config.listeners[0].tls.is_some()
            && config.admin.token.is_some()
    );
    assert!(
        config
            .routes
            .iter()
            .any(|route| route.rate_limit.is_some() && !route.exceptions.is_empty())
    );
}

#[allow(clippy::panic)]
fn panic_with(problems: &[Problem]) -> Config {
    panic!(
        "{}",
        problems
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join("\n")
    )
}

#[test]
fn an_unknown_key_is_named_with_line_column_and_a_suggestion() {
    let found = broken("    upstream: app", "    upstream: app\n    modes: enforce");
    assert_eq!(
        found,
        "11:5: routes[0].modes: unknown key; did you mean `mode`?"
    );
    let found = broken("listen:", "frobnicate: 1\nlisten:");
    assert!(
        found.starts_with("1:1: frobnicate: unknown key; known keys are "),
        "{found}"
    );
}

#[test]
fn networks_are_addresses_with_an_optional_prefix() {
    let listener = "  - address: 127.0.0.1:8080";
    let with = |networks| format!("{listener}\n    proxy_protocol: [{networks}]");
    assert_eq!(
        broken(listener, &with("10.0.0.0/8, 10.0.0.0/33")),
        "3:34: listen[0].proxy_protocol[1]: `10.0.0.0/33` is not allowed here: expected an address or network such as \
         10.0.0.0/8 or 2001:db8::1"
    );
    let text = MINIMAL.replace(listener, &with("\"::1\", \"::ffff:10.0.0.0/104\""));
    let networks = check(&text).unwrap().listeners[0].proxy_protocol.clone();
    assert_eq!(networks[0].to_string(), "::1/128");
    assert_eq!(networks[1].to_string(), "10.0.0.0/8");
    assert_eq!(
        broken("listen:", "trusted_header: x-real-ip\nlisten:"),
        "1:17: trusted_header: `x-real-ip` is not allowed here: expected x-forwarded-for or forwarded"
    );
}

#[test]
fn the_score_cache_is_a_size_with_a_bound() {
    let with =
        |size: &str| MINIMAL.replace("model:\n", &format!("model:\n  score_cache: {size}\n"));
    let size = |text: &str| check(&with(text)).unwrap().model.score_cache;
    assert_eq!((size("0B"), size("1MiB")), (Bytes::kib(0), Bytes::mib(1)));
    let refused = problems(&with("2GiB")).join("\n");
    assert!(
        refused.contains("model.score_cache: `2GiB` is not allowed here: expected a size such as 64KiB, from 0B to 1GiB"),
        "{refused}"
    );
}

#[test]
fn batches_are_off_and_have_bounds() {
    let with = |batch: &str| MINIMAL.replace("model:\n", &format!("model:\n  batch: {batch}\n"));
    let batch = |text: &str| check(&with(text)).unwrap().model.batch;
    assert_eq!(check(MINIMAL).unwrap().model.batch, None);
    let options = |rows, micros| {
        let wait = Duration::from_micros(micros);
        Some(BatchOptions { rows, wait })
    };
    assert_eq!(batch("{}"), options(1024, 200));
    assert_eq!(batch("{rows: 256, wait: 0us}"), options(256, 0));
    assert_eq!(batch("{wait: 2ms}"), options(1024, 2000));
    let refused = problems(&with("{rows: 255, wait: 51ms, row: 3}")).join("\n");
    for problem in [
        "model.batch.rows: `255` is not allowed here: expected a whole number, from 256 to 16384",
        "model.batch.wait: `51ms` is not allowed here: expected a duration such as 250ms, 5s or 10m, from 0ms to 50ms",
        "model.batch.row",
    ] {
        assert!(refused.contains(problem), "{problem} missing in {refused}");
    }
}

#[test]
fn every_error_is_reported_at_once_in_the_order_of_the_text() {
    let text = "\
listen:
  - address: nowhere
model: {bundle: b, wait: 1}
upstreams:
  - name: app
    address: http://127.0.0.1:9000
    idle_timeout: 5
routes:
  - id: all
    upstream: ap
    mode: enforced
    inspect: {body: 1TiB, deadline: 0s}
timeouts: {header: fast}
";
    let found = problems(text);
    let keys = [
        "2:14: listen[0].address",
        "3:20: model.wait",
        "6:14: upstreams[0].address",
        "7:19: upstreams[0].idle_timeout",
        "10:15: routes[0].upstream",
        "11:11: routes[0].mode",
        "12:21: routes[0].inspect.body",
        "12:37: routes[0].inspect.deadline",
        "13:20: timeouts.header",
    ];
    for key in keys {
        assert!(
            found.iter().any(|problem| problem.starts_with(key)),
            "{key} missing in\n{}",
            found.join("\n")
        );
    }
    let positions: Vec<u64> = found
        .iter()
        .filter_map(|problem| problem.split(':').next()?.parse().ok())
        .collect();
    assert!(positions.is_sorted(), "{found:?}");
    let all = found.join("\n");
    assert!(all.contains("`enforced` is not allowed here: expected off, shadow or enforce (did you mean `enforce`?)"), "{all}");
    assert!(
        all.contains("from 0B to 16MiB") && all.contains("from 1ms to 1m"),
        "{all}"
    );
}

#[test]
fn routes_alike_are_refused() {
    let found = broken(
        "    upstream: app\n",
        "    upstream: app\n    path: /shop\n  - {id: b, path: /shop/, upstream: app}\n",
    );
    assert!(
        found.contains("12:5: routes[1]: routes `all` and `b` are alike"),
        "{found}"
    );
    let found = broken(
        "    upstream: app\n",
        "    upstream: app\n  - {id: all, path: /x, upstream: app}\n",
    );
    assert!(found.contains("another route has the id `all`"), "{found}");
    let different = MINIMAL.replace(
        "    upstream: app\n",
        "    upstream: app\n  - {id: b, host: a.example, upstream: app}\n  - {id: c, host: '*.example', upstream: app}\n",
    );
    assert_eq!(check(&different).unwrap().routes.len(), 3);
}

#[test]
fn budgets_have_three_forms_and_an_order() {
    let with = |budgets: &str| {
        MINIMAL.replace(
            "    upstream: app\n",
            &format!("    upstream: app\n    budgets: {budgets}\n"),
        )
    };
    let config = check(&with("{flag: 1/100, block: 0.001}")).unwrap();
    let budgets = config.routes[0].budgets;
    assert_eq!(budgets.flag.unwrap().to_string(), "1/100");
    assert_eq!(budgets.block.unwrap().to_string(), "1/1000");
    let config = check(&with("{block: {score: 3.2}}")).unwrap();
    assert_eq!(config.routes[0].budgets.flag, None);
    assert!((config.routes[0].budgets.block.unwrap().threshold().value() - 3.2).abs() < 1e-6);
    for (bad, says) in [
        (
            "{flag: often}",
            "11:21: routes[0].budgets.flag: `often` is not allowed here",
        ),
        ("{flag: 2}", "more than 0 and at most 1"),
        (
            "{flag: 1/1000, block: 1/100}",
            "must not be larger than the flag budget",
        ),
        ("{block: {score: 1000}}", "between 0 and 99"),
        ("{block: {scores: 3}}", "did you mean `score`?"),
        ("1/100", "expected a mapping"),
    ] {
        let found = problems(&with(bad)).join("\n");
        assert!(found.contains(says), "{bad}: {found}");
    }
}

#[test]
fn an_admin_listener_off_loopback_needs_a_token() {
    let open = format!("{MINIMAL}admin:\n  address: 0.0.0.0:9901\n");
    let found = problems(&open).join("\n");
    assert!(
        found.contains("12:12: admin.address: 0.0.0.0:9901 can be reached from other machines"),
        "{found}"
    );
    let closed = format!("{open}  token_file: token\n");
    assert!(check(&closed).unwrap().admin.token.is_some());
    let weak = parse(&closed, Path::new(""), &|_| Ok(b"short".to_vec())).unwrap_err();
    assert!(
        weak[0].message.contains("at least 16 printable characters"),
        "{weak:?}"
    );
    let missing = parse(&closed, Path::new(""), &|_| {
        Err(io::ErrorKind::NotFound.into())
    })
    .unwrap_err();
    assert!(missing[0].message.contains("cannot be read"), "{missing:?}");
    assert!(!format!("{:?}", check(&closed).unwrap()).contains("0123456789abcdef"));
}

#[test]
fn ports_cannot_be_used_twice() {
    let found = broken(
        "  - address: 127.0.0.1:8080\n",
        "  - address: 127.0.0.1:8080\n  - address: 127.0.0.1:8080\n",
    );
    assert!(
        found.contains("another listener has the address"),
        "{found}"
    );
    let found = problems(&format!("{MINIMAL}admin: {{address: '127.0.0.1:8080'}}\n")).join("\n");
    assert!(
        found.contains("the admin listener uses this address"),
        "{found}"
    );
}

#[test]
fn paths_and_hosts_are_in_normal_form() {
    let with = |line: &str| {
        MINIMAL.replace(
            "    upstream: app\n",
            &format!("    upstream: app\n    {line}\n"),
        )
    };
    for bad in [
        "path: shop",
        "path: /a/../b",
        "path: //a",
        "path: /a%20b",
        "path: /a?b",
        "host: 'a.example:80'",
        "host: '*example'",
        "host: 'a b'",
    ] {
        assert!(check(&with(bad)).is_err(), "{bad}");
    }
    assert_eq!(
        check(&with("host: '*.Shop.example'")).unwrap().routes[0].host,
        HostPattern::Suffix(".shop.example".to_owned())
    );
    assert_eq!(check(&with("mode: off")).unwrap().routes[0].mode, Mode::Off);
}

#[test]
fn routes_inherit_from_defaults() {
    let text = format!(
        "{MINIMAL}  - {{id: b, path: /b, upstream: app, fail: open}}\ndefaults: {{mode: enforce, fail: closed, rate_limit: {{requests: 10, per: 1m}}}}\n"
    );
    let config = check(&text).unwrap();
    assert!(
        config
            .routes
            .iter()
            .all(|route| route.mode == Mode::Enforce)
    );
    assert_eq!(
        (config.routes[0].fail, config.routes[1].fail),
        (FailMode::Closed, FailMode::Open)
    );
    let limit = config.routes[0].rate_limit.unwrap();
    assert_eq!(
        (limit.requests.get(), limit.burst.get(), limit.per),
        (10, 10, Duration::from_secs(60))
    );
}

#[test]
fn an_exception_must_name_a_field() {
    let found = broken(
        "    upstream: app\n",
        "    upstream: app\n    exceptions: [{path: /x}]\n",
    );
    assert!(found.contains("would except every field"), "{found}");
    let found = broken(
        "    upstream: app\n",
        "    upstream: app\n    exceptions: [{location: querys}]\n",
    );
    assert!(
        found.contains("expected path, query_key, query_value"),
        "{found}"
    );
}

#[test]
fn a_capture_must_be_able_to_rotate() {
    let found = problems(&format!(
        "{MINIMAL}capture: {{directory: c, file_size: 1MiB, total_size: 1MiB}}\n"
    ))
    .join("\n");
    assert!(found.contains("at least two files"), "{found}");
    let config = check(&format!("{MINIMAL}capture: {{directory: c}}\n")).unwrap();
    assert_eq!(
        config.capture.unwrap().key_file,
        Path::new("/etc/weir/c/token.key")
    );
}

#[test]
fn secret_names_can_be_replaced_and_extended() {
    let config = check(&format!("{MINIMAL}redact: {{extra: [Matricule]}}\n")).unwrap();
    assert!(
        config.redact.is_secret_name(b"matricule") && config.redact.is_secret_name(b"password")
    );
    let config = check(&format!("{MINIMAL}redact: {{keys: [matricule]}}\n")).unwrap();
    assert!(
        config.redact.is_secret_name(b"matricule") && !config.redact.is_secret_name(b"password")
    );
}

#[test]
fn what_is_no_yaml_says_where() {
    let found = problems("listen: [\nmodel: 1\n");
    assert!(found[0].contains(':'), "{found:?}");
    assert_eq!(
        problems("listen: 1\nlisten: 2\n"),
        ["2:1: duplicate mapping key: listen"]
    );
    assert!(problems("routes: *x\n")[0].contains("quote values that begin with `*`"));
    let empty = problems("").join("\n");
    assert!(
        empty.contains("listen: is missing") && empty.contains("routes: is missing"),
        "{empty}"
    );
}

#[test]
fn errors_name_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("weir.yaml");
    assert!(
        load(&file)
            .unwrap_err()
            .to_string()
            .contains("cannot be read")
    );
    std::fs::write(&file, "nonsense: 1\n").unwrap();
    let text = load(&file).unwrap_err().to_string();
    assert!(
        text.contains(&format!("{}:1:1: nonsense: unknown key", file.display())),
        "{text}"
    );
    std::fs::write(&file, b"a: \xff").unwrap();
    assert!(
        load(&file)
            .unwrap_err()
            .to_string()
            .contains("not valid UTF-8 at byte 3")
    );
}

proptest::proptest! {
    #[test]
    fn no_text_panics(text in "[a-z:{}\\[\\], *&\n-]{0,120}") {
        let _ = check(&text);
    }

    #[test]
    fn no_value_panics(value in "[^\n]{0,40}") {
        let _ = check(&MINIMAL.replace("127.0.0.1:8080", &value));
        let _ = check(&MINIMAL.replace("all", &value));
    }
}

#[test]
fn content_types_may_have_limits_of_their_own() {
    let with = |inspect: &str| {
        MINIMAL.replace(
            "    upstream: app\n",
            &format!("    upstream: app\n    inspect: {inspect}\n"),
        )
    };
    let config = check(&with(
        "{body: 64KiB, beyond: inspect_prefix, types: [{type: Application/JSON, body: 1MiB, beyond: reject}, {type: image/*}]}",
    ))
    .unwrap();
    let inspect = &config.routes[0].inspect;
    assert_eq!(
        inspect.limits_of("application/json"),
        (Bytes::mib(1), Some(Beyond::Reject))
    );
    for other in ["image/png", "text/plain", ""] {
        assert_eq!(
            inspect.limits_of(other),
            (Bytes::kib(64), Some(Beyond::InspectPrefix))
        );
    }
    for (bad, says) in [
        (
            "{types: [{type: json}]}",
            "expected a content type without parameters",
        ),
        ("{types: [{body: 1KiB}]}", "type: is missing"),
        (
            "{types: [{type: a/b, beyond: refuse}]}",
            "expected inspect_prefix or reject",
        ),
        (
            "{types: [{type: 'a/*'}, {type: a/b}]}",
            "put the narrower one first",
        ),
        ("{idle: 1ms}", "from 10ms to 10m"),
        ("{passing: -1}", "a size such as 64KiB"),
    ] {
        let found = problems(&with(bad)).join("\n");
        assert!(found.contains(says), "{bad}: {found}");
    }
}

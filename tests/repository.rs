//! The files around the code say what is true: configurations load, container files fit together, links lead somewhere.
//!
//! Not here: how the proxy behaves (tests/it).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::Value;
use weir_waf::config;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn yaml(path: &str) -> Value {
    serde_saphyr::from_str(&read(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn parse(text: &str, name: &str) -> config::Config {
    let no_files = |_: &Path| Err(io::Error::from(io::ErrorKind::NotFound));
    config::parse(text, Path::new("/base"), &no_files)
        .unwrap_or_else(|problems| panic!("{name}: {problems:?}"))
}

/// The documents that people read, but for generated ones.
fn documents() -> Vec<PathBuf> {
    let mut found = Vec::new();
    for folder in ["", "docs", "docs/decisions", "models"] {
        let Ok(entries) = fs::read_dir(root().join(folder)) else {
            continue;
        };
        found.extend(
            entries
                .flatten()
                .map(|entry| entry.path())
                .filter(|path| path.extension().is_some_and(|ext| ext == "md")),
        );
    }
    assert!(found.len() >= 10, "{found:?}");
    found
}

#[test]
fn shipped_configurations_load() {
    for name in ["weir.yaml", "demo.yaml", "compose.yaml"] {
        let path = root().join("config").join(name);
        if let Err(error) = config::load(&path) {
            panic!("{error}");
        }
    }
    let measured = read("benches/compare/weir.yaml")
        .replace("@CERTIFICATES@", "/c")
        .replace("@BUNDLE@", "/b")
        .replace("@MODE@", "enforce");
    assert_eq!(parse(&measured, "benches/compare/weir.yaml").workers, 1);
}

#[test]
fn configurations_in_the_documentation_load() {
    let mut seen = 0;
    for path in documents() {
        let text = fs::read_to_string(&path).unwrap();
        for block in text
            .split("```yaml\n")
            .skip(1)
            .filter_map(|rest| rest.split("```").next())
        {
            // Fragments (an exceptions list, say) are not whole configurations.
            if block.contains("listen:") {
                parse(block, &path.display().to_string());
                seen += 1;
            }
        }
    }
    assert!(
        seen >= 2,
        "README and operations.md each show a configuration"
    );
}

#[test]
fn the_compose_file_puts_weir_in_front_of_a_shop_that_has_no_other_door() {
    let compose = yaml("docker-compose.yml");
    let services = compose["services"].as_object().expect("services");
    assert!(
        services["shop"].get("ports").is_none(),
        "the shop must only be reachable through Weir"
    );
    let weir = &services["weir"];
    let stages = stages();
    for (name, service) in services {
        let target = service["build"]["target"].as_str().expect("a build target");
        assert!(
            stages.contains(target),
            "{name} builds `{target}`, which is no stage of the Dockerfile"
        );
        assert_eq!(service["read_only"], Value::Bool(true), "{name}");
    }

    let mounts: Vec<(&str, &str)> = weir["volumes"]
        .as_array()
        .expect("volumes")
        .iter()
        .map(|volume| {
            volume
                .as_str()
                .unwrap()
                .split_once(':')
                .expect("source:target")
        })
        .collect();
    let named = compose["volumes"].as_object().expect("named volumes");
    for (source, _) in &mounts {
        let there = if source.starts_with('.') {
            root().join(source).exists()
        } else {
            named.contains_key(*source)
        };
        assert!(there, "{source}");
    }
    let command: Vec<&str> = weir["command"]
        .as_array()
        .expect("a command")
        .iter()
        .filter_map(Value::as_str)
        .collect();
    assert_eq!(command[..2], ["run", "--config"]);
    assert!(
        mounts
            .iter()
            .any(|(_, target)| target.trim_end_matches(":ro") == command[2]),
        "{} is not mounted",
        command[2]
    );

    let config = parse(&read("config/compose.yaml"), "config/compose.yaml");
    assert!(
        services.contains_key(&config.upstreams[0].endpoints[0].host),
        "the upstream must be a service"
    );
    let published = weir["ports"][0].as_str().expect("a port");
    assert!(
        published.ends_with(&format!(":{}", config.listeners[0].address.port())),
        "{published}"
    );
    assert!(
        read("Dockerfile").contains(&format!(
            "0.0.0.0:{}",
            config.upstreams[0].endpoints[0].port
        )),
        "the shop listens elsewhere"
    );
    let data = mounts
        .iter()
        .find(|(source, _)| *source == "weir-data")
        .expect("a volume for data")
        .1;
    let capture = config.capture.expect("capture is on");
    assert!(
        capture.directory.starts_with(data),
        "captures would be lost with the container"
    );
}

fn stages() -> BTreeSet<String> {
    let text = read("Dockerfile");
    text.lines()
        .filter_map(|line| line.strip_prefix("FROM ")?.split_once(" AS "))
        .map(|(_, name)| name.to_owned())
        .collect()
}

#[test]
fn the_dockerfile_builds_from_what_is_here_and_does_not_run_as_root() {
    let text = read("Dockerfile");
    for line in text.lines().filter_map(|line| line.strip_prefix("COPY ")) {
        let mut words: Vec<&str> = line.split_whitespace().collect();
        words.pop();
        if words
            .first()
            .is_some_and(|word| word.starts_with("--from="))
        {
            continue;
        }
        for source in words {
            // The model is trained and committed by `make model`; the test of its own is elsewhere.
            assert!(
                root().join(source).exists() || source == "models/base/",
                "COPY {source}: it is not in the repository"
            );
        }
    }
    let last_stages: Vec<&str> = text.split("FROM base AS ").skip(1).collect();
    assert_eq!(last_stages.len(), 2);
    for stage in last_stages {
        let user = stage
            .lines()
            .find_map(|line| line.strip_prefix("USER "))
            .expect("a USER");
        assert!(!user.starts_with('0') && user != "root", "{user}");
        assert!(
            stage.lines().any(|line| line.starts_with("ENTRYPOINT [")),
            "no shell may stand between signals and weir"
        );
    }
    let channel = read("rust-toolchain.toml");
    let channel = channel
        .lines()
        .find_map(|line| line.strip_prefix("channel = "))
        .expect("a channel")
        .trim_matches('"');
    let image = text
        .lines()
        .find_map(|line| line.strip_prefix("FROM rust:"))
        .expect("a build image");
    assert!(
        channel.starts_with(image.split('-').next().unwrap()),
        "{image} is not the pinned toolchain {channel}"
    );
    assert!(text.contains("scripts/onnxruntime.sh"));
}

#[test]
fn links_lead_to_files() {
    for path in documents() {
        let text = fs::read_to_string(&path).unwrap();
        for target in text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next())
        {
            if target.contains("://") || target.starts_with('#') {
                continue;
            }
            let file = target.split('#').next().unwrap();
            // The model card comes with the model.
            let expected = file.ends_with("MODEL_CARD.md");
            assert!(
                path.parent().unwrap().join(file).exists() || expected,
                "{} links to {target}",
                path.display()
            );
        }
    }
}

#[test]
fn make_targets_in_the_documentation_exist() {
    let makefile = read("Makefile");
    let targets: BTreeSet<&str> = makefile
        .lines()
        .filter_map(|line| line.split_once(": ").or_else(|| line.split_once(":")))
        .map(|(name, _)| name)
        .filter(|name| {
            !name.is_empty()
                && name
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte == b'-')
        })
        .collect();
    assert!(
        targets.contains("demo") && targets.contains("test") && targets.contains("model"),
        "{targets:?}"
    );
    for path in documents() {
        let text = fs::read_to_string(&path).unwrap();
        for line in text.split('`').chain(text.lines()) {
            let Some(rest) = line.trim().strip_prefix("make ") else {
                continue;
            };
            let target = rest
                .split(|letter: char| !letter.is_ascii_lowercase() && letter != '-')
                .next()
                .unwrap();
            assert!(
                targets.contains(target),
                "{}: `make {target}` is no target",
                path.display()
            );
        }
    }
}

#[test]
fn scripts_of_the_makefile_can_be_run() {
    let makefile = read("Makefile");
    for script in makefile
        .split(|letter: char| letter.is_whitespace() || letter == ';')
        .filter(|word| word.contains("scripts/"))
    {
        let script = script.trim_start_matches('@');
        let metadata =
            fs::metadata(root().join(script)).unwrap_or_else(|error| panic!("{script}: {error}"));
        assert!(
            metadata.permissions().mode() & 0o111 != 0,
            "{script} is not executable"
        );
    }
}

#[test]
fn every_metric_is_documented() {
    let documented = read("docs/metrics.md");
    let source = read("src/telemetry/names.rs");
    // String literals that are a metric's whole name.
    let names: BTreeSet<&str> = source
        .split('"')
        .filter(|text| {
            text.starts_with("weir_")
                && text
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte == b'_')
        })
        .filter(|text| !text.starts_with("weir_waf"))
        .collect();
    assert!(names.len() >= 10, "{names:?}");
    for name in names {
        assert!(
            documented.contains(&format!("`{name}")),
            "docs/metrics.md does not mention {name}"
        );
    }
}

/// Keys of a configuration whose value begins with a digit, as dotted paths, addresses left out.
fn numbers(yaml: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut above: Vec<(usize, &str)> = Vec::new();
    for line in yaml.lines() {
        let line = line.split(" #").next().unwrap().trim_end();
        let item = line.trim_start();
        if item.is_empty() || item.starts_with('#') {
            continue;
        }
        let (item, dash) = match item.strip_prefix("- ") {
            Some(rest) => (rest, 2),
            None => (item, 0),
        };
        let indent = line.len() - line.trim_start().len() + dash;
        let Some((key, value)) = item.split_once(':') else {
            continue;
        };
        above.retain(|(outer, _)| *outer < indent);
        let value = value.trim();
        if value.is_empty() {
            above.push((indent, key));
        } else if value.starts_with(|first: char| first.is_ascii_digit()) && !value.contains(':') {
            let path: Vec<&str> = above.iter().map(|(_, key)| *key).chain([key]).collect();
            found.push((path.join("."), value.to_owned()));
        }
    }
    found
}

#[test]
fn every_limit_is_explained_with_its_default() {
    let documented = read("docs/operations.md");
    let limits = numbers(&read("config/weir.yaml"));
    let known = |key: &str, value: &str| limits.contains(&(key.to_owned(), value.to_owned()));
    assert!(known("limits.headers", "128") && known("upstreams.max_idle", "64"));
    for (key, default) in limits {
        assert!(
            documented.contains(&format!("| `{key}` | {default} | ")),
            "docs/operations.md does not say that {key} is {default} by default, and why"
        );
    }
}

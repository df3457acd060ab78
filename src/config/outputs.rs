//! The keys of everything the process writes: capture, decision records, log, and what is redacted in them.
//!
//! Not here: the writing.

use std::path::Path;

use super::fields;
use super::reader::Item;
use super::resolve;
use super::types::*;
use crate::detect::SecretKeys;
use crate::telemetry;
use crate::units::Bytes;

pub(super) fn capture(item: &Item<'_>, base: &Path) -> Option<Capture> {
    let section = item.section();
    let enabled = section
        .get("enabled")
        .and_then(|item| item.flag())
        .unwrap_or(true);
    let directory = section
        .need("directory", "where the recorded traffic goes")
        .and_then(|item| fields::path(&item, base));
    let key_file = section
        .get("key_file")
        .and_then(|item| fields::path(&item, base));
    let size = |name, range, default| {
        section
            .get(name)
            .and_then(|item| item.size(range))
            .unwrap_or(default)
    };
    let file_size = size(
        "file_size",
        Bytes::kib(64)..=Bytes::mib(4_096),
        Bytes::mib(16),
    );
    let total_size = size(
        "total_size",
        Bytes::kib(128)..=Bytes::mib(1_048_576),
        Bytes::mib(256),
    );
    let body = size("body", Bytes(0)..=Bytes::mib(4), Bytes::kib(64));
    if total_size.0 < 2 * file_size.0 {
        item.problem(format!(
            "total_size {total_size} must hold at least two files of file_size {file_size}: rotation deletes whole files"
        ));
    }
    let directory = directory?;
    let key_file = key_file.unwrap_or_else(|| directory.join("token.key"));
    enabled.then_some(Capture {
        directory,
        key_file,
        file_size,
        total_size,
        body,
    })
}

pub(super) fn audit(item: Option<&Item<'_>>, base: &Path) -> Audit {
    let section = item.map(Item::section);
    let get = |name| section.as_ref().and_then(|section| section.get(name));
    let output = get("output").and_then(|item| {
        Some(match item.text()? {
            "off" => AuditOutput::Off,
            "stdout" => AuditOutput::Stdout,
            file => AuditOutput::File(resolve(base, file)),
        })
    });
    Audit {
        output: output.unwrap_or(AuditOutput::Stdout),
        verdicts: get("verdicts")
            .and_then(|item| {
                item.choice(&[
                    ("notable", AuditVerdicts::Notable),
                    ("all", AuditVerdicts::All),
                ])
            })
            .unwrap_or(AuditVerdicts::Notable),
    }
}

pub(super) fn redact(item: Option<&Item<'_>>) -> SecretKeys {
    let section = item.map(Item::section);
    let names = |name| -> Option<Vec<String>> {
        let item = section.as_ref()?.get(name)?;
        Some(
            item.list()
                .iter()
                .filter_map(Item::text)
                .map(str::to_ascii_lowercase)
                .collect(),
        )
    };
    let (keys, extra) = (names("keys"), names("extra"));
    match (keys, extra) {
        (None, None) => SecretKeys::default(),
        (keys, extra) => {
            let keys = keys.unwrap_or_else(|| SecretKeys::default().words().to_vec());
            SecretKeys::new(keys.into_iter().chain(extra.unwrap_or_default()))
        }
    }
}

pub(super) fn log(item: Option<&Item<'_>>) -> Log {
    let section = item.map(Item::section);
    let get = |name| section.as_ref().and_then(|section| section.get(name));
    let level = get("level").and_then(|item| {
        let level = item.text()?;
        if telemetry::parse_level(level).is_err() {
            item.expected("error, warn, info, debug, trace, or pairs such as weir_waf=debug,warn");
        }
        Some(level.to_owned())
    });
    Log {
        level: level.unwrap_or_else(|| "info".to_owned()),
        format: get("format")
            .and_then(|item| item.choice(&[("text", LogFormat::Text), ("json", LogFormat::Json)]))
            .unwrap_or(LogFormat::Text),
    }
}

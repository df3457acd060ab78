//! On what was measured, and which versions: a figure without them says nothing.

use std::fs;
use std::process::Command;

use anyhow::Result;
use time::OffsetDateTime;
use time::macros::format_description;

use crate::cores::Cores;
use crate::nginx;
use crate::peers::Stage;

/// One paragraph for the document.
pub(crate) fn describe(stage: &Stage, cores: &Cores) -> Result<String> {
    let today = OffsetDateTime::now_utc().format(format_description!("[year]-[month]-[day]"))?;
    // Others at work make every figure wrong: the reader must see it.
    let load = fs::read_to_string("/proc/loadavg")?;
    let load = load.split(' ').next().unwrap_or_default();
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let mut versions = vec![weir(stage)?, format!("hyper {}", hyper())];
    versions.extend(nginx::version().map(|version| format!("nginx {version}")));
    versions.extend(package("libmodsecurity3"));
    versions.extend(package("modsecurity-crs"));
    let command: Vec<String> = std::env::args().skip(1).collect();
    let command = match command.join(" ") {
        none if none.is_empty() => "make bench".to_owned(),
        some => format!("make bench ARGS=\"{some}\""),
    };
    Ok(format!(
        "{today}, {} processors ({}), load {load} when it began, Linux {}. {}. `{command}`\n",
        cores.count(),
        processor(),
        kernel.trim(),
        versions.join(", "),
    ))
}

fn processor() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = text.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == "model name").then(|| value.trim().to_owned())
    });
    name.unwrap_or_else(|| std::env::consts::ARCH.to_owned())
}

/// The first line of `weir version`.
fn weir(stage: &Stage) -> Result<String> {
    let output = Command::new(stage.weir_program()).arg("version").output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(text.lines().next().unwrap_or("weir").to_owned())
}

/// As this program was built with.
fn hyper() -> String {
    let lock = include_str!("../../Cargo.lock");
    let version = lock.split("[[package]]").find_map(|package| {
        let rest = package.strip_prefix("\nname = \"hyper\"\nversion = \"")?;
        Some(rest.split_once('"')?.0.to_owned())
    });
    version.unwrap_or_default()
}

/// A Debian package's name and version, where it is installed.
fn package(name: &str) -> Option<String> {
    let output = Command::new("dpkg-query")
        .args(["--show", "--showformat=${Version}", name])
        .output()
        .ok()?;
    let version = String::from_utf8_lossy(&output.stdout).into_owned();
    let there = output.status.success() && !version.is_empty();
    there.then(|| format!("{name} {version}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_a_processor_and_this_program_a_version_of_hyper() {
        assert!(!processor().is_empty());
        assert!(hyper().starts_with("1."), "{}", hyper());
    }
}

//! The temporary folder of one demo: configuration, model copy, capture, decisions, logs. Gone when the demo ends.
//!
//! The configuration is config/demo.yaml with ports and paths replaced, so that what runs here is what the file says.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;

/// As they stand in config/demo.yaml.
const LISTENER: &str = "127.0.0.1:8080";
const ADMIN: &str = "127.0.0.1:9901";
const SHOP: &str = "127.0.0.1:9000";
const BUNDLE: &str = "../models/base";
const DATA: &str = "../demo-data";

pub(crate) struct Stage {
    folder: TempDir,
    pub(crate) weir: SocketAddr,
    pub(crate) admin: SocketAddr,
}

impl Stage {
    pub(crate) fn set(template: &Path, bundle: &Path, shop: SocketAddr) -> Result<Self> {
        let text = fs::read_to_string(template)
            .with_context(|| format!("cannot read {}", template.display()))?;
        let folder = tempfile::Builder::new()
            .prefix("weir-demo-")
            .tempdir()
            .context("cannot make a temporary folder")?;
        let [weir, admin] = free_addresses()?;
        let stage = Self {
            folder,
            weir,
            admin,
        };
        copy_bundle(bundle, &stage.bundle())?;
        fs::create_dir_all(stage.capture()).context("cannot make the capture folder")?;
        let replaced = fill(
            &text,
            &[
                (LISTENER, &weir.to_string()),
                (ADMIN, &admin.to_string()),
                (SHOP, &shop.to_string()),
                (BUNDLE, &stage.bundle().display().to_string()),
                (DATA, &stage.data().display().to_string()),
            ],
        )
        .with_context(|| format!("{} is not the file this demo expects", template.display()))?;
        fs::write(stage.config(), replaced).context("cannot write the configuration")?;
        Ok(stage)
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.folder.path().join("demo.yaml")
    }

    /// The bundle that runs; training publishes over it.
    pub(crate) fn bundle(&self) -> PathBuf {
        self.folder.path().join("model")
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub(crate) fn capture(&self) -> PathBuf {
        self.data().join("capture")
    }

    pub(crate) fn decisions(&self) -> PathBuf {
        self.data().join("decisions.jsonl")
    }

    pub(crate) fn log(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("{name}.log"))
    }

    /// The capture's files so far.
    pub(crate) fn captured(&self) -> Result<Vec<PathBuf>> {
        let entries = fs::read_dir(self.capture()).context("cannot read the capture folder")?;
        let mut files: Vec<PathBuf> = entries
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.to_string_lossy().contains(".jsonl"))
            .collect();
        files.sort();
        Ok(files)
    }
}

fn fill(text: &str, replacements: &[(&str, &str)]) -> Result<String> {
    let mut filled = text.to_owned();
    for (from, to) in replacements {
        ensure!(text.contains(from), "`{from}` does not occur in it");
        filled = filled.replace(from, to);
    }
    Ok(filled)
}

/// Free at this moment; another program could still take one before Weir does, and Weir would say so.
fn free_addresses() -> Result<[SocketAddr; 2]> {
    let bind = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port on 127.0.0.1");
    // Both are held before either is released: otherwise the second could be the first again.
    let (one, two) = (bind()?, bind()?);
    Ok([one.local_addr()?, two.local_addr()?])
}

fn copy_bundle(from: &Path, to: &Path) -> Result<()> {
    if !from.join("manifest.json").is_file() {
        bail!(
            "there is no model in {}: train one with `make model`, or name another with --bundle DIR",
            from.display()
        );
    }
    fs::create_dir(to).context("cannot make the model folder")?;
    for entry in fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            fs::copy(entry.path(), to.join(entry.file_name()))
                .with_context(|| format!("cannot copy {}", entry.path().display()))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn the_shipped_template_has_every_placeholder() {
        let text =
            fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("config/demo.yaml"))
                .expect("readable");
        let replaced = fill(
            &text,
            &[
                (LISTENER, "a"),
                (ADMIN, "b"),
                (SHOP, "c"),
                (BUNDLE, "d"),
                (DATA, "e"),
            ],
        )
        .expect("all there");
        assert!(!replaced.contains(SHOP));
        assert!(fill("nothing", &[(SHOP, "c")]).is_err());
    }

    #[test]
    fn a_folder_without_a_manifest_is_no_bundle() {
        let empty = tempfile::tempdir().unwrap();
        let error = copy_bundle(empty.path(), &empty.path().join("x")).expect_err("no manifest");
        assert!(error.to_string().contains("make model"), "{error}");
    }
}

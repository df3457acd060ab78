//! Watches the configuration file, the files of TLS and the bundle's manifest, and asks for a reload when their
//! content changed.
//!
//! Not here: the reload. Folders are watched, not files: editors, `weir-train` and container platforms replace files
//! and links by renaming. Only content counts: reading, touching or rewriting the same bytes reloads nothing.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use notify::event::{AccessKind, AccessMode, EventKind};
use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;
use tokio::time::timeout;
use weir_scoring::bundle::MANIFEST;

use crate::config::Config;
use crate::runtime::Shared;
use crate::runtime::reload::{Reloader, Trigger};

/// Quiet time after the last event before files are read: publishing a bundle is a burst of events.
const QUIET: Duration = Duration::from_millis(150);
/// A folder that never falls quiet (decision records beside the configuration) must not put a reload off for ever.
const LONGEST_BURST: Duration = Duration::from_secs(1);
/// Files larger than this are not hashed whole; the bundle's own limit is the same.
const MAX_READ: u64 = 8 * 1024 * 1024;
/// Links on the way to one file; the kernel follows no more.
const MAX_LINKS: usize = 40;

/// Watches until the process ends. Without inotify it says so and does nothing: signals and the API still reload.
pub async fn watch(shared: Arc<Shared>, reloader: Reloader, file: PathBuf) {
    let (sender, mut events) = mpsc::channel(1);
    let interest = Arc::new(ArcSwap::from_pointee(Interest::of(
        &file,
        &shared.pin().config,
    )));
    let of_events = Arc::clone(&interest);
    let started = notify::recommended_watcher(move |event: notify::Result<Event>| {
        if event.map_or(true, |event| of_events.load().concerns(&event)) {
            // One waiting wake-up stands for any number of events.
            let _already_woken = sender.try_send(());
        }
    });
    let mut watcher = match started {
        Ok(watcher) => watcher,
        Err(error) => {
            tracing::warn!(%error, "changed files will not be noticed; reload with SIGHUP");
            return;
        }
    };
    let mut watched = BTreeSet::new();
    let mut seen = Content::of(&file, &shared.pin().config);
    follow(&mut watcher, &mut watched, &interest);
    let mut failed = false;
    while events.recv().await.is_some() {
        settle(&mut events).await;
        let before = shared.pin();
        interest.store(Arc::new(Interest::of(&file, &before.config)));
        follow(&mut watcher, &mut watched, &interest);
        let now = Content::of(&file, &before.config);
        // Half of a replacement: the other half is another event.
        if !now.complete() || (now == seen && !failed) {
            continue;
        }
        seen = now;
        // A bundle whose manifest was copied before its models fails once and is tried again with every further file.
        failed = reloader.reload(Trigger::Watch).await.is_err();
        let after = shared.pin();
        let (old, new) = (&before.config, &after.config);
        if new.model.bundle != old.model.bundle || new.tls_files() != old.tls_files() {
            seen = Content::of(&file, &after.config);
            interest.store(Arc::new(Interest::of(&file, &after.config)));
            follow(&mut watcher, &mut watched, &interest);
        }
    }
}

/// Waits until events have stopped, within a bound: a file that never rests must not keep others waiting.
async fn settle(events: &mut mpsc::Receiver<()>) {
    let quiet = async { while matches!(timeout(QUIET, events.recv()).await, Ok(Some(()))) {} };
    let _still_busy = timeout(LONGEST_BURST, quiet).await;
}

/// Which events matter: others happen in the same folders, such as our own decision records.
#[derive(Debug, Default)]
struct Interest {
    /// Folders to watch.
    folders: BTreeSet<PathBuf>,
    /// Names of files, bundles and links in them.
    names: BTreeSet<OsString>,
    /// Everything in here matters.
    bundles: BTreeSet<PathBuf>,
}

impl Interest {
    fn of(file: &Path, config: &Config) -> Self {
        let mut interest = Self::default();
        // The link that container platforms switch; the files beside it are links through it.
        interest.names.insert("..data".into());
        interest.add_with_links(file);
        for file in config.tls_files() {
            interest.add_with_links(file);
        }
        if let Some(bundle) = &config.model.bundle {
            interest.add(bundle);
            let real = bundle.canonicalize().ok();
            for bundle in real.into_iter().chain([bundle.clone()]) {
                interest.folders.insert(bundle.clone());
                interest.bundles.insert(bundle);
            }
        }
        interest
    }

    /// A path by its name, and by the one that it has behind links.
    fn add(&mut self, path: &Path) {
        let real = path.canonicalize().ok();
        for path in real.iter().map(PathBuf::as_path).chain([path]) {
            self.folders.insert(match path.parent() {
                Some(parent) if parent.as_os_str().is_empty() => PathBuf::from("."),
                Some(parent) => parent.to_owned(),
                None => PathBuf::from("/"),
            });
            self.names.extend(path.file_name().map(OsString::from));
        }
    }

    /// A path and every link on the way to it: whichever is replaced, the file is another one.
    fn add_with_links(&mut self, path: &Path) {
        self.add(path);
        let mut left = MAX_LINKS;
        let mut pending = vec![path.to_owned()];
        while let Some(path) = pending.pop() {
            for part in path.ancestors() {
                let Ok(target) = std::fs::read_link(part) else {
                    continue;
                };
                if left == 0 {
                    return;
                }
                left -= 1;
                self.add(part);
                let rest = path.strip_prefix(part).unwrap_or(Path::new(""));
                let folder = part.parent().unwrap_or(Path::new(""));
                pending.push(folder.join(target).join(rest));
            }
        }
    }

    fn concerns(&self, event: &Event) -> bool {
        // Opening and reading is no change; we do it ourselves.
        let changes = match event.kind {
            EventKind::Access(AccessKind::Close(AccessMode::Write)) => true,
            EventKind::Access(_) => false,
            _ => true,
        };
        changes
            && event.paths.iter().any(|path| {
                let known = path
                    .file_name()
                    .is_some_and(|name| self.names.contains(name));
                known
                    || path
                        .parent()
                        .is_some_and(|folder| self.bundles.contains(folder))
            })
    }
}

/// Hashes of what is watched; `None` where it cannot be read.
#[derive(Debug, PartialEq, Eq)]
struct Content {
    config: Option<u64>,
    bundle: Option<u64>,
    wants_bundle: bool,
    /// A missing one is a state like any other: the reload says what is wrong.
    tls: Vec<Option<u64>>,
}

impl Content {
    fn of(file: &Path, config: &Config) -> Self {
        Self {
            config: hash(file),
            bundle: config
                .model
                .bundle
                .as_ref()
                .and_then(|bundle| hash(&bundle.join(MANIFEST))),
            wants_bundle: config.model.bundle.is_some(),
            tls: config.tls_files().into_iter().map(hash).collect(),
        }
    }

    fn complete(&self) -> bool {
        self.config.is_some() && (self.bundle.is_some() || !self.wants_bundle)
    }
}

fn hash(file: &Path) -> Option<u64> {
    use std::io::Read;
    let mut bytes = Vec::new();
    std::fs::File::open(file)
        .ok()?
        .take(MAX_READ)
        .read_to_end(&mut bytes)
        .ok()?;
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    Some(hasher.finish())
}

/// Watches the folders that matter now, and no others.
fn follow(
    watcher: &mut RecommendedWatcher,
    watched: &mut BTreeSet<PathBuf>,
    interest: &ArcSwap<Interest>,
) {
    let interest = interest.load();
    for gone in watched.difference(&interest.folders) {
        let _already_removed = watcher.unwatch(gone);
    }
    watched.clear();
    for folder in &interest.folders {
        // Watching again is cheap and needed: a folder that was replaced is another one under the same name.
        match watcher.watch(folder, RecursiveMode::NonRecursive) {
            Ok(()) => drop(watched.insert(folder.clone())),
            Err(error) => tracing::debug!(folder = %folder.display(), %error, "not watched"),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use notify::event::{CreateKind, ModifyKind};

    use super::*;
    use crate::testing::one_route;

    #[test]
    fn only_changes_of_what_is_configured_wake() {
        let mut config = one_route("mode: shadow");
        config.model.bundle = Some("/srv/models/current".into());
        let interest = Interest::of(Path::new("/etc/weir/weir.yaml"), &config);
        let concerns =
            |kind, path: &str| interest.concerns(&Event::new(kind).add_path(path.into()));
        let modify = EventKind::Modify(ModifyKind::Any);
        for path in [
            "/etc/weir/weir.yaml",
            "/etc/weir/..data",
            "/srv/models/current",
            "/srv/models/current/manifest.json",
        ] {
            assert!(concerns(modify, path), "{path}");
            assert!(concerns(EventKind::Create(CreateKind::Any), path), "{path}");
            assert!(
                !concerns(EventKind::Access(AccessKind::Open(AccessMode::Read)), path),
                "{path}"
            );
        }
        assert!(concerns(
            EventKind::Access(AccessKind::Close(AccessMode::Write)),
            "/etc/weir/weir.yaml"
        ));
        for path in [
            "/etc/weir/audit.jsonl",
            "/srv/models/other",
            "/etc/weir/.weir.yaml.swp",
        ] {
            assert!(!concerns(modify, path), "{path}");
        }
    }

    #[test]
    fn every_link_on_the_way_is_watched() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        std::fs::create_dir_all(root.join("store/v1")).unwrap();
        std::fs::write(root.join("store/v1/weir.yaml"), "a").unwrap();
        std::os::unix::fs::symlink("v1", root.join("store/now")).unwrap();
        std::os::unix::fs::symlink("store/now", root.join("etc")).unwrap();
        std::os::unix::fs::symlink("loop", root.join("loop")).unwrap();
        let config = one_route("mode: shadow");
        let interest = Interest::of(&root.join("etc/weir.yaml"), &config);
        for link in ["etc", "store/now", "store/v1/weir.yaml"] {
            let event = Event::new(EventKind::Create(CreateKind::Any)).add_path(root.join(link));
            assert!(interest.concerns(&event), "{link}");
        }
        for watched in ["", "store", "store/v1"] {
            assert!(interest.folders.contains(&root.join(watched)), "{watched}");
        }
        // Ends.
        Interest::of(&root.join("loop/weir.yaml"), &config);
    }

    #[test]
    fn content_is_compared_and_not_touched_files() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("weir.yaml");
        let config = one_route("mode: shadow");
        assert!(!Content::of(&file, &config).complete());
        std::fs::write(&file, "a").unwrap();
        let first = Content::of(&file, &config);
        std::fs::write(&file, "a").unwrap();
        assert_eq!(first, Content::of(&file, &config));
        std::fs::write(&file, "b").unwrap();
        assert_ne!(first, Content::of(&file, &config));
    }
}

//! Watches the configuration file and the bundle's manifest, and asks for a reload when their content changed.
//!
//! Not here: the reload. Folders are watched, not files: editors, `weir-train` and container platforms replace files
//! and links by renaming. Only content counts: reading, touching or rewriting the same bytes reloads nothing.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify::event::{AccessKind, AccessMode, EventKind};
use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;
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

/// Watches until the process ends. Without inotify it says so and does nothing: signals and the API still reload.
pub async fn watch(shared: Arc<Shared>, reloader: Reloader, file: PathBuf) {
    let (sender, mut events) = mpsc::channel(1);
    let started = notify::recommended_watcher(move |event: notify::Result<Event>| {
        if event.as_ref().is_ok_and(concerns_content) || event.is_err() {
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
    let mut folders = BTreeSet::new();
    let mut seen = Content::of(&file, &shared.pin().config);
    follow(&mut watcher, &mut folders, &file, &shared.pin().config);
    let mut failed = false;
    loop {
        if events.recv().await.is_none() {
            return;
        }
        let burst_ends = tokio::time::Instant::now() + LONGEST_BURST;
        while tokio::time::Instant::now() < burst_ends
            && tokio::time::timeout(QUIET, events.recv())
                .await
                .is_ok_and(|event| event.is_some())
        {}
        follow(&mut watcher, &mut folders, &file, &shared.pin().config);
        let now = Content::of(&file, &shared.pin().config);
        // Half of a replacement: the other half is another event.
        if !now.complete() || (now == seen && !failed) {
            continue;
        }
        seen = now;
        let before = shared.pin();
        // A bundle whose manifest was copied before its models fails once and is tried again with every further file.
        failed = reloader.reload(Trigger::Watch).await.is_err();
        let after = shared.pin();
        if after.config.model.bundle != before.config.model.bundle {
            seen = Content::of(&file, &after.config);
            follow(&mut watcher, &mut folders, &file, &after.config);
        }
    }
}

/// Opening and reading is no change; we do it ourselves.
fn concerns_content(event: &Event) -> bool {
    match event.kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => true,
        EventKind::Access(_) => false,
        _ => true,
    }
}

/// Hashes of what is watched; `None` where it cannot be read.
#[derive(Debug, PartialEq, Eq)]
struct Content {
    config: Option<u64>,
    bundle: Option<u64>,
    wants_bundle: bool,
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
    file: &Path,
    config: &Config,
) {
    let wanted = folders(file, config);
    for gone in watched.difference(&wanted) {
        let _already_removed = watcher.unwatch(gone);
    }
    let mut now = BTreeSet::new();
    for folder in wanted {
        // Watching again is cheap and needed: a folder that was replaced is another one under the same name.
        match watcher.watch(&folder, RecursiveMode::NonRecursive) {
            Ok(()) => drop(now.insert(folder)),
            Err(error) => tracing::debug!(folder = %folder.display(), %error, "not watched"),
        }
    }
    *watched = now;
}

/// For a file: its folder and, behind links, the folder it really lies in. For a bundle: the same, and itself.
fn folders(file: &Path, config: &Config) -> BTreeSet<PathBuf> {
    let parent = |path: &Path| match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => PathBuf::from("."),
        Some(parent) => parent.to_owned(),
        None => PathBuf::from("/"),
    };
    let mut folders = BTreeSet::from([parent(file)]);
    folders.extend(file.canonicalize().ok().map(|real| parent(&real)));
    if let Some(bundle) = &config.model.bundle {
        folders.insert(parent(bundle));
        folders.insert(bundle.clone());
        if let Ok(real) = bundle.canonicalize() {
            folders.insert(parent(&real));
            folders.insert(real);
        }
    }
    folders
}

//! Bundles on disk: publishing, replacing, and everything that may be wrong with one.

use std::fs;
use std::path::Path;

use weir_scoring::bundle::{
    Bundle, BundleError, BundleWriter, FIELD_MODEL, MANIFEST, Manifest, bundle_id,
};

use crate::traffic::{PARTS, field_only, files, publish, publish_as};

fn entries(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort_unstable();
    names
}

/// A published bundle after `damage`, and what opening it says.
fn damaged(damage: impl FnOnce(&Path)) -> String {
    let root = tempfile::tempdir().unwrap();
    let target = root.path().join("bundle");
    publish(&target);
    damage(&target);
    Bundle::open(&target).unwrap_err().to_string()
}

fn edit_manifest(target: &Path, edit: impl FnOnce(&mut serde_json::Value)) {
    let path = target.join(MANIFEST);
    let mut json = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    edit(&mut json);
    fs::write(&path, serde_json::to_vec(&json).unwrap()).unwrap();
}

#[test]
fn a_bundle_is_published_and_opened() {
    let root = tempfile::tempdir().unwrap();
    let target = root.path().join("models/base");
    let manifest = publish(&target);
    let bundle = Bundle::open(&target).unwrap();
    assert_eq!(bundle.manifest().id, manifest.id);
    assert_eq!(
        bundle.file(FIELD_MODEL),
        Some(PARTS.field.bytes().as_slice())
    );
    assert_eq!(bundle.manifest().id, bundle_id(&manifest.files));
    assert_eq!(&Manifest::read(&target).unwrap(), bundle.manifest());
    assert_eq!(entries(target.parent().unwrap()), ["base"]);
    assert_eq!(
        entries(&target),
        ["field.onnx", "manifest.json", "request.onnx"]
    );
}

#[test]
fn the_id_is_the_documented_hash() {
    let root = tempfile::tempdir().unwrap();
    let target = root.path().join("b");
    let manifest = publish_as(
        &target,
        &[("z.bin", b"z".to_vec()), (FIELD_MODEL, b"f".to_vec())],
        field_only(),
    )
    .unwrap();
    // Made with sha256sum from the lines "field.onnx <sha256 of f>" and "z.bin <sha256 of z>".
    assert_eq!(
        manifest.id,
        "e37d5b407111738896bf61b0cc429349e0a55a902926718e5e6e785dce5576a0"
    );
}

#[test]
fn a_bundle_replaces_a_bundle_as_a_whole() {
    let root = tempfile::tempdir().unwrap();
    let target = root.path().join("bundle");
    publish(&target);
    fs::write(target.join("stray.txt"), "left by somebody").unwrap();
    let manifest =
        publish_as(&target, &[(FIELD_MODEL, PARTS.field.bytes())], field_only()).unwrap();
    assert_eq!(Bundle::open(&target).unwrap().manifest().id, manifest.id);
    assert_eq!(entries(&target), ["field.onnx", "manifest.json"]);
    assert_eq!(entries(root.path()), ["bundle"]);
}

#[test]
fn a_link_to_a_bundle_stays_a_link() {
    let root = tempfile::tempdir().unwrap();
    let (real, link) = (root.path().join("real"), root.path().join("current"));
    publish(&real);
    std::os::unix::fs::symlink(&real, &link).unwrap();
    let manifest = publish_as(&link, &[(FIELD_MODEL, PARTS.field.bytes())], field_only()).unwrap();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(Manifest::read(&real).unwrap().id, manifest.id);
}

#[test]
fn a_writer_that_is_dropped_or_fails_leaves_everything_as_it_was() {
    let root = tempfile::tempdir().unwrap();
    let target = root.path().join("bundle");
    let before = publish(&target);
    let mut writer = BundleWriter::create(&target).unwrap();
    writer.add(FIELD_MODEL, b"half").unwrap();
    drop(writer);
    // A manifest that needs a file that was not added.
    let error = publish_as(&target, &files()[..1], PARTS.manifest.clone())
        .unwrap_err()
        .to_string();
    assert!(error.contains("request.onnx"), "{error}");
    assert_eq!(Bundle::open(&target).unwrap().manifest().id, before.id);
    assert_eq!(entries(root.path()), ["bundle"]);
}

#[test]
fn what_is_no_bundle_is_never_replaced() {
    let root = tempfile::tempdir().unwrap();
    let documents = root.path().join("documents");
    fs::create_dir(&documents).unwrap();
    fs::write(documents.join("thesis.txt"), "years of work").unwrap();
    let file = root.path().join("file");
    fs::write(&file, "").unwrap();
    for target in [&documents, &file] {
        let error = BundleWriter::create(target).unwrap_err();
        assert!(
            matches!(error, BundleError::NotReplaceable { .. }),
            "{error}"
        );
    }
    assert!(BundleWriter::create("/").is_err());
    assert_eq!(entries(&documents), ["thesis.txt"]);
}

#[test]
fn file_names_stay_inside_the_bundle() {
    let root = tempfile::tempdir().unwrap();
    let mut writer = BundleWriter::create(root.path().join("bundle")).unwrap();
    writer.add("a.bin", b"").unwrap();
    for name in [
        "",
        "../a",
        "a/b",
        ".hidden",
        "manifest.json",
        "a.bin",
        "a b",
        "ä",
    ] {
        assert!(
            matches!(writer.add(name, b""), Err(BundleError::Name(_))),
            "{name}"
        );
    }
}

#[test]
fn each_kind_of_damage_has_its_error() {
    let flip = |path: &Path| {
        let mut bytes = fs::read(path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(path, bytes).unwrap();
    };
    let truncate = |path: &Path| {
        let bytes = fs::read(path).unwrap();
        fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
    };
    let cases: [(&str, String, &[&str]); 13] = [
        (
            "flipped byte",
            damaged(|target| flip(&target.join(FIELD_MODEL))),
            &["field.onnx", "sha256", "copy or publish"],
        ),
        (
            "truncated model",
            damaged(|target| truncate(&target.join(FIELD_MODEL))),
            &["field.onnx", "size"],
        ),
        (
            "missing model",
            damaged(|target| fs::remove_file(target.join(FIELD_MODEL)).unwrap()),
            &["field.onnx is missing"],
        ),
        (
            "no manifest",
            damaged(|target| fs::remove_file(target.join(MANIFEST)).unwrap()),
            &["is no bundle", "weir-train"],
        ),
        (
            "truncated manifest",
            damaged(|target| truncate(&target.join(MANIFEST))),
            &["manifest.json is damaged"],
        ),
        (
            "later format",
            damaged(|target| edit_manifest(target, |json| json["format"] = 2.into())),
            &["format 2", "format 1"],
        ),
        (
            "fingerprint",
            damaged(|target| edit_manifest(target, |json| json["fingerprint"] = "v1-0".into())),
            &["extractor v1-0", "train again"],
        ),
        (
            "id",
            damaged(|target| edit_manifest(target, |json| json["id"] = "0".into())),
            &["id is", "expected 0"],
        ),
        (
            "width",
            damaged(|target| {
                edit_manifest(target, |json| {
                    json["detectors"]["field"]["width"] = 3.into()
                })
            }),
            &["3 inputs"],
        ),
        (
            "golden",
            damaged(|target| {
                edit_manifest(target, |json| {
                    json["golden"]["field"]["errors"] = serde_json::json!([1.0])
                })
            }),
            &["golden rows"],
        ),
        (
            "calibration",
            damaged(|target| {
                edit_manifest(target, |json| {
                    json["calibration"]["field"]["scale"] = serde_json::json!(-1.0)
                })
            }),
            &["calibration is damaged"],
        ),
        (
            "promise",
            damaged(|target| edit_manifest(target, |json| json["smallest_budget"] = 1e-9.into())),
            &[
                "promises false-positive budgets down to",
                "supports none below",
            ],
        ),
        (
            "outside",
            damaged(|target| {
                edit_manifest(target, |json| {
                    json["files"][0]["name"] = "../../etc/passwd".into()
                })
            }),
            &["no name for a file"],
        ),
    ];
    for (case, error, says) in cases {
        for says in says {
            assert!(error.contains(says), "{case}: {error}");
        }
    }
}

#[test]
fn oversize_files_are_refused_before_they_are_read() {
    let error = damaged(|target| {
        let file = fs::OpenOptions::new()
            .write(true)
            .open(target.join(FIELD_MODEL))
            .unwrap();
        file.set_len(1 << 40).unwrap();
    });
    assert!(error.contains("more than the 67108864 allowed"), "{error}");
    let error = damaged(|target| {
        let file = fs::OpenOptions::new()
            .write(true)
            .open(target.join(MANIFEST))
            .unwrap();
        file.set_len(1 << 40).unwrap();
    });
    assert!(error.contains("manifest.json has"), "{error}");
    let error = damaged(|target| {
        edit_manifest(target, |json| {
            json["files"][0]["bytes"] = (1u64 << 40).into()
        })
    });
    assert!(error.contains("more than the"), "{error}");
}

#[test]
fn readers_see_one_bundle_or_the_other_while_it_is_replaced() {
    let root = tempfile::tempdir().unwrap();
    let target = root.path().join("bundle");
    let ids = [publish(&target).id, {
        publish_as(&target, &[(FIELD_MODEL, PARTS.field.bytes())], field_only())
            .unwrap()
            .id
    }];
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for _ in 0..20 {
                publish(&target);
                publish_as(&target, &[(FIELD_MODEL, PARTS.field.bytes())], field_only()).unwrap();
            }
        });
        while !writer.is_finished() {
            // A manifest must always be there and whole; the files may belong to the next one, which `open` retries.
            assert!(ids.contains(&Manifest::read(&target).unwrap().id));
            if let Ok(bundle) = Bundle::open(&target) {
                assert!(ids.contains(&bundle.manifest().id));
            }
        }
    });
    assert_eq!(Bundle::open(&target).unwrap().manifest().id, ids[1]);
}

//! Engines of bundles that know their sites.

use weir_features::Extractor;
use weir_features::profile::{NewEndpoints, ProfileBuilder, ProfileKey};
use weir_scoring::budget::{Budgets, Verdict, verdict};
use weir_scoring::bundle::{Bundle, FIELD_MODEL, PROFILE};
use weir_scoring::engine::{
    Assessment, Engine, EngineScratch, LoadError, NoExceptions, Subject, Visit,
};

use crate::traffic::{OPTIONS, PARTS, field_only, publish_as, request, runtime};

/// What a hundred visits of several clients taught.
pub(crate) fn learned() -> ProfileBuilder {
    let mut builder = ProfileBuilder::new(ProfileKey::new([7; 16]));
    let mut scratch = weir_features::Scratch::default();
    for index in 0..100u64 {
        request(&format!("/search?q=lamp+desk&page={}", index % 9)).with_view(|view| {
            let fields = Extractor::shared().extract(view, &mut scratch);
            builder.observe(view, &fields, index % 5);
        });
    }
    builder
}

fn engine(profile: Vec<u8>) -> Result<Engine, LoadError> {
    let root = tempfile::tempdir().unwrap();
    let target = root.path().join("bundle");
    let files = [(FIELD_MODEL, PARTS.field.bytes()), (PROFILE, profile)];
    let manifest = publish_as(&target, &files, field_only()).unwrap();
    let listed: Vec<&str> = manifest
        .files
        .iter()
        .map(|file| file.name.as_str())
        .collect();
    assert_eq!(listed, [FIELD_MODEL, PROFILE]);
    Engine::load(runtime(), &Bundle::open(&target).unwrap(), &OPTIONS)
}

/// The verdict on a visit, and whether the path decided.
fn visit(engine: &Engine, target: &str, client: u64, new: Option<&NewEndpoints>) -> Assessment {
    let mut scratch = EngineScratch::default();
    request(target)
        .with_view(|view| {
            let visit = new.map(|new_endpoints| Visit {
                client,
                time: 0.0,
                new_endpoints,
            });
            let subject = Subject {
                visit,
                ..Subject::of(view)
            };
            engine.score(0, &subject, &NoExceptions, &mut scratch)
        })
        .unwrap()
}

#[test]
fn a_new_endpoint_is_unusual_until_enough_clients_use_it() {
    let engine = engine(learned().to_bytes()).unwrap();
    let new = NewEndpoints::new(100, 5, 3600.0);
    let target = "/offer?page=3";
    let alone = visit(&engine, target, 0, None);
    for _ in 0..50 {
        let hammered = visit(&engine, target, 1, Some(&new));
        assert_eq!(hammered.scores, alone.scores);
    }
    let deployed: Vec<bool> = (2..8)
        .map(|client| visit(&engine, target, client, Some(&new)).scores != alone.scores)
        .collect();
    assert_eq!(deployed, [false, false, false, true, true, true]);
    let ordinary = visit(&engine, target, 1, Some(&new)).scores;
    assert!(
        ordinary.field < alone.scores.field,
        "{ordinary:?} {alone:?}"
    );

    // What stands in the deployed endpoint's fields is judged as before.
    let attack = "/offer?page=%27%20UNION%20SELECT%20name,%20password%20FROM%20users--%20";
    let judged = visit(&engine, attack, 1, Some(&new));
    assert_eq!(verdict(&judged.scores, &Budgets::default()), Verdict::Block);
    assert_eq!(&*judged.top.unwrap().key, b"page");
    // And a known endpoint is never counted.
    visit(&engine, "/search?q=lamp&page=1", 1, Some(&new));
    assert_eq!(new.len(), 1);
}

#[test]
fn explaining_counts_nobody_twice() {
    let engine = engine(learned().to_bytes()).unwrap();
    let new = NewEndpoints::new(100, 3, 3600.0);
    let mut scratch = EngineScratch::default();
    let secrets = weir_scoring::reason::SecretKeys::default();
    for _ in 0..5 {
        let before = visit(&engine, "/offer?page=3", 1, Some(&new)).scores;
        request("/offer?page=3").with_view(|view| {
            let visit = Some(Visit {
                client: 1,
                time: 0.0,
                new_endpoints: &new,
            });
            let subject = Subject {
                visit,
                ..Subject::of(view)
            };
            engine
                .explain(0, &subject, &NoExceptions, &mut scratch, &secrets)
                .unwrap();
        });
        assert_eq!(
            visit(&engine, "/offer?page=3", 1, Some(&new)).scores,
            before
        );
    }
}

#[test]
fn a_profile_of_another_key_counts_anew() {
    let new = NewEndpoints::new(100, 2, 3600.0);
    let first = engine(learned().to_bytes()).unwrap();
    let mut other = ProfileBuilder::new(ProfileKey::new([8; 16]));
    let mut scratch = weir_features::Scratch::default();
    request("/search?q=lamp").with_view(|view| {
        let fields = Extractor::shared().extract(view, &mut scratch);
        (0..20).for_each(|source| other.observe(view, &fields, source));
    });
    let second = engine(other.to_bytes()).unwrap();
    visit(&first, "/offer", 1, Some(&new));
    visit(&first, "/offer", 2, Some(&new));
    assert_eq!(new.len(), 1);
    let alone = visit(&second, "/offer", 1, None).scores;
    assert_eq!(visit(&second, "/offer", 1, Some(&new)).scores, alone);
    assert_eq!(new.len(), 2);
}

#[test]
fn a_damaged_profile_is_refused_and_named() {
    let bytes = learned().to_bytes();
    let refused = |bytes: Vec<u8>| {
        let error = engine(bytes).unwrap_err();
        assert!(matches!(error, LoadError::Profile { .. }), "{error}");
        error.to_string()
    };
    let mut flipped = bytes.clone();
    flipped[bytes.len() / 2] ^= 1;
    for damaged in [flipped, bytes[..bytes.len() - 1].to_vec()] {
        let error = refused(damaged);
        assert!(
            error.contains(PROFILE) && error.contains("damaged"),
            "{error}"
        );
    }
    assert!(refused(b"something else".to_vec()).contains("no profile"));
    let mut later = bytes;
    later[8] = 99;
    assert!(refused(later).contains("version 99"));
}

#[test]
fn the_profile_is_part_of_the_bundles_identity() {
    let root = tempfile::tempdir().unwrap();
    let id = |name: &str, profile: Option<Vec<u8>>| {
        let mut files = vec![(FIELD_MODEL, PARTS.field.bytes())];
        files.extend(profile.map(|profile| (PROFILE, profile)));
        publish_as(&root.path().join(name), &files, field_only())
            .unwrap()
            .id
    };
    let without = id("without", None);
    let with = id("with", Some(learned().to_bytes()));
    let empty = ProfileBuilder::new(ProfileKey::new([7; 16])).to_bytes();
    assert!(without != with && with != id("other", Some(empty)));
    // Exchanging the file alone is noticed before it is parsed.
    let exchanged = root.path().join("with").join(PROFILE);
    std::fs::write(&exchanged, b"x").unwrap();
    let error = Bundle::open(root.path().join("with"))
        .unwrap_err()
        .to_string();
    assert!(error.contains(PROFILE), "{error}");
}

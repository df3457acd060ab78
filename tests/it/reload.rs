//! Reloads under load: no request fails, and each is decided by one generation from beginning to end.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::admin::{call, metric, post, status};
use crate::support::client::{Client, empty, full};
use crate::support::origin::{self, Origin};
use crate::support::weir::{LENIENT, Setup};
use crate::support::{bundle, eventually};

const RELOADS: usize = 200;
const CLIENTS: usize = 6;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_reloads_under_load_lose_nothing() {
    let origin = Origin::echo().await;
    let mut setup = Setup::new(origin.address);
    setup.model = Some("{bundle: current, watch: false}".to_owned());
    let folder = tempfile::tempdir().unwrap();
    let bundles = ["one", "two"].map(|name| folder.path().join(name));
    bundle::publish_variant(
        &bundles[0],
        bundle::Variant {
            number: 1,
            ..Default::default()
        },
    );
    bundle::publish_variant(
        &bundles[1],
        bundle::Variant {
            number: 2,
            ..Default::default()
        },
    );
    let yaml = setup.yaml();
    let with = |name: &std::path::Path| {
        yaml.replace(
            "bundle: current",
            &format!("bundle: \"{}\"", name.display()),
        )
    };
    setup.model = Some(format!(
        "{{bundle: \"{}\", watch: false}}",
        bundles[0].display()
    ));
    let weir = Arc::new(setup.start().await);

    let stop = Arc::new(AtomicBool::new(false));
    let answered = Arc::new(AtomicUsize::new(0));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|number| {
            tokio::spawn(load(
                weir.address,
                number,
                Arc::clone(&stop),
                Arc::clone(&answered),
            ))
        })
        .collect();
    let mut warm = 0;
    for round in 0..RELOADS {
        let before = answered.load(Ordering::SeqCst);
        let (code, text) = match round % 4 {
            // Another bundle.
            0 | 2 => {
                weir.rewrite(&with(&bundles[(round / 2 + 1) % 2]));
                post(&weir, "/-/reload", "").await
            }
            // Other thresholds.
            1 => {
                call(
                    &weir,
                    "PUT",
                    "/-/thresholds",
                    "{\"route\":\"*\",\"flag\":\"1/2\"}",
                )
                .await
            }
            // Another configuration.
            _ => {
                let changed = with(&bundles[(round / 2 + 1) % 2])
                    .replace(LENIENT, &LENIENT.replace("98", "97"));
                weir.rewrite(&changed);
                post(&weir, "/-/reload", "").await
            }
        };
        assert_eq!(code, 200, "{text}");
        // Traffic between any two reloads, or this would test nothing.
        eventually("answers between reloads", || {
            (answered.load(Ordering::SeqCst) > before).then_some(())
        })
        .await;
        if round == RELOADS / 2 {
            warm = weir.resident();
        }
    }
    stop.store(true, Ordering::SeqCst);
    for client in clients {
        client.await.unwrap();
    }
    let total = answered.load(Ordering::SeqCst);
    let records = eventually("every record", || {
        let records = weir.records();
        (records.len() >= total).then_some(records)
    })
    .await;
    assert_eq!(records.len(), total);
    let mut bundle_of: HashMap<u64, String> = HashMap::new();
    for record in &records {
        let generation = record["generation"].as_u64().unwrap();
        let bundle = record["bundle"].as_str().unwrap().to_owned();
        let known = bundle_of
            .entry(generation)
            .or_insert_with(|| bundle.clone());
        assert_eq!(
            *known, bundle,
            "generation {generation} was decided by two bundles"
        );
        assert!(record.get("failure").is_none(), "{record}");
    }
    assert!(
        bundle_of.len() > RELOADS / 2,
        "{} generations served",
        bundle_of.len()
    );
    assert_eq!(status(&weir).await["generation"], RELOADS + 1);
    assert_eq!(
        metric(&weir, "weir_reloads_total{trigger=\"api\",outcome=\"ok\"}").await,
        RELOADS as f64 * 0.75
    );
    let end = weir.resident();
    println!("{total} requests; {warm} KiB at half time, {end} KiB at the end");
    assert!(
        end < warm + warm / 5 + 8 * 1024,
        "memory grows with reloads: {warm} -> {end} KiB"
    );
}

async fn load(
    address: std::net::SocketAddr,
    number: usize,
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
) {
    let mut client = Client::http1(address).await;
    let mut round = 0;
    while !stop.load(Ordering::SeqCst) {
        let target = format!("/search?client={number}&round={round}");
        let request = if round % 3 == 0 {
            client
                .request("POST", &target)
                .header("content-type", "application/json")
                .body(full("{\"a\":[1,2,3]}"))
        } else {
            client.request("GET", &target).body(empty())
        };
        let response = client.send(request.unwrap()).await;
        assert_eq!(response.status(), 200);
        answered.fetch_add(1, Ordering::SeqCst);
        round += 1;
    }
}

#[tokio::test]
async fn a_request_in_flight_finishes_on_its_snapshot() {
    let (release, wait) = tokio::sync::watch::channel(false);
    let origin = Origin::with(move |_| {
        let mut wait = wait.clone();
        async move {
            wait.wait_for(|go| *go).await.unwrap();
            hyper::Response::new(origin::full("old"))
        }
    })
    .await;
    let setup = Setup::new(origin.address);
    let weir = setup.start().await;
    let mut client = Client::http1(weir.address).await;
    let answer = tokio::spawn(async move { client.get("/before").await });
    eventually("the request at the origin", || {
        (origin.connections() == 1).then_some(())
    })
    .await;
    // The new configuration knows another origin and would block everything.
    let other = Origin::echo().await;
    let yaml = setup
        .yaml()
        .replace(&origin.address.to_string(), &other.address.to_string());
    weir.rewrite(&yaml.replace(LENIENT, crate::support::weir::STRICT));
    assert_eq!(post(&weir, "/-/reload", "").await.0, 200);
    assert_eq!(
        Client::http1(weir.address)
            .await
            .get("/after")
            .await
            .status(),
        403
    );
    release.send(true).unwrap();
    let response = answer.await.unwrap();
    assert_eq!(
        (response.status().as_u16(), response.body().as_ref()),
        (200, &b"old"[..])
    );
    let record = weir
        .record(response.headers()["x-request-id"].to_str().unwrap())
        .await;
    assert_eq!(
        (&record["generation"], &record["path"]),
        (&1.into(), &"/before".into())
    );
}

#[tokio::test]
async fn a_signal_and_a_changed_file_reload_too() {
    let origin = Origin::echo().await;
    let mut setup = Setup::new(origin.address);
    setup.model = Some("{bundle: bundle}".to_owned());
    let folder_bundle = setup.clone();
    let weir = {
        let mut first = folder_bundle;
        first.model = None;
        first.start().await
    };
    weir.signal("HUP");
    within_generation(&weir, 2).await;
    weir.rewrite(&setup.yaml());
    assert_eq!(post(&weir, "/-/reload", "").await.0, 200);
    assert_eq!(status(&weir).await["generation"], 3);
}

async fn within_generation(weir: &crate::support::weir::Weir, generation: u64) {
    crate::support::within("the generation", async {
        while status(weir).await["generation"] != generation {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

//! Profiles from outside: what they say of the usual and of the unusual.

use crate::support::Sample;
use proptest::prelude::*;
use sha2::Digest as _;
use weir_features::profile::{
    NewEndpoints, PROFILE_FEATURES, PROFILE_WIDTH, Profile, ProfileBuilder, ProfileError,
    ProfileKey, UsualLevel,
};
use weir_features::{Extractor, Location, Scratch};

fn builder() -> ProfileBuilder {
    ProfileBuilder::new(ProfileKey::new(*b"0123456789abcdef"))
}

fn observe(builder: &mut ProfileBuilder, sample: &Sample, source: u64) {
    let mut scratch = Scratch::default();
    sample.with_view(|request| {
        let fields = Extractor::shared().extract(request, &mut scratch);
        builder.observe(request, &fields, source);
    });
}

/// The profile's columns of the first field at `location` with `key`, by name.
fn columns(
    profile: &Profile,
    sample: &Sample,
    location: Location,
    key: &str,
) -> impl Fn(&str) -> f32 + use<> {
    let mut scratch = Scratch::default();
    let mut row = vec![f32::NAN; PROFILE_WIDTH];
    sample.with_view(|request| {
        let fields = Extractor::shared().extract(request, &mut scratch);
        let endpoint = profile.endpoint(request, &fields);
        let field = fields
            .iter()
            .find(|field| field.location == location && field.key == key.as_bytes())
            .unwrap();
        assert_eq!(endpoint.write(&field, &mut row), endpoint.is_known());
    });
    assert!(row.iter().all(|number| number.is_finite()));
    move |name| {
        row[PROFILE_FEATURES
            .iter()
            .position(|feature| *feature == name)
            .unwrap()]
    }
}

fn item(id: u32, query: &str) -> Sample {
    Sample::get(format!("/item/{id}?{query}"))
        .header("Host", "Shop.Example:8080")
        .header("User-Agent", "Mozilla/5.0")
}

fn shop() -> Profile {
    learned_shop().freeze()
}

fn learned_shop() -> ProfileBuilder {
    let mut builder = builder();
    for index in 0..200 {
        let query = format!("page={}&sort=name", index % 9);
        observe(
            &mut builder,
            &item(index, &query),
            u64::from(index % 13) + 1,
        );
    }
    assert_eq!(builder.requests(), 200);
    builder
}

#[test]
fn the_usual_is_all_zero_but_for_context() {
    let profile = shop();
    let usual = item(177, "page=3&sort=name");
    for (location, key) in [
        (Location::QueryValue, "page"),
        (Location::QueryValue, "sort"),
        (Location::Path, ""),
        (Location::UserAgent, ""),
    ] {
        let column = columns(&profile, &usual, location, key);
        assert_eq!(column("site profile known"), 1.0);
        for name in PROFILE_FEATURES {
            if name.contains("never seen") || name.contains("missing") || name.contains("another") {
                assert!(column(name) < 0.01, "{location:?} {key}: {name}");
            }
        }
    }
}

#[test]
fn an_attack_in_a_number_is_of_another_type_and_shape() {
    let attack = item(7, "page=<script>alert(1)</script>&sort=name");
    let column = columns(&shop(), &attack, Location::QueryValue, "page");
    for name in [
        "judged by its own endpoint",
        "of another type than always before",
        "never seen value",
        "never seen shape",
        "never seen kinds of character",
        "never seen character patterns",
        "length outside the range seen",
    ] {
        assert!(column(name) >= 1.0, "{name}: {}", column(name));
    }
}

#[test]
fn names_endpoints_and_methods_are_judged_on_the_row_of_the_path() {
    let profile = shop();
    let path = |sample: &Sample| columns(&profile, sample, Location::Path, "");
    let renamed = path(&item(7, "pagex=3&sort=name"));
    assert!(renamed("never seen set of parameters") > 3.0);
    assert!(renamed("parameters that this endpoint does not know") > 1.0);
    assert!(renamed("parameters missing that were always there") > 1.0);
    let hidden = Sample::get("/item.bak").header("Host", "shop.example.");
    assert!(path(&hidden)("never seen endpoint") > 3.0);
    assert!(path(&hidden)("never seen file extension") > 1.0);
    let mut posted = item(7, "page=3&sort=name");
    posted.method = "PUT".to_owned();
    assert!(path(&posted)("never seen method at this endpoint") > 3.0);
    let doubled = path(&item(7, "page=3&page=4&sort=name"));
    assert!(doubled("parameters repeated more often than ever") > 1.0);
}

#[test]
fn another_host_has_no_profile() {
    let other = Sample::get("/item/7?page=3").header("Host", "other.example");
    let column = columns(&shop(), &other, Location::QueryValue, "page");
    assert!(PROFILE_FEATURES.iter().all(|name| column(name) == 0.0));
}

/// Requests of two hosts whose paths and values collide often and sometimes pass the bounds.
fn request() -> impl Strategy<Value = (Sample, u64)> {
    let segment = prop_oneof!["[a-c]", "[0-9]{1,3}", Just("x".to_owned()), "[a-z]{4}"];
    let query = proptest::collection::vec("[ab]=([0-9]{1,3}|[a-z' <]{0,6}|%C3%BC)", 0..4);
    let path = proptest::collection::vec(segment, 0..4);
    (path, query, "[ab]", 0u64..4).prop_map(|(path, query, host, source)| {
        let target = format!("/{}?{}", path.join("/"), query.join("&"));
        (
            Sample::get(target.replace(['\'', '<', ' '], "+")).header("Host", host),
            source,
        )
    })
}

fn learned(requests: &[(Sample, u64)]) -> ProfileBuilder {
    let mut builder = builder();
    for (sample, source) in requests {
        observe(&mut builder, sample, *source);
    }
    builder
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn order_and_splits_change_nothing(
        requests in proptest::collection::vec(request(), 0..40),
        split in any::<proptest::sample::Index>(),
        seed in any::<u64>(),
    ) {
        let all = learned(&requests);
        let mut shuffled = requests.clone();
        shuffled.sort_by_key(|(sample, source)| {
            let target = sample.target.iter().fold(seed, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3));
            target ^ source
        });
        prop_assert_eq!(learned(&shuffled).to_bytes(), all.to_bytes());
        let (first, second) = requests.split_at(split.index(requests.len() + 1));
        let mut merged = learned(first);
        merged.merge(&learned(second)).unwrap();
        prop_assert_eq!(merged.to_bytes(), all.to_bytes());
        prop_assert_eq!(ProfileBuilder::from_bytes(&all.to_bytes()).unwrap(), all);
    }

    #[test]
    fn damaged_bytes_are_refused(
        requests in proptest::collection::vec(request(), 1..4),
        at in any::<proptest::sample::Index>(),
        with in any::<u8>(),
        fix in any::<bool>(),
    ) {
        let bytes = learned(&requests).to_bytes();
        let mut damaged = bytes.clone();
        let at = at.index(bytes.len());
        damaged[at] = with;
        if fix {
            // Whoever damages on purpose corrects the checksum.
            let end = damaged.len() - 16;
            let checksum = sha2::Sha256::digest(&damaged[..end]);
            damaged[end..].copy_from_slice(&checksum[..16]);
        }
        if let Ok(read) = ProfileBuilder::from_bytes(&damaged) {
            // What is read is canonical, whatever it says.
            prop_assert_eq!(read.to_bytes(), damaged);
            let _ = read.freeze();
        } else if at >= 8 && !fix {
            prop_assert!(damaged != bytes);
        }
        prop_assert!(ProfileBuilder::from_bytes(&bytes[..at]).is_err());
    }
}

#[test]
fn many_names_of_things_become_one_endpoint_in_any_order() {
    let names: Vec<(Sample, u64)> = (0..300u64)
        .map(|index| {
            let name: String = format!("{:04x}", index * 7919 % 65536)
                .bytes()
                .map(|byte| char::from(b'g' + byte % 16))
                .collect();
            let sample = Sample::get(format!("/user/{name}{index}z/posts?page={}", index % 5));
            (sample.header("Host", "a"), index % 7)
        })
        .collect();
    let all = learned(&names);
    let (first, second) = names.split_at(150);
    let mut merged = learned(second);
    merged.merge(&learned(first)).unwrap();
    assert_eq!(merged, all);
    let other = Sample::get("/user/somebody/posts?page='").header("Host", "a");
    let column = columns(&all.freeze(), &other, Location::QueryValue, "page");
    assert_eq!(column("judged by its own endpoint"), 1.0);
    assert!(column("of another type than always before") > 1.0);
}

#[test]
fn crowds_of_paths_fold_a_whole_depth_in_any_order() {
    // 100 parents with 60 children each: no parent has too many, all together have.
    let paths: Vec<(Sample, u64)> = (0..6000u64)
        .map(|index| {
            let word = |number: u64| {
                format!("{}", number + 1000)
                    .bytes()
                    .map(|digit| char::from(digit + 49))
                    .collect::<String>()
            };
            let sample = Sample::get(format!("/{}/{}", word(index % 100), word(index)));
            (sample.header("Host", "a"), index % 7)
        })
        .collect();
    let all = learned(&paths);
    let (first, second) = paths.split_at(2500);
    let mut merged = learned(second);
    merged.merge(&learned(first)).unwrap();
    assert!(merged == all);
    assert!(all.to_bytes().len() < 1_000_000, "{}", all.to_bytes().len());
}

#[test]
fn profiles_of_other_keys_and_files_are_refused() {
    let mut one = builder();
    let two = ProfileBuilder::new(ProfileKey::new([0; 16]));
    assert_eq!(one.merge(&two), Err(ProfileError::OtherKey));
    assert_eq!(
        ProfileBuilder::from_bytes(b"PK\x03\x04").unwrap_err(),
        ProfileError::NoProfile
    );
    let mut bytes = one.to_bytes();
    bytes[8] = 9;
    assert_eq!(
        ProfileBuilder::from_bytes(&bytes).unwrap_err(),
        ProfileError::Version { found: 9 }
    );
    assert_eq!(
        ProfileBuilder::from_bytes(b"WEIRPROF").unwrap_err(),
        ProfileError::Damaged
    );
}

#[test]
fn what_one_source_repeats_does_not_become_usual() {
    let mut builder = builder();
    for index in 0..200 {
        observe(
            &mut builder,
            &item(index, &format!("page={}", index % 9)),
            u64::from(index % 13) + 1,
        );
        observe(&mut builder, &item(index, "page=1%27--"), 99);
    }
    let column = columns(
        &builder.freeze(),
        &item(3, "page=1%27--"),
        Location::QueryValue,
        "page",
    );
    assert!(column("never seen kinds of character") > 0.5);
    assert!(column("never seen character patterns") > 0.5);
}

#[test]
fn the_usual_is_told_in_words() {
    let profile = shop();
    let usual = |sample: &Sample, location: Location, key: &str| {
        let mut scratch = Scratch::default();
        sample.with_view(|request| {
            let fields = Extractor::shared().extract(request, &mut scratch);
            let endpoint = profile.endpoint(request, &fields);
            let field = fields
                .iter()
                .find(|field| field.location == location && field.key == key.as_bytes())
                .unwrap();
            endpoint.usual(&field).unwrap()
        })
    };
    let attack = item(7, "page=<script>&x=1");
    let page = usual(&attack, Location::QueryValue, "page");
    assert_eq!(page.level, UsualLevel::Endpoint);
    assert_eq!(page.template.as_deref(), Some("/item/*"));
    assert_eq!((page.observations, page.requests_share), (200, 1.0));
    assert_eq!(page.kind, "integer, one of 9 values");
    assert_eq!(page.lengths, Some((1, 1)));
    assert_eq!(page.shapes.len(), 1);
    assert_eq!(page.shapes[0].skeleton, "0");
    assert_eq!((page.missing_parameters, page.unknown_parameters), (1, 1));
    let unknown = usual(&attack, Location::QueryValue, "x");
    assert!(unknown.is_endpoint_known && !unknown.is_key_known);
    let agent = usual(&attack, Location::UserAgent, "");
    assert_eq!(agent.level, UsualLevel::Host);
    assert_eq!(agent.kind, "always the same value");
    let hidden = Sample::get("/item/7.bak").header("Host", "shop.example");
    let hidden = usual(&hidden, Location::Path, "");
    assert!(!hidden.is_endpoint_known);
    assert_eq!(hidden.lengths, Some((7, 9)));
}

#[test]
fn a_new_endpoint_that_many_clients_use_is_a_deployment() {
    let profile = shop();
    let deployments = NewEndpoints::new(100, 5, 3600.0);
    let visit = |path: &str, client: u64, time: f64| {
        let sample = Sample::get(path).header("Host", "shop.example");
        let mut scratch = Scratch::default();
        sample.with_view(|request| {
            let fields = Extractor::shared().extract(request, &mut scratch);
            let endpoint = profile.endpoint(request, &fields);
            let deployed = deployments.seen(&endpoint, client, time);
            let judged = if deployed {
                endpoint.deployed()
            } else {
                endpoint
            };
            let mut row = [0.0; PROFILE_WIDTH];
            judged.write(&fields.get(0).unwrap(), &mut row);
            let column = PROFILE_FEATURES
                .iter()
                .position(|name| *name == "never seen endpoint")
                .unwrap();
            assert_eq!(deployed, row[column] == 0.0 && path != "/item/1");
            deployed
        })
    };
    for client in 0..10 {
        assert!(
            !visit("/item/1", client, 0.0),
            "a known endpoint is no news"
        );
        assert!(!visit("/hidden", 7, 0.0), "one client, however often");
        assert_eq!(visit("/sale/1", client, 1.0), client >= 4, "{client}");
    }
    // A flood of other paths keeps memory bounded; what is in use survives the turn of a window.
    for path in 0..1000u32 {
        let name: String = path
            .to_string()
            .bytes()
            .map(|digit| char::from(digit + 49))
            .collect();
        visit(&format!("/{name}"), 8, 2.0);
        assert!(deployments.len() <= 100);
        assert!(visit("/sale/2", 3, 2.0));
    }
    assert!(visit("/sale/3", 1, 4000.0));
    assert!(
        !visit("/sale/3", 1, 40_000.0),
        "forgotten after two windows"
    );
}

/// Counts a visit of `/offer` and how it ended; true when it counts as deployed.
fn visit_offer(new: &NewEndpoints, profile: &Profile, client: u64, found: Option<bool>) -> bool {
    let sample = Sample::get("/offer").header("Host", "shop.example");
    let mut scratch = Scratch::default();
    sample.with_view(|request| {
        let fields = Extractor::shared().extract(request, &mut scratch);
        let endpoint = profile.endpoint(request, &fields);
        let deployed = new.seen(&endpoint, client, 0.0);
        if let Some(found) = found {
            new.answered(endpoint.new_path().unwrap(), client, found);
        }
        deployed
    })
}

#[test]
fn who_found_nothing_makes_no_deployment() {
    let profile = shop();
    let scanned = NewEndpoints::new(100, 4, 3600.0);
    for client in 0..50 {
        assert!(!visit_offer(&scanned, &profile, client, Some(false)));
    }
    // Requests that are blocked are never answered; once they are let through, the truth is noticed.
    let blocked = NewEndpoints::new(100, 4, 3600.0);
    let visit = |client, found| visit_offer(&blocked, &profile, client, found);
    for client in 0..4 {
        assert_eq!(visit(client, None), client == 3);
    }
    assert!(visit(10, Some(true)));
    // One client that finds nothing, however often, undoes nothing.
    for _ in 0..50 {
        assert!(visit(20, Some(false)));
    }
    for client in 21..30 {
        visit(client, Some(false));
    }
    assert!(!visit(40, None));
}

/// Bytes of a profile of so many hosts, each with 1,024 parameters of which nothing is known.
fn empty_parameters(hosts: u16) -> Vec<u8> {
    let mut bytes = b"WEIRPROF\x02".to_vec();
    bytes.extend([0; 17]);
    bytes.extend([hosts as u8 & 0x7f | 0x80, (hosts >> 7) as u8]);
    for host in 0..u64::from(hosts) {
        bytes.extend(host.to_le_bytes());
        // No requests, sources or extensions; twelve counts of paths.
        bytes.extend([0; 4 + 12 * 2]);
        bytes.extend([0x80, 8]);
        for parameter in 0..1024u64 {
            bytes.extend(parameter.to_le_bytes());
            bytes.extend([0; 12]);
        }
        // A root without anything below.
        bytes.extend([0; 2]);
    }
    let checksum = sha2::Sha256::digest(&bytes);
    bytes.extend(&checksum[..16]);
    bytes
}

#[test]
fn few_bytes_do_not_become_much_memory() {
    let fits = ProfileBuilder::from_bytes(&empty_parameters(200)).unwrap();
    let holds = fits.summary();
    assert_eq!((holds.sites, holds.parameters), (200, 200 * 1024));
    let too_many = ProfileBuilder::from_bytes(&empty_parameters(300)).unwrap_err();
    assert_eq!(too_many, ProfileError::TooLarge);
}

#[test]
fn a_builder_that_is_used_up_knows_what_a_frozen_one_knows() {
    let builder = ProfileBuilder::from_bytes(&learned_shop().to_bytes()).unwrap();
    assert_eq!(builder.summary().sites, 1);
    let sample = item(7, "page=<script>&x=1");
    let (frozen, used) = (builder.freeze(), builder.into_profile());
    let mut scratch = Scratch::default();
    sample.with_view(|request| {
        let fields = Extractor::shared().extract(request, &mut scratch);
        let (one, two) = (
            frozen.endpoint(request, &fields),
            used.endpoint(request, &fields),
        );
        for field in fields.iter() {
            let mut rows = [[0.0; PROFILE_WIDTH]; 2];
            one.write(&field, &mut rows[0]);
            two.write(&field, &mut rows[1]);
            assert_eq!(rows[0], rows[1]);
        }
    });
}

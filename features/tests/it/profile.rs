//! Profiles from outside: what they say of the usual and of the unusual.

use crate::support::Sample;
use weir_features::profile::{
    PROFILE_FEATURES, PROFILE_WIDTH, Profile, ProfileBuilder, ProfileKey,
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
    builder.freeze()
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

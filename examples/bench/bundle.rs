//! The model that Weir runs with: the given bundle, with a profile of the site that is measured, as one has after
//! `weir-train fit` on captured traffic.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use weir_features::profile::{ProfileBuilder, ProfileKey};
use weir_features::{Extractor, Scratch};
use weir_scoring::bundle::{Bundle, PROFILE};

use crate::profiled;
use crate::request::{Counter, Values};
use crate::shapes::Shape;

/// Clients that sent each of the shapes, once with the usual values and once with others.
const CLIENTS: u64 = 20;

/// The bundle itself where it has a profile already.
pub(crate) fn with_profile(bundle: &Path, target: &Path) -> Result<PathBuf> {
    let named = || {
        format!(
            "no model in {}: name one with --bundle DIR",
            bundle.display()
        )
    };
    let plain = Bundle::open(bundle).with_context(named)?;
    if plain.file(PROFILE).is_some() {
        return std::fs::canonicalize(bundle).with_context(named);
    }
    let mut builder = ProfileBuilder::new(ProfileKey::new([7; 16]));
    let mut scratch = Scratch::default();
    let counter = Counter::default();
    for shape in Shape::ALL {
        for values in [Values::Same, Values::Distinct] {
            let mut request = shape.request(values);
            for client in 0..CLIENTS {
                request.renew(&counter);
                request.with_view(|view| {
                    let fields = Extractor::shared().extract(view, &mut scratch);
                    builder.observe(view, &fields, client);
                });
            }
        }
    }
    profiled::publish(&plain, &builder.to_bytes(), target)
        .context("cannot write a bundle with a profile")?;
    Ok(target.to_owned())
}

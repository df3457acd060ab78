//! A bundle as it is, with a site profile in it.

use std::path::Path;

use weir_scoring::bundle::{Bundle, BundleError, BundleWriter, PROFILE};

/// Publishes the bundle's files in `target`, the profile in place of the one it has.
pub(crate) fn publish(plain: &Bundle, profile: &[u8], target: &Path) -> Result<(), BundleError> {
    let mut writer = BundleWriter::create(target)?;
    for file in &plain.manifest().files {
        if file.name != PROFILE {
            writer.add(&file.name, plain.file(&file.name).unwrap_or_default())?;
        }
    }
    writer.add(PROFILE, profile)?;
    writer.publish(plain.manifest().clone())?;
    Ok(())
}

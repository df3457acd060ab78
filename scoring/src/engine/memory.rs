//! An engine's view of the score cache: which fields have the same row, and so the same score. Not here: the table.

use std::hash::Hasher;
use std::sync::Arc;

use siphasher::sip128::{Hasher128, SipHasher13};
use weir_features::Field;
use weir_features::profile::Endpoint;

use super::ForwardPass;
use crate::bundle::Manifest;
use crate::cache::ScoreCache;
use crate::ort::ProviderStatus;

/// The cache, and the hasher of one engine. Public so that its cost can be measured without a session.
#[derive(Debug)]
pub struct Memory {
    cache: Arc<ScoreCache>,
    hasher: SipHasher13,
}

impl Memory {
    /// Engines that score alike share what they know: those of the same bundle, manifest, provider and forward pass. The manifest as a
    /// whole, because the bundle's id tells its files but not its calibration.
    ///
    /// # Errors
    /// When the manifest cannot be hashed.
    pub fn new(
        cache: Arc<ScoreCache>,
        manifest: &Manifest,
        provider: &ProviderStatus,
        forward: ForwardPass,
    ) -> Result<Self, serde_json::Error> {
        let mut hasher = cache.hasher();
        hasher.write(&serde_json::to_vec(manifest)?);
        hasher.write(format!("{} {forward}", provider.actual).as_bytes());
        let own = hasher.finish128();
        Ok(Self {
            cache,
            hasher: SipHasher13::new_with_keys(own.h1, own.h2),
        })
    }

    /// The table, which other engines may share.
    #[must_use]
    pub fn cache(&self) -> &Arc<ScoreCache> {
        &self.cache
    }

    /// The hash of everything that decides the row of a field.
    #[must_use]
    pub fn key(&self, field: &Field<'_>, endpoint: Option<&Endpoint<'_>>) -> u128 {
        // Every member by name: one that is new must be thought of here.
        let Field {
            location,
            key,
            value,
            layers,
            obfuscations,
            marks,
        } = *field;
        let mut hasher = self.hasher;
        // The key's length tells where the value begins.
        let mut about = (key.len() as u64) << 32;
        for (at, byte) in (0u32..).zip([location as u8, layers, obfuscations, marks.bits()]) {
            about |= u64::from(byte) << (8 * at);
        }
        hasher.write_u64(about);
        if let Some(endpoint) = endpoint {
            endpoint.hash_place(field, &mut hasher);
        } else {
            // No place has this number.
            hasher.write_u64(u64::MAX);
        }
        hasher.write(key);
        hasher.write(value);
        hasher.finish128().as_u128()
    }

    /// The score of a key, if it is known.
    #[must_use]
    pub fn get(&self, key: u128) -> Option<f32> {
        self.cache.get(key)
    }

    /// Keeps a score; true when another had to go.
    pub fn insert(&self, key: u128, value: f32) -> bool {
        self.cache.insert(key, value)
    }
}

//! An engine's view of the score cache: which fields have the same row, and so the same score. Not here: the table.

use std::hash::Hasher;
use std::sync::Arc;

use siphasher::sip128::{Hasher128, SipHasher13};
use weir_features::profile::Endpoint;
use weir_features::{Field, Fields, SHORT_FIELD};

use super::ForwardPass;
use crate::bundle::Manifest;
use crate::cache::ScoreCache;
use crate::ort::ProviderStatus;

/// Room for what is hashed: 8 bytes about the field, 44 about its place at most, 24 of the field itself.
const ROOM: usize = 80;

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

    /// The hash of everything that decides the row of the field at `index`.
    #[must_use]
    pub fn key(&self, fields: &Fields<'_>, index: usize, endpoint: Option<&Endpoint<'_>>) -> u128 {
        let Some(field) = fields.get(index) else {
            return 0;
        };
        // Every member by name: one that is new must be thought of here.
        let Field {
            location,
            key,
            value,
            layers,
            obfuscations,
            marks,
        } = field;
        let mut input = Input::new(self.hasher);
        // The key's length tells where the value begins.
        let mut about = (key.len() as u64) << 32;
        for (at, byte) in (0u32..).zip([location as u8, layers, obfuscations, marks.bits()]) {
            about |= u64::from(byte) << (8 * at);
        }
        input.write_u64(about);
        if let Some(endpoint) = endpoint {
            endpoint.hash_place(&field, &mut input);
        } else {
            // No place has this number.
            input.write_u64(u64::MAX);
        }
        // Of longer ones the digest is mostly known.
        if key.len() + value.len() <= SHORT_FIELD {
            input.write(key);
            input.write(value);
        } else {
            // More bytes than any short text, so that the two cannot meet.
            input.write_u64(u64::MAX);
            input.write(&fields.digest(index).to_le_bytes());
        }
        input.hash()
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

/// What is hashed, gathered: for so few bytes, hashing them as they come takes longer.
struct Input {
    hasher: SipHasher13,
    bytes: [u8; ROOM],
    length: usize,
}

impl Input {
    fn new(hasher: SipHasher13) -> Self {
        Self {
            hasher,
            bytes: [0; ROOM],
            length: 0,
        }
    }

    fn gathered(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }

    fn hash(&self) -> u128 {
        self.hasher.hash(self.gathered()).as_u128()
    }
}

impl Hasher for Input {
    fn write(&mut self, bytes: &[u8]) {
        if let Some(room) = self.bytes.get_mut(self.length..self.length + bytes.len()) {
            room.copy_from_slice(bytes);
            self.length += bytes.len();
        } else {
            let Self {
                hasher,
                bytes: gathered,
                length,
            } = self;
            hasher.write(gathered.get(..*length).unwrap_or_default());
            hasher.write(bytes);
            *length = 0;
        }
    }

    fn finish(&self) -> u64 {
        let mut hasher = self.hasher;
        hasher.write(self.gathered());
        hasher.finish()
    }
}

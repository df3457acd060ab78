//! Keyed tokens: stand-ins for secret values that keep length, alphabet and equality, so that a model trained on a
//! capture knows what a session id looks like without any capture holding one.
//!
//! Not here: which values are secret. SipHash-2-4 with 128 bits of key is a pseudorandom function: without the key
//! file, which never leaves the installation, a token says nothing about the value beyond its shape.

use std::fmt;
use std::fs::OpenOptions;
use std::hash::Hasher;
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use siphasher::sip::SipHasher24;

use super::{Escape, next_byte, push_escape};

/// The key of one installation's tokens.
#[derive(Clone, Copy)]
pub struct TokenKey(u64, u64);

/// Why the key file cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// Neither readable nor creatable.
    #[error("capture.key_file {}: {source}; give weir the right to create and read it", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Not 32 hexadecimal digits.
    #[error("capture.key_file {} is no key (32 hexadecimal digits); remove it to have a new one made", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
    },
    /// The system gave no random bytes.
    #[error("no random bytes for a new capture key")]
    Random,
}

impl TokenKey {
    /// Reads the key, or makes a random one with mode 0600.
    ///
    /// # Errors
    /// When it can neither be read nor made.
    pub fn load_or_create(path: &Path) -> Result<Self, KeyError> {
        let io = |source| KeyError::Io {
            path: path.to_owned(),
            source,
        };
        match OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)
        {
            Ok(mut file) => {
                let key = Self::random()?;
                file.write_all(format!("{:016x}{:016x}\n", key.0, key.1).as_bytes())
                    .map_err(io)?;
                Ok(key)
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let mut text = String::new();
                let file = OpenOptions::new().read(true).open(path).map_err(io)?;
                file.take(64).read_to_string(&mut text).map_err(io)?;
                Self::parse(text.trim()).ok_or_else(|| KeyError::Malformed {
                    path: path.to_owned(),
                })
            }
            Err(source) => Err(io(source)),
        }
    }

    fn random() -> Result<Self, KeyError> {
        let mut bytes = [0_u8; 16];
        rustls::crypto::aws_lc_rs::default_provider()
            .secure_random
            .fill(&mut bytes)
            .map_err(|_| KeyError::Random)?;
        let value = u128::from_le_bytes(bytes);
        #[expect(clippy::cast_possible_truncation, reason = "the two halves of the key")]
        Ok(Self((value >> 64) as u64, value as u64))
    }

    fn parse(text: &str) -> Option<Self> {
        let (high, low) = text.split_at_checked(16).filter(|_| text.len() == 32)?;
        let half = |text| u64::from_str_radix(text, 16).ok();
        Some(Self(half(high)?, half(low)?))
    }

    /// Appends the token of a percent-encoded value; escapes stay escapes.
    pub(super) fn encoded(&self, value: &[u8], out: &mut Vec<u8>) {
        let mut stream = self.stream(&super::percent_decode(value));
        let mut rest = value;
        while let Some((byte, escape)) = next_byte(&mut rest) {
            match escape {
                Escape::Yes => push_escape(stream.substitute(byte), out),
                Escape::No => out.push(stream.substitute(byte)),
            }
        }
    }

    /// Appends the token of a value as it stands.
    pub(super) fn plain(&self, value: &[u8], out: &mut Vec<u8>) {
        let mut stream = self.stream(value);
        match std::str::from_utf8(value) {
            Ok(text) => {
                for letter in text.chars() {
                    let mut buffer = [0; 4];
                    out.extend_from_slice(
                        stream.letter(letter).encode_utf8(&mut buffer).as_bytes(),
                    );
                }
            }
            Err(_) => out.extend(value.iter().map(|&byte| stream.substitute(byte))),
        }
    }

    fn stream(&self, value: &[u8]) -> Stream {
        let mut hasher = SipHasher24::new_with_keys(self.0, self.1);
        hasher.write(value);
        hasher.write_u8(0xff);
        Stream {
            hasher,
            block: 0,
            left: 0,
            counter: 0,
        }
    }
}

impl fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenKey(..)")
    }
}

/// Pseudorandom numbers determined by key and value.
struct Stream {
    hasher: SipHasher24,
    block: u64,
    left: u8,
    counter: u64,
}

impl Stream {
    fn below(&mut self, bound: u8) -> u8 {
        if self.left == 0 {
            let mut hasher = self.hasher;
            hasher.write_u64(self.counter);
            self.block = hasher.finish();
            self.counter += 1;
            self.left = 4;
        }
        // 16 bits for a bound of at most 128: the bias is below one in 500.
        let draw = self.block & 0xffff;
        self.block >>= 16;
        self.left -= 1;
        u8::try_from(draw % u64::from(bound.max(1))).unwrap_or(0)
    }

    /// Letters stay letters of their case, digits digits, punctuation itself.
    fn substitute(&mut self, byte: u8) -> u8 {
        match byte {
            b'a'..=b'z' => b'a' + self.below(26),
            b'A'..=b'Z' => b'A' + self.below(26),
            b'0'..=b'9' => b'0' + self.below(10),
            0x80.. => 0x80 + self.below(64),
            other => other,
        }
    }

    /// Letters beyond ASCII become others of the same length in UTF-8.
    fn letter(&mut self, letter: char) -> char {
        let from = |base: u32, offset: u8| char::from_u32(base + u32::from(offset)).unwrap_or('x');
        match u8::try_from(letter) {
            Ok(byte) if byte.is_ascii() => char::from(self.substitute(byte)),
            _ => match letter.len_utf8() {
                2 => from(0x0100, self.below(128)),
                3 => from(0x4e00, self.below(128)),
                _ => from(0x1f300, self.below(128)),
            },
        }
    }
}

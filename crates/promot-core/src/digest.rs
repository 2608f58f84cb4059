//! Content digests: what an artifact's key and a checkpoint's fingerprint are made of.

use std::fmt;
use std::io;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};

/// A SHA-256 digest (256 bits), written as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of `bytes`, equal to what `sha256sum` prints for a file with that content.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// The same of everything that `reader` gives, a piece at a time.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn of_reader(mut reader: impl io::Read) -> io::Result<Self> {
        let mut state = Sha256::new();
        io::copy(&mut reader, &mut state)?;
        Ok(Self(state.finalize().into()))
    }

    /// The first 12 hexadecimal digits: enough to tell artifacts apart in a listing.
    pub fn short(&self) -> String {
        self.to_string()[..12].to_owned()
    }

    /// The raw 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let expected = || format!("expected 64 hexadecimal digits, found {text:?}");
        if text.len() != 64 || !text.is_ascii() {
            return Err(expected());
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| expected())?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| expected())?;
        }
        Ok(Self(bytes))
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

/// Builds a [`Digest`] from named fields.
///
/// Each name and value is preceded by its length, so that no two different sequences of fields
/// give the same bytes.
#[derive(Clone, Default)]
pub struct Digester(Sha256);

impl Digester {
    /// An empty digester.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a named field.
    pub fn field(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        let value = value.as_ref();
        self.0.update((name.len() as u64).to_le_bytes());
        self.0.update(name.as_bytes());
        self.0.update((value.len() as u64).to_le_bytes());
        self.0.update(value);
        self
    }

    /// Adds a named field of `len` bytes that `reader` gives, a piece at a time.
    ///
    /// # Errors
    /// If it cannot be read, or does not give as many bytes.
    pub fn field_of_reader(
        mut self,
        name: &str,
        len: u64,
        reader: impl io::Read,
    ) -> io::Result<Self> {
        self.0.update((name.len() as u64).to_le_bytes());
        self.0.update(name.as_bytes());
        self.0.update(len.to_le_bytes());
        // One more than there should be, to notice that there are more.
        let read = io::copy(&mut reader.take(len.saturating_add(1)), &mut self.0)?;
        if read != len {
            let problem = format!("expected {len} bytes; it changed while it was read");
            return Err(io::Error::other(problem));
        }
        Ok(self)
    }

    /// The digest of all fields so far.
    pub fn finish(self) -> Digest {
        Digest(self.0.finalize().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_the_published_sha256_of_abc() {
        let digest = Digest::of(b"abc");
        assert_eq!(
            digest.to_string(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert_eq!(digest.to_string().parse::<Digest>(), Ok(digest));
        assert_eq!(Digest::of_reader(&b"abc"[..]).unwrap(), digest);
        assert_eq!(digest.short(), "ba7816bf8f01");
    }

    #[test]
    fn moving_a_byte_between_fields_changes_the_digest() {
        let one = Digester::new().field("a", "bc").field("d", "").finish();
        let other = Digester::new().field("a", "b").field("cd", "").finish();
        assert_ne!(one, other);
    }

    #[test]
    fn a_field_is_read_to_the_same_digest_and_has_to_be_as_long_as_said() {
        let read = |len| Digester::new().field_of_reader("a", len, &b"bcd"[..]);
        let whole = Digester::new().field("a", "bcd").finish();
        assert_eq!(read(3).unwrap().finish(), whole);
        for len in [2, 4, u64::MAX] {
            let error = read(len).err().unwrap().to_string();
            assert!(error.contains("it changed while it was read"), "{error}");
        }
    }

    #[test]
    fn refuses_text_that_is_no_digest() {
        for text in ["", "zz", &"g".repeat(64), &"é".repeat(32)] {
            assert!(text.parse::<Digest>().is_err(), "{text:?}");
        }
    }
}

//! Nonces: one per attempt, never used twice.

use rand::CryptoRng;
use subtle::ConstantTimeEq as _;

/// 32 lower-case hex digits of 16 random bytes. Salt takes a UUID4 without dashes; any will do.
#[derive(Clone, PartialEq, Eq)]
pub struct Nonce([u8; Nonce::LEN]);

impl Nonce {
    /// Length in characters.
    pub const LEN: usize = 32;

    /// Makes a fresh one.
    pub fn generate<R: CryptoRng + ?Sized>(rng: &mut R) -> Self {
        let mut random = [0_u8; Self::LEN / 2];
        rng.fill_bytes(&mut random);
        let mut digits = [0; Self::LEN];
        for (pair, byte) in digits.chunks_exact_mut(2).zip(random) {
            for (digit, half) in pair.iter_mut().zip([byte >> 4, byte & 0x0f]) {
                *digit = match half {
                    0..=9 => b'0'.saturating_add(half),
                    _ => b'a'.saturating_add(half).saturating_sub(10),
                };
            }
        }
        Self(digits)
    }

    /// Takes the 32 characters of an existing nonce: what test vectors and captures hold.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits: [u8; Self::LEN] = text.as_bytes().try_into().ok()?;
        digits
            .iter()
            .all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'))
            .then_some(Self(digits))
    }

    /// The characters.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether these bytes are this nonce; in constant time.
    #[must_use]
    pub fn matches(&self, bytes: &[u8]) -> bool {
        self.0.ct_eq(bytes).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fresh_nonce_is_32_hex_digits_and_new() {
        let (one, other) = (
            Nonce::generate(&mut rand::rng()),
            Nonce::generate(&mut rand::rng()),
        );
        assert!(Nonce::parse(std::str::from_utf8(one.as_bytes()).unwrap()).is_some());
        assert!(!one.matches(other.as_bytes()));
    }
}

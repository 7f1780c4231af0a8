//! RSAES-OAEP and RSASSA-PKCS1-v1_5 (RFC 8017, 7.1 and 8.2) as methods of the keys.

use rand::CryptoRng;
use rsa::Oaep;
use rsa::pkcs1v15::Pkcs1v15Sign;
use sha1::Sha1;
use sha2::{Digest as _, Sha224};
use zeroize::Zeroizing;

use super::{EncryptionAlgorithm, PrivateKey, PublicKey, SigningAlgorithm, Unopened, Unsealed};

impl PublicKey {
    /// Encrypts a key string or token to this key; OAEP with an empty label, MGF1 with the same hash.
    ///
    /// # Errors
    /// [`Unsealed`] if the plaintext is longer than the key allows.
    pub fn encrypt<R: CryptoRng + ?Sized>(
        &self,
        algorithm: EncryptionAlgorithm,
        plaintext: &[u8],
        rng: &mut R,
    ) -> Result<Vec<u8>, Unsealed> {
        match algorithm {
            EncryptionAlgorithm::OaepSha1 => self.0.encrypt(rng, Oaep::<Sha1>::new(), plaintext),
            EncryptionAlgorithm::OaepSha224 => self.0.encrypt(rng, Oaep::<Sha224>::new(), plaintext),
        }
        .map_err(|_| Unsealed)
    }

    /// Checks a signature over `data`.
    ///
    /// # Errors
    /// [`Unopened`] if it was not made over these bytes by this key with this algorithm.
    pub fn verify(&self, algorithm: SigningAlgorithm, data: &[u8], signature: &[u8]) -> Result<(), Unopened> {
        let (scheme, digest) = prepare(algorithm, data);
        self.0.verify(scheme, &digest, signature).map_err(|_| Unopened)
    }
}

impl PrivateKey {
    /// Decrypts what was encrypted to this key. Blinded; every failure looks the same.
    ///
    /// # Errors
    /// [`Unopened`].
    pub fn decrypt<R: CryptoRng + ?Sized>(
        &self,
        algorithm: EncryptionAlgorithm,
        ciphertext: &[u8],
        rng: &mut R,
    ) -> Result<Zeroizing<Vec<u8>>, Unopened> {
        match algorithm {
            EncryptionAlgorithm::OaepSha1 => self.0.decrypt_blinded(rng, Oaep::<Sha1>::new(), ciphertext),
            EncryptionAlgorithm::OaepSha224 => self.0.decrypt_blinded(rng, Oaep::<Sha224>::new(), ciphertext),
        }
        .map(Zeroizing::new)
        .map_err(|_| Unopened)
    }

    /// Signs `data`. Blinded; the signature itself is deterministic.
    ///
    /// # Errors
    /// [`Unsealed`] if the key is too short for the algorithm.
    pub fn sign<R: CryptoRng + ?Sized>(
        &self,
        algorithm: SigningAlgorithm,
        data: &[u8],
        rng: &mut R,
    ) -> Result<Vec<u8>, Unsealed> {
        let (scheme, digest) = prepare(algorithm, data);
        self.0.sign_with_rng(rng, scheme, &digest).map_err(|_| Unsealed)
    }
}

fn prepare(algorithm: SigningAlgorithm, data: &[u8]) -> (Pkcs1v15Sign, Vec<u8>) {
    match algorithm {
        SigningAlgorithm::Pkcs1v15Sha1 => (Pkcs1v15Sign::new::<Sha1>(), Sha1::digest(data).to_vec()),
        SigningAlgorithm::Pkcs1v15Sha224 => (Pkcs1v15Sign::new::<Sha224>(), Sha224::digest(data).to_vec()),
    }
}

//! PINs, as Argon2id hashes. Hashing takes time and memory on purpose, so that it runs off the threads that
//! serve, a few at a time.

use std::{sync::Arc, thread::available_parallelism, time::Duration};

use argon2::{
    Algorithm, Argon2, Params, Version,
    password_hash::{PasswordHasher as _, PasswordVerifier as _, phc::PasswordHash},
};
use lp_error::{Error, Result};
use lp_types::ids::CardId;
use tokio::sync::Semaphore;
use uuid::Uuid;

use super::keys::CardKeys;

/// The least that OWASP recommends for Argon2id: 19 MiB, two passes, one lane
/// (<https://cheatsheetseries.owasp.org/cheatsheets/Password_Storage_Cheat_Sheet.html>).
const MEMORY_KIB: u32 = 19_456;
const PASSES: u32 = 2;
const LANES: u32 = 1;
/// PINs that wait for a core, over all merchants; one more is refused at once, so that a flood of guesses does not
/// make every other request of the service late.
const QUEUE: usize = 64;

/// Makes and verifies the hashes of PINs.
#[derive(Clone)]
pub struct Pins {
    pepper: Arc<[u8]>,
    /// Verified where there is no hash, so that the answer takes as long.
    nobody: Arc<str>,
    room: Arc<Semaphore>,
    queue: Arc<Semaphore>,
}

impl std::fmt::Debug for Pins {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pins")
    }
}

impl Pins {
    /// With the pepper of `keys`. At most half of the machine's cores hash at once: the others serve.
    ///
    /// # Errors
    /// Never, with the parameters above.
    pub fn new(keys: &CardKeys) -> Result<Self> {
        let pepper = keys.pin_pepper();
        let cores = available_parallelism().map_or(1, usize::from);
        let nobody = CardId::from_uuid(Uuid::nil());
        let (pin, salt) = (keys.pin(nobody), keys.pin_salt(nobody));
        Ok(Self {
            nobody: hash(&pepper, pin.expose(), &salt)?.into(),
            pepper: Arc::from(pepper),
            room: Arc::new(Semaphore::new((cores / 2).max(1))),
            queue: Arc::new(Semaphore::new(QUEUE)),
        })
    }

    /// The hash of a PIN, with its parameters and its salt.
    ///
    /// # Errors
    /// OVERLOADED when too many wait; or there is no memory.
    pub async fn hash(&self, pin: String, salt: [u8; 16]) -> Result<String> {
        let pepper = Arc::clone(&self.pepper);
        self.run(move || hash(&pepper, &pin, &salt)).await?
    }

    /// Whether `pin` is the one of `standing`, and false, after the same work, where there is none.
    ///
    /// # Errors
    /// OVERLOADED when too many wait; or `standing` is no hash.
    pub async fn verify(&self, pin: String, standing: Option<String>) -> Result<bool> {
        let pepper = Arc::clone(&self.pepper);
        let nobody = Arc::clone(&self.nobody);
        self.run(move || {
            let hash = PasswordHash::new(standing.as_deref().unwrap_or(&nobody)).map_err(internal)?;
            let verified = argon2(&pepper)?.verify_password(pin.as_bytes(), &hash).is_ok();
            Ok(verified & standing.is_some())
        })
        .await?
    }

    async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
        let queued = Arc::clone(&self.queue).try_acquire_owned();
        let _queued = queued.map_err(|_full| Error::overloaded(Duration::from_secs(1)))?;
        let room = Arc::clone(&self.room)
            .acquire_owned()
            .await
            .map_err(Error::internal)?;
        let work = move || {
            // Held until the work is done: who waits for it may go away before.
            let _room = room;
            work()
        };
        tokio::task::spawn_blocking(work).await.map_err(Error::internal)
    }
}

fn argon2(pepper: &[u8]) -> Result<Argon2<'_>> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None).map_err(internal)?;
    Argon2::new_with_secret(pepper, Algorithm::Argon2id, Version::V0x13, params).map_err(internal)
}

fn hash(pepper: &[u8], pin: &str, salt: &[u8]) -> Result<String> {
    let hash = argon2(pepper)?
        .hash_password_with_salt(pin.as_bytes(), salt)
        .map_err(internal)?;
    Ok(hash.to_string())
}

fn internal(error: impl std::fmt::Display) -> Error {
    Error::internal(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pins(secret: u8) -> Pins {
        use base64::{Engine as _, engine::general_purpose::STANDARD};
        let [code, secret] = [0, secret].map(|byte| STANDARD.encode([byte; 32]).into());
        Pins::new(&CardKeys::parse(&code, &secret).unwrap()).unwrap()
    }

    #[tokio::test]
    async fn a_flood_is_refused_at_once() {
        let pins = pins(1);
        let (mut verified, mut refused) = (0, 0);
        let guesses = (0..QUEUE + 10).map(|_| pins.verify("000000".to_owned(), None));
        for guess in futures::future::join_all(guesses).await {
            match guess {
                Ok(false) => verified += 1,
                Err(error) if error.code() == lp_error::Code::ResourceExhausted => refused += 1,
                other => panic!("{other:?}"),
            }
        }
        assert_eq!((verified, refused), (QUEUE, 10));
    }

    #[tokio::test]
    async fn a_pin_is_verified_with_its_own_hash_and_the_same_pepper_only() {
        let pins_of_one = pins(1);
        let standing = pins_of_one.hash("123456".to_owned(), [7; 16]).await.unwrap();
        assert!(
            standing.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
            "{standing}"
        );
        let verify = async |pins: &Pins, pin: &str, standing: Option<&String>| {
            pins.verify(pin.to_owned(), standing.cloned()).await.unwrap()
        };
        assert!(verify(&pins_of_one, "123456", Some(&standing)).await);
        for wrong in ["123457", "", "1234567", "abc"] {
            assert!(!verify(&pins_of_one, wrong, Some(&standing)).await, "{wrong}");
        }
        assert!(!verify(&pins(2), "123456", Some(&standing)).await);
        // Not even the PIN of nobody's hash.
        let [code, secret] = [0_u8, 1].map(|byte| {
            use base64::{Engine as _, engine::general_purpose::STANDARD};
            STANDARD.encode([byte; 32]).into()
        });
        let nobody = CardKeys::parse(&code, &secret)
            .unwrap()
            .pin(CardId::from_uuid(Uuid::nil()));
        assert!(!verify(&pins_of_one, nobody.expose(), None).await);
    }
}

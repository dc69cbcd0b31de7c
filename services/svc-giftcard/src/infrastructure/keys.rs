//! The two secret keys, and everything that is made with them.

use anyhow::Context as _;
use aws_lc_rs::hmac::{self, HMAC_SHA256};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use lp_pg::idempotency::Fingerprint;
use lp_types::{MerchantId, ids::CardId};
use secrecy::{ExposeSecret as _, SecretString};

use crate::domain::code::{CardCode, Pin};

/// The version of the key that finds cards, as rows carry it.
pub const CODE_KEY_VERSION: i16 = 1;
const KEY_LENGTH: usize = 32;

/// The keys of a process. They do not print.
#[derive(Debug)]
pub struct CardKeys {
    /// Finds cards by their codes: the pepper.
    code: hmac::Key,
    /// Derives from a card's id what is told once.
    secret: hmac::Key,
}

impl CardKeys {
    /// From the settings.
    ///
    /// # Errors
    /// When one is not base64 of 32 bytes, or both are the same; never with its text.
    pub fn parse(code: &SecretString, secret: &SecretString) -> anyhow::Result<Self> {
        let key = |text: &SecretString, name| {
            let bytes = STANDARD.decode(text.expose_secret()).ok();
            let bytes = bytes.filter(|bytes| bytes.len() == KEY_LENGTH);
            bytes.with_context(|| format!("{name} must be base64 of {KEY_LENGTH} bytes"))
        };
        let (code, secret) = (key(code, "CARD_CODE_KEY")?, key(secret, "CARD_SECRET_KEY")?);
        // One key for both would make every code out of what finds it.
        anyhow::ensure!(code != secret, "CARD_CODE_KEY and CARD_SECRET_KEY must differ");
        Ok(Self {
            code: hmac::Key::new(HMAC_SHA256, &code),
            secret: hmac::Key::new(HMAC_SHA256, &secret),
        })
    }

    /// Bytes for one purpose. What follows a purpose has one length, so that no two are the same message.
    fn derive<const N: usize>(&self, purpose: &str, of: &[u8]) -> [u8; N] {
        let tag = hmac::sign(&self.secret, &[purpose.as_bytes(), of].concat());
        let mut bytes = [0; N];
        bytes
            .iter_mut()
            .zip(tag.as_ref())
            .for_each(|(to, from)| *to = *from);
        bytes
    }

    /// A card's code: the same for ever.
    pub fn code(&self, card: CardId) -> CardCode {
        CardCode::from_bytes(self.derive("code:", card.uuid().as_bytes()))
    }

    /// A card's PIN: the same for ever.
    pub fn pin(&self, card: CardId) -> Pin {
        Pin::from_number(u64::from_be_bytes(self.derive("pin:", card.uuid().as_bytes())))
    }

    /// The salt of a card's PIN: one for each card, and no secret.
    pub fn pin_salt(&self, card: CardId) -> [u8; 16] {
        self.derive("salt:", card.uuid().as_bytes())
    }

    /// What goes into every PIN's hash beside its salt. Six digits alone would be found from the rows in hours.
    pub fn pin_pepper(&self) -> [u8; 32] {
        self.derive("pepper:", &[])
    }

    /// By what a merchant's card is found.
    pub fn code_hash(&self, merchant: MerchantId, code: &CardCode) -> [u8; 32] {
        let message = [merchant.uuid().as_bytes().as_slice(), code.expose().as_bytes()].concat();
        let tag = hmac::sign(&self.code, &message);
        let mut hash = [0; 32];
        hash.iter_mut()
            .zip(tag.as_ref())
            .for_each(|(to, from)| *to = *from);
        hash
    }

    /// The fingerprint of a request that holds a code and a PIN, for the rows. Without a key whoever has the rows
    /// and a code would find its PIN by a million hashes. The key is the one that never changes, or a replay
    /// after a change would look like another request.
    pub fn fingerprint(&self, plain: &Fingerprint) -> Fingerprint {
        self.derive("request:", plain)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(code: &str, secret: &str) -> anyhow::Result<CardKeys> {
        CardKeys::parse(&code.to_owned().into(), &secret.to_owned().into())
    }

    fn keys() -> CardKeys {
        parse(&STANDARD.encode([1; 32]), &STANDARD.encode([2; 32])).unwrap()
    }

    fn card() -> CardId {
        "crd_0199f0c1d2e37a4b8c5d6e7f80912a3b".parse().unwrap()
    }

    #[test]
    fn a_key_that_is_none_is_named_and_not_shown() {
        let good = STANDARD.encode([1; 32]);
        for bad in [
            "",
            "hunter2",
            &STANDARD.encode([1; 31]),
            &STANDARD.encode([1; 33]),
        ] {
            for (code, secret, name) in [
                (bad, good.as_str(), "CARD_CODE_KEY"),
                (&good, bad, "CARD_SECRET_KEY"),
            ] {
                let error = format!("{:#}", parse(code, secret).unwrap_err());
                assert_eq!(error, format!("{name} must be base64 of 32 bytes"));
            }
        }
        assert!(parse(&good, &good).is_err());
        let shown = format!("{:?}", keys());
        assert!(!shown.contains(&good) && !shown.contains("1, 1"), "{shown}");
    }

    /// Cards are sold with these: a change here makes their codes unknown. Worked out beside this program.
    #[test]
    fn what_a_card_is_told_never_changes() {
        let keys = keys();
        assert_eq!(keys.code(card()).grouped(), "0G7R-KBSM-9ACX-HAA0-T3SF-SE5E");
        assert_eq!(keys.pin(card()).expose(), "827360");
    }

    #[test]
    fn every_card_has_its_own_code_and_every_merchant_its_own_hash() {
        let keys = keys();
        let other: CardId = "crd_0199f0c1d2e37a4b8c5d6e7f80912a3c".parse().unwrap();
        assert_ne!(keys.code(card()), keys.code(other));
        assert_ne!(keys.pin_salt(card()), keys.pin_salt(other));
        let merchant = |last: char| {
            format!("mer_0199f0c1d2e37a4b8c5d6e7f80912a3{last}")
                .parse()
                .unwrap()
        };
        let code = keys.code(card());
        assert_ne!(
            keys.code_hash(merchant('1'), &code),
            keys.code_hash(merchant('2'), &code)
        );
    }
}

//! Verifies a code and a PIN.
//!
//! Whatever is wrong, the answer is one and the same, after the same work: one look-up by keyed hash, and one
//! Argon2id where a PIN was given.

use lp_types::MerchantId;

use super::Parts;
use crate::{
    domain::code::{CardCode, CardSecret},
    infrastructure::{
        keys::CODE_KEY_VERSION,
        postgres::cards::{self, Card},
    },
};

/// The merchant's active card that `secret` opens.
///
/// # Errors
/// When the database is away.
pub async fn open_card(
    parts: &Parts,
    merchant: MerchantId,
    secret: CardSecret,
) -> lp_error::Result<Option<Card>> {
    let CardSecret { code, pin } = secret;
    let found = match CardCode::parse(&code) {
        Some(code) => {
            let hash = parts.keys.code_hash(merchant, &code);
            // Given back before the PIN is hashed, which may wait for its turn.
            let mut connection = parts.database.acquire().await?;
            cards::of_code(&mut connection, merchant, hash, CODE_KEY_VERSION).await?
        }
        None => None,
    };
    let (card, pin_hash) = found.unzip();
    let pin_hash = pin_hash.flatten();
    let opened = if pin.is_empty() {
        pin_hash.is_none()
    } else {
        parts.pins.verify(pin, pin_hash).await?
    };
    Ok(card.filter(|_| opened))
}

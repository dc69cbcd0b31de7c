//! Consistency tokens: opaque to clients, one meaning for all services.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use lp_types::AccountId;
use prost::Message as _;
use uuid::Uuid;

use crate::common::v1;

/// A position of one account. Positions of one account are ordered by epoch, then sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConsistencyToken {
    /// The account.
    pub account: AccountId,
    /// Which life of the ledger.
    pub epoch: i64,
    /// The account's sequence.
    pub sequence: i64,
}

/// The text is no consistency token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is no consistency token")]
pub struct MalformedToken;

impl ConsistencyToken {
    /// As clients carry it.
    pub fn encode(self) -> String {
        let token = v1::ConsistencyToken {
            account_id: self.account.uuid().as_bytes().to_vec(),
            epoch: self.epoch,
            sequence: self.sequence,
        };
        URL_SAFE_NO_PAD.encode(token.encode_to_vec())
    }

    /// From what a client hands back.
    ///
    /// # Errors
    /// When it is not what [`ConsistencyToken::encode`] gives.
    pub fn decode(text: &str) -> Result<Self, MalformedToken> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| MalformedToken)?;
        let token = v1::ConsistencyToken::decode(bytes.as_slice()).map_err(|_| MalformedToken)?;
        let account = Uuid::from_slice(&token.account_id).map_err(|_| MalformedToken)?;
        if token.epoch < 1 || token.sequence < 0 {
            return Err(MalformedToken);
        }
        Ok(Self {
            account: AccountId::from_uuid(account),
            epoch: token.epoch,
            sequence: token.sequence,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_decodes_to_what_it_was_and_nothing_else_does() {
        let token = ConsistencyToken {
            account: AccountId::from_uuid(Uuid::from_u128(7)),
            epoch: 1,
            sequence: 42,
        };
        assert_eq!(ConsistencyToken::decode(&token.encode()), Ok(token));
        for bad in ["", "x", "AAAA", "!!!!", "CgA"] {
            assert_eq!(ConsistencyToken::decode(bad), Err(MalformedToken), "{bad}");
        }
    }
}

//! A card's life: ISSUED, ACTIVATING, ACTIVE. Its value is no part of it.

use lp_types::{Amount, AssetCode};
use serde::{Deserialize, Serialize};

use super::{product::Denominations, refusal::Refusal};

/// Where a card stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum CardState {
    /// Made, without value.
    Issued,
    /// Being sold: its value is on the way to the ledger.
    Activating,
    /// It can be spent.
    Active,
}

/// What a sale does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SaleStep {
    /// It begins.
    Begin,
    /// It goes on from where an earlier attempt ended.
    GoOn,
}

/// Whether a card that stands at `state`, sold for `face_value` so far, can be sold for `amount` of `asset`.
///
/// A sale that began is finished by whoever comes: the value may be in the ledger already, so that another amount
/// must not take its place, and the caller that began it may never come again. The merchant's state counts at the
/// beginning only.
///
/// # Errors
/// The refusal.
pub fn sale_step(
    state: CardState,
    face_value: Option<Amount>,
    (amount, asset): (Amount, &AssetCode),
    (denominations, currency): (&Denominations, &AssetCode),
    merchant_is_active: bool,
) -> Result<SaleStep, Refusal> {
    match state {
        CardState::Issued if asset != currency || !denominations.contain(amount.get()) => {
            Err(Refusal::NotADenomination)
        }
        CardState::Issued if !merchant_is_active => Err(Refusal::MerchantNotActive),
        CardState::Issued => Ok(SaleStep::Begin),
        CardState::Activating if asset == currency && face_value == Some(amount) => Ok(SaleStep::GoOn),
        CardState::Activating | CardState::Active => Err(Refusal::WrongState(state)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asset(code: &str) -> AssetCode {
        code.to_owned().try_into().unwrap()
    }

    fn step(
        state: CardState,
        sold_for: Option<i64>,
        amount: i64,
        code: &str,
        active: bool,
    ) -> Result<SaleStep, Refusal> {
        let denominations = Denominations::try_from(vec![1_000, 2_000]).unwrap();
        let sold_for = sold_for.map(|amount| amount.try_into().unwrap());
        let wanted = (amount.try_into().unwrap(), &asset(code));
        sale_step(state, sold_for, wanted, (&denominations, &asset("EUR")), active)
    }

    #[test]
    fn an_issued_card_is_sold_for_a_denomination_by_an_active_merchant() {
        use CardState::Issued;
        assert_eq!(step(Issued, None, 1_000, "EUR", true), Ok(SaleStep::Begin));
        assert_eq!(
            step(Issued, None, 1_000, "EUR", false),
            Err(Refusal::MerchantNotActive)
        );
        for (amount, code) in [(999, "EUR"), (1_000, "USD")] {
            assert_eq!(
                step(Issued, None, amount, code, true),
                Err(Refusal::NotADenomination)
            );
        }
    }

    #[test]
    fn a_sale_that_began_is_finished_for_its_own_amount_only() {
        use CardState::{Activating, Active};
        for active in [true, false] {
            assert_eq!(
                step(Activating, Some(1_000), 1_000, "EUR", active),
                Ok(SaleStep::GoOn)
            );
            for (amount, code) in [(2_000, "EUR"), (999, "EUR"), (1_000, "USD")] {
                assert_eq!(
                    step(Activating, Some(1_000), amount, code, active),
                    Err(Refusal::WrongState(Activating))
                );
            }
            assert_eq!(
                step(Active, Some(1_000), 1_000, "EUR", active),
                Err(Refusal::WrongState(Active))
            );
        }
    }
}

//! Between the contract's messages and the service's types.

use lp_contracts::{common::v1::Money, merchant::v1, time::to_wire};
use lp_error::{Error, InField, Result};
use lp_types::Amount;

use crate::{
    domain::{
        purchase::{Tender, TenderKind},
        state::State,
    },
    infrastructure::{
        clients::giftcard::CardSecret,
        postgres::{
            merchant_events::MerchantEvent,
            merchants::{Merchant, MerchantAccounts},
            programs::Program,
            purchases::{Purchase, Stage},
        },
    },
};

/// The longest code and the longest PIN that are handed on.
const MAX_SECRET: usize = 64;

pub(super) fn state(number: i32) -> Result<State> {
    let known = match v1::MerchantState::try_from(number) {
        Ok(v1::MerchantState::Applied) => Some(State::Applied),
        Ok(v1::MerchantState::InReview) => Some(State::InReview),
        Ok(v1::MerchantState::Approved) => Some(State::Approved),
        Ok(v1::MerchantState::Active) => Some(State::Active),
        Ok(v1::MerchantState::Suspended) => Some(State::Suspended),
        Ok(v1::MerchantState::Closed) => Some(State::Closed),
        Ok(v1::MerchantState::Unspecified) | Err(_) => None,
    };
    known.ok_or("must be a state").in_field("toState")
}

pub(super) fn wire_state(state: State) -> v1::MerchantState {
    match state {
        State::Applied => v1::MerchantState::Applied,
        State::InReview => v1::MerchantState::InReview,
        State::Approved => v1::MerchantState::Approved,
        State::Active => v1::MerchantState::Active,
        State::Suspended => v1::MerchantState::Suspended,
        State::Closed => v1::MerchantState::Closed,
    }
}

/// What opens the cards of `tenders`, taken out of them: what is left may be hashed, stored and printed.
pub(super) fn take_secrets(tenders: &mut [v1::Tender]) -> Vec<CardSecret> {
    let take = |tender: &mut v1::Tender| CardSecret {
        code: std::mem::take(&mut tender.card_code),
        pin: std::mem::take(&mut tender.card_pin),
    };
    tenders.iter_mut().map(take).collect()
}

/// A tender, and what opens its card. Messages about secrets do not repeat them.
pub(super) fn tender(
    index: usize,
    tender: &v1::Tender,
    secret: CardSecret,
) -> Result<(Tender, Option<CardSecret>)> {
    let field = |name: &str| format!("tenders[{index}].{name}");
    let kind = match v1::TenderKind::try_from(tender.kind) {
        Ok(v1::TenderKind::External) => TenderKind::External,
        Ok(v1::TenderKind::GiftCard) => TenderKind::GiftCard,
        Ok(v1::TenderKind::Points) => TenderKind::Points,
        Ok(v1::TenderKind::Unspecified) | Err(_) => {
            return Err(Error::invalid_field(field("kind"), "must be a kind of tender"));
        }
    };
    let amount = Amount::try_from(tender.minor_units).in_field(&field("minorUnits"))?;
    let is_card = kind == TenderKind::GiftCard;
    for (name, text, needed) in [
        ("cardCode", &secret.code, is_card),
        ("cardPin", &secret.pin, false),
    ] {
        if !is_card && !text.is_empty() {
            return Err(Error::invalid_field(field(name), "is for gift cards only"));
        }
        if needed && text.is_empty() {
            return Err(Error::invalid_field(field(name), "is missing"));
        }
        if text.len() > MAX_SECRET || text.chars().any(char::is_control) {
            return Err(Error::invalid_field(
                field(name),
                "must be at most 64 bytes, all printable",
            ));
        }
    }
    Ok((Tender { kind, amount }, is_card.then_some(secret)))
}

pub(super) fn merchant(merchant: &Merchant) -> v1::Merchant {
    v1::Merchant {
        merchant_id: merchant.id.to_string(),
        name: merchant.name.to_string(),
        state: wire_state(merchant.state).into(),
        currency_code: merchant.currency.to_string(),
        currency_exponent: merchant.exponent.get(),
        points_code: merchant.points.to_string(),
        time_zone: merchant.time_zone.to_string(),
        created_at: Some(to_wire(merchant.created_at)),
        accounts: merchant.accounts.as_ref().map(accounts),
    }
}

fn accounts(accounts: &MerchantAccounts) -> v1::MerchantAccounts {
    v1::MerchantAccounts {
        external_account_id: accounts.external.to_string(),
        sales_account_id: accounts.sales.to_string(),
        loyalty_cost_account_id: accounts.loyalty_cost.to_string(),
        issuance_account_id: accounts.issuance.to_string(),
        redemption_account_id: accounts.redemption.to_string(),
    }
}

pub(super) fn event(event: &MerchantEvent) -> v1::MerchantEvent {
    let from = event.from.map_or(v1::MerchantState::Unspecified, wire_state);
    v1::MerchantEvent {
        from_state: from.into(),
        to_state: wire_state(event.to).into(),
        actor: event.actor.to_string(),
        reason: event.reason.to_string(),
        occurred_at: Some(to_wire(event.occurred_at)),
    }
}

pub(super) fn program(program: &Program) -> v1::Program {
    let numbers = program.terms.numbers();
    v1::Program {
        version: program.version,
        earn_points: numbers.earn_points,
        earn_per: numbers.earn_per,
        burn_points: numbers.burn_points,
        burn_value: numbers.burn_value,
        published_at: Some(to_wire(program.published_at)),
    }
}

/// Points that did not move yet, or never will, are not shown.
pub(super) fn purchase(purchase: &Purchase) -> v1::Purchase {
    let state = match purchase.stage {
        Stage::Planned | Stage::Authorised => v1::PurchaseState::Pending,
        Stage::Posted => v1::PurchaseState::Posted,
        Stage::Refused => v1::PurchaseState::Refused,
    };
    let moved = |points: Option<Amount>| {
        points
            .filter(|_| purchase.stage == Stage::Posted)
            .map_or(0, Amount::get)
    };
    v1::Purchase {
        purchase_id: purchase.id.to_string(),
        state: state.into(),
        amount: Some(Money {
            minor_units: purchase.amount.get(),
            asset_code: purchase.currency.to_string(),
        }),
        wallet_id: purchase
            .wallet
            .map(|wallet| wallet.to_string())
            .unwrap_or_default(),
        points_earned: moved(purchase.earned),
        points_burnt: moved(purchase.burnt),
        transaction_id: purchase.transaction.map(|id| id.to_string()).unwrap_or_default(),
        program_version: purchase.program_version.unwrap_or_default(),
        reference: purchase
            .reference
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default(),
        created_at: Some(to_wire(purchase.created_at)),
    }
}

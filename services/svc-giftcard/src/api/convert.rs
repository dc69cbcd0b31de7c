//! Between the contract's messages and the service's types.

use lp_contracts::{common::v1::Money, giftcard::v1, time::to_wire};
use lp_error::{Error, InField as _, Result};
use lp_types::{Amount, AssetCode, MinorUnits};

use crate::{
    domain::{card::CardState, code::CardSecret},
    infrastructure::postgres::{cards::Card, products::Product},
};

/// Longer than any code or PIN that a person types.
const MAX_SECRET: usize = 64;

/// A code and a PIN as they were typed. What cannot be a code is refused later, as a wrong one.
pub(super) fn secret(code: String, pin: String) -> Result<CardSecret> {
    let length = code.chars().count();
    if !(1..=MAX_SECRET).contains(&length) {
        return Err(Error::invalid_field("code", "must be 1 to 64 characters"));
    }
    if pin.chars().count() > MAX_SECRET {
        return Err(Error::invalid_field("pin", "must be at most 64 characters"));
    }
    Ok(CardSecret { code, pin })
}

pub(super) fn amount(amount: Option<Money>) -> Result<(Amount, AssetCode)> {
    let Money {
        minor_units,
        asset_code,
    } = amount.in_field("amount")?;
    Ok((
        Amount::try_from(minor_units).in_field("amount.minorUnits")?,
        AssetCode::try_from(asset_code).in_field("amount.assetCode")?,
    ))
}

pub(super) fn money(minor_units: MinorUnits, asset: &AssetCode) -> Money {
    Money {
        minor_units: minor_units.get(),
        asset_code: asset.to_string(),
    }
}

pub(super) fn product(product: Product) -> v1::Product {
    v1::Product {
        product_id: product.id.to_string(),
        name: product.name.into(),
        currency_code: product.currency.into(),
        denominations: product.denominations.into(),
        has_pin: product.has_pin,
        created_at: Some(to_wire(product.created_at)),
    }
}

pub(super) fn wire_state(state: CardState) -> v1::CardState {
    match state {
        CardState::Issued => v1::CardState::Issued,
        CardState::Activating => v1::CardState::Activating,
        CardState::Active => v1::CardState::Active,
    }
}

pub(super) fn card(card: &Card) -> v1::Card {
    let face_value = card.face_value.map(|amount| MinorUnits::new(amount.get()));
    v1::Card {
        card_id: card.id.to_string(),
        product_id: card.product.to_string(),
        state: wire_state(card.state).into(),
        account_id: card
            .account
            .map(|account| account.to_string())
            .unwrap_or_default(),
        code_suffix: card.code_suffix.clone(),
        face_value: face_value.map(|value| money(value, &card.currency)),
        created_at: Some(to_wire(card.created_at)),
        activated_at: card.activated_at.map(to_wire),
    }
}

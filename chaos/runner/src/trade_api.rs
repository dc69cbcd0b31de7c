//! Merchants, cards, purchases and figures of the public API, as the history tells of them.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use anyhow::Context as _;
use history_checker::{
    AssetFigures, Card, Done, Figures, Key, Outcome, Programme, Purchase, Tender, TenderKind, Trade,
};
use lp_contracts::{
    analytics::v1 as analytics,
    common::v1::Money,
    giftcard::v1 as giftcard,
    merchant::v1::{self as merchant, MerchantState},
};
use lp_types::MerchantId;
use tonic::Status;

use crate::{
    api::{Api, Token},
    cards::Secret,
    wire::outcome_of,
};

/// What every merchant trades in.
pub(crate) const CURRENCY: &str = "EUR";
/// What a card can be sold for.
pub(crate) const DENOMINATIONS: [i64; 3] = [1_000, 2_500, 5_000];

/// What an answer is where it lacks what the contract promises.
fn lacking(what: &str) -> Status {
    Status::internal(format!("an answer without {what}"))
}

fn malformed(error: &anyhow::Error) -> Status {
    Status::invalid_argument(error.to_string())
}

fn euros(minor_units: i64) -> Option<Money> {
    let asset_code = CURRENCY.to_owned();
    Some(Money {
        minor_units,
        asset_code,
    })
}

fn units(money: Option<&Money>) -> i64 {
    money.map_or(0, |money| money.minor_units)
}

impl Api {
    /// Lets a merchant apply and takes it as far as ACTIVE. Returns its accounts.
    pub(crate) async fn onboard(
        &self,
        of: MerchantId,
        points: &str,
        time_zone: &str,
    ) -> anyhow::Result<merchant::MerchantAccounts> {
        let message = merchant::ApplyMerchantRequest {
            name: "Chaos".to_owned(),
            currency_code: CURRENCY.to_owned(),
            currency_exponent: 2,
            points_code: points.to_owned(),
            time_zone: time_zone.to_owned(),
        };
        let mut client = self.merchant.clone();
        client.apply_merchant(self.request(of, "apply", message)?).await?;
        let mut accounts = None;
        for state in [
            MerchantState::InReview,
            MerchantState::Approved,
            MerchantState::Active,
        ] {
            let message = merchant::ChangeMerchantStateRequest {
                to_state: state.into(),
                reason: "chaos".to_owned(),
            };
            let request = self.request(of, state.as_str_name(), message)?;
            let answer = client.change_merchant_state(request).await?.into_inner();
            accounts = answer.merchant.and_then(|merchant| merchant.accounts);
        }
        accounts.context("an active merchant has no accounts")
    }

    /// A merchant's accounts.
    pub(crate) async fn accounts(&self, of: MerchantId) -> anyhow::Result<merchant::MerchantAccounts> {
        let request = self.request(of, "", merchant::GetMerchantRequest {})?;
        let answer = self.merchant.clone().get_merchant(request).await?.into_inner();
        let accounts = answer.merchant.and_then(|merchant| merchant.accounts);
        accounts.context("an active merchant has no accounts")
    }

    /// Publishes a merchant's first programme.
    pub(crate) async fn publish(&self, of: MerchantId, programme: &mut Programme) -> anyhow::Result<()> {
        let message = merchant::PublishProgramRequest {
            based_on_version: 0,
            earn_points: programme.earn_points,
            earn_per: programme.earn_per,
            burn_points: programme.burn_points,
            burn_value: programme.burn_value,
        };
        let request = self.request(of, "programme", message)?;
        let answer = self.merchant.clone().publish_program(request).await?.into_inner();
        programme.version = answer.program.context("an answer without programme")?.version;
        Ok(())
    }

    /// Adds a product to a merchant's catalogue.
    pub(crate) async fn create_product(
        &self,
        of: MerchantId,
        key: &str,
        has_pin: bool,
    ) -> Result<String, Status> {
        let message = giftcard::CreateProductRequest {
            name: "Chaos".to_owned(),
            currency_code: CURRENCY.to_owned(),
            denominations: DENOMINATIONS.to_vec(),
            has_pin,
        };
        let request = self
            .request(of, key, message)
            .map_err(|error| malformed(&error))?;
        let answer = self.giftcard.clone().create_product(request).await?.into_inner();
        let product = answer.product.ok_or_else(|| lacking("product"))?;
        Ok(product.product_id)
    }

    /// Makes a card, once.
    pub(crate) async fn issue(&self, of: MerchantId, key: &str, product: &str) -> (Outcome, Option<Secret>) {
        let issued = async {
            let message = giftcard::IssueCardRequest {
                product_id: product.to_owned(),
            };
            let request = self
                .request(of, key, message)
                .map_err(|error| malformed(&error))?;
            let answer = self.giftcard.clone().issue_card(request).await?.into_inner();
            let card = answer.card.ok_or_else(|| lacking("card"))?.card_id;
            Ok((card, Secret::new(answer.code, answer.pin)))
        };
        match issued.await {
            Ok((card, secret)) => {
                let mut hasher = DefaultHasher::new();
                secret.hash(&mut hasher);
                let digest = format!("{:016x}", hasher.finish());
                let done = Done::Issued { card, secret: digest };
                (Outcome::Done(done), Some(secret))
            }
            Err(status) => (outcome_of(&status), None),
        }
    }

    /// Sells a card.
    pub(crate) async fn sell(
        &self,
        of: MerchantId,
        key: &str,
        card: &str,
        amount: i64,
    ) -> Result<Done, Status> {
        let message = giftcard::ActivateCardRequest {
            card_id: card.to_owned(),
            amount: euros(amount),
        };
        let request = self
            .request(of, key, message)
            .map_err(|error| malformed(&error))?;
        let answer = self.giftcard.clone().activate_card(request).await?.into_inner();
        let card = answer.card.ok_or_else(|| lacking("card"))?;
        Ok(Done::Sold {
            card: card.card_id,
            account: card.account_id,
            face_value: units(card.face_value.as_ref()),
            transaction: answer.transaction_id,
        })
    }

    /// Spends a card on its own.
    pub(crate) async fn redeem(
        &self,
        of: MerchantId,
        key: &str,
        secret: &Secret,
        amount: i64,
    ) -> Result<Done, Status> {
        let message = giftcard::RedeemCardRequest {
            code: secret.code().to_owned(),
            pin: secret.pin().to_owned(),
            amount: euros(amount),
        };
        let request = self
            .request(of, key, message)
            .map_err(|error| malformed(&error))?;
        let answer = self.giftcard.clone().redeem_card(request).await?.into_inner();
        Ok(Done::Redeemed {
            card: answer.card_id,
            transaction: answer.transaction_id,
            balance: units(answer.balance.as_ref()),
        })
    }

    /// Submits a purchase. `secrets` are those of the tenders' cards, in their order; the token is for the wallet.
    pub(crate) async fn purchase(
        &self,
        of: MerchantId,
        key: &str,
        trade: &Trade,
        wallet: Option<(&str, &str)>,
        secrets: &[Secret],
    ) -> Result<(Done, Option<Token>), Status> {
        let Trade::Purchase {
            amount,
            tenders,
            reference,
            ..
        } = trade
        else {
            return Err(Status::invalid_argument("no purchase"));
        };
        let mut secrets = secrets.iter();
        let message = merchant::SubmitPurchaseRequest {
            amount: euros(*amount),
            tenders: tenders.iter().map(|tender| wire(tender, &mut secrets)).collect(),
            wallet_id: wallet.map(|(wallet, _)| wallet.to_owned()).unwrap_or_default(),
            reference: reference.clone(),
        };
        let request = self
            .request(of, key, message)
            .map_err(|error| malformed(&error))?;
        let answer = self.merchant.clone().submit_purchase(request).await?.into_inner();
        let purchase = answer.purchase.ok_or_else(|| lacking("purchase"))?;
        let token = wallet.and_then(|(_, account)| Token::read(account, answer.consistency_token));
        Ok((Done::Purchased(seen(of, purchase)), token))
    }

    /// A purchase as it stands.
    pub(crate) async fn get_purchase(&self, of: MerchantId, id: &str) -> anyhow::Result<Purchase> {
        let message = merchant::GetPurchaseRequest {
            purchase_id: id.to_owned(),
        };
        let request = self.request(of, "", message)?;
        let answer = self.merchant.clone().get_purchase(request).await?.into_inner();
        Ok(seen(of, answer.purchase.context("an answer without purchase")?))
    }

    /// A card as it stands.
    pub(crate) async fn get_card(&self, of: MerchantId, id: &str) -> Result<Card, Status> {
        let message = giftcard::GetCardRequest {
            card_id: id.to_owned(),
        };
        let request = self.request(of, "", message).map_err(|error| malformed(&error))?;
        let answer = self.giftcard.clone().get_card(request).await?.into_inner();
        let card = answer.card.ok_or_else(|| lacking("card"))?;
        Ok(Card {
            merchant: of.to_string(),
            state: card
                .state()
                .as_str_name()
                .trim_start_matches("CARD_STATE_")
                .to_owned(),
            id: card.card_id,
            account: card.account_id,
            face_value: units(card.face_value.as_ref()),
            balance: units(answer.balance.as_ref()),
        })
    }

    /// What a card's code and PIN open.
    pub(crate) async fn authorize(&self, of: MerchantId, secret: &Secret) -> Result<Card, Status> {
        let message = giftcard::AuthorizeRedemptionRequest {
            code: secret.code().to_owned(),
            pin: secret.pin().to_owned(),
        };
        let request = self.request(of, "", message).map_err(|error| malformed(&error))?;
        let answer = self
            .giftcard
            .clone()
            .authorize_redemption(request)
            .await?
            .into_inner();
        Ok(Card {
            id: answer.card_id,
            merchant: of.to_string(),
            state: "ACTIVE".to_owned(),
            account: answer.account_id,
            face_value: 0,
            balance: units(answer.balance.as_ref()),
        })
    }

    /// The figures of some days.
    pub(crate) async fn figures(&self, of: MerchantId, from: &str, to: &str) -> anyhow::Result<Vec<Figures>> {
        let message = analytics::ListDailyFiguresRequest {
            from_day: from.to_owned(),
            to_day: to.to_owned(),
        };
        let request = self.request(of, "", message)?;
        let answer = self
            .analytics
            .clone()
            .list_daily_figures(request)
            .await?
            .into_inner();
        let day = |day: analytics::DailyFigures| Figures {
            merchant: of.to_string(),
            day: day.day,
            transactions: day.transactions,
            assets: day.assets.into_iter().map(asset).collect(),
        };
        Ok(answer.days.into_iter().map(day).collect())
    }
}

fn asset(of: analytics::AssetFigures) -> AssetFigures {
    AssetFigures {
        asset: of.asset_code,
        points_given: of.points_given,
        points_spent: of.points_spent,
        cards_sold: of.cards_sold,
        cards_sold_amount: of.cards_sold_amount,
        cards_redeemed: of.cards_redeemed,
        cards_redeemed_amount: of.cards_redeemed_amount,
    }
}

fn wire<'a>(tender: &Tender, secrets: &mut impl Iterator<Item = &'a Secret>) -> merchant::Tender {
    let kind = match tender.kind {
        TenderKind::External => merchant::TenderKind::External,
        TenderKind::GiftCard => merchant::TenderKind::GiftCard,
        TenderKind::Points => merchant::TenderKind::Points,
    };
    let secret = tender.card.as_ref().and_then(|_: &Key| secrets.next());
    merchant::Tender {
        kind: kind.into(),
        minor_units: tender.amount,
        card_code: secret.map(|secret| secret.code().to_owned()).unwrap_or_default(),
        card_pin: secret.map(|secret| secret.pin().to_owned()).unwrap_or_default(),
    }
}

fn seen(of: MerchantId, purchase: merchant::Purchase) -> Purchase {
    Purchase {
        merchant: of.to_string(),
        state: purchase
            .state()
            .as_str_name()
            .trim_start_matches("PURCHASE_STATE_")
            .to_owned(),
        id: purchase.purchase_id,
        amount: units(purchase.amount.as_ref()),
        earned: purchase.points_earned,
        burnt: purchase.points_burnt,
        version: purchase.program_version,
        transaction: purchase.transaction_id,
    }
}

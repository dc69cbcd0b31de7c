//! The rpcs of `GiftCardService`.

use lp_chassis::{Call, call::claim, page::Page};
use lp_client::Asking;
use lp_contracts::giftcard::v1::{self, gift_card_service_server::GiftCardService};
use lp_error::{Error, InField as _};
use lp_types::{
    AssetCode, MinorUnits,
    ids::{CardId, ProductId},
};
use tonic::{Request, Response, Status};

use super::{convert, errors};
use crate::{
    application::{
        Parts,
        activate_card::{Sale, activate_card},
        create_product::{NewProduct, create_product},
        issue_card::issue_card,
        open_card::open_card,
        redeem_card::{Spending, redeem_card},
    },
    domain::product::{Denominations, ProductName},
    infrastructure::postgres::{cards, cards::Card, products},
};

/// The handlers.
#[derive(Debug)]
pub struct GiftCardApi(Parts);

impl GiftCardApi {
    /// Stands on `parts`.
    pub fn new(parts: Parts) -> Self {
        Self(parts)
    }

    fn claim<M: prost::Message>(
        &self,
        request: &Request<M>,
        rpc: &'static str,
    ) -> lp_error::Result<lp_pg::idempotency::Claim> {
        claim(request, rpc, self.0.ambient.clock.now())
    }

    /// What a card holds: nothing before it has an account.
    async fn balance(&self, call: &Call, card: &Card) -> lp_error::Result<MinorUnits> {
        let asking = Asking {
            caller: &call.caller,
            deadline: call.deadline,
        };
        match card.account {
            Some(account) => self.0.ledger.balance(asking, account).await,
            None => Ok(MinorUnits::ZERO),
        }
    }
}

#[tonic::async_trait]
impl GiftCardService for GiftCardApi {
    async fn create_product(
        &self,
        request: Request<v1::CreateProductRequest>,
    ) -> Result<Response<v1::CreateProductResponse>, Status> {
        let claim = self.claim(&request, "CreateProduct")?;
        let deadline = Call::of(&request)?.deadline;
        let wanted = request.into_inner();
        let new = NewProduct {
            name: ProductName::try_from(wanted.name).in_field("name")?,
            currency: AssetCode::try_from(wanted.currency_code).in_field("currencyCode")?,
            denominations: Denominations::try_from(wanted.denominations).in_field("denominations")?,
            has_pin: wanted.has_pin,
        };
        let answer = create_product(&self.0, claim, deadline, new).await?;
        let product = answer.map_err(errors::refusal)?;
        Ok(Response::new(v1::CreateProductResponse {
            product: Some(convert::product(product)),
        }))
    }

    async fn get_product(
        &self,
        request: Request<v1::GetProductRequest>,
    ) -> Result<Response<v1::GetProductResponse>, Status> {
        let merchant = Call::of(&request)?.caller.merchant;
        let id: ProductId = request.get_ref().product_id.parse().in_field("productId")?;
        let mut connection = self.0.database.acquire().await.map_err(Error::from)?;
        let found = products::find(&mut connection, merchant, id)
            .await
            .map_err(Error::from)?;
        let product = found.ok_or_else(|| errors::unknown_product(id))?;
        Ok(Response::new(v1::GetProductResponse {
            product: Some(convert::product(product)),
        }))
    }

    async fn list_products(
        &self,
        request: Request<v1::ListProductsRequest>,
    ) -> Result<Response<v1::ListProductsResponse>, Status> {
        let merchant = Call::of(&request)?.caller.merchant;
        let mut wanted = request.into_inner();
        let page = Page::open(wanted.page.take(), "ListProducts", &wanted)?;
        let before = page.cursor()?;
        let mut connection = self.0.database.acquire().await.map_err(Error::from)?;
        let mut rows = products::list(&mut connection, merchant, before, page.limit())
            .await
            .map_err(Error::from)?;
        let next = page.close(&mut rows, |product| product.id.to_string());
        Ok(Response::new(v1::ListProductsResponse {
            products: rows.into_iter().map(convert::product).collect(),
            page: Some(next),
        }))
    }

    async fn issue_card(
        &self,
        request: Request<v1::IssueCardRequest>,
    ) -> Result<Response<v1::IssueCardResponse>, Status> {
        let claim = self.claim(&request, "IssueCard")?;
        let deadline = Call::of(&request)?.deadline;
        let product: ProductId = request.get_ref().product_id.parse().in_field("productId")?;
        let answer = issue_card(&self.0, claim, deadline, product).await?;
        let issued = answer.map_err(errors::refusal)?;
        Ok(Response::new(v1::IssueCardResponse {
            card: Some(convert::card(&issued.card)),
            code: issued.code.grouped(),
            pin: issued.pin.map(|pin| pin.expose().to_owned()).unwrap_or_default(),
        }))
    }

    async fn activate_card(
        &self,
        request: Request<v1::ActivateCardRequest>,
    ) -> Result<Response<v1::ActivateCardResponse>, Status> {
        let claim = self.claim(&request, "ActivateCard")?;
        let deadline = Call::of(&request)?.deadline;
        let wanted = request.into_inner();
        let card: CardId = wanted.card_id.parse().in_field("cardId")?;
        let (amount, asset) = convert::amount(wanted.amount)?;
        let sale = Sale { card, amount, asset };
        let answer = activate_card(&self.0, claim, deadline, sale).await?;
        let activated = answer.map_err(errors::refusal)?;
        Ok(Response::new(v1::ActivateCardResponse {
            card: Some(convert::card(&activated.card)),
            transaction_id: activated.transaction.to_string(),
        }))
    }

    async fn authorize_redemption(
        &self,
        request: Request<v1::AuthorizeRedemptionRequest>,
    ) -> Result<Response<v1::AuthorizeRedemptionResponse>, Status> {
        let call = Call::of(&request)?;
        let v1::AuthorizeRedemptionRequest { code, pin } = request.into_inner();
        let secret = convert::secret(code, pin)?;
        let opened = open_card(&self.0, call.caller.merchant, secret).await?;
        let card = opened.ok_or_else(errors::card_refused)?;
        let balance = self.balance(&call, &card).await?;
        Ok(Response::new(v1::AuthorizeRedemptionResponse {
            card_id: card.id.to_string(),
            account_id: card
                .account
                .map(|account| account.to_string())
                .unwrap_or_default(),
            balance: Some(convert::money(balance, &card.currency)),
        }))
    }

    async fn redeem_card(
        &self,
        request: Request<v1::RedeemCardRequest>,
    ) -> Result<Response<v1::RedeemCardResponse>, Status> {
        let mut claim = self.claim(&request, "RedeemCard")?;
        claim.fingerprint = self.0.keys.fingerprint(&claim.fingerprint);
        let deadline = Call::of(&request)?.deadline;
        let v1::RedeemCardRequest { code, pin, amount } = request.into_inner();
        let secret = convert::secret(code, pin)?;
        let (amount, asset) = convert::amount(amount)?;
        let spending = Spending {
            secret,
            amount,
            asset,
        };
        let answer = redeem_card(&self.0, claim, deadline, spending).await?;
        let redeemed = answer.map_err(errors::refusal)?;
        Ok(Response::new(v1::RedeemCardResponse {
            card_id: redeemed.card.to_string(),
            transaction_id: redeemed.transaction.to_string(),
            balance: Some(convert::money(redeemed.balance, &redeemed.currency)),
        }))
    }

    async fn get_card(
        &self,
        request: Request<v1::GetCardRequest>,
    ) -> Result<Response<v1::GetCardResponse>, Status> {
        let call = Call::of(&request)?;
        let id: CardId = request.get_ref().card_id.parse().in_field("cardId")?;
        let found = {
            let mut connection = self.0.database.acquire().await.map_err(Error::from)?;
            let found = cards::find(&mut connection, call.caller.merchant, id).await;
            found.map_err(Error::from)?
        };
        let card = found.ok_or_else(|| errors::unknown_card(id))?;
        let balance = self.balance(&call, &card).await?;
        Ok(Response::new(v1::GetCardResponse {
            card: Some(convert::card(&card)),
            balance: Some(convert::money(balance, &card.currency)),
        }))
    }
}

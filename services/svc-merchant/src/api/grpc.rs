//! The rpcs of `MerchantService`.

use lp_chassis::{
    Call,
    call::{claim, optional},
    page::Page,
};
use lp_contracts::merchant::v1::{self, merchant_service_server::MerchantService};
use lp_error::{Error, InField};
use lp_pg::Database;
use lp_types::{Amount, AssetCode, MerchantId, Reference, WalletId, ids::PurchaseId, time::Ambient};
use tonic::{Request, Response, Status};

use super::{convert, errors};
use crate::{
    application::{
        apply_merchant::{self, Application, apply_merchant},
        change_state::{self, ChangeState, Step},
        publish_program::{self, publish_program},
        submit_purchase::{self, Order, Till},
    },
    domain::{
        profile::{Exponent, MerchantName, TimeZoneName},
        program::{Numbers, Terms},
        purchase::{MAX_TENDERS, Payment, PaymentError},
    },
    infrastructure::{
        clients::giftcard::CardSecret,
        postgres::{
            merchant_events,
            merchants::{self, Merchant},
            programs, purchases,
        },
    },
};

/// Why a merchant's history begins.
const APPLICATION: &str = "application";

/// The handlers.
#[derive(Debug)]
pub struct MerchantApi {
    database: Database,
    ambient: Ambient,
    onboarding: ChangeState,
    till: Till,
}

impl MerchantApi {
    /// Keeps merchants in `database`; `onboarding` and `till` call other services.
    pub fn new(database: Database, ambient: Ambient, onboarding: ChangeState, till: Till) -> Self {
        Self {
            database,
            ambient,
            onboarding,
            till,
        }
    }

    async fn merchant(&self, id: MerchantId) -> lp_error::Result<Merchant> {
        let mut connection = self.database.acquire().await?;
        let found = merchants::find(&mut connection, id).await?;
        found.ok_or_else(errors::unknown_merchant)
    }
}

/// What is to be paid, and how, from what is left of the request without `secrets`.
fn order(wanted: v1::SubmitPurchaseRequest, secrets: Vec<CardSecret>) -> lp_error::Result<Order> {
    let amount = wanted.amount.in_field("amount")?;
    let minor_units = Amount::try_from(amount.minor_units).in_field("amount.minorUnits")?;
    let currency = AssetCode::try_from(amount.asset_code).in_field("amount.assetCode")?;
    if wanted.tenders.len() > MAX_TENDERS {
        return Err(errors::payment(&PaymentError::Count));
    }
    let mut tenders = Vec::with_capacity(wanted.tenders.len());
    let mut cards = Vec::with_capacity(wanted.tenders.len());
    for (index, (tender, secret)) in wanted.tenders.iter().zip(secrets).enumerate() {
        let (tender, card) = convert::tender(index, tender, secret)?;
        tenders.push(tender);
        cards.push(card);
    }
    let payment = Payment::new(minor_units, tenders).map_err(|error| errors::payment(&error))?;
    let wallet = optional::<WalletId>(wanted.wallet_id, "walletId")?;
    if wallet.is_none() && payment.tender_of_points().is_some() {
        return Err(Error::invalid_field("walletId", "is needed where points pay"));
    }
    Ok(Order {
        payment,
        cards,
        currency,
        wallet,
        reference: optional(wanted.reference, "reference")?,
    })
}

#[tonic::async_trait]
impl MerchantService for MerchantApi {
    async fn apply_merchant(
        &self,
        request: Request<v1::ApplyMerchantRequest>,
    ) -> Result<Response<v1::ApplyMerchantResponse>, Status> {
        let claim = claim(&request, "ApplyMerchant", self.ambient.clock.now())?;
        let wanted = request.into_inner();
        let currency = AssetCode::try_from(wanted.currency_code).in_field("currencyCode")?;
        let points = AssetCode::try_from(wanted.points_code).in_field("pointsCode")?;
        if points == currency {
            let what = "must be another code than the currency's";
            return Err(Error::invalid_field("pointsCode", what).into());
        }
        let application = Application {
            name: MerchantName::try_from(wanted.name).in_field("name")?,
            currency,
            exponent: Exponent::try_from(wanted.currency_exponent).in_field("currencyExponent")?,
            points,
            time_zone: TimeZoneName::try_from(wanted.time_zone).in_field("timeZone")?,
            reason: Reference::try_from(APPLICATION.to_owned()).map_err(Error::internal)?,
        };
        match apply_merchant(&self.database, &self.ambient, claim, application).await? {
            apply_merchant::Answer::Applied(merchant) => Ok(Response::new(v1::ApplyMerchantResponse {
                merchant: Some(convert::merchant(&merchant)),
            })),
            apply_merchant::Answer::Exists => Err(errors::merchant_exists().into()),
        }
    }

    async fn change_merchant_state(
        &self,
        request: Request<v1::ChangeMerchantStateRequest>,
    ) -> Result<Response<v1::ChangeMerchantStateResponse>, Status> {
        use change_state::Answer;
        let claim = claim(&request, "ChangeMerchantState", self.ambient.clock.now())?;
        let deadline = Call::of(&request)?.deadline;
        let wanted = request.into_inner();
        let step = Step {
            to: convert::state(wanted.to_state)?,
            reason: Reference::try_from(wanted.reason).in_field("reason")?,
        };
        match self.onboarding.take(claim, deadline, &step).await? {
            Answer::Changed(merchant) => Ok(Response::new(v1::ChangeMerchantStateResponse {
                merchant: Some(convert::merchant(&merchant)),
            })),
            Answer::UnknownMerchant => Err(errors::unknown_merchant().into()),
            Answer::WrongState(from) => Err(errors::wrong_state(from, step.to).into()),
            Answer::AssetUnusable(asset) => Err(errors::asset_unusable(&asset).into()),
        }
    }

    async fn get_merchant(
        &self,
        request: Request<v1::GetMerchantRequest>,
    ) -> Result<Response<v1::GetMerchantResponse>, Status> {
        let merchant = self.merchant(Call::of(&request)?.caller.merchant).await?;
        Ok(Response::new(v1::GetMerchantResponse {
            merchant: Some(convert::merchant(&merchant)),
        }))
    }

    async fn list_merchant_events(
        &self,
        request: Request<v1::ListMerchantEventsRequest>,
    ) -> Result<Response<v1::ListMerchantEventsResponse>, Status> {
        let merchant = Call::of(&request)?.caller.merchant;
        let mut wanted = request.into_inner();
        let page = Page::open(wanted.page.take(), "ListMerchantEvents", &wanted)?;
        let before = page.cursor()?;
        self.merchant(merchant).await?;
        let mut connection = self.database.acquire().await.map_err(Error::from)?;
        let mut rows = merchant_events::list(&mut connection, merchant, before, page.limit())
            .await
            .map_err(Error::from)?;
        let next = page.close(&mut rows, |event| event.sequence.to_string());
        Ok(Response::new(v1::ListMerchantEventsResponse {
            events: rows.iter().map(convert::event).collect(),
            page: Some(next),
        }))
    }

    async fn publish_program(
        &self,
        request: Request<v1::PublishProgramRequest>,
    ) -> Result<Response<v1::PublishProgramResponse>, Status> {
        use publish_program::Answer;
        let claim = claim(&request, "PublishProgram", self.ambient.clock.now())?;
        let wanted = request.into_inner();
        let based_on = wanted.based_on_version;
        if based_on < 0 {
            return Err(Error::invalid_field("basedOnVersion", "must be at least 0").into());
        }
        let numbers = Numbers {
            earn_points: wanted.earn_points,
            earn_per: wanted.earn_per,
            burn_points: wanted.burn_points,
            burn_value: wanted.burn_value,
        };
        let terms = Terms::new(numbers).map_err(errors::program_invalid)?;
        match publish_program(&self.database, &self.ambient, claim, based_on, terms).await? {
            Answer::Published(program) => Ok(Response::new(v1::PublishProgramResponse {
                program: Some(convert::program(&program)),
            })),
            Answer::UnknownMerchant => Err(errors::unknown_merchant().into()),
            Answer::NotActive(state) => Err(errors::not_active(state).into()),
            Answer::Changed => Err(errors::program_changed().into()),
        }
    }

    async fn get_program(
        &self,
        request: Request<v1::GetProgramRequest>,
    ) -> Result<Response<v1::GetProgramResponse>, Status> {
        let merchant = Call::of(&request)?.caller.merchant;
        let version = match request.get_ref().version {
            0 => None,
            version @ 1.. => Some(version),
            _ => return Err(Error::invalid_field("version", "must be at least 0").into()),
        };
        let mut connection = self.database.acquire().await.map_err(Error::from)?;
        let found = programs::find(&mut connection, merchant, version)
            .await
            .map_err(Error::from)?;
        let program = found.ok_or_else(errors::no_program)?;
        Ok(Response::new(v1::GetProgramResponse {
            program: Some(convert::program(&program)),
        }))
    }

    async fn submit_purchase(
        &self,
        mut request: Request<v1::SubmitPurchaseRequest>,
    ) -> Result<Response<v1::SubmitPurchaseResponse>, Status> {
        use submit_purchase::Answer;
        // Before the fingerprint: whoever reads it could try every PIN.
        let secrets = convert::take_secrets(&mut request.get_mut().tenders);
        let claim = claim(&request, "SubmitPurchase", self.ambient.clock.now())?;
        let deadline = Call::of(&request)?.deadline;
        let order = order(request.into_inner(), secrets)?;
        let refusal = match self.till.submit(claim, deadline, &order).await? {
            Answer::Posted { purchase, token } => {
                return Ok(Response::new(v1::SubmitPurchaseResponse {
                    purchase: Some(convert::purchase(&purchase)),
                    consistency_token: token,
                }));
            }
            Answer::UnknownMerchant => errors::unknown_merchant(),
            Answer::NotActive(state) => errors::not_active(state),
            Answer::WrongCurrency(currency) => errors::wrong_currency(&currency),
            Answer::NoProgram => errors::no_program(),
            Answer::NotAMultiple(tender, burn_value) => errors::not_a_multiple(tender, burn_value),
            Answer::TooManyPoints(tender) => errors::too_many_points(tender),
            Answer::ReferenceTaken(reference) => errors::reference_taken(&reference),
            Answer::Refused(purchase, why) => errors::refused(purchase, why),
        };
        Err(refusal.into())
    }

    async fn get_purchase(
        &self,
        request: Request<v1::GetPurchaseRequest>,
    ) -> Result<Response<v1::GetPurchaseResponse>, Status> {
        let merchant = Call::of(&request)?.caller.merchant;
        let id: PurchaseId = request.get_ref().purchase_id.parse().in_field("purchaseId")?;
        let mut connection = self.database.acquire().await.map_err(Error::from)?;
        let found = purchases::find(&mut connection, merchant, id)
            .await
            .map_err(Error::from)?;
        let purchase = found.ok_or_else(|| Error::not_found(format!("purchase {id}")))?;
        Ok(Response::new(v1::GetPurchaseResponse {
            purchase: Some(convert::purchase(&purchase)),
        }))
    }
}

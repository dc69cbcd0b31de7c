//! A merchant's first day, played against a running fleet and told as it goes; at its end the checker judges all that
//! was seen of it. `cargo xtask up` starts the fleet and this.

use std::{
    process::ExitCode,
    sync::{Arc, atomic::AtomicBool},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use history_checker::{
    Done, History, Key, Kind, Look, Operation, Outcome, Programme, Purchase, Tender, TenderKind, Trade,
    Violation, check,
};
use lp_contracts::{
    merchant::v1::{self as merchant, MerchantState},
    wallet::v1::{self as wallet, BalanceSource},
};
use lp_types::{IdSource as _, MerchantId, SystemIds};

use crate::{
    api::{Api, POINTS, reaching, time_zone},
    observe,
    recorder::Recorder,
    trade_api::CURRENCY,
    traffic::{Shared, moving},
    world::{Customer, Merchant, World},
};

// The amounts of the page of accounts in docs/ARCHITECTURE.md.
const WELCOME: i64 = 600;
const CARD: i64 = 5_000;
const BY_CARD: i64 = 2_000;
const BY_POINTS: i64 = 500;
const IN_CASH: i64 = 2_500;

/// How often a call is tried while its outcome is unknown.
const TRIES: u32 = 8;

/// Tells each step once it was seen to work.
struct Told(Instant);

impl Told {
    fn step(&mut self, service: &str, text: &str) {
        let took = self.0.elapsed().as_millis();
        println!("  ✓ {service:<16} {text}  ({took} ms)");
        self.0 = Instant::now();
    }
}

/// Plays it in the fleet that the environment names (`SVC_LEDGER_URL` and so on, `MAIL_API_URL`).
pub fn main() -> ExitCode {
    let settings: Vec<_> = std::env::vars().collect();
    let played = || {
        let mail_api =
            std::env::var("MAIL_API_URL").context("MAIL_API_URL is not set: `cargo xtask up` sets it")?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(play(&settings, &mail_api))
    };
    match played() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("  ✗ {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Plays it in the fleet with these settings, whose e-mails `mail_api` holds.
///
/// # Errors
/// When a step is not seen to work, or the checker finds something wrong.
async fn play(settings: &[(String, String)], mail_api: &str) -> anyhow::Result<()> {
    let id = MerchantId::from_uuid(SystemIds.uuid());
    let email = format!("claire-{}@example.com", id.uuid().simple());
    let (till, operator) = (Arc::new(Api::of_till(settings, id)?), Api::new(settings)?);
    let mut told = Told(Instant::now());

    let joined = reaching(|| join(&till, &operator, id)).await;
    joined.context("the merchant joins")?;
    told.step(
        "svc-merchant",
        &format!("{id} applied, was reviewed, approved and activated"),
    );
    let mut programme = Programme {
        merchant: id.to_string(),
        version: 0,
        earn_points: 1,
        earn_per: 100,
        burn_points: 100,
        burn_value: 100,
    };
    till.publish(id, &mut programme).await.context("the programme")?;
    told.step(
        "svc-merchant",
        "published a programme: 1 point for each euro, 100 points pay one",
    );
    let customer = open_wallet(&till, id, &email).await.context("the wallet")?;
    told.step("svc-wallet", &format!("wallet {} opened", customer.wallet));
    let product = till
        .create_product(id, "product", true)
        .await
        .context("the product")?;

    let accounts = till.accounts(id).await.context("the merchant's accounts")?;
    let world = World::of_one(&accounts, (id, product, customer), programme, &email);
    let shared = Shared {
        apis: vec![Arc::clone(&till)].into(),
        world,
        recorder: Recorder::new(),
        stop: AtomicBool::new(false),
        patience: None,
    };
    let merchant = shared.world.merchants.first().context("one merchant")?;
    let purchase = trade(&shared, merchant, &mut told).await?;
    show(&till, merchant, &shared, &mut told).await?;

    let purchases = [(purchase.id, id)];
    let seen = observe::at_rest(&[till], &shared.world, &purchases, mail_api).await?;
    let mails = observe::caught(mail_api).await?;
    let mine = mails.iter().filter(|mail| mail.is_to(&email));
    mine.for_each(|mail| println!("    e-mail to {email}: “{}”", mail.subject));
    told.step(
        "svc-notification",
        &format!("{} e-mails arrived", seen.mails.len()),
    );
    tell_figures(&seen);
    told.step("svc-analytics", "the day's figures");

    let history = History {
        operations: shared.recorder.operations(),
        ..seen
    };
    let violations: Vec<_> = check(&history).iter().map(Violation::to_string).collect();
    ensure!(violations.is_empty(), "the checker: {}", violations.join("; "));
    told.step(
        "checker",
        &format!(
            "nothing wrong with {} calls, {} transactions, {} entries",
            history.operations.len(),
            history.transactions.len(),
            history.entries.len()
        ),
    );
    tell_lines_to_try(settings, merchant);
    Ok(())
}

/// The merchant applies by itself; an operator of the platform does the rest.
async fn join(till: &Api, operator: &Api, id: MerchantId) -> anyhow::Result<()> {
    let message = merchant::ApplyMerchantRequest {
        name: "Boulangerie Martin".to_owned(),
        currency_code: CURRENCY.to_owned(),
        currency_exponent: 2,
        points_code: POINTS.to_owned(),
        // The one by which the checker counts this merchant's days.
        time_zone: time_zone(id).to_owned(),
    };
    let request = till.request(id, "apply", message)?;
    till.merchant.clone().apply_merchant(request).await?;
    for state in [
        MerchantState::InReview,
        MerchantState::Approved,
        MerchantState::Active,
    ] {
        let message = merchant::ChangeMerchantStateRequest {
            to_state: state.into(),
            reason: "papers-complete".to_owned(),
        };
        let request = operator.request(id, state.as_str_name(), message)?;
        operator.merchant.clone().change_merchant_state(request).await?;
    }
    Ok(())
}

async fn open_wallet(till: &Api, id: MerchantId, email: &str) -> anyhow::Result<Customer> {
    let message = wallet::CreateWalletRequest {
        customer_reference: "claire".to_owned(),
        asset_code: POINTS.to_owned(),
        contact: Some(wallet::Contact {
            email: email.to_owned(),
            language: "fr".to_owned(),
            messages_allowed: true,
        }),
    };
    let answer = till
        .wallet
        .clone()
        .create_wallet(till.request(id, "wallet", message)?)
        .await?;
    let wallet = answer.into_inner().wallet.context("an answer without wallet")?;
    Ok(Customer {
        account: wallet.account_id,
        wallet: wallet.wallet_id,
    })
}

/// The welcome, the card, the purchase, and what must not work.
async fn trade(shared: &Shared, merchant: &Merchant, told: &mut Told) -> anyhow::Result<Purchase> {
    let customer = merchant.customers.first().context("one customer")?;
    let welcome = moving(
        Kind::Earn,
        "welcome".to_owned(),
        &merchant.issuance,
        &customer.account,
        WELCOME,
    );
    shared
        .send(0, merchant, "welcome".to_owned(), welcome, TRIES)
        .await;
    match shared.recorder.operations().pop() {
        Some(Operation {
            outcome: Outcome::Posted { transaction, .. },
            ..
        }) => {
            told.step(
                "svc-ledger",
                &format!("earned {WELCOME} points as a welcome: {}", transaction.id),
            );
        }
        other => bail!("the welcome: {other:?}"),
    }

    let product = merchant.product.clone();
    let issued = shared
        .trade(0, merchant, "card", &Trade::Issue { product }, TRIES)
        .await;
    let Outcome::Done(Done::Issued { card, .. }) = issued else {
        bail!("the card: {issued:?}");
    };
    let sale = Trade::Sale {
        card: card.clone(),
        amount: CARD,
    };
    let sold = shared.trade(0, merchant, "sale", &sale, TRIES).await;
    let Outcome::Done(Done::Sold { account, .. }) = sold else {
        bail!("the sale: {sold:?}");
    };
    told.step(
        "svc-giftcard",
        &format!("card {card} sold for 50.00 EUR, ledger account {account}"),
    );

    let tender = |kind, amount, card: Option<&str>| Tender {
        kind,
        amount,
        card: card.map(|card| Key {
            card: card.to_owned(),
            opens: true,
        }),
    };
    let purchase = Trade::Purchase {
        amount: BY_CARD + BY_POINTS + IN_CASH,
        tenders: vec![
            tender(TenderKind::GiftCard, BY_CARD, Some(&card)),
            tender(TenderKind::Points, BY_POINTS, None),
            tender(TenderKind::External, IN_CASH, None),
        ],
        customer: Some(customer.account.clone()),
        reference: "receipt-1".to_owned(),
    };
    let bought = shared.trade(0, merchant, "purchase", &purchase, TRIES).await;
    let Outcome::Done(Done::Purchased(paid)) = bought.clone() else {
        bail!("the purchase: {bought:?}");
    };
    told.step(
        "svc-merchant",
        &format!(
            "50.00 EUR paid with 20.00 of the card, {} points and 25.00 in cash, {} points earned: {}",
            paid.burnt, paid.earned, paid.transaction
        ),
    );
    let again = shared.trade(1, merchant, "purchase", &purchase, TRIES).await;
    ensure!(again == bought, "the same purchase again: {again:?}");
    told.step(
        "svc-merchant",
        "the same purchase again, under its key: the same answer, and nothing moved",
    );

    let points = tender(TenderKind::Points, BY_POINTS, None);
    let too_much = Trade::Purchase {
        amount: BY_POINTS,
        tenders: vec![points],
        customer: Some(customer.account.clone()),
        reference: String::new(),
    };
    match shared.trade(0, merchant, "too-much", &too_much, TRIES).await {
        Outcome::Refused(reason) => {
            told.step(
                "svc-merchant",
                &format!("{BY_POINTS} points that are not there: {reason}"),
            );
        }
        other => bail!("more points than there are: {other:?}"),
    }
    let stranger = Trade::Redemption {
        card: Key { card, opens: false },
        amount: 100,
    };
    match shared.trade(0, merchant, "wrong-pin", &stranger, TRIES).await {
        Outcome::Refused(reason) => told.step("svc-giftcard", &format!("a wrong PIN: {reason}")),
        other => bail!("a wrong PIN: {other:?}"),
    }
    Ok(paid)
}

/// What wallet and card hold.
async fn show(till: &Api, merchant: &Merchant, shared: &Shared, told: &mut Told) -> anyhow::Result<()> {
    let customer = merchant.customers.first().context("one customer")?;
    let expected = WELCOME - BY_POINTS + IN_CASH / 100;
    shared.read_wallet(0, merchant, customer, true).await;
    let (points, source) = balance(till, merchant.id, customer).await?;
    ensure!(
        points == expected,
        "the wallet holds {points} points, not {expected}"
    );
    told.step("svc-wallet", &format!("holds {points} points, {source}"));

    for (card, _) in shared.world.cards.all() {
        let key = Key {
            card: card.clone(),
            opens: true,
        };
        shared
            .look(
                0,
                merchant,
                &Look {
                    key,
                    authorize: false,
                },
            )
            .await;
        let held = till.get_card(merchant.id, &card).await?.balance;
        ensure!(
            held == CARD - BY_CARD,
            "the card holds {held}, not {}",
            CARD - BY_CARD
        );
        told.step("svc-giftcard", "the card holds 30.00 EUR, by its ledger account");
    }
    Ok(())
}

/// The balance without a token, which the wallet never asks the ledger for: only the event can have brought it.
async fn balance(till: &Api, id: MerchantId, customer: &Customer) -> anyhow::Result<(i64, &'static str)> {
    let message = wallet::GetBalanceRequest {
        wallet_id: customer.wallet.clone(),
        consistency_token: String::new(),
    };
    let begun = Instant::now();
    loop {
        let request = till.request(id, "", message.clone())?;
        let answer = till.wallet.clone().get_balance(request).await?.into_inner();
        let source = match answer.source() {
            BalanceSource::LocalCache => "from the process' own cache",
            BalanceSource::SharedCache => "from Valkey",
            BalanceSource::Database => "from PostgreSQL",
            BalanceSource::Ledger => "from svc-ledger, ahead of the event",
            BalanceSource::Unspecified => "from nowhere",
        };
        // The welcome is the account's first entry, the purchase its second and third.
        if answer.sequence >= 3 {
            let held = answer.balance.context("an answer without balance")?;
            return Ok((held.minor_units, source));
        }
        ensure!(
            begun.elapsed() < Duration::from_secs(20),
            "the event does not come"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn tell_figures(seen: &History) {
    for day in &seen.figures {
        println!("    {}: {} transactions", day.day, day.transactions);
        for of in &day.assets {
            let asset = &of.asset;
            if (of.points_given, of.points_spent) != (0, 0) {
                println!(
                    "      {asset}: {} points given, {} spent",
                    of.points_given, of.points_spent
                );
            }
            if (of.cards_sold, of.cards_redeemed) != (0, 0) {
                let (sold, redeemed) = (cents(of.cards_sold_amount), cents(of.cards_redeemed_amount));
                println!(
                    "      {asset}: {} card sold for {sold}, {} redemption of {redeemed}",
                    of.cards_sold, of.cards_redeemed
                );
            }
        }
    }
}

/// `50.00` for 5000.
fn cents(minor_units: i64) -> String {
    format!("{}.{:02}", minor_units / 100, minor_units % 100)
}

/// Lines to type while the fleet is up. Only where REST can be reached too, as beside `cargo xtask up`: they have the
/// client's secret, which has no place in a cluster's logs.
fn tell_lines_to_try(settings: &[(String, String)], merchant: &Merchant) {
    let setting = |name: &str| {
        let found = settings.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    };
    let (Some(wallets), Some(ledger)) = (setting("SVC_WALLET_HTTP_URL"), setting("SVC_LEDGER_HTTP_URL"))
    else {
        return;
    };
    let (Some(tokens), Some(secret)) = (setting("AUTH_TOKEN_URL"), setting("CLIENT_SECRET")) else {
        return;
    };
    let id = merchant.id;
    println!("\nTry, in another terminal (a token is good for 15 minutes):");
    println!(
        "  token=$(curl -s -u till:{secret} {tokens} -d grant_type=client_credentials -d merchant_id={id} | grep -o \
         'eyJ[^\"]*')"
    );
    for customer in &merchant.customers {
        let (wallet, account) = (&customer.wallet, &customer.account);
        println!("  curl -s {wallets}/v1/wallets/{wallet}/balance -H \"authorization: Bearer $token\"");
        println!("  curl -s {ledger}/v1/accounts/{account}/entries -H \"authorization: Bearer $token\"");
    }
}

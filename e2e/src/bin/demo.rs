//! The first earn, played against a running fleet: a wallet opens, points are earned and burnt, the balance
//! is read from the wallet and the e-mails from the mail catcher. Ends with 0 when each step was seen to
//! work. `cargo xtask up` starts the fleet and this.

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use e2e::Till;
use lp_contracts::wallet::v1::{BalanceSource, GetBalanceResponse};

const POINTS: &str = "PTS";

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match play().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("  ✗ {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn variable(name: &str) -> anyhow::Result<String> {
    std::env::var(name).with_context(|| format!("{name} is not set: `cargo xtask up` sets it"))
}

struct Step(Instant);

impl Step {
    fn begin() -> Self {
        Self(Instant::now())
    }

    fn done(&mut self, text: &str) {
        println!("  ✓ {text}  ({} ms)", self.0.elapsed().as_millis());
        self.0 = Instant::now();
    }
}

async fn play() -> anyhow::Result<()> {
    let till = Till::of_new_merchant(variable)?;
    let mail_api = variable("MAIL_API_URL")?;
    let email = format!("{}@example.com", till.new_name("claire"));
    let mut step = Step::begin();

    let asset = till
        .create_points(POINTS)
        .await
        .context("svc-ledger: create the points")?;
    step.done(&format!(
        "svc-ledger   merchant {} has points {}",
        till.merchant(),
        asset.code
    ));

    let wallet = till
        .open_wallet(POINTS, &email, "fr")
        .await
        .context("svc-wallet: open a wallet")?;
    step.done(&format!(
        "svc-wallet   wallet {} opened, ledger account {}",
        wallet.wallet_id, wallet.account_id
    ));

    let earned = till
        .earn(&wallet.account_id, 120, POINTS)
        .await
        .context("svc-ledger: earn")?;
    let transaction = earned.transaction.context("an answer without transaction")?;
    let after = earned.balance.context("an answer without balance")?;
    step.done(&format!(
        "svc-ledger   earned 120 points: {}",
        transaction.transaction_id
    ));

    let balance = till
        .balance(&wallet.wallet_id, &after.consistency_token)
        .await
        .context("svc-wallet: balance")?;
    expect(&balance, 120)?;
    step.done(&format!(
        "svc-wallet   balance after the earn: {}",
        shown(&balance)
    ));

    let again = till
        .balance(&wallet.wallet_id, "")
        .await
        .context("svc-wallet: balance")?;
    expect(&again, 120)?;
    step.done(&format!("svc-wallet   the same again: {}", shown(&again)));

    till.burn(&wallet.account_id, 50, POINTS)
        .await
        .context("svc-ledger: burn")?;
    step.done("svc-ledger   burnt 50 points");

    // Without a token the wallet never asks the ledger: 70 can only come by the event.
    let burnt = Instant::now();
    let mut balance = till
        .balance(&wallet.wallet_id, "")
        .await
        .context("svc-wallet: balance")?;
    while expect(&balance, 70).is_err() && burnt.elapsed() < Duration::from_secs(20) {
        tokio::time::sleep(Duration::from_millis(20)).await;
        balance = till
            .balance(&wallet.wallet_id, "")
            .await
            .context("svc-wallet: balance")?;
    }
    expect(&balance, 70)?;
    step.done(&format!(
        "svc-wallet   balance after the burn's event: {}",
        shown(&balance)
    ));

    let mails = e2e::mails(&mail_api, &email, 2)
        .await
        .context("svc-notification: e-mails")?;
    for mail in &mails {
        println!("    e-mail to {email}: “{}”", mail.subject);
    }
    step.done("svc-notification   both e-mails arrived");

    let merchant = till.merchant();
    let (account, wallet) = (&wallet.account_id, &wallet.wallet_id);
    let (ledger, wallets) = (variable("SVC_LEDGER_HTTP_URL")?, variable("SVC_WALLET_HTTP_URL")?);
    let (tokens, secret) = (variable("AUTH_TOKEN_URL")?, variable("CLIENT_SECRET")?);
    println!("\nTry, in another terminal (a token is good for 15 minutes):");
    println!(
        "  token=$(curl -s -u till:{secret} {tokens} -d grant_type=client_credentials -d merchant_id={merchant} \
         | grep -o 'eyJ[^\"]*')"
    );
    let caller = "-H \"authorization: Bearer $token\"";
    println!("  curl -s {wallets}/v1/wallets/{wallet}/balance {caller}");
    println!(
        "  curl -s {ledger}/v1/transactions:earn {caller} -H idempotency-key:$(date +%s%N) \
         --json '{{\"accountId\":\"{account}\",\"amount\":{{\"minorUnits\":\"5\",\"assetCode\":\"PTS\"}}}}'"
    );
    println!("  curl -s {ledger}/v1/accounts/{account}/entries {caller}");
    Ok(())
}

fn shown(balance: &GetBalanceResponse) -> String {
    let source = match balance.source() {
        BalanceSource::LocalCache => "from the process' own cache",
        BalanceSource::SharedCache => "from Valkey",
        BalanceSource::Database => "from PostgreSQL",
        BalanceSource::Ledger => "from svc-ledger, ahead of the event",
        BalanceSource::Unspecified => "from nowhere",
    };
    let points = balance
        .balance
        .as_ref()
        .map(|money| money.minor_units)
        .unwrap_or_default();
    format!("{points} points, {source}")
}

fn expect(balance: &GetBalanceResponse, points: i64) -> anyhow::Result<()> {
    let found = balance.balance.as_ref().map(|money| money.minor_units);
    ensure!(found == Some(points), "the balance is {found:?}, not {points}");
    Ok(())
}

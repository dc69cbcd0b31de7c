//! What can be seen of the ledger in the end.

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use history_checker::{ClockBound, History, HoldState};

use super::{faults::JUMP, traffic::Shared};

/// Waits until no hold reserves anything any more, and looks at everything through the replica that is given. Every
/// account is read once more as a client does, so that the history says when that was.
pub(crate) async fn look(shared: &Arc<Shared>, replica: usize) -> anyhow::Result<History> {
    let api = shared.apis.get(replica).context("no such replica")?;
    let world = &shared.world;
    let mut seen = History {
        accounts: world.accounts.clone(),
        // Beside the jumps: what it takes to write a time down.
        clock: ClockBound {
            ahead: micros(JUMP).saturating_add(1_000),
            behind: micros(JUMP).saturating_add(1_000),
        },
        ..History::default()
    };
    for merchant in &world.merchants {
        let own = merchant.id.to_string();
        for account in world.accounts.iter().filter(|account| account.merchant == own) {
            let mut holds = api.holds(&shared.reading, merchant.id, &account.id).await?;
            while let Some(last) = holds
                .iter()
                .filter(|hold| hold.state == HoldState::Open)
                .map(|hold| hold.expires_at)
                .max()
            {
                let left = last.saturating_sub(shared.recorder.now());
                tokio::time::sleep(Duration::from_micros(left.saturating_add(20_000))).await;
                holds = api.holds(&shared.reading, merchant.id, &account.id).await?;
            }
            seen.holds.extend(holds);
            shared.read(u32::try_from(replica)?, merchant, &account.id).await;
            seen.entries.extend(api.entries(merchant.id, &account.id).await?);
            seen.ledger_balances
                .push(api.final_balance(merchant.id, &account.id).await?);
        }
        seen.transactions.extend(api.transactions(merchant.id).await?);
    }
    seen.operations = shared.recorder.operations();
    Ok(seen)
}

fn micros(millis: i64) -> u64 {
    millis.unsigned_abs().saturating_mul(1_000)
}

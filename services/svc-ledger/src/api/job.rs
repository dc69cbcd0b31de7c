//! `svc-ledger job check`: the whole ledger against itself, beside traffic.

use std::{
    io::{self, IsTerminal as _, Write as _},
    process::ExitCode,
};

use ledger_domain::Finding;
use lp_pg::Database;
use lp_types::MerchantId;

use crate::application::check::{self, Position};

/// Something is wrong with the ledger.
const UNSOUND: u8 = 1;

/// Checks all merchants' ledgers, prints what is wrong, and at last one line of what was done. It only reads, so that
/// several may run at once.
///
/// # Errors
/// When the database fails; what was found until then is printed.
pub async fn check(database: Database) -> anyhow::Result<ExitCode> {
    let mut done = Done {
        of: check::count_accounts(&database).await?,
        ..Done::default()
    };
    let mut merchant = None;
    while let Some(next) = check::merchant_after(&database, merchant).await? {
        merchant = Some(next);
        let mut position = Some(Position::Accounts(None));
        while let Some(at) = position {
            let checked = check::check(&database, next, at).await?;
            done.add(next, &checked)?;
            position = checked.next;
        }
    }
    done.tell()
}

#[derive(Debug, Default)]
struct Done {
    accounts: i64,
    /// As many as there were in the beginning.
    of: i64,
    entries: i64,
    findings: u64,
}

impl Done {
    fn add(&mut self, merchant: MerchantId, checked: &check::Checked) -> io::Result<()> {
        self.accounts = self.accounts.saturating_add(checked.accounts);
        self.entries = self.entries.saturating_add(checked.entries);
        let mut output = io::stdout().lock();
        for finding in &checked.findings {
            self.findings = self.findings.saturating_add(1);
            let Finding {
                rule,
                subject,
                detail,
            } = finding;
            writeln!(output, "{rule:?}: {merchant} {subject}: {detail}")?;
        }
        let mut terminal = io::stderr().lock();
        if terminal.is_terminal() {
            write!(terminal, "\r{} of {} accounts", self.accounts, self.of)?;
            terminal.flush()?;
        }
        Ok(())
    }

    fn tell(&self) -> anyhow::Result<ExitCode> {
        let Self {
            accounts,
            entries,
            findings,
            ..
        } = self;
        let mut terminal = io::stderr().lock();
        if terminal.is_terminal() {
            writeln!(terminal)?;
        }
        let verdict = match findings {
            0 => "the ledger is sound".to_owned(),
            _ => format!("findings: {findings}"),
        };
        writeln!(
            io::stdout(),
            "{accounts} accounts and {entries} entries were checked; {verdict}"
        )?;
        Ok(if *findings == 0 {
            ExitCode::SUCCESS
        } else {
            ExitCode::from(UNSOUND)
        })
    }
}

//! What is wrong in the tables is found, and nothing is found where nothing is.

use std::process::{Command, Output};

use lp_contracts::ledger::v1::{self, Rule};
use tonic::{Code, Response, Status};

use crate::{
    audit::audit,
    support::{Client, Ground, credit, debit, fields, new_key, points, run, uuid_of},
};

/// What a whole check came to.
#[derive(Debug, Default)]
struct Found {
    findings: Vec<(Rule, String, String)>,
    accounts: i64,
    entries: i64,
    calls: usize,
}

impl Found {
    fn rules(&self) -> Vec<(Rule, &str)> {
        let rule = |(rule, subject, _): &'_ (Rule, String, String)| (*rule, subject.clone());
        let mut rules: Vec<_> = self.findings.iter().map(rule).collect();
        rules.sort();
        assert_eq!(rules.len(), self.findings.len());
        self.findings
            .iter()
            .map(|(rule, subject, _)| (*rule, subject.as_str()))
            .collect()
    }
}

impl Client {
    async fn slice(&self, position: &str) -> Result<v1::CheckLedgerResponse, Status> {
        let position = position.to_owned();
        let request = self.request("", v1::CheckLedgerRequest { position });
        let answer = self.grpc.clone().check_ledger(request).await;
        answer.map(Response::into_inner)
    }

    async fn check(&self) -> Found {
        let mut found = Found::default();
        let mut position = String::new();
        loop {
            let slice = self.slice(&position).await.unwrap();
            assert!(slice.entries <= 20_000, "{}", slice.entries);
            found.calls += 1;
            found.accounts += slice.accounts;
            found.entries += slice.entries;
            let findings = slice.findings.into_iter();
            found
                .findings
                .extend(findings.map(|f| (f.rule(), f.subject, f.detail)));
            position = slice.next_position;
            if position.is_empty() {
                return found;
            }
        }
    }

    /// Does something of everything, and tells the account that it was done with.
    async fn trade(&self) -> String {
        let account = self.customer_with(1_000).await;
        let shop = self.shop().await;
        let part = self.held(&account, 60).await;
        self.capture(&new_key(), &part, Some(20), &shop, false)
            .await
            .unwrap();
        let ended = self.held(&account, 50).await;
        self.capture(&new_key(), &ended, Some(10), &shop, true)
            .await
            .unwrap();
        let earned = self.earn(&new_key(), &account, 5).await.unwrap();
        self.reverse_all(&earned.transaction.unwrap().transaction_id)
            .await;
        // A debt.
        let poor = self.customer("PTS").await;
        let earned = self.earn(&new_key(), &poor, 30).await.unwrap();
        self.burn(&new_key(), &poor, 25).await.unwrap();
        self.reverse_all(&earned.transaction.unwrap().transaction_id)
            .await;
        let earlier = v1::EarnRequest {
            account_id: account.clone(),
            amount: points(3),
            effective_at: Some(prost_types::Timestamp {
                seconds: 1_767_225_600,
                nanos: 0,
            }),
            ..Default::default()
        };
        self.grpc
            .clone()
            .earn(self.request(&new_key(), earlier))
            .await
            .unwrap();
        account
    }

    async fn reverse_all(&self, transaction: &str) {
        let wanted = v1::ReverseTransactionRequest {
            transaction_id: transaction.to_owned(),
            shortfall: v1::Shortfall::Overdraw.into(),
            ..Default::default()
        };
        let request = self.request(&new_key(), wanted);
        self.grpc.clone().reverse_transaction(request).await.unwrap();
    }

    /// Gives `count` times 9 points, in ten entries each, 500 transactions a call.
    async fn give_much(&self, issuance: &str, account: &str, count: usize) {
        let mut entries = vec![debit(issuance, points(9))];
        entries.resize(10, credit(account, points(1)));
        let transaction = v1::CreateTransactionRequest {
            entries,
            ..Default::default()
        };
        for _ in 0..count / 500 {
            let wanted = v1::BatchCreateTransactionsRequest {
                transactions: vec![transaction.clone(); 500],
                ..Default::default()
            };
            let request = self.request(&new_key(), wanted);
            self.grpc
                .clone()
                .batch_create_transactions(request)
                .await
                .unwrap();
        }
    }
}

/// Damages the tables as no trigger would allow.
async fn damage(ground: &Ground, statement: &str) {
    let tables = ["ledger_entries", "holds", "transactions"];
    let all = |what: &str| {
        tables
            .map(|table| format!("ALTER TABLE {table} {what} TRIGGER USER;"))
            .concat()
    };
    let statement = format!("BEGIN; {} {statement}; {} COMMIT", all("DISABLE"), all("ENABLE"));
    run(&mut ground.owner().await, &statement).await;
}

#[tokio::test]
async fn a_sound_ledger_has_no_findings_while_it_works() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    assert_eq!(client.check().await.accounts, 0);
    let account = client.trade().await;
    // More accounts than are read at once.
    let one = v1::CreateAccountRequest {
        asset_code: "PTS".to_owned(),
        r#type: v1::AccountType::Customer.into(),
        ..Default::default()
    };
    for _ in 0..2 {
        let accounts = vec![one.clone(); 400];
        let request = client.request(&new_key(), v1::BatchCreateAccountsRequest { accounts });
        client.grpc.clone().batch_create_accounts(request).await.unwrap();
    }
    let still = client.check().await;
    assert_eq!(still.findings, []);
    assert_eq!(
        [still.accounts, still.entries],
        ground.counts(["accounts", "ledger_entries"]).await
    );
    assert_eq!(still.calls, 2);

    let working = (0..4).map(|_| {
        let (client, account) = (client.clone(), account.clone());
        tokio::spawn(async move {
            for _ in 0..15 {
                let shop = client.shop().await;
                let hold = client.held(&account, 3).await;
                client
                    .capture(&new_key(), &hold, Some(2), &shop, true)
                    .await
                    .unwrap();
                let earned = client.earn(&new_key(), &account, 4).await.unwrap();
                client
                    .reverse_all(&earned.transaction.unwrap().transaction_id)
                    .await;
            }
        })
    });
    let working = futures::future::join_all(working);
    let mut working = tokio::spawn(working);
    let mut checks = 0;
    while !working.is_finished() {
        assert_eq!(client.check().await.findings, []);
        checks += 1;
    }
    for done in (&mut working).await.unwrap() {
        done.unwrap();
    }
    assert!(checks > 1, "{checks}");
    audit(&ground).await;
}

#[tokio::test]
async fn each_damage_is_found_and_nothing_else() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    const LAST: &str = "account_sequence = (SELECT sequence FROM accounts WHERE account_id = '{account}')";
    let entry = format!("UPDATE ledger_entries SET {{}} WHERE account_id = '{{account}}' AND {LAST}");
    let last = |set: &str| entry.replacen("{}", set, 1);
    let third = |set: &str| {
        format!("UPDATE ledger_entries SET {set} WHERE account_id = '{{account}}' AND account_sequence = 3")
    };
    let row = |set: &str| format!("UPDATE accounts SET {set} WHERE account_id = '{{account}}'");
    let ended = "WHERE account_id = '{account}' AND state = 3";
    let cases = [
        (
            format!(
                "INSERT INTO ledger_entries (merchant_id, transaction_id, line, account_id, asset_code, direction, amount,
                                             account_sequence, balance_after, posted_at)
                 SELECT merchant_id, gen_random_uuid(), 1, account_id, asset_code, 2, 5, account_sequence + 1,
                        balance_after + 5, posted_at
                 FROM ledger_entries WHERE account_id = '{{account}}' AND {LAST};
                 UPDATE accounts SET sequence = sequence + 1, posted_credits = posted_credits + 5
                 WHERE account_id = '{{account}}'"
            ),
            Rule::Conservation,
            "its debits are",
        ),
        (
            row("posted_debits = posted_debits + 3, posted_credits = posted_credits + 3"),
            Rule::Sums,
            "; 1 more like it",
        ),
        (row("debt = debt + 1"), Rule::Sums, "its debt is 1, and should be 0"),
        (row("sequence = sequence + 1"), Rule::Sequence, "its sequence is 7, and should be 6"),
        (row("sequence = sequence - 1"), Rule::Sequence, "its sequence is 5, and should be 6"),
        (
            last("account_sequence = 1000000000000") + ";" + &row("sequence = 1000000000000"),
            Rule::Sequence,
            "entry 1000000000000 comes after entry 5, and should be 6",
        ),
        (last("balance_after = balance_after + 1"), Rule::Chain, "the balance after entry 6 is 974, and should be 973"),
        (third("balance_after = 7"), Rule::Chain, "entry 3 is 7, and should be 970; 1 more like it"),
        (third("posted_at = posted_at - interval '1 hour'"), Rule::Chain, "entry 3 was posted at"),
        (row("held_debits = held_debits + 1"), Rule::Holds, "for debits is 41, and should be 40"),
        (row("held_credits = held_credits + 1"), Rule::Holds, "for credits is 1, and should be 0"),
        (
            "UPDATE holds SET state = 4 WHERE account_id = '{account}' AND state = 1".to_owned(),
            Rule::Holds,
            "for debits is 40, and should be 0",
        ),
        (format!("UPDATE holds SET captured = 11 {ended}"), Rule::Captures, "11 was captured, and should be 10"),
        (format!("UPDATE holds SET captured = 9 {ended}"), Rule::Captures, "9 was captured, and should be 10"),
        (
            third("hold_id = gen_random_uuid()"),
            Rule::Captures,
            "entry 3 draws on a hold that is none",
        ),
        (
            format!("UPDATE holds SET direction = 2 {ended}"),
            Rule::Captures,
            "entry 3 draws on a hold that is none",
        ),
    ];
    let mut merchants = Vec::new();
    for (statement, rule, detail) in cases {
        let client = instance.merchant();
        let account = client.trade().await;
        assert_eq!(client.check().await.findings, []);
        let uuid = uuid_of(&account).to_string();
        damage(&ground, &statement.replace("{account}", &uuid)).await;
        let found = client.check().await;
        let subject = if rule == Rule::Conservation {
            "PTS"
        } else {
            account.as_str()
        };
        assert_eq!(found.rules(), [(rule, subject)], "{statement}: {found:?}");
        assert!(found.findings[0].2.contains(detail), "{statement}: {found:?}");
        merchants.push(client);
    }
    // Nobody else's ledger is any the worse.
    let client = instance.merchant();
    client.trade().await;
    assert_eq!(client.check().await.findings, []);

    let output = job(&ground);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert_eq!(text.lines().count(), merchants.len() + 1, "{text}");
    for client in &merchants {
        assert_eq!(text.matches(&client.merchant.to_string()).count(), 1, "{text}");
    }
    assert!(
        text.ends_with(&format!("findings: {}\n", merchants.len())),
        "{text}"
    );
}

#[tokio::test]
async fn what_is_large_is_checked_over_several_calls() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    let issuance = client.points("PTS").await.issuance_account_id;
    let account = client.customer("PTS").await;
    client.give_much(&issuance, &account, 2_500).await;
    let shop = client.customer("PTS").await;
    let held = client.held(&account, 60).await;
    client
        .capture(&new_key(), &held, Some(20), &shop, true)
        .await
        .unwrap();
    let found = client.check().await;
    assert_eq!(found.findings, []);
    let counts = ground.counts(["accounts", "ledger_entries"]).await;
    assert_eq!([found.accounts, found.entries], counts);
    // The three pages of the large account, its holds, and what comes before and after it.
    assert!((5..=6).contains(&found.calls), "{}", found.calls);

    let uuid = uuid_of(&account).to_string();
    let wrong = format!(
        "UPDATE ledger_entries SET balance_after = 0 WHERE account_id = '{uuid}' AND account_sequence = 20001"
    );
    damage(&ground, &wrong).await;
    let found = client.check().await;
    assert_eq!(found.rules(), [(Rule::Chain, account.as_str())]);
    assert!(
        found.findings[0]
            .2
            .starts_with("the balance after entry 20001 is 0, and should be 20001;")
    );
    let gone = format!("DELETE FROM ledger_entries WHERE account_id = '{uuid}' AND account_sequence = 20001");
    damage(&ground, &gone).await;
    let found = client.check().await;
    let rules = [Rule::Sums, Rule::Sequence, Rule::Chain].map(|rule| (rule, account.as_str()));
    for rule in rules {
        assert!(found.rules().contains(&rule), "{found:?}");
    }
    assert_eq!(found.findings.len(), 3, "{found:?}");

    // Many holds, and the oldest is wrong.
    let many = format!(
        "INSERT INTO holds (hold_id, merchant_id, account_id, asset_code, direction, amount, captured, state, placed_at,
                            expires_at, actor, request_id)
         SELECT gen_random_uuid(), '{}', '{}', 'PTS', 1, 5, 0, 3, now(), now() + interval '1 hour', 'sql', gen_random_uuid()
         FROM generate_series(1, 12000);
         UPDATE holds SET captured = 1 WHERE hold_id = (SELECT hold_id FROM holds WHERE account_id = '{1}' ORDER BY hold_id LIMIT 1)",
        client.merchant.uuid(),
        uuid_of(&shop)
    );
    damage(&ground, &many).await;
    let found = client.check().await;
    assert_eq!(found.findings.len(), 4, "{found:?}");
    assert!(found.rules().contains(&(Rule::Captures, shop.as_str())));
}

#[tokio::test]
async fn a_position_that_no_check_gave_is_refused() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    let client = instance.merchant();
    client.trade().await;
    for bad in ["x", "!!", "e30", "eyJBY2NvdW50cyI6ImFjY18xIn0", "bnVsbA"] {
        let refused = client.slice(bad).await.unwrap_err();
        assert_eq!(
            (refused.code(), fields(&refused)),
            (Code::InvalidArgument, vec!["position".to_owned()]),
            "{bad}"
        );
    }
    let (status, answer) = client.get("/v1/ledger:check").await;
    assert_eq!(
        (status, &answer["findings"]),
        (200, &serde_json::json!([])),
        "{answer}"
    );
    assert_eq!(answer["nextPosition"], "");
}

fn job(ground: &Ground) -> Output {
    Command::new(env!("CARGO_BIN_EXE_svc-ledger"))
        .args(["job", "check"])
        .env("DATABASE_URL", ground.database.config.database_url.expose())
        .env("DATABASE_SCHEMA", &ground.database.config.database_schema)
        .output()
        .unwrap()
}

#[tokio::test]
async fn the_job_checks_all_merchants_and_says_what_it_did() {
    let ground = Ground::new().await;
    let instance = ground.start().await;
    for _ in 0..3 {
        instance.merchant().trade().await;
    }
    let counts = ground.counts(["accounts", "ledger_entries"]).await;
    let output = job(&ground);
    let text = String::from_utf8(output.stdout).unwrap();
    let [accounts, entries] = counts;
    assert_eq!(
        (text.as_str(), output.status.code()),
        (
            format!("{accounts} accounts and {entries} entries were checked; the ledger is sound\n").as_str(),
            Some(0)
        )
    );

    let gone = Command::new(env!("CARGO_BIN_EXE_svc-ledger"))
        .args([
            "job",
            "check",
            "--database-url",
            "postgres://nobody@127.0.0.1:1/none",
        ])
        .args(["--database-schema", "ledger"])
        .output()
        .unwrap();
    assert_eq!(gone.status.code(), Some(2));
    assert!(gone.stdout.is_empty());
}

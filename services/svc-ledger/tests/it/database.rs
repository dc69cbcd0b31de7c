//! What must not be, the database itself refuses, whoever writes.

use lp_config::{Admin, Owner, SecretUrl};
use lp_contracts::ledger::v1::AccountType;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use crate::support::{Client, Ground, run, uuid_of};

const DENIED: (&str, &str) = ("42501", "");
const HISTORY: (&str, &str) = ("23001", "history_is_append_only");

/// Why PostgreSQL refuses `statements`: SQLSTATE and constraint. Panics when it does not.
async fn refused(session: &mut PgConnection, statements: &str) -> (String, String) {
    run(session, "BEGIN").await;
    let outcome = sqlx::raw_sql(AssertSqlSafe(statements.to_owned()))
        .execute(&mut *session)
        .await;
    run(session, "ROLLBACK").await;
    match outcome {
        Err(sqlx::Error::Database(error)) => (
            error.code().unwrap_or_default().into_owned(),
            error.constraint().unwrap_or_default().to_owned(),
        ),
        other => panic!("{statements}: {other:?}"),
    }
}

async fn check(session: &mut PgConnection, statements: &str, (code, constraint): (&str, &str)) {
    let found = refused(session, statements).await;
    assert_eq!(found, (code.to_owned(), constraint.to_owned()), "{statements}");
}

/// A merchant with points, and what its rows are made of.
struct Rows {
    ground: Ground,
    client: Client,
    merchant: String,
    issuance: String,
    customer: String,
    /// The transaction that was posted already.
    old: String,
    _instance: crate::support::Instance,
}

const NEW: &str = "0199f0c1-d2e3-7a4b-8c5d-6e7f80912a3b";

impl Rows {
    async fn new() -> Self {
        Self::on(Ground::new().await).await
    }

    async fn on(ground: Ground) -> Self {
        let instance = ground.start().await;
        let client = instance.merchant();
        let asset = client.points("PTS").await;
        let account = client.customer("PTS").await;
        let earned = client.earn("key", &account, 100).await.unwrap();
        let uuid = |id: &str| uuid_of(id).to_string();
        Self {
            merchant: client.merchant.uuid().to_string(),
            issuance: uuid(&asset.issuance_account_id),
            customer: uuid(&account),
            old: uuid(&earned.transaction.unwrap().transaction_id),
            ground,
            client,
            _instance: instance,
        }
    }

    fn transaction(&self, entries: usize) -> String {
        let merchant = &self.merchant;
        format!(
            "INSERT INTO transactions (transaction_id, merchant_id, kind, entry_count, posted_at, actor, request_id)
             VALUES ('{NEW}', '{merchant}', 1, {entries}, now(), 'sql', gen_random_uuid());"
        )
    }

    /// Entries: transaction, line, account, direction (1 debit, 2 credit), amount.
    fn entries(&self, lines: &[(&str, i16, &str, i16, i64)]) -> String {
        let rows = lines.iter().map(|line| self.entry(*line, &self.merchant, "PTS"));
        insert(&rows.collect::<Vec<_>>())
    }

    fn entry(&self, line: (&str, i16, &str, i16, i64), merchant: &str, asset: &str) -> String {
        let (transaction, line, account, direction, amount) = line;
        format!(
            "('{merchant}', '{transaction}', {line}, '{account}', '{asset}', {direction}, {amount}, {line} + 100, 0, now())"
        )
    }
}

fn insert(rows: &[String]) -> String {
    format!(
        "INSERT INTO ledger_entries (merchant_id, transaction_id, line, account_id, asset_code, direction, amount,
                                     account_sequence, balance_after, posted_at)
         VALUES {};",
        rows.join(", ")
    )
}

#[tokio::test]
async fn a_set_that_does_not_balance_is_refused() {
    let rows = Rows::new().await;
    let (from, to) = (rows.issuance.as_str(), rows.customer.as_str());
    let unbalanced = ("23514", "ledger_entries_balanced");
    for lines in [
        [(NEW, 1, from, 1, 10), (NEW, 2, to, 2, 9)],
        [(NEW, 1, from, 1, 10), (NEW, 2, to, 1, 10)],
        // Balanced together, but not each.
        [(NEW, 1, from, 1, 10), (&rows.old, 3, to, 2, 10)],
    ] {
        for mut session in [
            rows.ground.database.runtime_session().await,
            rows.ground.owner().await,
        ] {
            let statements = rows.transaction(2) + &rows.entries(&lines);
            check(&mut session, &statements, unbalanced).await;
        }
    }
    // An asset's points do not balance another's.
    let mut session = rows.ground.database.runtime_session().await;
    let statements = rows.transaction(2)
        + &insert(&[
            rows.entry((NEW, 1, from, 1, 10), &rows.merchant, "PTS"),
            rows.entry((NEW, 2, to, 2, 10), &rows.merchant, "EUR"),
        ]);
    check(&mut session, &statements, unbalanced).await;
    for amount in [0, -1, 1_000_000_000_000_001] {
        let pair = [(NEW, 1, from, 1, amount), (NEW, 2, to, 2, amount)];
        let statements = rows.transaction(2) + &rows.entries(&pair);
        check(
            &mut session,
            &statements,
            ("23514", "ledger_entries_amount_check"),
        )
        .await;
    }
}

#[tokio::test]
async fn nothing_can_be_added_to_an_old_transaction() {
    let rows = Rows::new().await;
    let (from, to, old) = (rows.issuance.as_str(), rows.customer.as_str(), rows.old.as_str());
    let mut session = rows.ground.database.runtime_session().await;
    let whole = ("23514", "ledger_entries_whole");
    let same_lines = rows.entries(&[(old, 1, from, 1, 5), (old, 2, to, 2, 5)]);
    check(&mut session, &same_lines, ("23505", "ledger_entries_line")).await;
    let new_lines = rows.entries(&[(old, 3, from, 1, 5), (old, 4, to, 2, 5)]);
    check(&mut session, &new_lines, whole).await;
    let no_transaction = rows.entries(&[(NEW, 1, from, 1, 5), (NEW, 2, to, 2, 5)]);
    check(&mut session, &no_transaction, whole).await;
    // Four were announced and come in two halves.
    let halves = rows.transaction(4)
        + &rows.entries(&[(NEW, 1, from, 1, 5), (NEW, 2, to, 2, 5)])
        + &rows.entries(&[(NEW, 3, from, 1, 5), (NEW, 4, to, 2, 5)]);
    check(&mut session, &halves, whole).await;
    let gap = rows.transaction(2) + &rows.entries(&[(NEW, 1, from, 1, 5), (NEW, 3, to, 2, 5)]);
    check(&mut session, &gap, whole).await;
    // So that the test is not right for another reason: the same, whole, is taken.
    let good = rows.transaction(2) + &rows.entries(&[(NEW, 1, from, 1, 5), (NEW, 2, to, 2, 5)]);
    run(&mut session, &good).await;
}

#[tokio::test]
async fn an_entry_in_another_merchants_account_is_refused() {
    let rows = Rows::new().await;
    let stranger = lp_types::MerchantId::from_uuid(NEW.parse().unwrap());
    let stranger = Client::from(rows.client.as_merchant(stranger));
    let theirs = uuid_of(&stranger.customer_with(100).await).to_string();
    let (from, merchant) = (rows.issuance.as_str(), rows.merchant.as_str());
    let their_merchant = stranger.merchant.uuid().to_string();
    let debit = |merchant| rows.entry((NEW, 1, from, 1, 5), merchant, "PTS");
    let credit = |account, merchant| rows.entry((NEW, 2, account, 2, 5), merchant, "PTS");
    for mut session in [
        rows.ground.database.runtime_session().await,
        rows.ground.owner().await,
    ] {
        for pair in [
            [debit(merchant), credit(&theirs, merchant)],
            [debit(merchant), credit(&theirs, &their_merchant)],
            [debit(&their_merchant), credit(&theirs, &their_merchant)],
            // An account that nobody has.
            [debit(merchant), credit(NEW, merchant)],
        ] {
            let statements = rows.transaction(2) + &insert(&pair);
            check(&mut session, &statements, ("23514", "ledger_entries_owner")).await;
        }
        // The account's own merchant, but not its asset.
        let euros = |line| rows.entry(line, merchant, "EUR");
        let customer = rows.customer.as_str();
        let pair = [euros((NEW, 1, from, 1, 5)), euros((NEW, 2, customer, 2, 5))];
        let statements = rows.transaction(2) + &insert(&pair);
        check(&mut session, &statements, ("23514", "ledger_entries_owner")).await;
    }
}

#[tokio::test]
async fn a_session_has_no_tables_of_its_own_that_could_stand_in_for_the_real_ones() {
    let rows = Rows::on(Ground::provisioned().await).await;
    let mut session = rows.ground.database.runtime_session().await;
    let shadow = "CREATE TEMP TABLE accounts AS SELECT * FROM ledger.accounts";
    check(&mut session, shadow, DENIED).await;
}

#[tokio::test]
async fn times_are_the_transactions_and_effects_come_before_them() {
    let rows = Rows::new().await;
    let (from, to) = (rows.issuance.as_str(), rows.customer.as_str());
    let mut session = rows.ground.database.runtime_session().await;
    let whole = rows.transaction(2) + &rows.entries(&[(NEW, 1, from, 1, 10), (NEW, 2, to, 2, 10)]);
    let late = whole.replacen("100, 0, now())", "100, 0, now() + interval '1 s')", 1);
    check(&mut session, &late, ("23514", "ledger_entries_times")).await;
    let backdated = whole.replacen("request_id)", "request_id, effective_at)", 1);
    let backdated = backdated.replacen(
        "gen_random_uuid())",
        "gen_random_uuid(), now() - interval '1 s')",
        1,
    );
    check(&mut session, &backdated, ("23514", "ledger_entries_times")).await;
    let at_once = backdated.replacen("now() - interval '1 s'", "now()", 1);
    check(&mut session, &at_once, ("23514", "transactions_effective")).await;
    let entry = whole.replacen(
        "posted_at)\n         VALUES",
        "posted_at, effective_at)\n         VALUES",
        1,
    );
    let entry = entry.replace("100, 0, now())", "100, 0, now(), now())");
    check(&mut session, &entry, ("23514", "ledger_entries_effective_at")).await;
}

#[tokio::test]
async fn a_balance_outside_its_limits_is_refused() {
    let rows = Rows::new().await;
    let customer = &rows.customer;
    let overdraft = format!("UPDATE accounts SET posted_debits = 101 WHERE account_id = '{customer}'");
    let mut owner = rows.ground.owner().await;
    let mut session = rows.ground.database.runtime_session().await;
    check(&mut session, &overdraft, ("23514", "accounts_min_balance")).await;
    check(&mut owner, &overdraft, ("23514", "accounts_min_balance")).await;
    run(
        &mut owner,
        &format!("UPDATE accounts SET max_balance = 100 WHERE account_id = '{customer}'"),
    )
    .await;
    let above = format!("UPDATE accounts SET posted_credits = 101 WHERE account_id = '{customer}'");
    check(&mut session, &above, ("23514", "accounts_max_balance")).await;
    // The limit is one of the normal side, which is the other one here.
    let issuance = &rows.issuance;
    run(
        &mut owner,
        &format!("UPDATE accounts SET min_balance = 100 WHERE account_id = '{issuance}'"),
    )
    .await;
    let below = format!("UPDATE accounts SET posted_credits = 1 WHERE account_id = '{issuance}'");
    check(&mut session, &below, ("23514", "accounts_min_balance")).await;
}

#[tokio::test]
async fn debt_is_no_way_around_a_limit() {
    let rows = Rows::new().await;
    let mut session = rows.ground.database.runtime_session().await;
    let (from, to) = (rows.customer.as_str(), rows.issuance.as_str());
    let below = |line: i16, account: &str, direction: i16, after: i64| {
        let merchant = &rows.merchant;
        format!(
            "('{merchant}', '{NEW}', {line}, '{account}', 'PTS', {direction}, 150, {line} + 100, {after}, now())"
        )
    };
    let statements = format!("UPDATE accounts SET debt = 50 WHERE account_id = '{from}';")
        + &rows.transaction(2)
        + &insert(&[below(1, from, 1, -50), below(2, to, 2, 0)]);
    check(&mut session, &statements, ("23514", "ledger_entries_overdraft")).await;
}

#[tokio::test]
async fn only_an_empty_account_is_closed() {
    let rows = Rows::new().await;
    let mut session = rows.ground.database.runtime_session().await;
    let close = |account: &str| format!("UPDATE accounts SET state = 3 WHERE account_id = '{account}'");
    check(
        &mut session,
        &close(&rows.customer),
        ("23514", "accounts_closed_empty"),
    )
    .await;
    let empty = uuid_of(&rows.client.customer("PTS").await).to_string();
    run(&mut session, &close(&empty)).await;
}

#[tokio::test]
async fn a_hold_is_not_captured_beyond_itself_nor_changed_once_it_has_ended() {
    let rows = Rows::new().await;
    let mut session = rows.ground.database.runtime_session().await;
    let account = rows.client.customer("PTS").await;
    rows.client.earn("other", &account, 100).await.unwrap();
    let hold = uuid_of(&rows.client.held(&account, 60).await).to_string();
    let account = uuid_of(&account).to_string();

    let reserved = format!("UPDATE accounts SET posted_debits = 41 WHERE account_id = '{account}'");
    check(&mut session, &reserved, ("23514", "accounts_min_balance")).await;
    let beyond = format!("UPDATE holds SET captured = 61 WHERE hold_id = '{hold}'");
    check(&mut session, &beyond, ("23514", "holds_captured")).await;
    for contradiction in ["captured = 60", "state = 2"] {
        let statement = format!("UPDATE holds SET {contradiction} WHERE hold_id = '{hold}'");
        check(&mut session, &statement, ("23514", "holds_captured_whole")).await;
    }
    let mut owner = rows.ground.owner().await;
    let never = "UPDATE holds SET expires_at = placed_at";
    check(&mut owner, never, ("23514", "holds_expiry")).await;
    let drawing = |account: &str, amount: i64| {
        let merchant = &rows.merchant;
        let line = |line: i16, account: &str, direction: i16, hold: &str| {
            format!(
                "('{merchant}', '{NEW}', {line}, '{account}', 'PTS', {direction}, {amount}, {line} + 100, 0, now(), {hold})"
            )
        };
        let rows = [
            line(1, account, 1, &format!("'{hold}'")),
            line(2, &rows.issuance, 2, "NULL"),
        ];
        format!(
            "INSERT INTO ledger_entries (merchant_id, transaction_id, line, account_id, asset_code, direction, amount,
                                         account_sequence, balance_after, posted_at, hold_id)
             VALUES {}",
            rows.join(", ")
        )
    };
    let captured = format!("UPDATE holds SET captured = 30 WHERE hold_id = '{hold}';");
    for entries in [drawing(&account, 31), drawing(&rows.customer, 30)] {
        let statements = captured.clone() + &rows.transaction(2) + &entries;
        check(&mut session, &statements, ("23514", "ledger_entries_hold")).await;
    }
    let good = captured + &rows.transaction(2) + &drawing(&account, 30);
    run(&mut session, &good).await;

    run(
        &mut owner,
        &format!("UPDATE holds SET state = 3 WHERE hold_id = '{hold}'"),
    )
    .await;
    for statement in ["UPDATE holds SET state = 1", "UPDATE holds SET captured = 31"] {
        check(&mut session, statement, HISTORY).await;
        check(&mut owner, statement, HISTORY).await;
    }
    check(&mut session, "UPDATE holds SET amount = 61", DENIED).await;
    check(&mut session, "DELETE FROM holds", DENIED).await;
    check(&mut owner, "DELETE FROM holds", HISTORY).await;
}

#[tokio::test]
async fn no_more_is_undone_than_was_done_and_only_the_other_way() {
    let rows = Rows::new().await;
    let mut session = rows.ground.database.runtime_session().await;
    let (from, to, old) = (rows.issuance.as_str(), rows.customer.as_str(), rows.old.as_str());
    let merchant = &rows.merchant;
    let reversal = |id: &str, amount: i64, sides: (i16, i16), lines: (&str, &str)| {
        let line = |line: i16, account: &str, direction: i16, reverses: &str| {
            format!(
                "('{merchant}', '{id}', {line}, '{account}', 'PTS', {direction}, {amount}, {line} + 100 + {amount}, 0, now(), {reverses})"
            )
        };
        let entries = [line(1, from, sides.0, lines.0), line(2, to, sides.1, lines.1)];
        format!(
            "INSERT INTO transactions (transaction_id, merchant_id, kind, entry_count, posted_at, actor, request_id, reverses)
             VALUES ('{id}', '{merchant}', 5, 2, now(), 'sql', gen_random_uuid(), '{old}');
             INSERT INTO ledger_entries (merchant_id, transaction_id, line, account_id, asset_code, direction, amount,
                                         account_sequence, balance_after, posted_at, reverses_line)
             VALUES {};",
            entries.join(", ")
        )
    };
    let refused = ("23514", "ledger_entries_reversal");
    let back = (2, 1);
    check(&mut session, &reversal(NEW, 101, back, ("1", "2")), refused).await;
    check(&mut session, &reversal(NEW, 100, (1, 2), ("1", "2")), refused).await;
    check(&mut session, &reversal(NEW, 100, back, ("1", "3")), refused).await;
    check(
        &mut session,
        &reversal(NEW, 100, back, ("1", "NULL")),
        ("23514", "ledger_entries_whole"),
    )
    .await;
    let third = "0199f0c1-d2e3-7a4b-8c5d-6e7f80912a3c";
    run(&mut session, &reversal(NEW, 60, back, ("1", "2"))).await;
    check(&mut session, &reversal(third, 41, back, ("1", "2")), refused).await;
    // A reversal is not reversed.
    let of_reversal = reversal(third, 40, (1, 2), ("1", "2")).replace(old, NEW);
    check(&mut session, &of_reversal, refused).await;
    run(&mut session, &reversal(third, 40, back, ("1", "2"))).await;
}

#[tokio::test]
async fn history_is_never_changed() {
    let rows = Rows::new().await;
    let mut session = rows.ground.database.runtime_session().await;
    let mut owner = rows.ground.owner().await;
    for statement in [
        "UPDATE transactions SET reference = 'x'",
        "DELETE FROM transactions",
        "TRUNCATE transactions",
        "UPDATE ledger_entries SET amount = 1",
        "UPDATE ledger_entries SET posted_at = now() WHERE false",
        "DELETE FROM ledger_entries WHERE false",
        "TRUNCATE ledger_entries",
    ] {
        check(&mut session, statement, DENIED).await;
        check(&mut owner, statement, HISTORY).await;
    }
}

#[tokio::test]
async fn the_role_that_serves_may_do_no_more_than_it_needs() {
    let rows = Rows::new().await;
    let mut session = rows.ground.database.runtime_session().await;
    for statement in [
        "UPDATE accounts SET min_balance = NULL",
        "UPDATE accounts SET max_balance = 5",
        "UPDATE accounts SET asset_code = 'EUR'",
        "UPDATE accounts SET merchant_id = gen_random_uuid()",
        "UPDATE accounts SET normal_balance = 1",
        "DELETE FROM accounts",
        "TRUNCATE accounts CASCADE",
        "UPDATE assets SET exponent = 2",
        "DELETE FROM assets",
        "UPDATE ledger_epoch SET epoch = 2",
        "DELETE FROM idempotency_keys",
        "UPDATE idempotency_keys SET fingerprint = fingerprint",
        "UPDATE idempotency_keys SET key = 'x'",
        "UPDATE outbox SET payload = ''",
        "TRUNCATE outbox",
        "DELETE FROM _sqlx_migrations",
        "CREATE TABLE ledger.mine ()",
        "CREATE TABLE public.mine ()",
        "CREATE SCHEMA mine",
        "ALTER TABLE ledger_entries DISABLE TRIGGER ledger_entries_check",
        "ALTER TABLE ledger_entries ADD COLUMN mine int",
        "SET session_replication_role = replica",
        "CREATE ROLE test_mine",
    ] {
        // What is not one's own cannot be told from what must not be done: both are 42501.
        check(&mut session, statement, DENIED).await;
    }
}

#[tokio::test]
async fn another_services_schema_in_the_same_database_is_out_of_reach() {
    let rows = Rows::new().await;
    let mine = &rows.ground.database;
    let url = |of: &SecretUrl, from: &str, to: &str| -> SecretUrl {
        of.expose().replace(from, to).parse().unwrap()
    };
    let owner = Owner {
        migration_database_url: url(
            &mine.owner.migration_database_url,
            "test_ledger_owner",
            "test_neighbour_owner",
        ),
    };
    let config = lp_config::Database {
        database_url: url(&mine.config.database_url, "test_ledger_app", "test_neighbour_app"),
        database_schema: "neighbour".to_owned(),
        ..mine.config.clone()
    };
    let admin = Admin {
        admin_database_url: lp_test::servers::postgres_admin(),
    };
    lp_pg::tenant::provision(&admin, &owner, &config).await.unwrap();
    lp_pg::schema::migrate(&owner, &config, &lp_pg::schema::combine(&[]))
        .await
        .unwrap();
    let mut neighbour = PgConnection::connect(config.database_url.expose()).await.unwrap();
    let mut their_owner = PgConnection::connect(owner.migration_database_url.expose())
        .await
        .unwrap();
    let theirs: i64 = sqlx::query_scalar("SELECT count(*) FROM idempotency_keys")
        .fetch_one(&mut neighbour)
        .await
        .unwrap();
    assert_eq!(theirs, 0, "its own, not ours");
    for session in [&mut neighbour, &mut their_owner] {
        check(session, "SELECT FROM ledger.accounts", DENIED).await;
        check(session, "INSERT INTO ledger.outbox DEFAULT VALUES", DENIED).await;
        check(session, "SET ROLE test_ledger_owner", DENIED).await;
    }
    let mut session = mine.runtime_session().await;
    check(&mut session, "SELECT FROM neighbour.idempotency_keys", DENIED).await;
    let mut owner = rows.ground.owner().await;
    check(&mut owner, "SELECT FROM neighbour.idempotency_keys", DENIED).await;
    rows.client.account("PTS", AccountType::External).await;
}

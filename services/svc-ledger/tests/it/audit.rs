//! What must be true of every ledger, read from its tables by the role that owns them.

use crate::support::Ground;

/// Each query finds what must not be.
const NEVER: [(&str, &str); 11] = [
    (
        "a transaction that does not balance",
        "SELECT transaction_id::text FROM ledger_entries GROUP BY transaction_id, asset_code
         HAVING sum(CASE direction WHEN 1 THEN amount ELSE -amount END) <> 0",
    ),
    (
        "a transaction that is not whole",
        "SELECT t.transaction_id::text FROM transactions t LEFT JOIN ledger_entries e USING (transaction_id)
         GROUP BY t.transaction_id HAVING count(e.line) <> t.entry_count OR max(e.line) <> t.entry_count",
    ),
    (
        "a gap in an account's sequence",
        "SELECT a.account_id::text FROM accounts a LEFT JOIN ledger_entries e USING (account_id)
         GROUP BY a.account_id
         HAVING a.sequence <> count(e.account_sequence) OR a.sequence <> coalesce(max(e.account_sequence), 0)",
    ),
    (
        "sums that are not those of the entries",
        "SELECT a.account_id::text FROM accounts a LEFT JOIN ledger_entries e USING (account_id)
         GROUP BY a.account_id
         HAVING a.posted_debits <> coalesce(sum(e.amount) FILTER (WHERE direction = 1), 0)
             OR a.posted_credits <> coalesce(sum(e.amount) FILTER (WHERE direction = 2), 0)",
    ),
    (
        "a balance_after that is not the sum so far",
        "SELECT account_id::text || ' at ' || account_sequence FROM (
           SELECT e.account_id, e.account_sequence, e.balance_after,
                  sum(CASE WHEN e.direction = a.normal_balance THEN e.amount ELSE -e.amount END)
                    OVER (PARTITION BY e.account_id ORDER BY e.account_sequence) AS so_far
           FROM ledger_entries e JOIN accounts a USING (account_id)) s
         WHERE balance_after <> so_far",
    ),
    (
        "a time that goes back",
        "SELECT account_id::text || ' at ' || account_sequence FROM (
           SELECT account_id, account_sequence, posted_at,
                  lag(posted_at) OVER (PARTITION BY account_id ORDER BY account_sequence) AS before
           FROM ledger_entries) s
         WHERE posted_at < before",
    ),
    (
        "an asset that does not sum to zero",
        "SELECT merchant_id::text || ' ' || asset_code FROM accounts GROUP BY merchant_id, asset_code
         HAVING sum(posted_debits - posted_credits) <> 0",
    ),
    (
        "sums of holds that are not those of the open ones",
        "SELECT a.account_id::text FROM accounts a LEFT JOIN holds h ON h.account_id = a.account_id AND h.state = 1
         GROUP BY a.account_id
         HAVING a.held_debits <> coalesce(sum(h.amount - h.captured) FILTER (WHERE h.direction = 1), 0)
             OR a.held_credits <> coalesce(sum(h.amount - h.captured) FILTER (WHERE h.direction = 2), 0)",
    ),
    (
        "a hold of which more or less was captured than posted",
        "SELECT h.hold_id::text FROM holds h LEFT JOIN ledger_entries e USING (hold_id)
         GROUP BY h.hold_id HAVING h.captured <> coalesce(sum(e.amount), 0)",
    ),
    (
        "more undone than was done",
        "SELECT o.transaction_id::text || ' line ' || o.line
         FROM ledger_entries o JOIN transactions r ON r.reverses = o.transaction_id
         JOIN ledger_entries b ON b.transaction_id = r.transaction_id AND b.reverses_line = o.line
         GROUP BY o.transaction_id, o.line, o.amount HAVING sum(b.amount) > o.amount",
    ),
    (
        "a debt that is not what lacks",
        "SELECT account_id::text FROM accounts
         WHERE debt <> greatest(0, coalesce(min_balance - CASE normal_balance
                 WHEN 1 THEN posted_debits - posted_credits - held_credits
                 ELSE posted_credits - posted_debits - held_debits END, 0))",
    ),
];

/// Panics where the ledger is wrong.
pub async fn audit(ground: &Ground) {
    let mut owner = ground.owner().await;
    for (what, query) in NEVER {
        let found: Vec<String> = sqlx::query_scalar(query).fetch_all(&mut owner).await.unwrap();
        assert!(found.is_empty(), "{what}: {found:?}");
    }
}

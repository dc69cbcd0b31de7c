-- Earlier transactions of a merchant, $1, as Earn would have left them: numbers $2 to $3, each a point from the issuance
-- account to one customer after the other, scattered. `customers` and `start` are made by `growth.rs`. Triggers are off.
WITH wanted AS (
  SELECT start.posted_at, start.issuance, start.sequence + i + 1 AS issuance_sequence,
    start.balance + start.sign * (i + 1) AS issuance_balance, i / start.customers + 1 AS round,
    -- UUIDv7: the time, then the number.
    (lpad(to_hex((extract(epoch FROM start.posted_at) * 1000)::bigint), 12, '0') || '7'
      || lpad(to_hex(i / 4096), 3, '0') || '8' || lpad(to_hex(i % 4096), 3, '0') || '000000000000')::uuid AS id,
    customers.account_id AS customer
  FROM start, generate_series($2::bigint, $3::bigint) AS i
  JOIN customers ON customers.n = i * 7919 % (SELECT customers FROM start)
), posted AS (
  INSERT INTO transactions (transaction_id, merchant_id, kind, entry_count, posted_at, actor, request_id)
  SELECT id, $1, 2, 2, posted_at, 'bench', id FROM wanted
)
INSERT INTO ledger_entries (merchant_id, transaction_id, line, account_id, asset_code, direction, amount,
                            account_sequence, balance_after, posted_at)
SELECT $1, id, line, CASE line WHEN 1 THEN issuance ELSE customer END, 'PTS', line, 1,
  CASE line WHEN 1 THEN issuance_sequence ELSE round END,
  CASE line WHEN 1 THEN issuance_balance ELSE round END, posted_at
FROM wanted, generate_series(1, 2) AS line

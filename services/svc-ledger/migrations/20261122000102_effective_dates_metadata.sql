-- When a transaction takes effect, where that is before it is posted; what a merchant notes on it, and on accounts.

ALTER TABLE accounts ADD COLUMN metadata jsonb;

ALTER TABLE transactions
  -- Absent: it takes effect when it is posted.
  ADD COLUMN effective_at timestamptz,
  ADD CONSTRAINT transactions_effective CHECK (effective_at < posted_at),
  -- Short names and values; absent: none.
  ADD COLUMN metadata     jsonb;

-- As the transaction's, so that a balance at an effective date reads one index.
ALTER TABLE ledger_entries
  ADD COLUMN effective_at timestamptz,
  ADD CONSTRAINT ledger_entries_effective_at CHECK (effective_at < posted_at);
CREATE INDEX ledger_entries_effective ON ledger_entries (account_id, effective_at) WHERE effective_at IS NOT NULL;

-- The number of an account's last entry at a moment, 0 before the first. Times never go back along an account's
-- sequence, so that twenty steps find one among a million, and no index on the time is written with every entry.
CREATE FUNCTION ledger_sequence_at(account uuid, moment timestamptz) RETURNS bigint LANGUAGE plpgsql STABLE AS $$
DECLARE
  low    bigint := 0;
  high   bigint;
  middle bigint;
BEGIN
  SELECT sequence INTO high FROM accounts WHERE account_id = account;
  WHILE low < high LOOP
    middle := (low + high + 1) / 2;
    IF (SELECT posted_at FROM ledger_entries WHERE account_id = account AND account_sequence = middle) <= moment THEN
      low := middle;
    ELSE
      high := middle - 1;
    END IF;
  END LOOP;
  RETURN low;
END $$;

-- As before, in two passes over the inserted set instead of four; and entries bear their transaction's times.
CREATE OR REPLACE FUNCTION ledger_entries_check() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  bad   uuid;
  wrong record;
BEGIN
  SELECT transaction_id INTO bad FROM inserted
  GROUP BY transaction_id, asset_code
  HAVING sum(CASE direction WHEN 1 THEN amount ELSE -amount END) <> 0 LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION 'transaction % does not balance', bad
      USING ERRCODE = 'check_violation', CONSTRAINT = 'ledger_entries_balanced';
  END IF;

  SELECT * INTO wrong FROM (
    SELECT i.transaction_id,
      -- All entries of a transaction come at once and are lines 1 to entry_count, so that nothing, not even a balanced
      -- pair, can be added to an old one. Those of a reversal undo a line each, others none.
      t.entry_count IS NULL OR count(*) <> t.entry_count OR min(i.line) <> 1 OR max(i.line) <> t.entry_count
        OR count(i.reverses_line) <> CASE WHEN t.reverses IS NULL THEN 0 ELSE t.entry_count END AS broken,
      -- One batch serves many merchants, so that row level security cannot guard this.
      bool_or(a.merchant_id IS DISTINCT FROM i.merchant_id OR t.merchant_id IS DISTINCT FROM i.merchant_id
        OR a.asset_code IS DISTINCT FROM i.asset_code) AS foreign_owner,
      bool_or(i.posted_at IS DISTINCT FROM t.posted_at OR i.effective_at IS DISTINCT FROM t.effective_at) AS other_time,
      -- An account may owe what a reversal took back, and what a hold had reserved is there for it; nothing else brings
      -- an account below its least balance.
      bool_or(i.direction <> a.normal_balance AND i.balance_after < a.min_balance
        AND i.reverses_line IS NULL AND i.hold_id IS NULL) AS overdraft
    FROM inserted i LEFT JOIN accounts a USING (account_id) LEFT JOIN transactions t USING (transaction_id)
    GROUP BY i.transaction_id, t.transaction_id) s
  WHERE broken OR foreign_owner OR other_time OR overdraft
  LIMIT 1;
  IF FOUND THEN
    IF wrong.broken THEN
      RAISE EXCEPTION 'transaction % is not whole', wrong.transaction_id
        USING ERRCODE = 'check_violation', CONSTRAINT = 'ledger_entries_whole';
    ELSIF wrong.foreign_owner THEN
      RAISE EXCEPTION 'transaction % has an entry in an account of another owner or asset', wrong.transaction_id
        USING ERRCODE = 'check_violation', CONSTRAINT = 'ledger_entries_owner';
    ELSIF wrong.other_time THEN
      RAISE EXCEPTION 'transaction % has an entry with another time', wrong.transaction_id
        USING ERRCODE = 'check_violation', CONSTRAINT = 'ledger_entries_times';
    END IF;
    RAISE EXCEPTION 'transaction % overdraws an account', wrong.transaction_id
      USING ERRCODE = 'check_violation', CONSTRAINT = 'ledger_entries_overdraft';
  END IF;

  IF EXISTS (SELECT FROM inserted WHERE hold_id IS NOT NULL) THEN
    SELECT i.transaction_id INTO bad
    FROM inserted i LEFT JOIN holds h USING (hold_id)
    WHERE i.hold_id IS NOT NULL
      AND (h.account_id IS DISTINCT FROM i.account_id OR h.direction IS DISTINCT FROM i.direction
        OR h.captured < (SELECT sum(e.amount) FROM ledger_entries e WHERE e.hold_id = i.hold_id))
    LIMIT 1;
    IF FOUND THEN
      RAISE EXCEPTION 'transaction % draws on a hold more than was captured of it', bad
        USING ERRCODE = 'check_violation', CONSTRAINT = 'ledger_entries_hold';
    END IF;
  END IF;

  IF EXISTS (SELECT FROM inserted WHERE reverses_line IS NOT NULL) THEN
    -- Never more than the original moved, over all of its reversals; and a reversal is not reversed.
    SELECT r.reverses INTO bad
    FROM (SELECT t.reverses, i.reverses_line AS line, i.direction, i.asset_code, i.merchant_id
          FROM inserted i JOIN transactions t USING (transaction_id)) r
    LEFT JOIN transactions was ON was.transaction_id = r.reverses
    LEFT JOIN ledger_entries o ON o.transaction_id = r.reverses AND o.line = r.line
    WHERE r.line IS NOT NULL
      AND (o.amount IS NULL OR was.kind = 5 OR o.merchant_id <> r.merchant_id OR o.direction = r.direction
        OR o.asset_code <> r.asset_code
        OR o.amount < (SELECT sum(e.amount) FROM transactions b JOIN ledger_entries e USING (transaction_id)
                       WHERE b.reverses = r.reverses AND e.reverses_line = r.line))
    LIMIT 1;
    IF FOUND THEN
      RAISE EXCEPTION 'more of transaction % is undone than it moved', bad
        USING ERRCODE = 'check_violation', CONSTRAINT = 'ledger_entries_reversal';
    END IF;
  END IF;
  RETURN NULL;
END $$;

-- A session's own tables come before real ones of their name, unless pg_temp is named last.
DO $$ BEGIN
  EXECUTE format('ALTER FUNCTION ledger_entries_check() SET search_path = %I, pg_temp', current_schema());
  EXECUTE format('ALTER FUNCTION ledger_sequence_at(uuid, timestamptz) SET search_path = %I, pg_temp', current_schema());
END $$;

-- Value that is reserved, transactions that undo others, accounts that are frozen or closed.

ALTER TABLE accounts
  -- 1 open, 2 frozen, 3 closed
  ADD COLUMN state        smallint NOT NULL DEFAULT 1 CHECK (state BETWEEN 1 AND 3),
  -- What open holds reserve, by the side of the entries that they are for.
  ADD COLUMN held_debits  bigint NOT NULL DEFAULT 0 CHECK (held_debits >= 0),
  ADD COLUMN held_credits bigint NOT NULL DEFAULT 0 CHECK (held_credits >= 0),
  -- What is available less than the least balance, because a reversal took back what had been spent.
  ADD COLUMN debt         bigint NOT NULL DEFAULT 0 CHECK (debt >= 0),
  ADD CONSTRAINT accounts_closed_empty CHECK (state <> 3 OR
    (posted_debits = posted_credits AND held_debits = 0 AND held_credits = 0));
SELECT grant_runtime('UPDATE (state, held_debits, held_credits, debt)', 'accounts');

-- What is reserved counts as gone. An account in debt is as far below as its debt says; which entries may bring it
-- there, ledger_entries_check tells.
ALTER TABLE accounts
  DROP CONSTRAINT accounts_min_balance,
  ADD CONSTRAINT accounts_min_balance CHECK (min_balance IS NULL OR min_balance <= debt +
    CASE normal_balance WHEN 1 THEN posted_debits - posted_credits - held_credits
                        ELSE posted_credits - posted_debits - held_debits END) NOT VALID;
ALTER TABLE accounts VALIDATE CONSTRAINT accounts_min_balance;

CREATE TABLE holds (
  hold_id     uuid PRIMARY KEY,
  merchant_id uuid NOT NULL,
  account_id  uuid NOT NULL REFERENCES accounts,
  asset_code  text NOT NULL,
  -- Of the entries that it is for: 1 debit, 2 credit
  direction   smallint NOT NULL CHECK (direction IN (1, 2)),
  amount      bigint NOT NULL CHECK (amount BETWEEN 1 AND 1000000000000000),
  captured    bigint NOT NULL,
  -- 1 open, 2 captured, 3 voided, 4 expired
  state       smallint NOT NULL CHECK (state BETWEEN 1 AND 4),
  reference   text,
  placed_at   timestamptz NOT NULL,
  expires_at  timestamptz NOT NULL,
  actor       text NOT NULL,
  request_id  uuid NOT NULL,
  CONSTRAINT holds_reference UNIQUE (merchant_id, reference),
  CONSTRAINT holds_captured CHECK (captured BETWEEN 0 AND amount),
  CONSTRAINT holds_captured_whole CHECK ((state = 2) = (captured = amount)),
  CONSTRAINT holds_expiry CHECK (expires_at > placed_at)
) WITH (fillfactor = 80);
CREATE INDEX holds_open ON holds (account_id, expires_at) WHERE state = 1;
CREATE INDEX holds_due ON holds (expires_at) WHERE state = 1;
CREATE INDEX holds_by_account ON holds (account_id, hold_id DESC);
SELECT grant_runtime('SELECT, INSERT, UPDATE (captured, state)', 'holds');

-- A hold that has ended stays so, and what was captured stays captured.
CREATE TRIGGER holds_final BEFORE UPDATE ON holds FOR EACH ROW
  WHEN (OLD.state <> 1 OR NEW.captured < OLD.captured) EXECUTE FUNCTION refuse_change();
CREATE TRIGGER holds_append_only BEFORE DELETE OR TRUNCATE ON holds
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

ALTER TABLE transactions
  -- The transaction that it undoes.
  ADD COLUMN reverses uuid,
  DROP CONSTRAINT transactions_kind_check,
  -- 1 general, 2 earn, 3 burn, 4 capture, 5 reversal
  ADD CONSTRAINT transactions_kind_check CHECK (kind BETWEEN 1 AND 5) NOT VALID,
  ADD CONSTRAINT transactions_reverses CHECK ((kind = 5) = (reverses IS NOT NULL)) NOT VALID;
ALTER TABLE transactions VALIDATE CONSTRAINT transactions_kind_check;
ALTER TABLE transactions VALIDATE CONSTRAINT transactions_reverses;
CREATE INDEX transactions_reversals ON transactions (reverses) WHERE reverses IS NOT NULL;

ALTER TABLE ledger_entries
  -- The hold that it drew on.
  ADD COLUMN hold_id       uuid,
  -- The line of the reversed transaction that it undoes.
  ADD COLUMN reverses_line smallint;

CREATE INDEX ledger_entries_by_hold ON ledger_entries (hold_id) WHERE hold_id IS NOT NULL;

CREATE OR REPLACE FUNCTION ledger_entries_check() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  bad uuid;
BEGIN
  SELECT transaction_id INTO bad FROM inserted
  GROUP BY transaction_id, asset_code
  HAVING sum(CASE direction WHEN 1 THEN amount ELSE -amount END) <> 0 LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION 'transaction % does not balance', bad
      USING ERRCODE = 'check_violation', CONSTRAINT = 'ledger_entries_balanced';
  END IF;

  -- All entries of a transaction come at once and are lines 1 to entry_count, so that nothing, not even a
  -- balanced pair, can be added to an old one. Those of a reversal undo a line each, others none.
  SELECT i.transaction_id INTO bad
  FROM inserted i LEFT JOIN transactions t USING (transaction_id)
  GROUP BY i.transaction_id, t.entry_count, t.reverses
  HAVING t.entry_count IS NULL OR count(*) <> t.entry_count OR min(i.line) <> 1 OR max(i.line) <> t.entry_count
      OR count(i.reverses_line) <> CASE WHEN t.reverses IS NULL THEN 0 ELSE t.entry_count END
  LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION 'transaction % is not whole', bad
      USING ERRCODE = 'check_violation', CONSTRAINT = 'ledger_entries_whole';
  END IF;

  -- One batch serves many merchants, so that row level security cannot guard this.
  SELECT i.transaction_id INTO bad
  FROM inserted i LEFT JOIN accounts a USING (account_id) LEFT JOIN transactions t USING (transaction_id)
  WHERE a.merchant_id IS DISTINCT FROM i.merchant_id OR t.merchant_id IS DISTINCT FROM i.merchant_id
     OR a.asset_code IS DISTINCT FROM i.asset_code
  LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION 'transaction % has an entry in an account of another owner or asset', bad
      USING ERRCODE = 'check_violation', CONSTRAINT = 'ledger_entries_owner';
  END IF;

  -- An account may owe what a reversal took back, and what a hold had reserved is there for it; nothing else brings an
  -- account below its least balance.
  SELECT i.transaction_id INTO bad
  FROM inserted i JOIN accounts a USING (account_id)
  WHERE i.direction <> a.normal_balance AND i.balance_after < a.min_balance
    AND i.reverses_line IS NULL AND i.hold_id IS NULL
  LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION 'transaction % overdraws an account', bad
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
END $$;

-- Assets, accounts, transactions, entries. The database itself refuses an unbalanced transaction, a balance
-- outside its account's limits, an entry in somebody else's account, and any change of history.

CREATE TABLE ledger_epoch (
  singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
  -- Which life of the ledger: a restore from backup raises it, so that caches forget what it undid.
  epoch     bigint NOT NULL
);
INSERT INTO ledger_epoch (epoch) VALUES (1);
SELECT grant_runtime('SELECT', 'ledger_epoch');

CREATE TABLE assets (
  merchant_id           uuid NOT NULL,
  code                  text NOT NULL CHECK (code ~ '^[A-Z][A-Z0-9_]{1,15}$'),
  -- 1 currency, 2 points
  kind                  smallint NOT NULL CHECK (kind IN (1, 2)),
  exponent              smallint NOT NULL CHECK (exponent BETWEEN 0 AND 8),
  issuance_account_id   uuid,
  redemption_account_id uuid,
  actor                 text NOT NULL,
  request_id            uuid NOT NULL,
  created_at            timestamptz NOT NULL,
  PRIMARY KEY (merchant_id, code),
  CHECK ((kind = 2) = (issuance_account_id IS NOT NULL)),
  CHECK ((kind = 2) = (redemption_account_id IS NOT NULL))
);
SELECT grant_runtime('SELECT, INSERT', 'assets');

CREATE TABLE accounts (
  account_id     uuid PRIMARY KEY,
  merchant_id    uuid NOT NULL,
  asset_code     text NOT NULL,
  -- 1 customer, 2 issuance, 3 redemption, 4 external
  type           smallint NOT NULL CHECK (type BETWEEN 1 AND 4),
  -- The side that raises the balance: 1 debit, 2 credit
  normal_balance smallint NOT NULL CHECK (normal_balance IN (1, 2)),
  -- Locks are taken in order of rank, then id; hot accounts last.
  lock_rank      smallint NOT NULL,
  min_balance    bigint,
  max_balance    bigint,
  posted_debits  bigint NOT NULL DEFAULT 0 CHECK (posted_debits >= 0),
  posted_credits bigint NOT NULL DEFAULT 0 CHECK (posted_credits >= 0),
  sequence       bigint NOT NULL DEFAULT 0 CHECK (sequence >= 0),
  posted_at      timestamptz,
  reference      text,
  actor          text NOT NULL,
  request_id     uuid NOT NULL,
  created_at     timestamptz NOT NULL,
  FOREIGN KEY (merchant_id, asset_code) REFERENCES assets (merchant_id, code),
  CONSTRAINT accounts_reference UNIQUE (merchant_id, reference),
  CONSTRAINT accounts_min_balance CHECK (min_balance IS NULL OR min_balance <=
    CASE normal_balance WHEN 1 THEN posted_debits - posted_credits ELSE posted_credits - posted_debits END),
  CONSTRAINT accounts_max_balance CHECK (max_balance IS NULL OR max_balance >=
    CASE normal_balance WHEN 1 THEN posted_debits - posted_credits ELSE posted_credits - posted_debits END)
) WITH (fillfactor = 60);
-- What an account is never changes; only its sums do.
SELECT grant_runtime('SELECT, INSERT, UPDATE (posted_debits, posted_credits, sequence, posted_at)', 'accounts');

ALTER TABLE assets
  ADD FOREIGN KEY (issuance_account_id) REFERENCES accounts DEFERRABLE INITIALLY DEFERRED,
  ADD FOREIGN KEY (redemption_account_id) REFERENCES accounts DEFERRABLE INITIALLY DEFERRED;

CREATE TABLE transactions (
  transaction_id uuid PRIMARY KEY,
  merchant_id    uuid NOT NULL,
  -- 1 general, 2 earn, 3 burn
  kind           smallint NOT NULL CHECK (kind BETWEEN 1 AND 3),
  reference      text,
  entry_count    smallint NOT NULL CHECK (entry_count BETWEEN 2 AND 500),
  posted_at      timestamptz NOT NULL,
  actor          text NOT NULL,
  request_id     uuid NOT NULL,
  CONSTRAINT transactions_reference UNIQUE (merchant_id, reference)
);
CREATE INDEX transactions_by_merchant ON transactions (merchant_id, transaction_id DESC);
SELECT grant_runtime('SELECT, INSERT', 'transactions');

CREATE TABLE ledger_entries (
  merchant_id      uuid NOT NULL,
  transaction_id   uuid NOT NULL,
  line             smallint NOT NULL,
  account_id       uuid NOT NULL,
  asset_code       text NOT NULL,
  -- 1 debit, 2 credit
  direction        smallint NOT NULL CHECK (direction IN (1, 2)),
  amount           bigint NOT NULL CHECK (amount BETWEEN 1 AND 1000000000000000),
  account_sequence bigint NOT NULL CHECK (account_sequence > 0),
  balance_after    bigint NOT NULL,
  posted_at        timestamptz NOT NULL,
  PRIMARY KEY (account_id, account_sequence),
  CONSTRAINT ledger_entries_line UNIQUE (transaction_id, line)
);
SELECT grant_runtime('SELECT, INSERT', 'ledger_entries');

-- Over the inserted set, once a statement: 5 ms for 256 transactions, where foreign keys cost 10.
CREATE FUNCTION ledger_entries_check() RETURNS trigger LANGUAGE plpgsql AS $$
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
  -- balanced pair, can be added to an old one.
  SELECT i.transaction_id INTO bad
  FROM inserted i LEFT JOIN transactions t USING (transaction_id)
  GROUP BY i.transaction_id, t.entry_count
  HAVING t.entry_count IS NULL OR count(*) <> t.entry_count OR min(i.line) <> 1 OR max(i.line) <> t.entry_count
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
  RETURN NULL;
END $$;

-- A session's own tables come before real ones of their name, unless pg_temp is named last.
DO $$ BEGIN
  EXECUTE format('ALTER FUNCTION ledger_entries_check() SET search_path = %I, pg_temp', current_schema());
END $$;

CREATE TRIGGER ledger_entries_check AFTER INSERT ON ledger_entries
  REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT EXECUTE FUNCTION ledger_entries_check();

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION '% on %: history is never changed', TG_OP, TG_TABLE_NAME
    USING ERRCODE = 'restrict_violation', CONSTRAINT = 'history_is_append_only';
END $$;

CREATE TRIGGER transactions_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON transactions
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER ledger_entries_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_entries
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

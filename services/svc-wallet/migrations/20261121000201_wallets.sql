-- Customers, their wallets, and what stands in them as far as the ledger's events have told.

CREATE TABLE customers (
  customer_id      uuid PRIMARY KEY,
  merchant_id      uuid NOT NULL,
  reference        text NOT NULL,
  -- Personal data. It stands here and nowhere else.
  email            text,
  language         text NOT NULL CHECK (language IN ('fr', 'en')),
  messages_allowed boolean NOT NULL,
  actor            text NOT NULL,
  request_id       uuid NOT NULL,
  created_at       timestamptz NOT NULL,
  updated_at       timestamptz NOT NULL,
  CONSTRAINT customers_reference UNIQUE (merchant_id, reference)
);
SELECT grant_runtime('SELECT, INSERT, UPDATE', 'customers');

CREATE TABLE wallets (
  wallet_id   uuid PRIMARY KEY,
  merchant_id uuid NOT NULL,
  customer_id uuid NOT NULL REFERENCES customers,
  asset_code  text NOT NULL,
  -- 1 opening: its ledger account is asked for; 2 active
  status      smallint NOT NULL CHECK (status IN (1, 2)),
  account_id  uuid,
  actor       text NOT NULL,
  request_id  uuid NOT NULL,
  created_at  timestamptz NOT NULL,
  CONSTRAINT wallets_one_per_asset UNIQUE (merchant_id, customer_id, asset_code),
  CONSTRAINT wallets_account UNIQUE (account_id),
  CHECK ((status = 2) = (account_id IS NOT NULL))
);
CREATE INDEX wallets_by_merchant ON wallets (merchant_id, wallet_id DESC);
SELECT grant_runtime('SELECT, INSERT, DELETE, UPDATE (status, account_id)', 'wallets');

-- Kept for every customer account of the ledger, also before its wallet is known here.
CREATE TABLE balance_snapshots (
  account_id  uuid PRIMARY KEY,
  merchant_id uuid NOT NULL,
  asset_code  text NOT NULL,
  epoch       bigint NOT NULL,
  sequence    bigint NOT NULL,
  balance     bigint NOT NULL,
  posted_at   timestamptz NOT NULL
) WITH (fillfactor = 70);
SELECT grant_runtime('SELECT, INSERT, UPDATE', 'balance_snapshots');

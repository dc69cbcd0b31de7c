-- Purchases, and who paid what. No code and no PIN of a card stands here, nor anything made of them.

CREATE TABLE purchases (
  purchase_id       uuid PRIMARY KEY,
  merchant_id       uuid NOT NULL REFERENCES merchants,
  -- The key of the call that submits it: whoever comes with it again goes on here.
  idempotency_key   text NOT NULL,
  -- 1 planned, 2 authorised: its entries are fixed, 3 posted, 4 refused
  state             smallint NOT NULL CHECK (state BETWEEN 1 AND 4),
  amount            bigint NOT NULL CHECK (amount BETWEEN 1 AND 1000000000000000),
  currency_code     text NOT NULL,
  wallet_id         uuid,
  wallet_account_id uuid,
  -- null: no wallet took part, and no programme
  program_version   integer,
  points_earned     bigint CHECK (points_earned BETWEEN 1 AND 1000000000000000),
  points_burnt      bigint CHECK (points_burnt BETWEEN 1 AND 1000000000000000),
  reference         text,
  transaction_id    uuid,
  actor             text NOT NULL,
  request_id        uuid NOT NULL,
  created_at        timestamptz NOT NULL,
  CONSTRAINT purchases_key UNIQUE (merchant_id, idempotency_key),
  CONSTRAINT purchases_transaction UNIQUE (transaction_id),
  FOREIGN KEY (merchant_id, program_version) REFERENCES programs (merchant_id, version),
  CHECK ((state = 3) = (transaction_id IS NOT NULL)),
  CHECK ((wallet_id IS NULL) = (program_version IS NULL)),
  CHECK (wallet_id IS NOT NULL OR (points_earned IS NULL AND points_burnt IS NULL)),
  CHECK (state NOT IN (2, 3) OR (wallet_id IS NULL) = (wallet_account_id IS NULL))
);
-- What was refused leaves its reference to the next attempt.
CREATE UNIQUE INDEX purchases_reference ON purchases (merchant_id, reference) WHERE state <> 4;
SELECT grant_runtime('SELECT, INSERT, UPDATE (state, wallet_account_id, transaction_id)', 'purchases');

CREATE TABLE purchase_tenders (
  purchase_id     uuid NOT NULL REFERENCES purchases,
  -- from 0, as the request counted them
  line            smallint NOT NULL CHECK (line BETWEEN 0 AND 9),
  merchant_id     uuid NOT NULL,
  -- 1 external, 2 gift card, 3 points
  kind            smallint NOT NULL CHECK (kind BETWEEN 1 AND 3),
  minor_units     bigint NOT NULL CHECK (minor_units BETWEEN 1 AND 1000000000000000),
  -- The card's account in the ledger, once the card was authorised.
  card_account_id uuid,
  PRIMARY KEY (purchase_id, line),
  CHECK (kind = 2 OR card_account_id IS NULL)
);
SELECT grant_runtime('SELECT, INSERT, UPDATE (card_account_id)', 'purchase_tenders');

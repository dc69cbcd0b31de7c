-- Products, cards, and their redemptions. No table holds a code or a PIN, nor what a card is worth: that is its
-- ledger account's balance.

CREATE TABLE products (
  product_id    uuid PRIMARY KEY,
  merchant_id   uuid NOT NULL,
  name          text NOT NULL CHECK (char_length(name) BETWEEN 1 AND 100),
  currency_code text NOT NULL,
  -- rising, each 1 to 10^9 minor units
  denominations bigint[] NOT NULL CHECK (cardinality(denominations) BETWEEN 1 AND 50 AND 0 < ALL (denominations)),
  has_pin       boolean NOT NULL,
  actor         text NOT NULL,
  request_id    uuid NOT NULL,
  created_at    timestamptz NOT NULL,
  CONSTRAINT products_by_merchant UNIQUE (merchant_id, product_id)
);
-- What a product is never changes: its cards were sold as what it said.
SELECT grant_runtime('SELECT, INSERT', 'products');

CREATE TABLE cards (
  card_id         uuid PRIMARY KEY,
  merchant_id     uuid NOT NULL,
  product_id      uuid NOT NULL,
  -- HMAC-SHA256 of merchant and code under the key of that version
  code_hash       bytea NOT NULL CHECK (octet_length(code_hash) = 32),
  code_key        smallint NOT NULL CHECK (code_key > 0),
  -- the code's last four characters, for a person
  code_suffix     text NOT NULL CHECK (code_suffix ~ '^[0-9A-HJKMNP-TV-Z]{4}$'),
  -- Argon2id, with its parameters and salt
  pin_hash        text CHECK (pin_hash LIKE '$argon2id$%'),
  -- 1 issued, 2 activating: its value is on the way to the ledger, 3 active
  state           smallint NOT NULL CHECK (state BETWEEN 1 AND 3),
  -- What it was sold for; not what it is worth.
  face_value      bigint CHECK (face_value > 0),
  account_id      uuid CONSTRAINT cards_account UNIQUE,
  transaction_id  uuid CONSTRAINT cards_transaction UNIQUE,
  actor           text NOT NULL,
  request_id      uuid NOT NULL,
  created_at      timestamptz NOT NULL,
  -- who finished the sale
  sale_actor      text,
  sale_request_id uuid,
  activated_at    timestamptz,
  FOREIGN KEY (merchant_id, product_id) REFERENCES products (merchant_id, product_id),
  CONSTRAINT cards_by_merchant UNIQUE (merchant_id, card_id),
  CONSTRAINT cards_code UNIQUE (merchant_id, code_key, code_hash),
  CHECK ((state = 1) = (face_value IS NULL)),
  CHECK (num_nulls(account_id, transaction_id, sale_actor, sale_request_id, activated_at)
         = CASE WHEN state = 3 THEN 0 ELSE 5 END)
);
SELECT grant_runtime('SELECT, INSERT, UPDATE (state, face_value, account_id, transaction_id, sale_actor,
  sale_request_id, activated_at)', 'cards');

CREATE TABLE redemptions (
  redemption_id   uuid PRIMARY KEY,
  merchant_id     uuid NOT NULL,
  card_id         uuid NOT NULL,
  -- The key of the request that it answers, which has the amount: it is taken up under this key.
  idempotency_key text NOT NULL,
  -- 1 posting: its entries are on the way to the ledger, 2 posted, 3 refused: the card held less
  state           smallint NOT NULL CHECK (state BETWEEN 1 AND 3),
  transaction_id  uuid CONSTRAINT redemptions_transaction UNIQUE,
  actor           text NOT NULL,
  request_id      uuid NOT NULL,
  created_at      timestamptz NOT NULL,
  FOREIGN KEY (merchant_id, card_id) REFERENCES cards (merchant_id, card_id),
  CONSTRAINT redemptions_key UNIQUE (merchant_id, idempotency_key),
  CHECK ((state = 2) = (transaction_id IS NOT NULL))
);
CREATE INDEX redemptions_of_card ON redemptions (merchant_id, card_id);
SELECT grant_runtime('SELECT, INSERT, UPDATE (state, transaction_id)', 'redemptions');

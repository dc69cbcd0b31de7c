-- Merchants, how they joined, and their programmes. History is only added to.

CREATE TABLE merchants (
  merchant_id             uuid PRIMARY KEY,
  name                    text NOT NULL CHECK (char_length(name) BETWEEN 1 AND 100),
  -- 1 applied, 2 in review, 3 approved, 4 active, 5 suspended, 6 closed
  state                   smallint NOT NULL CHECK (state BETWEEN 1 AND 6),
  currency_code           text NOT NULL,
  currency_exponent       integer NOT NULL CHECK (currency_exponent BETWEEN 0 AND 8),
  points_code             text NOT NULL CHECK (points_code <> currency_code),
  time_zone               text NOT NULL,
  -- Its accounts in the ledger, from the first activation on.
  external_account_id     uuid,
  sales_account_id        uuid,
  loyalty_cost_account_id uuid,
  issuance_account_id     uuid,
  redemption_account_id   uuid,
  actor                   text NOT NULL,
  request_id              uuid NOT NULL,
  created_at              timestamptz NOT NULL,
  CHECK (num_nulls(external_account_id, sales_account_id, loyalty_cost_account_id, issuance_account_id,
                   redemption_account_id) IN (0, 5)),
  CHECK (state NOT IN (4, 5) OR external_account_id IS NOT NULL),
  CHECK (state NOT IN (1, 2, 3) OR external_account_id IS NULL)
);
-- What a merchant applied with never changes.
SELECT grant_runtime('SELECT, INSERT, UPDATE (state, external_account_id, sales_account_id, loyalty_cost_account_id,
  issuance_account_id, redemption_account_id)', 'merchants');

CREATE TABLE merchant_events (
  merchant_id uuid NOT NULL REFERENCES merchants,
  -- 1, 2, 3 … without gaps
  sequence    bigint NOT NULL CHECK (sequence > 0),
  -- as merchants.state; null for the application
  from_state  smallint CHECK (from_state BETWEEN 1 AND 6),
  to_state    smallint NOT NULL CHECK (to_state BETWEEN 1 AND 6),
  reason      text NOT NULL,
  actor       text NOT NULL,
  request_id  uuid NOT NULL,
  occurred_at timestamptz NOT NULL,
  PRIMARY KEY (merchant_id, sequence),
  CHECK ((sequence = 1) = (from_state IS NULL))
);
SELECT grant_runtime('SELECT, INSERT', 'merchant_events');

CREATE TABLE programs (
  merchant_id  uuid NOT NULL REFERENCES merchants,
  -- 1, 2, 3 … without gaps
  version      integer NOT NULL CHECK (version > 0),
  earn_points  bigint NOT NULL CHECK (earn_points BETWEEN 0 AND 1000000000),
  earn_per     bigint NOT NULL CHECK (earn_per BETWEEN 1 AND 1000000000),
  burn_points  bigint NOT NULL CHECK (burn_points BETWEEN 1 AND 1000000000),
  burn_value   bigint NOT NULL CHECK (burn_value BETWEEN 1 AND 1000000000),
  actor        text NOT NULL,
  request_id   uuid NOT NULL,
  published_at timestamptz NOT NULL,
  PRIMARY KEY (merchant_id, version),
  -- Burning what was earned gives back less than was spent.
  CHECK (earn_points * burn_value < earn_per * burn_points)
);
SELECT grant_runtime('SELECT, INSERT', 'programs');

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION '% on %: history is never changed', TG_OP, TG_TABLE_NAME
    USING ERRCODE = 'restrict_violation', CONSTRAINT = 'history_is_append_only';
END $$;

CREATE TRIGGER merchant_events_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON merchant_events
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER programs_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON programs
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

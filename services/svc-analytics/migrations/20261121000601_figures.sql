-- What happened in each quarter hour of UTC. Which of them are a day is decided when a day is read, in the merchant's
-- time zone.

CREATE TABLE merchants (
  merchant_id       uuid PRIMARY KEY,
  time_zone         text NOT NULL,
  currency_code     text NOT NULL,
  currency_exponent smallint NOT NULL,
  activated_at      timestamptz NOT NULL
);
SELECT grant_runtime('SELECT, INSERT, UPDATE', 'merchants');

-- Every count of a transaction raises one row here first, and so locks it before those of the assets.
CREATE TABLE quarter_hours (
  merchant_id      uuid NOT NULL,
  begins           timestamptz NOT NULL CHECK (extract(epoch FROM begins) % 900 = 0),
  transactions     bigint NOT NULL CHECK (transactions > 0),
  newest_posted_at timestamptz NOT NULL,
  PRIMARY KEY (merchant_id, begins)
) WITH (fillfactor = 70);
SELECT grant_runtime('SELECT, INSERT, UPDATE', 'quarter_hours');

-- Every asset that a transaction of the quarter hour moved, also where nothing of it is counted. The exponent is in
-- the key, so that amounts of different exponents are never added.
CREATE TABLE asset_figures (
  merchant_id           uuid NOT NULL,
  begins                timestamptz NOT NULL,
  asset_code            text COLLATE "C" NOT NULL CHECK (asset_code ~ '^[A-Z][A-Z0-9_]{1,15}$'),
  exponent              smallint NOT NULL CHECK (exponent BETWEEN 0 AND 255),
  points_given          bigint NOT NULL,
  points_spent          bigint NOT NULL,
  cards_sold            bigint NOT NULL,
  cards_sold_amount     bigint NOT NULL,
  cards_redeemed        bigint NOT NULL,
  cards_redeemed_amount bigint NOT NULL,
  PRIMARY KEY (merchant_id, begins, asset_code, exponent),
  FOREIGN KEY (merchant_id, begins) REFERENCES quarter_hours,
  -- 2^63 / 200: no local day has 200 quarter hours, so that the sums of a day stay within 64 bits.
  CONSTRAINT asset_figures_in_range CHECK (
    points_given BETWEEN 0 AND 46116860184273879
    AND points_spent BETWEEN 0 AND 46116860184273879
    AND cards_sold BETWEEN 0 AND 46116860184273879
    AND cards_sold_amount BETWEEN 0 AND 46116860184273879
    AND cards_redeemed BETWEEN 0 AND 46116860184273879
    AND cards_redeemed_amount BETWEEN 0 AND 46116860184273879
  )
) WITH (fillfactor = 70);
SELECT grant_runtime('SELECT, INSERT, UPDATE', 'asset_figures');

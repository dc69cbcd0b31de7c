-- Messages to customers: what caused each, and how far it got. No address, no name, no text of a message.

CREATE TABLE notifications (
  merchant_id     uuid NOT NULL,
  notification_id uuid NOT NULL,
  -- The event that caused it: `{transaction}:{account}`, one leg of the transaction.
  event_id        text NOT NULL,
  transaction_id  uuid NOT NULL,
  account_id      uuid NOT NULL,
  template        text NOT NULL CHECK (template IN ('points-earned', 'points-burned')),
  -- What the template needs. Minor units of the asset.
  amount          bigint NOT NULL CHECK (amount > 0),
  asset_code      text NOT NULL,
  asset_exponent  smallint NOT NULL CHECK (asset_exponent BETWEEN 0 AND 8),
  balance_after   bigint NOT NULL,
  -- Not known before svc-wallet is asked.
  language        text CHECK (language IN ('fr', 'en')),
  -- 1 pending, 2 sent, 3 suppressed, 4 failed
  status          smallint NOT NULL DEFAULT 1 CHECK (status BETWEEN 1 AND 4),
  -- Raised when an attempt begins; also names the lease, so that only its holder settles the attempt.
  attempts        integer NOT NULL DEFAULT 0 CHECK (attempts >= 0),
  next_attempt_at timestamptz NOT NULL,
  leased_until    timestamptz,
  last_error      text CHECK (length(last_error) <= 200),
  -- Continues the trace of the cause.
  traceparent     text,
  -- When it was caused.
  created_at      timestamptz NOT NULL,
  sent_at         timestamptz,
  PRIMARY KEY (merchant_id, notification_id),
  CONSTRAINT notifications_event UNIQUE (merchant_id, event_id),
  CHECK ((status = 2) = (sent_at IS NOT NULL))
);
CREATE INDEX notifications_due ON notifications (next_attempt_at, merchant_id) WHERE status = 1;
CREATE INDEX notifications_by_account ON notifications (merchant_id, account_id, notification_id DESC);
CREATE INDEX notifications_by_status ON notifications (merchant_id, status, notification_id DESC);

-- What was caused never changes; only how far it got does.
SELECT grant_runtime(
  'SELECT, INSERT, UPDATE (language, status, attempts, next_attempt_at, leased_until, last_error, sent_at)',
  'notifications');

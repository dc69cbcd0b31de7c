-- Events on their way to Kafka: written in the transaction that causes them, deleted when they are published.
CREATE TABLE outbox (
  -- No cache: ids of one key must rise in the order of its commits.
  id          bigint GENERATED ALWAYS AS IDENTITY (CACHE 1) PRIMARY KEY,
  topic       text NOT NULL,
  event_id    text NOT NULL,
  event_type  text NOT NULL,
  merchant_id uuid NOT NULL,
  -- One record for each.
  keys        text[] NOT NULL CHECK (cardinality(keys) > 0 AND array_position(keys, NULL) IS NULL),
  -- What Kafka would refuse must not get in: it would hold up all that follow.
  payload     bytea NOT NULL CHECK (octet_length(payload) <= 900000),
  traceparent text,
  occurred_at timestamptz NOT NULL
) WITH (
  -- Nearly empty, and every row is soon dead: clean up by number of dead rows, at once and at full speed.
  autovacuum_vacuum_scale_factor = 0,
  autovacuum_vacuum_threshold = 2000,
  autovacuum_vacuum_cost_delay = 0,
  autovacuum_analyze_scale_factor = 0,
  autovacuum_analyze_threshold = 20000,
  toast.autovacuum_vacuum_scale_factor = 0,
  toast.autovacuum_vacuum_threshold = 2000,
  toast.autovacuum_vacuum_cost_delay = 0
);
SELECT grant_runtime('SELECT, INSERT, DELETE', 'outbox');

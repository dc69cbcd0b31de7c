-- What each consumer of this schema has done, written in the transaction that does it.
CREATE TABLE inbox (
  consumer    text NOT NULL,
  event_id    text NOT NULL,
  merchant_id uuid NOT NULL,
  received_at timestamptz NOT NULL,
  PRIMARY KEY (consumer, event_id)
);
SELECT grant_runtime('SELECT, INSERT', 'inbox');

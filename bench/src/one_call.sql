-- What is had without batches: one call of a function is one transaction, with locks in order, entries and balances.
CREATE TABLE IF NOT EXISTS one_accounts (id bigint PRIMARY KEY, balance bigint NOT NULL, sequence bigint NOT NULL)
  WITH (fillfactor = 60);
CREATE TABLE IF NOT EXISTS one_entries (
  account_id bigint NOT NULL, sequence bigint NOT NULL, transaction_id uuid NOT NULL, amount bigint NOT NULL,
  balance_after bigint NOT NULL, PRIMARY KEY (account_id, sequence));
INSERT INTO one_accounts SELECT n, 0, 0 FROM generate_series(1, 10000) n ON CONFLICT DO NOTHING;
CREATE OR REPLACE FUNCTION one_transfer(payer bigint, payee bigint, points bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  transaction uuid := gen_random_uuid();
BEGIN
  PERFORM FROM one_accounts WHERE id IN (payer, payee) ORDER BY id FOR NO KEY UPDATE;
  WITH changed AS (
    UPDATE one_accounts a SET balance = a.balance + c.amount, sequence = a.sequence + 1
    FROM (VALUES (payer, -points), (payee, points)) c (id, amount) WHERE a.id = c.id
    RETURNING a.id, a.sequence, c.amount, a.balance)
  INSERT INTO one_entries SELECT c.id, c.sequence, transaction, c.amount, c.balance FROM changed c;
END $$;

-- Most transactions have no reference: only those that have one are in its index, and a third of what a transaction's
-- indexes cost is saved.
ALTER TABLE transactions DROP CONSTRAINT transactions_reference;
CREATE UNIQUE INDEX transactions_reference ON transactions (merchant_id, reference) WHERE reference IS NOT NULL;
ALTER TABLE holds DROP CONSTRAINT holds_reference;
CREATE UNIQUE INDEX holds_reference ON holds (merchant_id, reference) WHERE reference IS NOT NULL;

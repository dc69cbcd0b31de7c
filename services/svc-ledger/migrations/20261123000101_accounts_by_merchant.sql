-- A merchant's accounts one after the other, for what goes over all of them in slices. Neither column ever changes, so
-- that postings still change no index.
CREATE INDEX accounts_by_merchant ON accounts (merchant_id, account_id);

-- A customer who was inserted for a wallet that the ledger then refused goes with it.
SELECT grant_runtime('DELETE', 'customers');

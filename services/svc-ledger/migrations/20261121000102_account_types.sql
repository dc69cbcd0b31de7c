-- What a merchant's day needs beside points: gift cards, sales, what burnt points paid for, what nobody claimed.

-- 1 customer, 2 issuance, 3 redemption, 4 external, 5 gift card, 6 sales, 7 loyalty cost, 8 breakage
ALTER TABLE accounts DROP CONSTRAINT accounts_type_check;
ALTER TABLE accounts ADD CONSTRAINT accounts_type_check CHECK (type BETWEEN 1 AND 8) NOT VALID;
ALTER TABLE accounts VALIDATE CONSTRAINT accounts_type_check;

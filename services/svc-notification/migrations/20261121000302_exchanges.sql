-- A purchase can spend points and earn others: one message tells both.

ALTER TABLE notifications DROP CONSTRAINT notifications_template_check;
ALTER TABLE notifications ADD CONSTRAINT notifications_template_check
  CHECK (template IN ('points-earned', 'points-burned', 'points-exchanged')) NOT VALID;
ALTER TABLE notifications VALIDATE CONSTRAINT notifications_template_check;

-- How much an exchange burnt; `amount` is what it earned.
ALTER TABLE notifications ADD COLUMN burned bigint CHECK (burned > 0);
ALTER TABLE notifications ADD CONSTRAINT notifications_exchange_check
  CHECK ((template = 'points-exchanged') = (burned IS NOT NULL)) NOT VALID;
ALTER TABLE notifications VALIDATE CONSTRAINT notifications_exchange_check;

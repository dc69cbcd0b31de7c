-- The first migration of every schema.

-- Grants to the role that serves. Its name is the tenant's, so that it comes with the session that
-- migrates and not with the file.
CREATE FUNCTION grant_runtime(privileges text, object text) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE format('GRANT %s ON %s TO %I', privileges, object, current_setting('localplus.runtime_role'));
END $$;

SELECT grant_runtime('SELECT', '_sqlx_migrations');

-- Permanent: a key names one intended write for ever.
CREATE TABLE idempotency_keys (
  merchant_id uuid NOT NULL,
  rpc         text NOT NULL,
  key         text NOT NULL,
  fingerprint bytea NOT NULL CHECK (octet_length(fingerprint) = 32),
  -- Null while a write of several steps is under way.
  answer      json,
  actor       text NOT NULL,
  request_id  uuid NOT NULL,
  created_at  timestamptz NOT NULL,
  PRIMARY KEY (merchant_id, rpc, key)
);
SELECT grant_runtime('SELECT, INSERT, UPDATE (answer)', 'idempotency_keys');

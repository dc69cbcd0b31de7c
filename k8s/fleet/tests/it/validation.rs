//! What a description may not say: each fault is named with service or environment, and field.

use lp_fleet::Fleet;

use crate::changed;

/// The faults of the description with one text replaced.
fn faults(from: &str, to: &str) -> String {
    Fleet::parse(&changed(from, to)).map_or_else(|error| error.to_string(), |_| String::new())
}

#[test]
fn each_fault_is_named() {
    for (from, to, expected) in [
        (
            "ledger: [CreateAccount, GetBalance]",
            "ledgers: [CreateAccount]",
            "svc-wallet: calls.ledgers: there is no service svc-ledgers",
        ),
        (
            "ledger: [CreateAccount, GetBalance]",
            "ledger: [CreateAccount, GetBalances]",
            "svc-wallet: calls.ledger: the contract has no rpc GetBalances",
        ),
        (
            "ledger: [CreateAccount, GetBalance]",
            "ledger: [GetBalance, GetBalance]",
            "svc-wallet: calls.ledger: GetBalance stands twice",
        ),
        (
            "ledger: [CreateAccount, GetBalance]",
            "wallet: [GetWallet]",
            "svc-wallet: calls.wallet: a service does not call itself",
        ),
        (
            "{grpc: 7102, http: 7202}",
            "{grpc: 7102, http: 7101}",
            "svc-wallet: ports.http: 7101 is taken by svc-ledger: ports.grpc",
        ),
        (
            "{grpc: 7102, http: 7202}",
            "{grpc: 80, http: 7202}",
            "svc-wallet: ports.grpc: 80 is for root",
        ),
        (
            "consumes: [ledger.transactions.v1, merchant.onboarded.v1]",
            "consumes: [ledger.transactions.v2]",
            "svc-analytics: consumes: ledger.transactions.v2 is not in contracts-proto/topics.yaml",
        ),
        (
            "variable: CARD_CODE_KEY",
            "variable: DATABASE_URL",
            "svc-giftcard: secrets.DATABASE_URL: follows from what the service uses",
        ),
        (
            "variable: CARD_CODE_KEY",
            "variable: CARD_SECRET_KEY",
            "svc-giftcard: secrets.CARD_SECRET_KEY: stands twice",
        ),
        (
            "MAIL_FROM: Local",
            "KAFKA_PREFIX: Local",
            "svc-notification: config.KAFKA_PREFIX: is derived",
        ),
        (
            "MAIL_FROM: Local",
            "mail-from: Local",
            "svc-notification: config.mail-from: is no environment variable",
        ),
        (
            "  - name: ledger",
            "  - name: ledgers",
            "svc-ledgers: name: the contract has no service in the package localplus.ledgers.v1",
        ),
        (
            "  - name: wallet",
            "  - name: ledger",
            "svc-ledger: name: stands twice",
        ),
        (
            "http://issuer-staging.localplus-data:7100",
            "http://issuer-dev.localplus-data:7100",
            "environments: issuer.url: http://issuer-dev.localplus-data:7100 stands twice",
        ),
        (
            "grace_seconds: 70",
            "grace_seconds: 55",
            "shutdown.grace_seconds: 55 s are not longer than the 55500 ms",
        ),
        (
            "uses: [valkey]",
            "uses: [valkey, kafka]",
            "svc-wallet: uses: Kafka is used by every service anyway",
        ),
        (
            "memory: 64Mi, cpu_limit: \"2\", memory_limit: 384Mi",
            "memory: 512Mi, cpu_limit: \"2\", memory_limit: 384Mi",
            "svc-ledger: resources.memory: 512Mi is none, or above its limit 384Mi",
        ),
        (
            "in_flight: 256",
            "in_flight: 0",
            "svc-ledger: scaling.in_flight: must be above 0",
        ),
        (
            "replication: 1, replication_reason: one broker is enough for what may be lost",
            "replication: 1",
            "environment dev: kafka.replication_reason: 1 copies need one",
        ),
        (
            "namespace: localplus-staging",
            "namespace: localplus-dev",
            "environments: namespace: localplus-dev stands twice",
        ),
        (
            "database: {ssl_mode: prefer}",
            "database: {ssl_mode: maybe}",
            "environment dev: database.ssl_mode: is none of",
        ),
        (
            "      valkey: {namespace: localplus-data, port: 6379}\n",
            "",
            "environment dev: at: does not say where Valkey is",
        ),
        (
            "valkey: {namespace: localplus-data, port: 6379}",
            "valkey: {port: 6379}",
            "environment dev: at: Valkey is either in a namespace or at cidrs",
        ),
        (
            "uses: [mail]",
            "uses: []",
            "environment dev: at: no service uses Mail",
        ),
        ("slo: critical", "slo: best", "unknown variant `best`"),
    ] {
        let found = faults(from, to);
        assert!(
            found.contains(expected),
            "{from} → {to}: expected {expected}, found:\n{found}"
        );
    }
}

#[test]
fn a_job_is_checked() {
    let job = |name: &str, schedule: &str| {
        format!(
            "uses: [valkey]\n    jobs:\n      - {{name: {name}, schedule: {schedule}, args: [reconcile], deadline_seconds: 60}}"
        )
    };
    for (name, schedule, expected) in [
        (
            "reconciliation",
            "0 2 * *",
            "svc-wallet: jobs.reconciliation: schedule: 0 2 * * has not five fields",
        ),
        (
            "migration",
            "0 2 * * *",
            "svc-wallet: jobs.migration: name: is taken",
        ),
        (
            "Reconcile",
            "0 2 * * *",
            "svc-wallet: jobs.Reconcile: name: must be lower-case",
        ),
    ] {
        let found = faults("uses: [valkey]", &job(name, schedule));
        assert!(found.contains(expected), "{found}");
    }
    assert_eq!(faults("uses: [valkey]", &job("reconciliation", "0 2 * * *")), "");
}

#[test]
fn a_key_that_stands_twice_and_an_unknown_field_are_refused() {
    let twice = faults("uses: [valkey]", "uses: [valkey]\n    uses: []");
    assert!(twice.contains("duplicate") && twice.contains("uses"), "{twice}");
    let unknown = faults("uses: [valkey]", "needs: [valkey]");
    assert!(unknown.contains("unknown field `needs`"), "{unknown}");
}

//! A real stack of the two servers that are quick to start: killed, started again, dropped.

use std::net::SocketAddr;
use std::path::Path;

use lp_stack::{Durability, ServerKind, Stack, StackName, http, progress};

fn start(target: &Path) -> anyhow::Result<Stack> {
    Stack::start_some(
        target,
        StackName::TestRun,
        Durability::Full,
        &[ServerKind::Postgres, ServerKind::Valkey],
        &progress::Silent,
    )
}

fn address(url: &str) -> Option<SocketAddr> {
    let rest = url.split("://").last()?;
    let authority = rest.split('/').next()?;
    authority.rsplit('@').next()?.parse().ok()
}

#[test]
fn servers_are_killed_started_again_and_ended_with_their_stack() {
    let target = tempfile::tempdir().unwrap();
    let mut stack = start(target.path()).unwrap();
    let addresses = stack.addresses().clone();
    let servers = [
        address(&addresses.postgres_admin_url).unwrap(),
        address(&addresses.valkey_url).unwrap(),
    ];
    assert!(servers.iter().all(|server| http::accepts(*server)));
    assert_eq!(addresses.kafka_brokers, "");

    let second = start(target.path()).unwrap_err().to_string();
    assert!(second.contains("in use by another command"), "{second}");

    for (kind, server) in [ServerKind::Postgres, ServerKind::Valkey]
        .into_iter()
        .zip(servers)
    {
        stack.kill_server(kind).unwrap();
        assert!(!http::accepts(server), "{kind:?} still answers");
        stack.restart_server(kind).unwrap();
        assert!(http::accepts(server), "{kind:?} does not answer");
    }
    assert!(stack.dead_server().is_none());
    assert!(
        stack.kill_server(ServerKind::Kafka).is_err(),
        "it was not started"
    );

    drop(stack);
    assert!(
        !servers.iter().any(|server| http::accepts(*server)),
        "a server outlived its stack"
    );

    // The data and the ports of the first start are used again.
    let again = start(target.path()).unwrap();
    assert_eq!(*again.addresses(), addresses);
    drop(again);
    Stack::wipe(target.path(), StackName::TestRun).unwrap();
    assert!(!StackName::TestRun.folder(target.path()).exists());
}

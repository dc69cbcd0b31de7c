//! Tries whether addresses take connections, from where it runs: what a network policy lets through is seen only there.

use std::{process::ExitCode, time::Duration};

use clap::Parser;
use futures::future::join_all;
use serde::Serialize;
use tokio::{net::TcpStream, time::timeout};

/// Tries a TCP connection to each address and prints one line of JSON. Ends with 0 whatever it finds.
#[derive(Debug, Parser)]
#[command(name = "probe")]
struct Arguments {
    /// An address, for example svc-ledger:7101
    #[arg(long, value_name = "HOST:PORT", required = true, num_args = 1..)]
    to: Vec<String>,
    /// Silence for this long is an answer too
    #[arg(long, default_value_t = 2_000)]
    timeout_ms: u64,
}

#[derive(Debug, Serialize)]
struct Report {
    results: Vec<Found>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
struct Found {
    to: String,
    open: bool,
    /// Why not: `timed out`, or what the system says; a name that is not known is none of the address's.
    error: Option<String>,
}

/// Runs the command line.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let limit = Duration::from_millis(arguments.timeout_ms);
    let probed = || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let results = join_all(arguments.to.iter().map(|to| probe(to, limit)));
        let results = runtime.block_on(results);
        anyhow::Ok(serde_json::to_string(&Report { results })?)
    };
    match probed() {
        Ok(line) => {
            println!("{line}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn probe(to: &str, limit: Duration) -> Found {
    let error = match timeout(limit, TcpStream::connect(to)).await {
        Ok(Ok(_)) => None,
        Ok(Err(error)) => Some(error.to_string()),
        Err(_) => Some("timed out".to_owned()),
    };
    Found {
        to: to.to_owned(),
        open: error.is_none(),
        error,
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::{TcpListener, TcpSocket};

    use super::*;

    #[tokio::test]
    async fn an_open_a_closed_and_a_silent_port_and_a_name_that_nobody_has() {
        let limit = Duration::from_millis(500);
        let open = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = open.local_addr().unwrap().to_string();
        let found = probe(&address, limit).await;
        assert_eq!((found.open, found.error), (true, None));

        drop(open);
        let found = probe(&address, limit).await;
        assert!(!found.open && found.error.unwrap().contains("refused"));

        // Its queue is full: the system does not answer any more.
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let full = socket.listen(0).unwrap();
        let address = full.local_addr().unwrap();
        let _first = TcpStream::connect(address).await.unwrap();
        let found = probe(&address.to_string(), limit).await;
        assert_eq!((found.open, found.error.as_deref()), (false, Some("timed out")));

        let found = probe("nobody.invalid:1", limit).await;
        assert!(!found.open && found.error.is_some());
    }
}

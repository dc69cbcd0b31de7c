//! Valkey: one node, append-only file when data must last.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::{Durability, Launch, Setup};
use crate::process::Spec;
use crate::{ports, tools};

pub(super) fn prepare(setup: &Setup<'_>) -> anyhow::Result<(Launch, (String, String))> {
    let program = tools::valkey(setup.cache, &|text| setup.progress.detail("Valkey", text))?;
    let port = setup.ports.0;
    let data = setup.folder.join("data");
    std::fs::create_dir_all(&data)?;
    let append = if setup.durability == Durability::Full {
        "yes"
    } else {
        "no"
    };
    let number = port.to_string();
    let spec = Spec::new("valkey", program, &setup.folder)
        .args([
            "--bind",
            "127.0.0.1",
            "--port",
            &number,
            "--save",
            "",
            "--appendonly",
            append,
            "--daemonize",
            "no",
        ])
        .args(["--dir".into(), data.into_os_string()]);
    let address = ports::loopback(port);
    let ready = Box::new(move |_| answers_ping(address).unwrap_or(false));
    let url = format!("redis://{address}");
    Ok((
        Launch {
            spec,
            ready,
            limit: Duration::from_secs(30),
        },
        (url, String::new()),
    ))
}

/// A server that still loads its data answers PING with an error.
fn answers_ping(address: SocketAddr) -> std::io::Result<bool> {
    let limit = Duration::from_secs(1);
    let mut stream = TcpStream::connect_timeout(&address, limit)?;
    stream.set_read_timeout(Some(limit))?;
    stream.write_all(b"PING\r\n")?;
    let mut answer = [0_u8; 7];
    stream.read_exact(&mut answer)?;
    Ok(&answer == b"+PONG\r\n")
}

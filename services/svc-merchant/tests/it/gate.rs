//! A way to another service that can be shut, or lets questions through and no answers.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
};
use url::Url;

/// What goes through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    Open,
    /// Nothing: connections end, and nobody listens for new ones.
    Shut,
    /// Questions do, answers wait. A server still greets who connects: nobody asks one that never spoke.
    Mute,
}

#[derive(Debug, Clone)]
pub struct Gate {
    way: watch::Sender<Way>,
    address: SocketAddr,
}

impl Gate {
    /// In front of the server at `target`.
    pub async fn before(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let gate = Self {
            way: watch::Sender::new(Way::Open),
            address: listener.local_addr().unwrap(),
        };
        tokio::spawn(keep(listener, target, gate.way.subscribe()));
        gate
    }

    pub fn set(&self, way: Way) {
        self.way.send_replace(way);
    }

    pub fn url(&self) -> Url {
        format!("http://{}", self.address).parse().unwrap()
    }
}

async fn keep(mut listener: TcpListener, target: SocketAddr, mut way: watch::Receiver<Way>) {
    let address = listener.local_addr().unwrap();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                tokio::spawn(pass(accepted.unwrap().0, target, way.clone()));
            }
            shut = shut(&mut way) => {
                if !shut {
                    return;
                }
                drop(listener);
                let _ = way.wait_for(|way| *way != Way::Shut).await;
                listener = TcpListener::bind(address).await.unwrap();
            }
        }
    }
}

/// Waits until it is; false when there is no gate any more.
async fn shut(way: &mut watch::Receiver<Way>) -> bool {
    way.wait_for(|way| *way == Way::Shut).await.is_ok()
}

async fn pass(client: TcpStream, target: SocketAddr, mut way: watch::Receiver<Way>) {
    let Ok(server) = TcpStream::connect(target).await else {
        return;
    };
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    tokio::select! {
        () = pump(from_client, to_server, None) => {}
        () = pump(from_server, to_client, Some(way.clone())) => {}
        _ = shut(&mut way) => {}
    }
}

async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut way: Option<watch::Receiver<Way>>) {
    let mut buffer = vec![0; 16 * 1024];
    let mut greeted = false;
    loop {
        let Ok(length @ 1..) = from.read(&mut buffer).await else {
            return;
        };
        if let Some(way) = &mut way
            && greeted
        {
            let _ = way.wait_for(|way| *way != Way::Mute).await;
        }
        greeted = true;
        if to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}

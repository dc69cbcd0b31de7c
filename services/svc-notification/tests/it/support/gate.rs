//! A TCP proxy that a test opens and shuts.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional},
    net::{TcpListener, TcpStream},
    sync::watch,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Everything passes.
    Open,
    /// Connections end as soon as they begin, and those that stand end now.
    Shut,
    /// SMTP: a message goes through, and the answer to it is lost.
    Mute,
}

#[derive(Debug, Clone)]
pub struct Gate {
    pub address: SocketAddr,
    way: watch::Sender<Way>,
}

impl Gate {
    /// An open one.
    pub async fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let gate = Self {
            address: listener.local_addr().unwrap(),
            way: watch::Sender::new(Way::Open),
        };
        let way = gate.way.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(pass(client, server, way.subscribe()));
            }
        });
        gate
    }

    pub fn set(&self, way: Way) {
        self.way.send_replace(way);
    }
}

async fn pass(mut client: TcpStream, server: SocketAddr, mut way: watch::Receiver<Way>) {
    let chosen = *way.borrow_and_update();
    if chosen == Way::Shut {
        return;
    }
    let mut server = TcpStream::connect(server).await.unwrap();
    let passing = async {
        match chosen {
            Way::Mute => mute(client, server).await,
            _ => drop(copy_bidirectional(&mut client, &mut server).await),
        }
    };
    tokio::select! {
        () = passing => {}
        _ = way.wait_for(|way| *way == Way::Shut) => {}
    }
}

async fn mute(client: TcpStream, server: TcpStream) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let message_ended = Arc::new(AtomicBool::new(false));
    let ended = Arc::clone(&message_ended);
    let there = async move {
        let mut buffer = [0; 4_096];
        while let Ok(read @ 1..) = from_client.read(&mut buffer).await {
            if buffer[..read].ends_with(b"\r\n.\r\n") {
                ended.store(true, Ordering::SeqCst);
            }
            to_server.write_all(&buffer[..read]).await.unwrap();
        }
    };
    let back = async move {
        let mut buffer = [0; 4_096];
        while let Ok(read @ 1..) = from_server.read(&mut buffer).await {
            if !message_ended.load(Ordering::SeqCst) {
                to_client.write_all(&buffer[..read]).await.unwrap();
            }
        }
    };
    tokio::join!(there, back);
}

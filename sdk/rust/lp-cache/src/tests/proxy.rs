//! A way to Valkey that can be cut and delayed.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::watch,
};

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Mode {
    Pass,
    /// Every connection is closed, new ones at once.
    Cut,
    /// Requests wait.
    Delay(Duration),
    /// Requests are answered by an error.
    Refuse,
}

pub(super) struct Proxy {
    pub(super) url: String,
    mode: watch::Sender<Mode>,
}

impl Proxy {
    pub(super) async fn start() -> Self {
        let url: url::Url = std::env::var("LP_TEST_VALKEY_URL")
            .expect("no test servers: run `cargo xtask test`")
            .parse()
            .unwrap();
        let target = format!("{}:{}", url.host_str().unwrap(), url.port().unwrap_or(6379));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut proxied = url.clone();
        proxied.set_host(Some("127.0.0.1")).unwrap();
        proxied
            .set_port(Some(listener.local_addr().unwrap().port()))
            .unwrap();

        let mode = watch::Sender::new(Mode::Pass);
        let watched = mode.subscribe();
        tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                let (mut cut, target, mode) = (watched.clone(), target.clone(), watched.clone());
                tokio::spawn(async move {
                    tokio::select! {
                        biased;
                        _ = cut.wait_for(|mode| *mode == Mode::Cut) => {}
                        () = carry(client, target, mode) => {}
                    }
                });
            }
        });
        Self {
            url: proxied.into(),
            mode,
        }
    }

    pub(super) fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }
}

async fn carry(client: TcpStream, target: String, mode: watch::Receiver<Mode>) {
    let Ok(server) = TcpStream::connect(target).await else {
        return;
    };
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let (mut request, mut response) = ([0; 65_536], [0; 65_536]);
    loop {
        tokio::select! {
            read = from_client.read(&mut request) => {
                let Ok(length @ 1..) = read else { return };
                let now = *mode.borrow();
                let sent = match now {
                    Mode::Refuse => {
                        let requests = request[..length].windows(11).filter(|w| w == b"$7\r\nEVALSHA").count();
                        to_client.write_all("-OOM injected\r\n".repeat(requests).as_bytes()).await
                    }
                    now => {
                        if let Mode::Delay(by) = now {
                            tokio::time::sleep(by).await;
                        }
                        to_server.write_all(&request[..length]).await
                    }
                };
                if sent.is_err() { return }
            }
            read = from_server.read(&mut response) => {
                let Ok(length @ 1..) = read else { return };
                if to_client.write_all(&response[..length]).await.is_err() { return }
            }
        }
    }
}

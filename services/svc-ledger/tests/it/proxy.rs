//! A way to PostgreSQL that a test can cut.

use lp_config::SecretUrl;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
};

pub struct Proxy {
    /// The same database, through here.
    pub url: SecretUrl,
    open: watch::Sender<bool>,
}

impl Proxy {
    pub async fn start(to: &SecretUrl) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (before, after) = to.expose().split_once('@').unwrap();
        let (server, database) = after.split_once('/').unwrap();
        let here = listener.local_addr().unwrap();
        let url = format!("{before}@{here}/{database}").parse().unwrap();
        let (open, is_open) = watch::channel(true);
        let server = server.to_owned();
        tokio::spawn(async move {
            loop {
                let (mut near, _) = listener.accept().await.unwrap();
                let (server, mut is_open) = (server.clone(), is_open.clone());
                tokio::spawn(async move {
                    if !*is_open.borrow() {
                        return;
                    }
                    let mut far = TcpStream::connect(server).await.unwrap();
                    tokio::select! {
                        _ = copy_bidirectional(&mut near, &mut far) => {}
                        _ = is_open.wait_for(|open| !open) => {}
                    }
                });
            }
        });
        Self { url, open }
    }

    /// Ends every connection and each new one.
    pub fn cut(&self) {
        self.open.send_replace(false);
    }

    pub fn mend(&self) {
        self.open.send_replace(true);
    }
}

//! What stands between a service and the replicas of another one in a cluster: an address that leads to any replica
//! that listens. Without it a service would know one replica of each other, and no replica could end unnoticed.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, PoisonError, RwLock},
};

use tokio::net::{TcpListener, TcpStream};

/// The address of a service, and the replicas behind it.
#[derive(Debug)]
pub(crate) struct Balanced {
    address: SocketAddr,
    replicas: Arc<RwLock<Vec<SocketAddr>>>,
}

impl Balanced {
    /// On a free port, without replicas yet; it works as long as the runtime that it is opened in.
    ///
    /// # Errors
    /// When no port is free.
    pub(crate) async fn open() -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let replicas = Arc::new(RwLock::new(Vec::new()));
        tokio::spawn(accept(listener, Arc::clone(&replicas)));
        Ok(Self { address, replicas })
    }

    /// Its base URL.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// One more replica.
    pub(crate) fn add(&self, replica: SocketAddr) {
        let mut replicas = self.replicas.write().unwrap_or_else(PoisonError::into_inner);
        replicas.push(replica);
    }
}

async fn accept(listener: TcpListener, replicas: Arc<RwLock<Vec<SocketAddr>>>) {
    let mut turn = 0_usize;
    while let Ok((from, _)) = listener.accept().await {
        let mut all = replicas.read().unwrap_or_else(PoisonError::into_inner).clone();
        turn = turn.wrapping_add(1);
        let first = turn.checked_rem(all.len()).unwrap_or(0);
        all.rotate_left(first);
        tokio::spawn(carry(from, all));
    }
}

/// Carries a connection to the first replica that takes it; closes it where none does.
async fn carry(mut from: TcpStream, replicas: Vec<SocketAddr>) {
    for replica in replicas {
        if let Ok(mut to) = TcpStream::connect(replica).await {
            let _ = (from.set_nodelay(true), to.set_nodelay(true));
            // Either side may close at any time.
            let _ = tokio::io::copy_bidirectional(&mut from, &mut to).await;
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    /// What the one that listens at `address` says.
    async fn said(address: SocketAddr) -> String {
        let mut text = String::new();
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.read_to_string(&mut text).await.unwrap();
        text
    }

    async fn replica(name: &'static str) -> (SocketAddr, tokio::task::JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                stream.write_all(name.as_bytes()).await.unwrap();
            }
        });
        (address, task)
    }

    #[tokio::test]
    async fn replicas_take_turns_and_one_that_is_gone_is_passed_over() {
        let balanced = Balanced::open().await.unwrap();
        let ((one, first), (two, _second)) = (replica("one").await, replica("two").await);
        balanced.add(one);
        balanced.add(two);
        let pair = [said(balanced.address).await, said(balanced.address).await];
        assert!(
            pair.contains(&"one".to_owned()) && pair.contains(&"two".to_owned()),
            "{pair:?}"
        );
        first.abort();
        let _ = first.await;
        for _ in 0..3 {
            assert_eq!(said(balanced.address).await, "two");
        }
    }
}

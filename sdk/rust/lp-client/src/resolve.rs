//! Which addresses a service has.

use std::{collections::BTreeSet, fmt::Debug, io, net::SocketAddr};

use futures::future::BoxFuture;

/// Tells the addresses of a service; asked again and again. Ours is DNS, tests bring their own.
pub trait Resolve: Debug + Send + Sync + 'static {
    /// All addresses that the service has now.
    ///
    /// # Errors
    /// When they cannot be learnt. What was known before stays in use.
    fn resolve(&self) -> BoxFuture<'_, io::Result<BTreeSet<SocketAddr>>>;
}

/// The system's resolver: all addresses behind a name, which in a cluster are the ready pods of a headless Service.
#[derive(Debug)]
pub(crate) struct Dns {
    /// A name, or an address, which is its own answer.
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl Resolve for Dns {
    fn resolve(&self) -> BoxFuture<'_, io::Result<BTreeSet<SocketAddr>>> {
        let host = self.host.trim_start_matches('[').trim_end_matches(']');
        Box::pin(async move { Ok(tokio::net::lookup_host((host, self.port)).await?.collect()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_address_is_its_own_answer_and_a_name_has_some() {
        for (host, found) in [("127.0.0.1", "127.0.0.1:7"), ("[::1]", "[::1]:7")] {
            let dns = Dns {
                host: host.to_owned(),
                port: 7,
            };
            assert_eq!(
                dns.resolve().await.unwrap(),
                BTreeSet::from([found.parse().unwrap()])
            );
        }
        let dns = Dns {
            host: "localhost".to_owned(),
            port: 7,
        };
        assert!(!dns.resolve().await.unwrap().is_empty());
    }
}

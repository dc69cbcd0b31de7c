//! The shared level: Valkey, through fred.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use fred::{
    bytes::Bytes,
    clients::WithOptions,
    error::Error,
    interfaces::ClientLike as _,
    prelude::{Builder, Client, Config, ReconnectPolicy},
    types::{ClusterHash, CustomCommand, FromValue, Value, config::Options},
    util::sha1_hash,
};
use lp_breaker::{Breaker, Change, Jitter};
use lp_config::SecretUrl;
use tokio_util::task::AbortOnDropHandle;

use crate::{Version, key::Key};

/// The longest wait for an answer.
const COMMAND_TIMEOUT: Duration = Duration::from_millis(100);
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a connection may owe an answer before it counts as dead. fred counts from the last command that
/// was sent: a dead connection is seen only while the breaker keeps commands away for longer than this.
const UNRESPONSIVE: Duration = Duration::from_millis(500);

/// Valkey, as the shared level of any number of caches; clones share one connection.
#[derive(Clone)]
pub struct Valkey(Arc<Inner>);

struct Inner {
    url: SecretUrl,
    prefix: String,
    commands: WithOptions<Client>,
    breaker: Breaker,
    read: Script,
    write: Script,
    _connection: AbortOnDropHandle<()>,
}

struct Script {
    lua: &'static str,
    sha: String,
}

/// Valkey cannot be used as configured.
#[derive(Debug, thiserror::Error)]
#[error("Valkey at {url}: {reason}")]
pub struct OpenError {
    url: SecretUrl,
    reason: String,
}

/// Valkey gave no answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Unavailable {
    /// It was not asked, since it failed a moment ago.
    Skipped,
    Failed,
}

/// A moment on Valkey's clock, in microseconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment(i64);

/// When a value was current, by Valkey's clock, so that no clock of ours counts.
#[derive(Debug, Clone, Copy)]
pub(crate) enum AsOf {
    Now,
    At(Moment),
}

/// What Valkey holds for a key.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) now: Moment,
    record: Option<Bytes>,
}

/// A reply, understood.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Record<'a> {
    /// No value that could be used.
    Nothing,
    Value {
        age: Duration,
        value: &'a [u8],
    },
    Malformed,
}

impl Valkey {
    /// Connects in the background, now and after every loss, so that Valkey need not be reachable. `seed`
    /// decides the jitter. Call it inside a Tokio runtime.
    ///
    /// # Errors
    /// When the URL is not one of Valkey, or the system's root certificates cannot be read (`rediss://`).
    pub fn open(config: &lp_config::Valkey, seed: u64) -> Result<Self, OpenError> {
        // fred's default TLS connector panics where no provider is installed; one that is, stays.
        let _ = fred::rustls::crypto::aws_lc_rs::default_provider().install_default();
        let client = client(&config.valkey_url).map_err(|e| OpenError {
            url: config.valkey_url.clone(),
            reason: e.details().to_owned(),
        })?;

        let options = Options {
            max_attempts: Some(1),
            timeout: Some(COMMAND_TIMEOUT),
            fail_fast: true,
            ..Options::default()
        };
        Ok(Self(Arc::new(Inner {
            url: config.valkey_url.clone(),
            prefix: config.valkey_prefix.clone(),
            commands: client.with_options(&options),
            breaker: Breaker::new(Jitter::seeded(seed)),
            read: Script::new(include_str!("read.lua")),
            write: Script::new(include_str!("write.lua")),
            _connection: AbortOnDropHandle::new(tokio::spawn(stay_connected(client))),
        })))
    }

    pub(crate) async fn read(&self, key: &Key) -> Result<Reply, Unavailable> {
        let (now, record) = self.run(&self.0.read, key, &[]).await?;
        Ok(Reply {
            now: Moment(now),
            record,
        })
    }

    /// Writes unless what stands is to stay.
    pub(crate) async fn write(
        &self,
        key: &Key,
        version: Version,
        as_of: AsOf,
        ttl: Duration,
        value: Vec<u8>,
    ) -> Result<Moment, Unavailable> {
        let as_of = match as_of {
            AsOf::Now => "".into(),
            AsOf::At(Moment(micros)) => micros.into(),
        };
        let args = [
            version.sortable().into(),
            as_of,
            micros(ttl),
            Value::Bytes(value.into()),
        ];
        self.run(&self.0.write, key, &args).await.map(Moment)
    }

    /// Removes the value; what was read before now cannot be written for as long as `ttl`.
    pub(crate) async fn invalidate(&self, key: &Key, ttl: Duration) -> Result<Moment, Unavailable> {
        let args = ["".into(), "".into(), micros(ttl), "".into()];
        self.run(&self.0.write, key, &args).await.map(Moment)
    }

    async fn run<T: FromValue>(&self, script: &Script, key: &Key, args: &[Value]) -> Result<T, Unavailable> {
        let Inner {
            commands,
            breaker,
            prefix,
            ..
        } = &*self.0;
        if !breaker.allows(Instant::now()) {
            return Err(Unavailable::Skipped);
        }
        let arguments = |script: &str| {
            let key = format!("{prefix}{key}");
            [script.into(), 1.into(), key.into()]
                .into_iter()
                .chain(args.iter().cloned())
                .collect::<Vec<Value>>()
        };
        // Not fred's `evalsha`: called on `WithOptions` it reaches the bare client, without time limit.
        let command = |name| CustomCommand::new_static(name, ClusterHash::Offset(2), false);
        let result = match commands.custom(command("EVALSHA"), arguments(&script.sha)).await {
            Err(e) if e.details().starts_with("NOSCRIPT") => {
                commands.custom(command("EVAL"), arguments(script.lua)).await
            }
            result => result,
        };
        let change = breaker.record(result.is_ok(), Instant::now());
        if change == Change::Closed {
            tracing::info!(valkey = %self.0.url, "Valkey answers again");
        }
        result.map_err(|error| {
            if change == Change::Opened {
                tracing::warn!(valkey = %self.0.url, %error, "Valkey fails: caches do without it");
            }
            Unavailable::Failed
        })
    }

    #[cfg(test)]
    pub(crate) async fn connected(&self) {
        self.0.commands.wait_for_connect().await.unwrap();
    }

    #[cfg(test)]
    pub(crate) async fn command<T: FromValue>(&self, name: &'static str, args: Vec<Value>) -> T {
        self.0
            .commands
            .custom(CustomCommand::new_static(name, None, false), args)
            .await
            .unwrap()
    }
}

impl Script {
    fn new(lua: &'static str) -> Self {
        Self {
            lua,
            sha: sha1_hash(lua),
        }
    }
}

impl fmt::Debug for Valkey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Valkey")
            .field("url", &self.0.url)
            .field("prefix", &self.0.prefix)
            .finish()
    }
}

fn client(url: &SecretUrl) -> Result<Client, Error> {
    let config = Config {
        fail_fast: false,
        ..Config::from_url(url.expose())?
    };
    Builder::from_config(config)
        .with_connection_config(|connection| {
            connection.connection_timeout = CONNECTION_TIMEOUT;
            connection.internal_command_timeout = CONNECTION_TIMEOUT;
            connection.unresponsive.max_timeout = Some(UNRESPONSIVE);
            connection.unresponsive.interval = UNRESPONSIVE / 2;
            connection.reconnect_on_auth_error = true;
        })
        .set_policy(ReconnectPolicy::new_exponential(0, 10, 2_000, 2))
        .build()
}

/// fred reconnects by itself, but gives up on some errors.
async fn stay_connected(client: Client) {
    loop {
        let ended = AbortOnDropHandle::new(client.connect()).await;
        tracing::warn!(?ended, "the connection to Valkey ended; a new one follows");
        tokio::time::sleep(CONNECTION_TIMEOUT).await;
    }
}

fn micros(duration: Duration) -> Value {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX).into()
}

impl Reply {
    /// The record is `{version} {as of} {value}`, as `write.lua` writes it.
    pub(crate) fn record(&self) -> Record<'_> {
        let Some(record) = &self.record else {
            return Record::Nothing;
        };
        let mut parts = record.splitn(3, |byte| *byte == b' ');
        let (Some(version), Some(as_of), Some(value)) = (parts.next(), parts.next(), parts.next()) else {
            return Record::Malformed;
        };
        let as_of = std::str::from_utf8(as_of)
            .ok()
            .and_then(|micros| micros.parse::<i64>().ok());
        match (version.len(), as_of) {
            (0, Some(_)) => Record::Nothing,
            (Version::DIGITS, Some(as_of)) => match u64::try_from(self.now.0.saturating_sub(as_of)) {
                Ok(age) => Record::Value {
                    age: Duration::from_micros(age),
                    value,
                },
                // Valkey's clock went back, so that the age is not known.
                Err(_) => Record::Nothing,
            },
            _ => Record::Malformed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn understands_records() {
        let version = Version {
            epoch: 0,
            sequence: 1,
        }
        .sortable();
        let record = |text: &str| {
            let reply = Reply {
                now: Moment(1_000),
                record: Some(Bytes::copy_from_slice(text.as_bytes())),
            };
            match reply.record() {
                Record::Value { age, value } => {
                    format!("{} {}", age.as_micros(), String::from_utf8_lossy(value))
                }
                other => format!("{other:?}"),
            }
        };
        assert_eq!(record(&format!("{version} 900 a b c")), "100 a b c");
        assert_eq!(record(" 900 "), "Nothing", "invalidated");
        assert_eq!(record(&format!("{version} 1001 v")), "Nothing", "from the future");
        for malformed in [
            "",
            "x",
            "1 900 v",
            &format!("{version} now v"),
            &format!("{version} 900"),
        ] {
            assert_eq!(record(malformed), "Malformed", "{malformed}");
        }
    }

    #[test]
    fn neither_error_nor_debug_shows_the_password() {
        let url = "redis://user:hunter2@valkey/not-a-database".parse().unwrap();
        let config = lp_config::Valkey {
            valkey_url: url,
            valkey_prefix: String::new(),
        };
        let error = Valkey::open(&config, 1).unwrap_err();
        let shown = format!("{error} {error:?}");
        assert!(shown.contains("valkey") && !shown.contains("hunter2"), "{shown}");
    }

    #[tokio::test]
    async fn debug_does_not_show_the_password() {
        let url = "redis://user:hunter2@valkey".parse().unwrap();
        let config = lp_config::Valkey {
            valkey_url: url,
            valkey_prefix: String::new(),
        };
        let shown = format!("{:?}", Valkey::open(&config, 1).unwrap());
        assert!(
            shown.contains("redis://valkey") && !shown.contains("hunter2"),
            "{shown}"
        );
    }
}

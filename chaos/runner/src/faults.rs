//! Which faults a run injects, when, and for how long: decided by the seed before anything starts.

use std::{fmt, str::FromStr, time::Duration};

use lp_stack::{ServerKind, fleet::FLEET};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng, seq::SliceRandom as _};

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// SIGKILL of a service.
    Kill,
    /// SIGSTOP of a service.
    Pause,
    /// SIGTERM of a service, which no client may notice.
    Sigterm,
    /// SIGKILL of Kafka.
    Kafka,
    /// SIGKILL of Valkey.
    Valkey,
    /// SIGKILL of PostgreSQL, which recovers from its log when it starts again.
    Postgres,
}

impl Kind {
    pub(crate) const ALL: [Self; 6] = [
        Self::Kill,
        Self::Kafka,
        Self::Valkey,
        Self::Postgres,
        Self::Pause,
        Self::Sigterm,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::Pause => "pause",
            Self::Sigterm => "sigterm",
            Self::Kafka => "kafka",
            Self::Valkey => "valkey",
            Self::Postgres => "postgres",
        }
    }
}

/// The kinds that a person chose: a list with commas, or `none`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Kinds(pub(crate) Vec<Kind>);

impl FromStr for Kinds {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "none" {
            return Ok(Self(Vec::new()));
        }
        let one = |name: &str| {
            let found = Kind::ALL.into_iter().find(|kind| kind.name() == name);
            found.ok_or_else(|| {
                format!("`{name}` is none of kill, kafka, valkey, postgres, pause, sigterm; or say none")
            })
        };
        text.split(',').map(one).collect::<Result<_, _>>().map(Self)
    }
}

impl fmt::Display for Kinds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.0.iter().map(|kind| kind.name()).collect();
        f.write_str(
            if names.is_empty() {
                "none".to_owned()
            } else {
                names.join(",")
            }
            .as_str(),
        )
    }
}

/// One replica of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) service: &'static str,
    pub(crate) replica: usize,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.service, self.replica)
    }
}

/// What is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A service is killed.
    Kill(Target),
    /// A service is paused.
    Pause(Target),
    /// A service is asked to end.
    Sigterm(Target),
    /// A server is killed.
    Server(ServerKind),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kill(service) => write!(f, "kill {service}"),
            Self::Pause(service) => write!(f, "pause {service}"),
            Self::Sigterm(service) => write!(f, "sigterm {service}"),
            Self::Server(server) => write!(f, "kill {}", server.slug()),
        }
    }
}

/// Faults that overlap: broken one after the other, held, then mended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Blow {
    /// Quiet time before it.
    pub(crate) after: Duration,
    /// In the order of mending: a service may need a server before it is ready.
    pub(crate) faults: Vec<Fault>,
    /// How long all of it stays broken.
    pub(crate) hold: Duration,
}

/// About how long a blow takes with its mending.
const BLOW: u64 = 4;

/// The blows of a run on so many replicas of each service. Every chosen kind comes before one comes twice, and
/// every replica likewise.
pub(crate) fn plan(seed: u64, traffic: Duration, kinds: &[Kind], replicas: usize) -> Vec<Blow> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut targets: Vec<_> = FLEET
        .iter()
        .flat_map(|service| {
            (0..replicas).map(|replica| Target {
                service: service.name,
                replica,
            })
        })
        .collect();
    let mut kinds = kinds.to_vec();
    targets.shuffle(&mut random);
    kinds.shuffle(&mut random);
    let mut targets = targets.into_iter().cycle();
    let mut kinds = kinds.into_iter().cycle().peekable();
    let blows = (traffic.as_secs() / BLOW).max(1);
    let mut plan = Vec::new();
    for _ in 0..blows {
        let Some(kind) = kinds.next() else { break };
        let mut faults: Vec<_> = fault(kind, &mut targets).into_iter().collect();
        // Two at once where they do not hit the same thing. A replica may end unnoticed only where nothing else is
        // broken.
        let next = kinds.peek().copied();
        if random.random_bool(0.3)
            && let Some(other) = next.filter(|other| *other != kind)
            && ![kind, other].contains(&Kind::Sigterm)
        {
            kinds.next();
            faults.extend(fault(other, &mut targets));
        }
        faults.sort_by_key(|fault| !matches!(fault, Fault::Server(_)));
        let pauses = faults.iter().any(|fault| matches!(fault, Fault::Pause(_)));
        let hold = if pauses { 2_000..=5_000 } else { 100..=3_000 };
        // What the blow before broke must have healed.
        let healing = if kind == Kind::Sigterm { 2_000 } else { 0 };
        plan.push(Blow {
            after: Duration::from_millis(random.random_range(300..=1_500) + healing),
            faults,
            hold: Duration::from_millis(random.random_range(hold)),
        });
    }
    plan
}

fn fault(kind: Kind, targets: &mut impl Iterator<Item = Target>) -> Option<Fault> {
    Some(match kind {
        Kind::Kill => Fault::Kill(targets.next()?),
        Kind::Pause => Fault::Pause(targets.next()?),
        Kind::Sigterm => Fault::Sigterm(targets.next()?),
        Kind::Kafka => Fault::Server(ServerKind::Kafka),
        Kind::Valkey => Fault::Server(ServerKind::Valkey),
        Kind::Postgres => Fault::Server(ServerKind::Postgres),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRAFFIC: Duration = Duration::from_secs(60);

    fn of(seed: u64, kinds: &[Kind]) -> Vec<Blow> {
        plan(seed, TRAFFIC, kinds, 2)
    }

    #[test]
    fn a_seed_gives_one_plan_and_another_seed_another() {
        assert_eq!(of(7, &Kind::ALL), of(7, &Kind::ALL));
        assert_ne!(of(7, &Kind::ALL), of(8, &Kind::ALL));
        assert_eq!(of(7, &[]), []);
    }

    #[test]
    fn kinds_and_replicas_take_turns() {
        let all = |seed, kinds: &[Kind]| -> Vec<Fault> {
            of(seed, kinds).into_iter().flat_map(|blow| blow.faults).collect()
        };
        for seed in 0..50 {
            for server in [ServerKind::Kafka, ServerKind::Valkey, ServerKind::Postgres] {
                assert!(all(seed, &Kind::ALL).contains(&Fault::Server(server)), "{seed}");
            }
            let killed = all(seed, &[Kind::Kill]);
            for (service, replica) in FLEET.iter().flat_map(|one| [(one.name, 0), (one.name, 1)]) {
                assert!(
                    killed.contains(&Fault::Kill(Target { service, replica })),
                    "{seed}"
                );
            }
        }
    }

    #[test]
    fn servers_are_mended_before_services_and_nothing_is_hit_twice_at_once() {
        for blow in (0..200).flat_map(|seed| of(seed, &Kind::ALL)) {
            if let [first, second] = blow.faults.as_slice() {
                assert_ne!(first, second);
                let ends = |fault: &Fault| matches!(fault, Fault::Sigterm(_));
                assert!(!ends(first) && !ends(second), "{blow:?}");
                let server = |fault: &Fault| matches!(fault, Fault::Server(_));
                assert!(server(first) || !server(second), "{blow:?}");
                let target = |fault: &Fault| match fault {
                    Fault::Kill(target) | Fault::Pause(target) | Fault::Sigterm(target) => Some(*target),
                    Fault::Server(_) => None,
                };
                assert!(
                    target(first).is_none() || target(first) != target(second),
                    "{blow:?}"
                );
            }
        }
    }

    #[test]
    fn kinds_are_read_as_they_are_written() {
        for text in ["kill,kafka", "none", "pause", "sigterm"] {
            assert_eq!(text.parse::<Kinds>().unwrap().to_string(), text);
        }
        assert!("kill,flood".parse::<Kinds>().unwrap_err().contains("`flood`"));
    }
}

//! What a run breaks, when and for how long: decided by the seed before anything starts.

use std::{fmt, str::FromStr, time::Duration};

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng, seq::SliceRandom as _};

/// The clocks are set off by at most so many milliseconds.
pub(crate) const JUMP: i64 = 1_500;

/// The moments of a batch at which svc-ledger fails on purpose.
const POINTS: [&str; 4] = [
    "poster-after-claim",
    "poster-after-lock",
    "poster-before-commit",
    "poster-after-commit",
];

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// SIGKILL of a replica.
    Kill,
    /// SIGSTOP of a replica, for longer than its transactions may be idle.
    Pause,
    /// SIGKILL of PostgreSQL.
    Postgres,
    /// The end of every connection to the database.
    Cut,
    /// Flushes that take long.
    Disk,
    /// A replica's clock jumps.
    Clock,
    /// A replica fails inside its batches: by a lost connection, by its own end, or by a stall.
    Failpoint,
}

impl Kind {
    pub(crate) const ALL: [Self; 7] = [
        Self::Kill,
        Self::Pause,
        Self::Postgres,
        Self::Cut,
        Self::Disk,
        Self::Clock,
        Self::Failpoint,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::Pause => "pause",
            Self::Postgres => "postgres",
            Self::Cut => "cut",
            Self::Disk => "disk",
            Self::Clock => "clock",
            Self::Failpoint => "failpoint",
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
                let known: Vec<_> = Kind::ALL.iter().map(|kind| kind.name()).collect();
                format!("`{name}` is none of {}; or say none", known.join(", "))
            })
        };
        text.split(',').map(one).collect::<Result<_, _>>().map(Self)
    }
}

impl fmt::Display for Kinds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.0.iter().map(|kind| kind.name()).collect();
        f.write_str(&if names.is_empty() {
            "none".to_owned()
        } else {
            names.join(",")
        })
    }
}

/// What is broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A replica is killed.
    Kill(usize),
    /// A replica is paused.
    Pause(usize),
    /// PostgreSQL is killed.
    Postgres,
    /// All connections to the database end, so many times, evenly over the hold.
    Cut(u32),
    /// Each flush takes so much longer.
    Disk(Duration),
    /// A replica's clock is so many milliseconds off.
    Clock(usize, i64),
    /// A replica is started again with these failpoints.
    Failpoint(usize, String),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kill(replica) => write!(f, "kill {replica}"),
            Self::Pause(replica) => write!(f, "pause {replica}"),
            Self::Postgres => write!(f, "kill postgres"),
            Self::Cut(times) => write!(f, "cut {times}x"),
            Self::Disk(by) => write!(f, "disk +{} ms", by.as_millis()),
            Self::Clock(replica, off) => write!(f, "clock {replica} {off:+} ms"),
            Self::Failpoint(replica, points) => write!(f, "failpoint {replica} {points}"),
        }
    }
}

/// A fault, and the quiet before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Blow {
    pub(crate) after: Duration,
    /// In the order of mending.
    pub(crate) faults: Vec<Fault>,
    pub(crate) hold: Duration,
}

/// About how long a blow takes with its mending.
const BLOW: Duration = Duration::from_millis(1_600);

/// The blows of a run on so many replicas. Every chosen kind comes before one comes twice; some come together.
pub(crate) fn plan(seed: u64, traffic: Duration, kinds: &[Kind], replicas: usize) -> Vec<Blow> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut kinds = kinds.to_vec();
    kinds.shuffle(&mut random);
    let mut kinds = kinds.into_iter().cycle().peekable();
    let blows = traffic.as_millis() / BLOW.as_millis();
    let mut plan = Vec::new();
    for _ in 0..blows.max(1) {
        let Some(kind) = kinds.next() else { break };
        let replica = random.random_range(0..replicas.max(1));
        let mut faults = vec![fault(&mut random, kind, replica)];
        let other = kinds.peek().copied().filter(|other| *other != kind);
        if let (Some(other), true) = (other, random.random_bool(0.35)) {
            kinds.next();
            // Not on the same replica: one that is dead cannot be paused.
            let replica = (replica + 1) % replicas.max(1);
            let fault = fault(&mut random, other, replica);
            if replicas > 1 || !matches!(fault, Fault::Kill(_) | Fault::Pause(_) | Fault::Failpoint(..)) {
                faults.push(fault);
            }
        }
        // In the order of mending: a database that starts again flushes every file, and a replica needs it.
        faults.sort_by_key(|fault| match fault {
            Fault::Disk(_) => 0,
            Fault::Postgres => 1,
            _ => 2,
        });
        // Who stalled must wake up before it is killed, or nobody hears what it says then.
        let stalls = |fault: &Fault| matches!(fault, Fault::Pause(_) | Fault::Failpoint(..));
        let hold = if faults.iter().any(stalls) {
            1_200..=2_400
        } else {
            100..=1_400
        };
        plan.push(Blow {
            after: Duration::from_millis(random.random_range(100..=600)),
            faults,
            hold: Duration::from_millis(random.random_range(hold)),
        });
    }
    plan
}

fn fault(random: &mut StdRng, kind: Kind, replica: usize) -> Fault {
    match kind {
        Kind::Kill => Fault::Kill(replica),
        Kind::Pause => Fault::Pause(replica),
        Kind::Postgres => Fault::Postgres,
        Kind::Cut => Fault::Cut(random.random_range(1..=4)),
        Kind::Disk => Fault::Disk(Duration::from_millis(random.random_range(10..=150))),
        Kind::Clock => Fault::Clock(replica, random.random_range(-JUMP..=JUMP)),
        Kind::Failpoint => {
            let point = POINTS
                .get(random.random_range(0..POINTS.len()))
                .copied()
                .unwrap_or_default();
            let spec = match random.random_range(0..3) {
                0 => format!("{point}={}%return(abort)", random.random_range(1..=10)),
                1 => format!("{point}={}%return(lost)", random.random_range(5..=40)),
                // Longer than a transaction may be idle: the database ends it.
                _ => format!("{point}={}%return(stall)", random.random_range(2..=15)),
            };
            Fault::Failpoint(replica, spec)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRAFFIC: Duration = Duration::from_secs(30);

    #[test]
    fn a_seed_gives_one_plan_and_another_seed_another() {
        let of = |seed| plan(seed, TRAFFIC, &Kind::ALL, 2);
        assert_eq!(of(7), of(7));
        assert_ne!(of(7), of(8));
        assert_eq!(plan(7, TRAFFIC, &[], 2), []);
    }

    #[test]
    fn every_kind_comes_and_no_replica_is_hit_twice_at_once() {
        for seed in 0..100 {
            let blows = plan(seed, TRAFFIC, &Kind::ALL, 2);
            let text: Vec<_> = blows
                .iter()
                .flat_map(|blow| &blow.faults)
                .map(ToString::to_string)
                .collect();
            for word in [
                "kill 0",
                "pause",
                "kill postgres",
                "cut",
                "disk",
                "clock",
                "failpoint",
            ] {
                let there = text.iter().any(|fault| fault.starts_with(word));
                assert!(
                    there || word == "kill 0" && text.contains(&"kill 1".to_owned()),
                    "{seed}: {word}"
                );
            }
            for blow in &blows {
                let replicas: Vec<_> = blow
                    .faults
                    .iter()
                    .filter_map(|fault| match fault {
                        Fault::Kill(one) | Fault::Pause(one) | Fault::Failpoint(one, _) => Some(*one),
                        _ => None,
                    })
                    .collect();
                assert!(replicas.len() < 2 || replicas[0] != replicas[1], "{blow:?}");
                let place = |wanted: fn(&Fault) -> bool| blow.faults.iter().position(wanted);
                if let (Some(disk), Some(postgres)) = (
                    place(|fault| matches!(fault, Fault::Disk(_))),
                    place(|fault| *fault == Fault::Postgres),
                ) {
                    assert!(disk < postgres, "{blow:?}");
                }
            }
        }
    }

    #[test]
    fn kinds_are_read_as_they_are_written() {
        for text in ["kill,cut", "none", "clock", "disk,failpoint"] {
            assert_eq!(text.parse::<Kinds>().unwrap().to_string(), text);
        }
        assert!("kill,flood".parse::<Kinds>().unwrap_err().contains("`flood`"));
    }
}

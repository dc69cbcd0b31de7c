//! The new programs beside the old ones, on the schema that the new ones migrated; then the old ones end. No client
//! may notice.

use std::{sync::PoisonError, time::Duration};

use anyhow::Context as _;
use history_checker::Drain;
use lp_stack::{Stack, fleet::FLEET};

use crate::{
    run::{Outcomes, Room, Stage, perform, sleep},
    traffic::Shared,
};

/// Plays a seed on a fleet of the old programs, which is the first and only replica in the stage's room.
///
/// # Errors
/// On Ctrl-C; everything else is an outcome.
pub(crate) fn play(stage: &mut Stage<'_>, seed: u64) -> anyhow::Result<Outcomes> {
    let settings = stage.settings;
    // Before, beside, and after.
    let third = settings.traffic.checked_div(3).unwrap_or(settings.traffic);
    let runtime = stage.runtime;
    // Its issuer of tokens goes on to the end.
    let mut ended = None;
    let mut upgrade = |stack: &mut Stack, room: &mut Room, shared: &Shared| {
        let start = shared.recorder.now();
        sleep(third)?;
        room.add(stack, runtime, &settings.binaries)
            .context("the new programs do not start beside the old ones")?;
        serve_by(shared, room, 0);
        sleep(third)?;
        let old = room.fleets.first_mut().context("no old replica")?;
        let mut statuses = Vec::new();
        for service in FLEET.iter() {
            statuses.push((service, old.terminate(service.name)?));
            sleep(Duration::from_millis(500))?;
        }
        // As a load balancer does: after it has seen that they are gone.
        serve_by(shared, room, 1);
        sleep(third)?;
        ended = Some(room.fleets.remove(0));
        let bad = statuses.iter().find(|(_, status)| !status.success());
        let status = bad.or(statuses.last()).context("no services")?.1.to_string();
        let named = bad.map(|(service, _)| format!(", {} first", service.binary()));
        Ok(vec![Drain {
            replica: format!("the old fleet{}", named.unwrap_or_default()),
            start,
            end: shared.recorder.now(),
            status,
        }])
    };
    let outcomes = perform(stage, seed, vec!["upgrade".to_owned()], &mut upgrade);
    drop(ended);
    outcomes
}

/// Lets the clients call all replicas from this one on.
fn serve_by(shared: &Shared, room: &Room, first: usize) {
    let mut apis = shared.apis.write().unwrap_or_else(PoisonError::into_inner);
    *apis = room.apis.iter().skip(first).cloned().collect();
}

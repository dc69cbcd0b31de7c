//! `cargo xtask down`: ends what killed commands left running, and forgets the data when asked.

use lp_stack::{Stack, StackName};

use crate::terminal::say;
use crate::workspace::Workspace;

pub(crate) fn run(workspace: &Workspace, wipe: bool) -> anyhow::Result<()> {
    let mut ended = Vec::new();
    for name in StackName::ALL {
        // The servers of tests may well be in use beside an `up` that is to go.
        match Stack::end_leftovers(&workspace.target, name) {
            Ok(names) => ended.extend(names),
            Err(error) if name == StackName::Up => return Err(error),
            Err(error) => {
                say(&format!("left alone: {error}"));
                continue;
            }
        }
        if wipe {
            Stack::wipe(&workspace.target, name)?;
        }
    }
    if ended.is_empty() {
        say("Nothing was left running.");
    } else {
        say(&format!("Ended: {}.", ended.join(", ")));
    }
    if wipe {
        say("The data of the local stacks is forgotten; the fetched programs stay in the cache.");
    }
    Ok(())
}

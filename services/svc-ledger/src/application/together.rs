//! Which requests of those that wait may be posted together.

use std::collections::HashMap;

use super::post_transaction::Waiting;

/// What is posted together: keys that are all different, and those who asked the same under one of them.
pub(super) struct Batch {
    pub(super) leaders: Vec<Waiting>,
    /// Each with the place of its leader.
    pub(super) followers: Vec<(usize, Waiting)>,
}

impl Batch {
    /// Of what waits. Another request under a key of this batch is `later`: only the record can tell whose the key is.
    pub(super) fn of(waiting: Vec<Waiting>, later: &mut Vec<Waiting>) -> Self {
        let mut batch = Self {
            leaders: Vec::with_capacity(waiting.len()),
            followers: Vec::new(),
        };
        let mut by_key = HashMap::with_capacity(waiting.len());
        for one in waiting {
            let claim = &one.wanted.claim;
            let key = (claim.caller.merchant, claim.rpc, claim.key.clone());
            match by_key.get(&key) {
                Some((leader, fingerprint)) if *fingerprint == claim.fingerprint => {
                    batch.followers.push((*leader, one));
                }
                Some(_) => later.push(one),
                None => {
                    by_key.insert(key, (batch.leaders.len(), claim.fingerprint));
                    batch.leaders.push(one);
                }
            }
        }
        batch
    }
}

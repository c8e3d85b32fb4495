//! Which targets of a model a request tries, and in which order.

use std::time::{Duration, Instant};

use headgate_kit::error::Failure;

use crate::cooldown::Cooldowns;
use crate::error;
use crate::models::Entry;
use crate::order::weighted;
use crate::router::Parts;

/// Positions among a model's candidates in the order to try them; those that asked to be left alone are not among
/// them, and those come last that keep failing, here or when they are probed: nobody could tell otherwise that they
/// are back.
pub(crate) fn choose(entry: &Entry, parts: &Parts) -> Result<Vec<usize>, Failure> {
    let usable = usable(entry, &parts.cooldowns)?;
    if usable.len() == 1 {
        return Ok(usable);
    }
    let weights: Vec<u32> = usable.iter().map(|&at| entry.candidates[at].weight).collect();
    let order = weighted(&weights, &mut *parts.rng.lock());
    let mut order: Vec<usize> = order.into_iter().map(|i| usable[i]).collect();
    let any_open = parts.breakers.any();
    if any_open || entry.any_unwell {
        let now = Instant::now();
        order.sort_by_key(|&at| {
            let candidate = &entry.candidates[at];
            let is_open = any_open && parts.breakers.is_open(&candidate.target.target_id, now);
            u8::from(is_open) + u8::from(!candidate.is_healthy)
        });
    }
    Ok(order)
}

fn usable(entry: &Entry, cooldowns: &Cooldowns) -> Result<Vec<usize>, Failure> {
    let now = cooldowns.any().then(Instant::now);
    let mut soonest: Option<Duration> = None;
    let mut usable = Vec::with_capacity(entry.candidates.len());
    for (at, candidate) in entry.candidates.iter().enumerate() {
        match now.and_then(|now| cooldowns.remaining(&candidate.target.target_id, now)) {
            None => usable.push(at),
            Some(wait) => soonest = Some(soonest.map_or(wait, |s| s.min(wait))),
        }
    }
    if usable.is_empty() {
        return Err(soonest.map_or_else(error::no_target, error::all_cooling));
    }
    Ok(usable)
}

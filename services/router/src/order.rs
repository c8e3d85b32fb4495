//! In which order targets are tried: a weighted draw without replacement.

use rand::Rng;

/// Indices of `weights` in the order to try them. A target of weight 0 comes after all that have one.
pub(crate) fn weighted(weights: &[u32], rng: &mut impl Rng) -> Vec<usize> {
    let mut left: Vec<usize> = (0..weights.len()).collect();
    let mut order = Vec::with_capacity(weights.len());
    while left.len() > 1 {
        let total: u64 = left.iter().map(|&i| u64::from(weights[i])).sum();
        let mut draw = if total == 0 { 0 } else { rng.random_range(0..total) };
        let picked = left.iter().position(|&i| {
            let weight = u64::from(weights[i]);
            let hit = draw < weight || total == 0;
            draw = draw.saturating_sub(weight);
            hit
        });
        order.push(left.remove(picked.unwrap_or(0)));
    }
    order.extend(left);
    order
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;
    use rand::rngs::StdRng;

    use super::*;

    #[test]
    fn first_picks_follow_the_weights() {
        let mut rng = StdRng::seed_from_u64(7);
        let mut first = [0_u32; 3];
        for _ in 0..10_000 {
            first[weighted(&[8, 2, 0], &mut rng)[0]] += 1;
        }
        assert!((7_800..8_200).contains(&first[0]), "{first:?}");
        assert_eq!(first[2], 0, "weight 0 is a last resort");
    }

    #[test]
    fn every_target_is_tried_once() {
        let mut rng = StdRng::seed_from_u64(7);
        for weights in [&[0, 0, 0][..], &[1], &[], &[5, 0, 3, u32::MAX]] {
            let mut order = weighted(weights, &mut rng);
            order.sort_unstable();
            assert_eq!(order, (0..weights.len()).collect::<Vec<_>>());
        }
    }
}

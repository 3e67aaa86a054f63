//! Pure: the arithmetic of repeated measurements.

/// The middle value; of an even number the mean of the two in the middle. `None` of nothing.
pub fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    let upper = *sorted.get(middle)?;
    if sorted.len() % 2 == 1 {
        return Some(upper);
    }
    Some(f64::midpoint(sorted[middle - 1], upper))
}

/// Half of the distance between the least and the greatest value, as a share of the median.
pub fn spread(values: &[f64]) -> Option<f64> {
    let median = median(values).filter(|median| *median != 0.0)?;
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    Some((most - least) / 2.0 / median.abs())
}

/// The smallest value that at least `share` of all values do not exceed (nearest rank).
pub fn percentile(values: &mut [u64], share: f64) -> Option<u64> {
    if values.is_empty() {
        return None;
    }
    // Exact for every count that a run can reach.
    #[allow(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss
    )]
    let rank = (values.len() as f64 * share).ceil() as usize;
    let at = rank.clamp(1, values.len()) - 1;
    Some(*values.select_nth_unstable(at).1)
}

/// Each repetition's value as a multiple of the base's in the same repetition: what the machine
/// did to both at that time cancels out.
pub fn ratios(values: &[f64], base: &[f64]) -> Vec<f64> {
    let pairs = values.iter().zip(base).filter(|(_, base)| **base != 0.0);
    pairs.map(|(value, base)| value / base).collect()
}

/// Each repetition's distance to the base's in the same repetition.
pub fn differences(values: &[f64], base: &[f64]) -> Vec<f64> {
    values
        .iter()
        .zip(base)
        .map(|(value, base)| value - base)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_and_one_wild_value_does_not_move_it() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[3.0, 1.0, 2.0, 4.0]), Some(2.5));
        assert_eq!(median(&[1.0, 2.0, 3.0, 4.0, 1e9]), Some(3.0));
        assert_eq!(median(&[7.0]), Some(7.0));
        assert_eq!(median(&[]), None);
    }

    #[test]
    fn the_spread_is_half_the_range_over_the_median() {
        assert_eq!(spread(&[90.0, 100.0, 110.0]), Some(0.1));
        assert_eq!(spread(&[5.0]), Some(0.0));
        assert_eq!(spread(&[]), None);
        assert_eq!(spread(&[-1.0, 0.0, 1.0]), None);
    }

    #[test]
    fn percentiles_are_values_that_occurred() {
        let mut values: Vec<u64> = (1..=100).rev().collect();
        assert_eq!(percentile(&mut values, 0.50), Some(50));
        assert_eq!(percentile(&mut values, 0.99), Some(99));
        assert_eq!(percentile(&mut values, 1.0), Some(100));
        assert_eq!(percentile(&mut values, 0.0), Some(1));
        assert_eq!(percentile(&mut [4, 9], 0.5), Some(4));
        assert_eq!(percentile(&mut [], 0.5), None);
    }

    #[test]
    fn ratios_and_differences_pair_what_was_measured_side_by_side() {
        // The second repetition ran on a slower machine: the ratio does not see it.
        assert_eq!(ratios(&[8.0, 16.0], &[10.0, 20.0]), [0.8, 0.8]);
        assert_eq!(ratios(&[8.0, 16.0], &[0.0, 20.0]), [0.8]);
        assert_eq!(differences(&[8.0, 16.0], &[5.0, 6.0]), [3.0, 10.0]);
    }
}

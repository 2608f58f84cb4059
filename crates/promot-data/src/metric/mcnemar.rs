//! McNemar's test: whether one model is right on more rows than another (McNemar, 1947, "Note on the
//! sampling error of the difference between correlated proportions or percentages").

/// The two-sided p-value of McNemar's exact test.
///
/// `lost` rows were right with one model and wrong with the other, `gained` rows the other way round;
/// rows that both have right or both have wrong say nothing. If the models were equally good, each of
/// these rows would be a coin that is thrown, so this is twice the binomial probability of a count as
/// small as the smaller one, and at most 1. The sum is made from its largest term downwards relative to
/// it, and the term by logarithms, so that nothing overflows and small values keep their digits.
///
/// ```
/// use promot_data::metric::mcnemar_exact;
///
/// assert_eq!(mcnemar_exact(0, 0), 1.0);
/// assert_eq!(mcnemar_exact(0, 5), 2.0 / 32.0);
/// ```
pub fn mcnemar_exact(lost: usize, gained: usize) -> f64 {
    let rows = lost + gained;
    let smaller = lost.min(gained);
    if 2 * smaller >= rows {
        return 1.0;
    }
    let n = rows as f64;
    let logarithm: f64 = (1..=smaller)
        .map(|i| ((n - (smaller - i) as f64) / i as f64).ln())
        .sum();
    let largest = (logarithm - n * std::f64::consts::LN_2).exp();
    let (mut sum, mut term) = (1.0, 1.0);
    for i in (1..=smaller).rev() {
        term *= i as f64 / (n - i as f64 + 1.0);
        sum += term;
        if term < f64::EPSILON * sum {
            break;
        }
    }
    (2.0 * largest * sum).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::mcnemar_exact;

    #[test]
    fn equals_counting_the_coins() {
        // Of 2^n equally probable outcomes, those at least as one-sided.
        for rows in 1..=16_u32 {
            for lost in 0..=rows {
                let heads = |outcome: &u32| outcome.count_ones();
                let smaller = lost.min(rows - lost);
                let outcomes = 0..1_u32 << rows;
                let extreme = |outcome: &u32| heads(outcome).min(rows - heads(outcome)) <= smaller;
                let expected = outcomes.filter(extreme).count() as f64 / f64::from(1_u32 << rows);
                let found = mcnemar_exact(lost as usize, (rows - lost) as usize);
                assert!(
                    (found - expected).abs() < 1e-13,
                    "{lost} of {rows}: {found} {expected}"
                );
            }
        }
    }

    #[test]
    fn is_symmetric_and_stays_in_range_for_many_rows() {
        for (one, other) in [
            (0, 0),
            (0, 2000),
            (4000, 6000),
            (49_900, 50_100),
            (500_000, 500_001),
        ] {
            let found = mcnemar_exact(one, other);
            assert_eq!(found.to_bits(), mcnemar_exact(other, one).to_bits());
            assert!((0.0..=1.0).contains(&found), "{one} {other} {found}");
        }
        assert!(mcnemar_exact(500_000, 500_001) > 0.99);
    }
}

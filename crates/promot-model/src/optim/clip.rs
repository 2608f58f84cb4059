//! Gradient clipping by the norm of all gradients together.

/// Scales all gradients by one factor so that their joint L2 norm is at most `max_norm`; returns
/// the norm they had.
///
/// As `torch.nn.utils.clip_grad_norm_`, without its `1e-6` in the denominator.
pub fn clip_by_global_norm(gradients: &mut [Vec<f32>], max_norm: f32) -> f64 {
    // Summed a gradient at a time in f64: the order never changes.
    let squares = |gradient: &Vec<f32>| -> f64 {
        gradient.iter().map(|&g| f64::from(g) * f64::from(g)).sum()
    };
    let norm = gradients.iter().map(squares).sum::<f64>().sqrt();
    if norm > f64::from(max_norm) {
        let factor = (f64::from(max_norm) / norm) as f32;
        gradients.iter_mut().flatten().for_each(|g| *g *= factor);
    }
    norm
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_gradients_are_scaled_together_and_short_ones_left() {
        let mut gradients = vec![vec![3.0], vec![0.0, 4.0]];
        assert_eq!(clip_by_global_norm(&mut gradients, 10.0), 5.0);
        assert_eq!(gradients, [vec![3.0], vec![0.0, 4.0]]);
        assert_eq!(clip_by_global_norm(&mut gradients, 1.0), 5.0);
        assert_eq!(gradients, [vec![0.6], vec![0.0, 0.8]]);
    }
}

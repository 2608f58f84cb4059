//! Gradient clipping by the norm of all gradients together.

/// What all gradients are multiplied by so that their joint L2 norm is at most `max_norm`, if it
/// is `norm` now.
///
/// As `torch.nn.utils.clip_grad_norm_`, without its `1e-6` in the denominator.
pub fn clip_factor(norm: f64, max_norm: f32) -> f32 {
    if norm > f64::from(max_norm) {
        (f64::from(max_norm) / norm) as f32
    } else {
        1.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_gradients_are_scaled_and_short_ones_left() {
        assert_eq!(clip_factor(5.0, 10.0), 1.0);
        assert_eq!(clip_factor(5.0, 5.0), 1.0);
        assert_eq!(clip_factor(5.0, 1.0), 0.2);
        assert_eq!(clip_factor(0.0, 0.0), 1.0);
    }
}

//! T5's relative positions: a learned number for each head and bucket of distances.

use crate::backend::Device;
use crate::graph::Var;

/// A bias table and how distances fall into its rows.
pub struct RelativeBias<D: Device> {
    /// `(num_buckets, H)`.
    pub table: Var<D>,
    /// How distances fall into rows.
    pub buckets: BucketMap,
}

impl<D: Device> Clone for RelativeBias<D> {
    fn clone(&self) -> Self {
        Self {
            table: self.table.clone(),
            buckets: self.buckets,
        }
    }
}

/// How distances fall into buckets: exactly when small, logarithmically up to `max_distance`, and
/// all in one beyond (`T5Attention._relative_position_bucket` in Hugging Face transformers).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BucketMap {
    /// Rows of the table (32 in every T5).
    pub num_buckets: usize,
    /// Distances from here on share a bucket (128 in every T5).
    pub max_distance: usize,
    /// Whether keys to the right have buckets of their own (encoder) or none (decoder).
    pub bidirectional: bool,
}

impl BucketMap {
    /// The bucket of a key `distance` positions to the right of the query.
    pub fn bucket(&self, distance: isize) -> usize {
        let (first, buckets, distance) = if self.bidirectional {
            let half = self.num_buckets / 2;
            (
                if distance > 0 { half } else { 0 },
                half,
                distance.unsigned_abs(),
            )
        } else {
            (0, self.num_buckets, distance.min(0).unsigned_abs())
        };
        let exact = buckets / 2;
        if distance < exact {
            return first + distance;
        }
        // In f32 and in this order, as the reference computes it: buckets at the borders depend on
        // the rounding.
        let ratio = (distance as f32 / exact as f32).ln()
            / (self.max_distance as f64 / exact as f64).ln() as f32;
        let bucket = exact + (ratio * (buckets - exact) as f32) as usize;
        first + bucket.min(buckets - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_those_of_t5() {
        let encoder = BucketMap {
            num_buckets: 32,
            max_distance: 128,
            bidirectional: true,
        };
        let decoder = BucketMap {
            bidirectional: false,
            ..encoder
        };
        // (distance, encoder bucket, decoder bucket), from transformers' own function.
        for (distance, in_encoder, in_decoder) in [
            (0, 0, 0),
            (1, 17, 0),
            (-1, 1, 1),
            (-7, 7, 7),
            (-8, 8, 8),
            (8, 24, 0),
            (-16, 10, 16),
            (20, 26, 0),
            (-40, 12, 23),
            (-127, 15, 31),
            (-1000, 15, 31),
            (1000, 31, 0),
        ] {
            assert_eq!(encoder.bucket(distance), in_encoder, "encoder, {distance}");
            assert_eq!(decoder.bucket(distance), in_decoder, "decoder, {distance}");
        }
    }
}

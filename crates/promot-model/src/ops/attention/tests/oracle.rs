//! Attention and its gradients as loops over single numbers in f64.

use super::*;

/// What a pass must give: the output, and the gradient of `sum(output * weights)` with respect to
/// every input, where the weights are those of [`testing::run`].
pub(super) struct Oracle {
    pub(super) y: Vec<f64>,
    pub(super) gradients: Vec<Vec<f64>>,
    /// For the output and each gradient, the norm of all terms that its numbers are sums of: what
    /// roundings of terms are relative to, also where the terms cancel.
    pub(super) term_norms: Vec<f64>,
}

impl Oracle {
    pub(super) fn new(case: &Case, inputs: &[Var<Host>], dropout: Option<DropoutKey>) -> Self {
        let [q, k, v] = [0, 1, 2].map(|i| widen(inputs[i].slice()));
        let dy = widen(&testing::output_weights(q.len()));
        let table = inputs.get(3).map(|table| widen(table.slice()));
        let mut y = vec![0.0; q.len()];
        let mut gradients: Vec<Vec<f64>> =
            inputs.iter().map(|x| vec![0.0; x.slice().len()]).collect();
        let mut squares = vec![0.0; 1 + inputs.len()];
        let (q_offsets, k_offsets) = (offsets(&case.q), offsets(&case.k));
        let (d, scale) = (case.d_kv, f64::from(case.scale));
        for (sequence, (&q_len, &k_len)) in case.q.iter().zip(&case.k).enumerate() {
            for (i, head) in (0..q_len).flat_map(|i| (0..case.heads).map(move |head| (i, head))) {
                let query = q_offsets[sequence] + i;
                let shift = if case.causal {
                    k_len as isize - q_len as isize
                } else {
                    0
                };
                let position = i as isize + shift;
                let seen = if case.causal {
                    (position + 1).max(0) as usize
                } else {
                    k_len
                };
                let mask = dropout.map(|key| key.at((query * case.heads + head) as u64).mask());
                let factor = |j| mask.map_or(1.0, |mask| f64::from(mask.factor(j as u32)));
                let bucket = |j| case.buckets().bucket(j as isize - position) * case.heads + head;
                // The head's columns of a query's and of a key's row.
                let of_query = (query * case.heads + head) * d;
                let kv_head = head / (case.heads / case.kv_heads);
                let of_key = |j| ((k_offsets[sequence] + j) * case.kv_heads + kv_head) * d;
                let product = |a: &[f64], b: &[f64]| -> f64 {
                    a[..d].iter().zip(b).map(|(a, b)| a * b).sum()
                };

                let scores: Vec<f64> = (0..seen)
                    .map(|j| {
                        let bias = table.as_ref().map_or(0.0, |table| table[bucket(j)]);
                        scale * product(&q[of_query..], &k[of_key(j)..]) + bias
                    })
                    .collect();
                let top = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let total: f64 = scores.iter().map(|score| (score - top).exp()).sum();
                let p: Vec<f64> = scores
                    .iter()
                    .map(|score| (score - top).exp() / total)
                    .collect();
                let dp: Vec<f64> = (0..seen)
                    .map(|j| factor(j) * product(&dy[of_query..], &v[of_key(j)..]))
                    .collect();
                let along: f64 = p.iter().zip(&dp).map(|(p, dp)| p * dp).sum();
                for j in 0..seen {
                    let ds = p[j] * (dp[j] - along);
                    let ds_terms = p[j] * p[j] * (dp[j] * dp[j] + along * along);
                    for c in 0..d {
                        squares[0] += (p[j] * factor(j) * v[of_key(j) + c]).powi(2);
                        squares[1] += ds_terms * (scale * k[of_key(j) + c]).powi(2);
                        squares[2] += ds_terms * (scale * q[of_query + c]).powi(2);
                        squares[3] += (p[j] * factor(j) * dy[of_query + c]).powi(2);
                        y[of_query + c] += p[j] * factor(j) * v[of_key(j) + c];
                        gradients[0][of_query + c] += scale * ds * k[of_key(j) + c];
                        gradients[1][of_key(j) + c] += scale * ds * q[of_query + c];
                        gradients[2][of_key(j) + c] += p[j] * factor(j) * dy[of_query + c];
                    }
                    if table.is_some() {
                        gradients[3][bucket(j)] += ds;
                        squares[4] += ds_terms;
                    }
                }
            }
        }
        let term_norms = squares.into_iter().map(f64::sqrt).collect();
        Self {
            y,
            gradients,
            term_norms,
        }
    }
}

fn widen(values: &[f32]) -> Vec<f64> {
    values.iter().copied().map(f64::from).collect()
}

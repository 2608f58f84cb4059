//! A short benchmark: what a device achieves on the work that steps are made of.

use std::sync::Arc;
use std::time::Instant;

use super::compare::values;
use crate::backend::{Backend, DeviceError, Shape};
use crate::graph::{Graph, Var};
use crate::ops::attention::{Layout, attention};
use crate::ops::linear::linear;

/// How fast one kind of work was.
#[derive(Clone, Debug, PartialEq)]
pub struct Speed {
    /// What was done.
    pub name: String,
    /// Seconds of the fastest of several runs.
    pub seconds: f64,
    /// Multiplications and additions of one run, forward and backward.
    pub operations: f64,
}

impl Speed {
    /// Operations a second.
    pub fn rate(&self) -> f64 {
        self.operations / self.seconds
    }
}

const RUNS: usize = 5;

/// Measures products and attention, forward and backward. `large` is for devices that are not busy
/// with less.
///
/// # Errors
/// If the device fails.
pub fn speeds<B: Backend>(device: &B, large: bool) -> Result<Vec<Speed>, DeviceError> {
    let (tokens, width, len, sequences) = if large {
        (8192, 4096, 512, 32)
    } else {
        (1024, 512, 256, 4)
    };
    Ok(vec![
        product(device, tokens, width)?,
        attend(device, len, sequences, 8, 64)?,
    ])
}

fn product<B: Backend>(device: &B, tokens: usize, width: usize) -> Result<Speed, DeviceError> {
    let shapes = [(tokens, width), (width, width)];
    let seconds = fastest(device, &shapes, |graph, v| linear(graph, &v[0], &v[1]))?;
    Ok(Speed {
        name: format!("products, {tokens} x {width} x {width}"),
        seconds,
        operations: 6.0 * tokens as f64 * (width * width) as f64,
    })
}

fn attend<B: Backend>(
    device: &B,
    len: usize,
    sequences: usize,
    num_heads: usize,
    d_kv: usize,
) -> Result<Speed, DeviceError> {
    let offsets: Arc<[usize]> = (0..=sequences).map(|sequence| sequence * len).collect();
    let layout = Layout {
        q_offsets: offsets.clone(),
        kv_offsets: offsets,
        shared_keys: false,
        num_heads,
        num_kv_heads: num_heads,
        causal: false,
        scale: 0.125,
        dropout: None,
    };
    let shape = (sequences * len, num_heads * d_kv);
    let seconds = fastest(device, &[shape; 3], |graph, v| {
        attention(graph, &v[0], &v[1], &v[2], None, &layout)
    })?;
    // Two products forward, five backward.
    let product = 2.0 * (sequences * num_heads * d_kv) as f64 * (len * len) as f64;
    Ok(Speed {
        name: format!("attention, {sequences} x {len} tokens, {num_heads} heads of {d_kv}"),
        seconds,
        operations: 7.0 * product,
    })
}

/// Seconds of the fastest forward and backward pass.
fn fastest<B: Backend>(
    device: &B,
    shapes: &[Shape],
    op: impl Fn(&mut Graph<B>, &[Var<B>]) -> Var<B>,
) -> Result<f64, DeviceError> {
    let leaf = |(seed, &shape): (u64, &Shape)| {
        let values = device.upload(values(shape.0 * shape.1, seed));
        Var::leaf(device.tensor(values, shape))
    };
    let inputs: Vec<_> = (1..).zip(shapes).map(leaf).collect();
    let mut fastest = f64::INFINITY;
    // The first run also makes what the others find ready.
    for _ in 0..=RUNS {
        let mut graph = Graph::training(device, Default::default());
        let dy = device.upload(values(shapes[0].0 * shapes[0].1, 9));
        device.check()?;
        let start = Instant::now();
        let y = op(&mut graph, &inputs);
        let gradients = graph.backward_from(&y, dy);
        device.check()?;
        fastest = fastest.min(start.elapsed().as_secs_f64());
        drop(gradients);
    }
    Ok(fastest)
}

//! Both devices beside each other: many parameters at once, sizes off the blocks, numbers that are none.

use super::*;
use crate::backend::Gpu;
use crate::backend::gpu::emulated::{SCHEDULES, emulated};
use crate::gemm::Precision;
use crate::ops::testing::values;

/// Single values and rows, and sizes beyond one block: of a row's tiles, of a column's, of values.
const SHAPES: [Shape; 9] = [
    (6, 9),
    (1, 1),
    (1, 40),
    (128, 130),
    (300, 257),
    (5, 700),
    (9000, 3),
    (1, 40_000),
    (130, 128),
];

/// All of them factored that can be, those of weights, none, and another optimizer.
fn optimizers() -> [Optimizer; 4] {
    let adafactor = AdafactorOptions::default();
    [
        Optimizer::Adafactor(AdafactorOptions {
            min_dim_size_to_factor: 2,
            ..adafactor
        }),
        Optimizer::Adafactor(adafactor),
        Optimizer::Adafactor(AdafactorOptions {
            factored: false,
            multiply_by_parameter_scale: false,
            ..adafactor
        }),
        Optimizer::AdamW(AdamWOptions::default()),
    ]
}

fn gradient(number: u64, (rows, columns): Shape) -> Vec<f32> {
    let mut gradient = values(rows * columns, 100 * number + columns as u64);
    // Not all rows of an embedding table are in a batch.
    for row in gradient.chunks_mut(columns).skip(1).step_by(3) {
        row.fill(0.0);
    }
    gradient
}

/// What some steps gave: sums of squares, and the values and states of all parameters.
#[derive(Debug, PartialEq)]
struct Trained {
    totals: Vec<f64>,
    values: Vec<Vec<f32>>,
    states: Vec<ParameterState>,
}

fn train<D: Kernels>(device: &D, optimizer: &Optimizer, shapes: &[Shape], steps: u64) -> Trained {
    let shapes = || shapes.iter().copied();
    let start = shapes().map(|shape| values(shape.0 * shape.1, shape.1 as u64));
    let mut parameters: Vec<D::Buffer> = start.map(|values| device.upload(values)).collect();
    let mut states: Vec<D::State> = shapes().map(|_| D::State::default()).collect();
    let mut totals = Vec::new();
    for number in 1..=steps {
        let gradients = shapes().map(|shape| device.upload(gradient(number, shape)));
        let gradients: Vec<D::Buffer> = gradients.collect();
        let slices = gradients.iter().map(AsRef::as_ref).zip(shapes());
        let slices: Vec<_> = slices.collect();
        let (squares, total) = device.squares(optimizer, &slices);
        totals.push(total);
        let step = Step {
            number,
            learning_rate: 0.01,
            scale: 0.5,
        };
        let updates = gradients.into_iter().zip(shapes()).zip(&squares);
        let updates = updates.zip(&parameters);
        let updates = updates.map(|(((gradient, shape), squares), values)| Update {
            values: values.as_ref(),
            gradient,
            squares,
            shape,
        });
        let updates = updates.collect();
        parameters = device.update(optimizer, step, updates, &mut states);
        // As if the run had been interrupted here.
        let saved = states.iter().map(|state| device.download_state(state));
        states = saved.map(|state| device.upload_state(state)).collect();
    }
    let trained = Trained {
        totals,
        values: parameters
            .iter()
            .map(|values| device.download(values.as_ref()))
            .collect(),
        states: states
            .iter()
            .map(|state| device.download_state(state))
            .collect(),
    };
    device.check().unwrap();
    trained
}

fn assert_close(name: &str, actual: &[f32], expected: &[f32]) {
    assert_eq!(actual.len(), expected.len(), "{name}: length");
    for (i, (a, e)) in actual.iter().zip(expected).enumerate() {
        let error = (a - e).abs();
        assert!(error <= 1e-6 * (1.0 + e.abs()), "{name}[{i}]: {a} and {e}");
    }
}

fn assert_devices_agree(optimizer: &Optimizer, shapes: &[Shape], steps: u64) {
    let expected = train(&Host::new(), optimizer, shapes, steps);
    let [first, others @ ..] = SCHEDULES.map(|schedule| {
        let gpu = emulated(Precision::F32, schedule);
        train(&gpu, optimizer, shapes, steps)
    });
    for (total, expected) in first.totals.iter().zip(&expected.totals) {
        assert!((total - expected).abs() <= 1e-6 * expected);
    }
    for (i, shape) in shapes.iter().enumerate() {
        let name = format!("{optimizer:?}: {shape:?}");
        assert_close(&name, &first.values[i], &expected.values[i]);
        let vectors = [&first, &expected].map(|trained| &trained.states[i].vectors);
        assert_eq!(vectors[0].len(), vectors[1].len(), "{name}: vectors");
        for (actual, expected) in vectors[0].iter().zip(vectors[1]) {
            assert_close(&format!("{name}: state"), actual, expected);
        }
    }
    for other in others {
        assert!(other == first, "{optimizer:?}: the schedule changes bits");
    }
}

#[test]
fn the_second_device_updates_all_parameters_as_the_cpu() {
    for optimizer in optimizers() {
        assert_devices_agree(&optimizer, &SHAPES, 3);
    }
}

/// More blocks than a block has threads, which add up what the blocks found.
#[test]
fn the_second_device_updates_a_large_parameter_as_the_cpu() {
    let optimizer = Optimizer::Adafactor(AdafactorOptions::default());
    assert_devices_agree(&optimizer, &[(1, 257 * gpu_state::BLOCK_VALUES + 5)], 1);
}

fn total<D: Kernels>(device: &D, optimizer: &Optimizer, gradient: Vec<f32>) -> f64 {
    let shape = (gradient.len() / 100, 100);
    let gradient = device.upload(gradient);
    let (_, total) = device.squares(optimizer, &[(gradient.as_ref(), shape)]);
    device.check().unwrap();
    total
}

#[test]
fn the_total_tells_what_is_no_number_from_what_is_only_large() {
    let gpu: Gpu = emulated(Precision::F32, SCHEDULES[3]);
    for optimizer in optimizers() {
        for place in [0, 77, 20_000, 39_999] {
            for (value, finite) in [(f32::NAN, false), (f32::INFINITY, false), (3e38, true)] {
                let mut gradient = values(40_000, 9);
                gradient[place] = value;
                for total in [
                    total(&Host::new(), &optimizer, gradient.clone()),
                    total(&gpu, &optimizer, gradient),
                ] {
                    assert_eq!(total.is_finite(), finite, "{value} at {place}");
                }
            }
        }
    }
}

/// A row whose squares are all 0 in `f32` still moves; a row of zeros does not.
#[test]
fn only_rows_of_zeros_stay() {
    fn updated<D: Kernels>(device: &D) -> Vec<f32> {
        let optimizer = Optimizer::Adafactor(AdafactorOptions {
            min_dim_size_to_factor: 2,
            ..Default::default()
        });
        let shape = (3, 2);
        let values = device.upload(vec![1.0; 6]);
        let gradient = device.upload(vec![0.0, -0.0, 1e-30, 0.0, 2e-30, 1e-30]);
        let (squares, _) = device.squares(&optimizer, &[(gradient.as_ref(), shape)]);
        let update = Update {
            values: values.as_ref(),
            gradient,
            squares: &squares[0],
            shape,
        };
        let step = Step {
            number: 1,
            learning_rate: 1e14,
            scale: 1.0,
        };
        let states = &mut [D::State::default()];
        let updated = device.update(&optimizer, step, vec![update], states);
        device.download(updated[0].as_ref())
    }
    let gpu = emulated(Precision::F32, SCHEDULES[0]);
    for values in [updated(&Host::new()), updated(&gpu)] {
        assert_eq!(values[..2], [1.0, 1.0]);
        assert!(values[2] < 1.0 && values[4] < 1.0, "{values:?}");
    }
}

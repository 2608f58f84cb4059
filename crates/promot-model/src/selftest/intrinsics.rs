//! The instructions that kernels rely on, one by one.

use half::bf16;

use super::Check;
use super::compare::{difference, values};
use crate::backend::gpu::{Argument, GpuBuffer, Kernel, Module, index_u32};
use crate::backend::{Device as _, DeviceError, Gpu};

static MODULE: Module = Module {
    name: "intrinsics",
    ptx: include_str!("intrinsics.ptx"),
};
const MMA: Kernel = Kernel {
    module: &MODULE,
    name: "conformance_mma",
};
const TRANSPOSED: Kernel = Kernel {
    module: &MODULE,
    name: "conformance_transposed",
};
const NUMBERS: Kernel = Kernel {
    module: &MODULE,
    name: "conformance_numbers",
};
const SUMS: Kernel = Kernel {
    module: &MODULE,
    name: "conformance_sums",
};

/// Bytes of a 16x16 and an 8x16 matrix of bf16.
const FACTORS: usize = 2 * (16 * 16 + 8 * 16);

/// Checks matrix instructions with their layouts in registers, rounding, exponentials and sums over
/// a block.
///
/// # Errors
/// If the device fails.
pub fn intrinsics(gpu: &Gpu) -> Result<Vec<Check>, DeviceError> {
    let checks = vec![
        products(
            gpu,
            MMA,
            "mma of 16x16 and 8x16 matrices, ldmatrix",
            |k, n| n * 16 + k,
        ),
        products(gpu, TRANSPOSED, "mma, ldmatrix.trans", |k, n| k * 8 + n),
        rounding(gpu),
        exponentials(gpu),
        sums(gpu),
    ];
    gpu.check()?;
    Ok(checks)
}

/// A 16x16 matrix times a 16x8 matrix, whose number in row `k` and column `n` is at `index(k, n)`.
fn products(gpu: &Gpu, kernel: Kernel, name: &str, index: impl Fn(usize, usize) -> usize) -> Check {
    let narrow = |len: usize, seed: u64| -> Vec<bf16> {
        values(len, seed).into_iter().map(bf16::from_f32).collect()
    };
    let (a, b) = (narrow(16 * 16, 1), narrow(8 * 16, 2));
    let out = gpu.uninitialized(16 * 8);
    let [a_buffer, b_buffer] = [&a, &b].map(|values| upload_bf16(gpu, values));
    let arguments = [&out, &a_buffer, &b_buffer].map(|buffer| buffer.as_ref().argument());
    gpu.launch(kernel, [1, 1, 1], 32, FACTORS, &arguments);
    let mut expected = Vec::new();
    for row in 0..16 {
        for n in 0..8 {
            let terms = (0..16)
                .map(|k| f64::from(a[row * 16 + k].to_f32()) * f64::from(b[index(k, n)].to_f32()));
            expected.push(terms.sum::<f64>() as f32);
        }
    }
    Check {
        name: name.to_owned(),
        error: difference(&gpu.download(out.as_ref()), &expected),
        tolerance: 1e-5,
    }
}

fn upload_bf16(gpu: &Gpu, values: &[bf16]) -> GpuBuffer {
    let pairs = values.chunks_exact(2);
    let pair = |pair: &[bf16]| u32::from(pair[0].to_bits()) | u32::from(pair[1].to_bits()) << 16;
    gpu.upload_u32(&pairs.map(pair).collect::<Vec<_>>())
}

/// Numbers of all sizes that neither exponential takes out of range, and halves between two bf16.
fn numbers() -> Vec<f32> {
    let scaled = values(1000, 3).into_iter().map(|x| 60.0 * x);
    let halves = (0..200u32).map(|i| f32::from_bits(0x3f80_8000 + (i << 16)));
    let off_halves = (0..200u32).map(|i| f32::from_bits(0x3f80_7fff + (i << 15)));
    scaled.chain(halves).chain(off_halves).collect()
}

/// What the kernel makes of each number: rounded, 2^x, e^x.
fn computed(gpu: &Gpu, x: &[f32]) -> [Vec<f32>; 3] {
    let input = gpu.upload(x.to_vec());
    let out = gpu.uninitialized(3 * x.len());
    let arguments = [
        out.as_ref().argument(),
        input.as_ref().argument(),
        Argument::U32(index_u32(x.len())),
    ];
    gpu.launch(NUMBERS, [x.len().div_ceil(256), 1, 1], 256, 0, &arguments);
    let out = gpu.download(out.as_ref());
    [0, 1, 2].map(|i| out.iter().skip(i).step_by(3).copied().collect())
}

fn rounding(gpu: &Gpu) -> Check {
    let x = numbers();
    let [rounded, ..] = computed(gpu, &x);
    let expected = x.iter().map(|&x| bf16::from_f32(x).to_f32());
    let wrong = rounded.iter().zip(expected).filter(|(a, b)| **a != *b);
    Check {
        name: "rounding to bf16 (numbers that differ)".to_owned(),
        error: wrong.count() as f64,
        tolerance: 0.0,
    }
}

fn exponentials(gpu: &Gpu) -> Check {
    let x = numbers();
    let [_, powers, exponentials] = computed(gpu, &x);
    let error = |found: &[f32], exact: fn(f64) -> f64| {
        let errors = found.iter().zip(&x).map(|(&found, &x)| {
            let exact = exact(f64::from(x));
            (f64::from(found) - exact).abs() / exact
        });
        super::compare::largest(errors)
    };
    Check {
        name: "2^x and e^x (largest relative error)".to_owned(),
        error: error(&powers, f64::exp2).max(error(&exponentials, f64::exp)),
        // 2^x by the special function unit: 2 units in the last place, and those of its argument.
        tolerance: 1e-6,
    }
}

fn sums(gpu: &Gpu) -> Check {
    let x = values(256, 4);
    let input = gpu.upload(x.clone());
    let out = gpu.uninitialized(2);
    let arguments = [out.as_ref().argument(), input.as_ref().argument()];
    gpu.launch(SUMS, [1, 1, 1], 256, 4 * 8, &arguments);
    let sum: f64 = x.iter().map(|&x| f64::from(x)).sum();
    let most = x.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    Check {
        name: "sum and maximum over a block".to_owned(),
        error: difference(&gpu.download(out.as_ref()), &[sum as f32, most]),
        tolerance: 1e-5,
    }
}

//! What kernels can do together gives what the manuals say, under every schedule.

mod common;

use common::{Array, SCHEDULES, number, numbers, run_block};
use half::bf16;
use promot_cuda_emulator::{Schedule, launch};

#[test]
fn shuffle_exchanges_values_of_lanes() {
    let values = numbers(32, 1);
    for schedule in SCHEDULES {
        for mask in [0u32, 1, 2, 7, 16, 31] {
            let (input, out) = (Array::of(&values), Array::<f32>::unwritten(32));
            let arguments = [out.argument(), input.argument(), number(&mask)];
            run_block("test_shuffle", 32, 0, &arguments, schedule).unwrap();
            let expected: Vec<f32> = (0..32).map(|lane| values[lane ^ mask as usize]).collect();
            assert_eq!(out.values(), expected, "{schedule:?}, mask {mask}");
        }
    }
}

#[test]
fn block_sums_and_maxima_reach_all_threads() {
    for threads in [32u32, 96, 256, 1024] {
        let blocks = 3;
        let all = (blocks * threads) as usize;
        let values = numbers(all, threads);
        for schedule in SCHEDULES {
            let input = Array::of(&values);
            let (sums, largest) = (Array::<f32>::unwritten(all), Array::<f32>::unwritten(all));
            let arguments = [sums.argument(), largest.argument(), input.argument()];
            let shared = 4 * threads / 32;
            launch(
                "test_block_sum",
                [blocks, 1, 1],
                threads,
                shared,
                &arguments,
                schedule,
            )
            .unwrap();
            let (sums, largest) = (sums.values(), largest.values());
            for (block, of_block) in values.chunks(threads as usize).enumerate() {
                // Exact: the numbers are multiples of 1/32 and small.
                let sum: f32 = of_block.iter().sum();
                let most = of_block.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                for i in block * threads as usize..(block + 1) * threads as usize {
                    assert_eq!(
                        (sums[i], largest[i]),
                        (sum, most),
                        "{schedule:?}, thread {i}"
                    );
                }
            }
        }
    }
}

#[test]
fn threads_know_where_they_are() {
    let grid = [3u32, 2, 2];
    let out = Array::<u32>::unwritten(6 * 12 * 64);
    launch("test_indices", grid, 64, 0, &[out.argument()], Schedule(1)).unwrap();
    let mut expected = Vec::new();
    for z in 0..2 {
        for y in 0..2 {
            for x in 0..3 {
                for thread in 0..64 {
                    expected.extend([x, y, z, thread, thread / 32, thread % 32]);
                }
            }
        }
    }
    assert_eq!(out.values(), expected);
}

#[test]
fn barriers_let_threads_pass_together() {
    let expected: Vec<u32> = (0..256).map(|thread| (thread + 5 * 33) % 256 + 5).collect();
    for schedule in SCHEDULES {
        let out = Array::<u32>::unwritten(256);
        run_block(
            "test_ten_barriers",
            256,
            4 * 256,
            &[out.argument()],
            schedule,
        )
        .unwrap();
        assert_eq!(out.values(), expected, "{schedule:?}");
    }
}

fn bits(values: &[f32]) -> Vec<u16> {
    values
        .iter()
        .map(|&value| bf16::from_f32(value).to_bits())
        .collect()
}

#[test]
fn products_of_fragments_equal_a_loop() {
    let (a, b, c) = (numbers(256, 3), numbers(128, 4), numbers(128, 5));
    let mut expected = c.clone();
    for (row, of_row) in expected.chunks_mut(8).enumerate() {
        for (column, sum) in of_row.iter_mut().enumerate() {
            // Exact, as above.
            *sum += (0..16)
                .map(|k| a[16 * row + k] * b[8 * k + column])
                .sum::<f32>();
        }
    }
    for schedule in SCHEDULES {
        for kernel in ["test_mma", "test_mma_from_shared"] {
            let (a, b) = (Array::of(&bits(&a)), Array::of(&bits(&b)));
            let sums = Array::of(&c);
            let arguments = [sums.argument(), a.argument(), b.argument()];
            run_block(kernel, 32, 768, &arguments, schedule).unwrap();
            assert_eq!(sums.values(), expected, "{kernel}, {schedule:?}");
        }
    }
}

#[test]
fn matrices_are_loaded_as_the_manual_lays_them_out() {
    let rows: Vec<u16> = (0..256).collect();
    // Row, column of a matrix, both below 8.
    let element = |matrix: usize, row: usize, column: usize| rows[64 * matrix + 8 * row + column];
    let pair = |first: u16, second: u16| u32::from(first) | u32::from(second) << 16;
    for schedule in SCHEDULES {
        let input = Array::of(&rows);
        let (plain, transposed) = (Array::<u32>::unwritten(128), Array::<u32>::unwritten(128));
        let arguments = [plain.argument(), transposed.argument(), input.argument()];
        run_block("test_load_matrices", 32, 512, &arguments, schedule).unwrap();
        let (plain, transposed) = (plain.values(), transposed.values());
        for lane in 0..32 {
            let (row, column) = (lane / 4, lane % 4 * 2);
            for matrix in 0..4 {
                let at = 4 * lane + matrix;
                let (first, second) = (
                    element(matrix, row, column),
                    element(matrix, row, column + 1),
                );
                assert_eq!(
                    plain[at],
                    pair(first, second),
                    "lane {lane}, matrix {matrix}"
                );
                let (first, second) = (
                    element(matrix, column, row),
                    element(matrix, column + 1, row),
                );
                assert_eq!(
                    transposed[at],
                    pair(first, second),
                    "lane {lane}, matrix {matrix}"
                );
            }
        }
    }
}

#[test]
fn bf16_is_the_nearest_one() {
    // Every sign and exponent, with mantissas around each kind of tie, and then many others.
    let mut patterns = Vec::new();
    for high in 0..=0xffffu32 {
        let lows = [0, 1, 0x7fff, 0x8000, 0x8001, 0xffff];
        patterns.extend(lows.map(|low| high << 16 | low));
    }
    patterns.extend((0..1u32 << 17).map(|i| i.wrapping_mul(2_654_435_761)));
    assert_eq!(patterns.len() % 256, 0);
    let values: Vec<f32> = patterns.iter().map(|&bits| f32::from_bits(bits)).collect();
    let (input, out) = (Array::of(&values), Array::<u16>::unwritten(values.len()));
    let grid = [(values.len() / 256) as u32, 1, 1];
    launch(
        "test_to_bf16",
        grid,
        256,
        0,
        &[out.argument(), input.argument()],
        Schedule(0),
    )
    .unwrap();
    for (&value, rounded) in values.iter().zip(out.values()) {
        let expected = bf16::from_f32(value);
        if value.is_nan() {
            // A GPU makes every NaN this one.
            assert_eq!(rounded, 0x7fff, "{:08x}", value.to_bits());
        } else {
            assert_eq!(rounded, expected.to_bits(), "{:08x}", value.to_bits());
        }
    }
}

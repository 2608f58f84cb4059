//! Machine code with tiles, run where the processor does not know it; where it does, these tests are skipped.
#![cfg(all(target_arch = "x86_64", target_os = "linux"))]

use std::arch::asm;
use std::process::{Command, Output};

/// Rows of 64 bytes.
#[repr(C, align(64))]
struct Configuration([u8; 64]);

/// Tiles 0 to 2: sums of `rows` rows and 16 columns, `rows` rows of 2 `pairs` bf16, and `pairs` pairs of 16 columns.
fn configuration(rows: u8, pairs: u8) -> Configuration {
    let mut bytes = [0; 64];
    bytes[0] = 1;
    (bytes[16], bytes[48]) = (64, rows);
    (bytes[18], bytes[49]) = (4 * pairs, rows);
    (bytes[20], bytes[50]) = (64, pairs);
    Configuration(bytes)
}

/// `c + a b` by the instructions; `a` and `b` in bf16, `b` in pairs of rows.
fn product(
    configuration: &Configuration,
    c: &[[f32; 16]],
    a: &[[u16; 32]],
    b: &[[u16; 32]],
) -> Vec<[f32; 16]> {
    promot_amx_emulator::install();
    // Rows of the result are further apart than they are long, with numbers between that stay.
    let mut result = vec![[[f32::NAN; 16]; 2]; c.len()];
    // SAFETY: the tiles have as many rows as what is loaded and stored.
    unsafe {
        asm!(
            "ldtilecfg [{configuration}]",
            "tileloadd tmm0, [{c} + {stride}]",
            "tileloadd tmm1, [{a} + {stride}]",
            "tileloaddt1 tmm2, [{b} + {stride}*1 + 0]",
            "tdpbf16ps tmm0, tmm1, tmm2",
            "add {stride}, {stride}",
            "tilestored [{result} + {stride}], tmm0",
            "tilerelease",
            configuration = in(reg) configuration,
            c = in(reg) c.as_ptr(), a = in(reg) a.as_ptr(), b = in(reg) b.as_ptr(),
            result = in(reg) result.as_mut_ptr(),
            stride = inout(reg) 64_usize => _,
            options(nostack),
        );
    }
    let between = result.iter().flat_map(|row| row[1]);
    assert!(between.into_iter().all(f32::is_nan));
    result.into_iter().map(|[row, _]| row).collect()
}

/// Whether there is something to test; says so if not.
fn is_emulated() -> bool {
    let is_needed = promot_amx_emulator::is_needed();
    if !is_needed {
        eprintln!("skipped: this processor has matrix units, nothing is emulated");
    }
    is_needed
}

/// Numbers that bf16 holds.
fn number(seed: usize) -> f32 {
    (seed * 7919 % 257) as f32 - 128.0
}

fn bf16(x: f32) -> u16 {
    assert_eq!(x.to_bits() & 0xffff, 0, "{x}");
    (x.to_bits() >> 16) as u16
}

#[test]
fn products_are_those_of_the_numbers() {
    if !is_emulated() {
        return;
    }
    for (rows, pairs) in [(16, 16), (1, 16), (5, 3), (16, 1)] {
        let left = |row: usize, term: usize| number(row * 31 + term);
        let right = |term: usize, column: usize| number(term * 17 + column + 5);
        let a: Vec<[u16; 32]> = (0..rows)
            .map(|row| std::array::from_fn(|term| bf16(left(row, term))))
            .collect();
        let b: Vec<[u16; 32]> = (0..pairs)
            .map(|pair| std::array::from_fn(|i| bf16(right(2 * pair + i % 2, i / 2))))
            .collect();
        let c: Vec<[f32; 16]> = (0..rows)
            .map(|row| std::array::from_fn(|column| number(row + column)))
            .collect();
        let found = product(&configuration(rows as u8, pairs as u8), &c, &a, &b);
        for row in 0..rows {
            for column in 0..16 {
                // Whole numbers below 2^24: no order of sums rounds.
                let terms = (0..2 * pairs).map(|term| left(row, term) * right(term, column));
                let expected = c[row][column] + terms.sum::<f32>();
                assert_eq!(
                    found[row][column], expected,
                    "{rows} rows, {pairs} pairs: {row}, {column}"
                );
            }
        }
    }
}

/// First numbers of pairs are summed up by themselves, in f32.
#[test]
fn sums_round_in_the_order_of_the_manual() {
    if !is_emulated() {
        return;
    }
    let one_product = |left: [f32; 4], right: [f32; 4], c: f32| {
        let mut a = [[0; 32]];
        let mut b = [[0; 32]; 2];
        for term in 0..4 {
            a[0][term] = bf16(left[term]);
            b[term / 2][term % 2] = bf16(right[term]);
        }
        product(&configuration(1, 2), &[[c; 16]], &a, &b)[0][0]
    };
    let large = 2_f32.powi(24);
    // By themselves, both ones are lost; next to each other they would not be.
    assert_eq!(one_product([large, 1.0, 1.0, 0.0], [1.0; 4], 0.0), large);
    assert_eq!(
        one_product([1.0, 1.0, 0.0, 0.0], [1.0; 4], large),
        large + 2.0
    );
    // Too small to be normal: factors, products, sums.
    let least = f32::MIN_POSITIVE;
    assert_eq!(
        one_product([least / 2.0, 0.0, 0.0, 0.0], [2.0; 4], 0.0),
        0.0
    );
    assert_eq!(one_product([least, 0.0, 0.0, 0.0], [0.5; 4], 0.0), 0.0);
    assert_eq!(one_product([least, 0.0, 0.0, 0.0], [1.5; 4], -least), 0.0);
    assert_eq!(
        one_product([least, 0.0, 0.0, 0.0], [3.0; 4], -least),
        2.0 * least
    );
}

#[test]
fn threads_have_tiles_of_their_own() {
    if !is_emulated() {
        return;
    }
    let value = |x: f32| {
        let a = [[bf16(x); 32]; 16];
        product(&configuration(16, 16), &[[0.0; 16]; 16], &a, &a)[3][7]
    };
    std::thread::scope(|scope| {
        for i in 1..5_u8 {
            let x = f32::from(i);
            scope.spawn(move || {
                for _ in 0..100 {
                    assert_eq!(value(x), 32.0 * x * x);
                }
            });
        }
    });
}

/// Not tests by themselves: each is a program that is ended, see below.
mod mistakes {
    use super::*;

    #[test]
    #[ignore = "ends the program"]
    fn shapes() {
        let mut configuration = configuration(4, 4);
        configuration.0[50] = 5;
        product(
            &configuration,
            &[[0.0; 16]; 4],
            &[[0; 32]; 4],
            &[[0; 32]; 5],
        );
    }

    #[test]
    #[ignore = "ends the program"]
    fn without_configuration() {
        promot_amx_emulator::install();
        // SAFETY: touches no memory.
        unsafe { asm!("tilezero tmm3", options(nostack, nomem)) };
    }

    #[test]
    #[ignore = "ends the program"]
    fn rows() {
        let mut configuration = configuration(16, 16);
        configuration.0[48] = 17;
        product(
            &configuration,
            &[[0.0; 16]; 17],
            &[[0; 32]; 17],
            &[[0; 32]; 17],
        );
    }

    #[test]
    #[ignore = "ends the program"]
    fn other_instruction() {
        promot_amx_emulator::install();
        // SAFETY: ends the program.
        unsafe { asm!("ud2", options(nostack, nomem)) };
    }
}

/// On matrix units these end the program as well, without a word.
#[test]
fn mistakes_end_the_program() {
    if !is_emulated() {
        return;
    }
    use std::os::unix::process::ExitStatusExt as _;

    let run = |name: &str| -> Output {
        let this = std::env::current_exe().unwrap();
        let arguments = ["--ignored", "--exact", "--nocapture", name];
        Command::new(this).args(arguments).output().unwrap()
    };
    for (name, words) in [
        (
            "mistakes::shapes",
            "tdpbf16ps: 4x16 words += 4x4 times 5x16",
        ),
        (
            "mistakes::without_configuration",
            "tilezero: tiles are not configured",
        ),
        ("mistakes::rows", "ldtilecfg: tile 0 of 17 rows of 64 bytes"),
    ] {
        let output = run(name);
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.signal().is_some(), "{name}: {text}");
        assert!(text.contains(words), "{name}: {text}");
    }
    let status = run("mistakes::other_instruction").status;
    assert_eq!(status.signal(), Some(libc::SIGILL), "{status}");
}

//! Races are found even where every order that is tried gives the right results. Without
//! `PROMOT_EMULATOR_RACES=1` these kernels run as if nothing were wrong, which is tested as well.

mod common;

use std::ffi::c_void;

use common::{Array, SCHEDULES, run_block};
use promot_cuda_emulator::{FINDS_RACES, Schedule, launch};

/// Runs a kernel under all schedules: where races are found, each time with a message that begins and
/// ends so, else with the right results.
fn races(
    kernel: &str,
    blocks: u32,
    threads: u32,
    expected: &dyn Fn(u32) -> u32,
    beginning: &str,
    what: &str,
) {
    for schedule in SCHEDULES {
        let out = Array::<u32>::unwritten(threads as usize);
        let arguments: [*const c_void; 1] = [out.argument()];
        let result = launch(kernel, [blocks, 1, 1], threads, 512, &arguments, schedule);
        if FINDS_RACES {
            let message = result.expect_err(kernel);
            println!("{message}");
            assert!(message.contains(beginning), "{message}");
            assert!(message.contains(what), "{message}");
            assert!(message.contains("races.cu:"), "{message}");
        } else {
            result.unwrap();
            let expected: Vec<u32> = (0..threads).map(expected).collect();
            assert_eq!(out.values(), expected, "{kernel}, {schedule:?}");
        }
    }
}

#[test]
fn races_for_shared_memory_are_found() {
    let shared = "a race for byte 0 of shared memory: thread ";
    races("test_race_of_writes", 1, 64, &|_| 7, shared, " wrote ");
    races(
        "test_race_of_read_and_write",
        1,
        64,
        &|_| 7,
        shared,
        " read",
    );
    let as_float = |lane: u32| ((lane ^ 1) as f32).to_bits();
    let shared = "of shared memory: thread ";
    races(
        "test_race_across_shuffle",
        1,
        32,
        &as_float,
        shared,
        " wrote ",
    );
    let element = |lane| (8 * (lane / 4) + lane % 4 * 2) * 65_537 + 65_536;
    races(
        "test_race_of_load_matrices",
        1,
        32,
        &element,
        shared,
        " wrote ",
    );
}

#[test]
fn races_of_blocks_are_found() {
    let expected = |lane| if lane == 0 { 7 } else { u32::MAX };
    let device = "a race for byte 0 of device memory: thread 0 writes";
    races(
        "test_race_of_blocks",
        3,
        32,
        &expected,
        device,
        "thread 0 of block number ",
    );
    // One block alone races with nobody.
    let out = Array::<u32>::unwritten(32);
    run_block("test_race_of_blocks", 32, 0, &[out.argument()], Schedule(0)).unwrap();
}

#[test]
fn barriers_end_races() {
    for schedule in SCHEDULES {
        let out = Array::<u32>::unwritten(64);
        run_block("test_no_race", 64, 256, &[out.argument()], schedule).unwrap();
        let values = out.values();
        assert_eq!(values[..32], values[32..]);
    }
}

#[test]
fn missing_barriers_are_races() {
    if !FINDS_RACES {
        return;
    }
    for kernel in ["test_missing_barrier", "test_missing_barrier_after_reading"] {
        for schedule in SCHEDULES {
            let out = Array::<f32>::unwritten(128);
            let result = run_block(kernel, 64, 256, &[out.argument()], schedule);
            assert!(result.unwrap_err().contains("a race for byte"), "{kernel}");
        }
    }
}

//! What is wrong with a kernel or a launch is found.

mod common;

use std::os::unix::process::ExitStatusExt;
use std::process::Command;

use common::{Array, SCHEDULES, number, run_block};
use promot_cuda_emulator::{ADDRESS_SANITIZER, FINDS_RACES, Memory, Schedule, launch};

/// Whether a kernel's results differ from what it would give if all went well, under some schedule.
fn some_schedule_differs(kernel: &str, threads: u32, expected: &[f32]) -> bool {
    SCHEDULES.into_iter().any(|schedule| {
        let out = Array::<f32>::unwritten(expected.len());
        match run_block(kernel, threads, 4 * threads, &[out.argument()], schedule) {
            Ok(()) => out.values() != expected,
            // Without other results it is found too.
            Err(message) => FINDS_RACES && message.contains("a race for byte"),
        }
    })
}

#[test]
fn missing_barriers_change_results() {
    let reversed: Vec<f32> = (0..64).rev().map(|i| i as f32).collect();
    assert!(some_schedule_differs("test_missing_barrier", 64, &reversed));

    let other_warp = |round: u32| (0..64).map(move |i| ((i + 32) % 64 + 100 * round) as f32);
    let rounds: Vec<f32> = other_warp(0).chain(other_warp(1)).collect();
    assert!(some_schedule_differs(
        "test_missing_barrier_after_reading",
        64,
        &rounds
    ));

    let neighbours: Vec<f32> = (0..32).map(|i| (i ^ 1) as f32).collect();
    assert!(some_schedule_differs(
        "test_missing_warp_barrier",
        32,
        &neighbours
    ));
}

/// The message of a launch of one block, which must fail under every schedule.
fn failure(kernel: &str, threads: u32) -> String {
    let messages = SCHEDULES.map(|schedule| {
        let out = Array::<u32>::unwritten(threads as usize);
        run_block(kernel, threads, 0, &[out.argument()], schedule).unwrap_err()
    });
    assert!(
        messages.iter().all(|message| *message == messages[0]),
        "{messages:?}"
    );
    messages[0].clone()
}

#[test]
fn barriers_that_not_all_reach_are_errors() {
    assert_eq!(
        failure("test_barrier_for_some", 64),
        "kernel `test_barrier_for_some`: block (0, 0, 0): sync_block was reached by 48 of 64 threads; \
         the others had ended"
    );
    assert_eq!(
        failure("test_barrier_for_a_warp", 64),
        "kernel `test_barrier_for_a_warp`: block (0, 0, 0): sync_block was reached by 32 of 64 \
         threads; the others had ended"
    );
}

#[test]
fn collectives_that_not_all_reach_are_errors() {
    for kernel in ["test_shuffle_for_some", "test_shuffle_or_barrier"] {
        let message = failure(kernel, 32);
        assert!(
            message.ends_with("was reached by 16 of 32 lanes of warp 0"),
            "{message}"
        );
    }
    let message = failure("test_different_collectives", 32);
    assert!(
        message.ends_with("the lanes of warp 0 came to different collectives"),
        "{message}"
    );
}

#[test]
fn rows_of_matrices_are_checked() {
    let out = Array::<u32>::unwritten(32);
    let load = |offset: u32, shared_bytes| {
        let arguments = [out.argument(), number(&offset)];
        run_block(
            "test_load_matrices_at",
            32,
            shared_bytes,
            &arguments,
            Schedule(0),
        )
    };
    load(0, 512).unwrap();
    load(8, 528).unwrap();
    let message = load(1, 528).unwrap_err();
    assert!(
        message.ends_with("the row of lane 0 is not aligned to 16 bytes"),
        "{message}"
    );
    let message = load(8, 512).unwrap_err();
    assert!(
        message.ends_with("the row of lane 31 is not in shared memory"),
        "{message}"
    );
}

#[test]
fn launches_that_no_gpu_takes_are_errors() {
    let out = Array::<u32>::unwritten(64);
    let cases = [
        (
            "test_nothing",
            [1, 1, 1],
            32,
            0,
            "there is no kernel of this name",
        ),
        (
            "test_indices",
            [1, 1, 1],
            0,
            0,
            "a block of 0 threads is not of whole warps",
        ),
        (
            "test_indices",
            [1, 1, 1],
            40,
            0,
            "a block of 40 threads is not of whole warps",
        ),
        (
            "test_indices",
            [1, 1, 1],
            96,
            0,
            "a block of 96 threads, where it allows 64",
        ),
        ("test_indices", [1, 0, 1], 32, 0, "the grid has no blocks"),
        (
            "test_indices",
            [1, 65_536, 1],
            32,
            0,
            "the grid is larger than a GPU allows",
        ),
        (
            "test_indices",
            [1, 1, 1],
            32,
            1 << 20,
            "1048576 bytes of shared memory, which no GPU has",
        ),
    ];
    for (kernel, grid, threads, shared_bytes, expected) in cases {
        let arguments = [out.argument()];
        let message =
            launch(kernel, grid, threads, shared_bytes, &arguments, Schedule(0)).unwrap_err();
        assert_eq!(message, format!("kernel `{kernel}`: {expected}"));
    }
    let message = run_block("test_indices", 32, 0, &[], Schedule(0)).unwrap_err();
    assert_eq!(
        message,
        "kernel `test_indices`: it takes 1 arguments and was given 0"
    );
}

#[test]
fn what_is_not_defined_is_an_error() {
    let cases = [
        (0u32, 1u32, "misaligned access"),
        (1, 5, "an index beyond the end of an array"),
        (2, 32, "a shift by too many bits"),
        (3, 0, "a division by zero"),
        (4, i32::MAX as u32, "an overflow of a signed number"),
    ];
    for (which, value, what) in cases {
        let out = Array::<u32>::unwritten(32);
        let run = |value: u32| {
            let arguments = [out.argument(), number(&which), number(&value)];
            run_block("test_undefined", 32, 0, &arguments, Schedule(0))
        };
        run(4).unwrap();
        let message = run(value).unwrap_err();
        assert!(message.starts_with("kernel `test_undefined`: block (0, 0, 0): mistakes.cu:"));
        assert!(message.ends_with(what), "{message}");
    }
}

#[test]
fn a_failed_launch_leaves_nothing_behind() {
    for _ in 0..100 {
        failure("test_barrier_for_some", 64);
        let out = Array::<u32>::unwritten(256);
        run_block(
            "test_ten_barriers",
            256,
            1024,
            &[out.argument()],
            Schedule(2),
        )
        .unwrap();
        assert_eq!(out.values()[0], 5 * 33 + 5);
    }
}

#[test]
fn unwritten_memory_reads_as_nan() {
    let (numbers, narrow) = (Array::<f32>::unwritten(32), Array::<f32>::unwritten(32));
    assert!(numbers.values().iter().all(|value| value.is_nan()));
    let arguments = [numbers.argument(), narrow.argument()];
    // Twice: what a block has written is gone for the next one.
    for _ in 0..2 {
        run_block("test_read_unwritten", 32, 128, &arguments, Schedule(0)).unwrap();
        let read = [numbers.values(), narrow.values()].concat();
        assert!(read.iter().all(|value| value.is_nan()));
        let out = Array::<u32>::unwritten(64);
        run_block("test_ten_barriers", 64, 256, &[out.argument()], Schedule(0)).unwrap();
    }
}

// AddressSanitizer finds the next two while they happen: see `access_is_fatal`.
#[test]
#[cfg(not(address_sanitizer))]
fn writing_just_behind_shared_memory_is_an_error() {
    let write = |shared_bytes, byte: u32| {
        run_block(
            "test_write_shared_at",
            32,
            shared_bytes,
            &[number(&byte)],
            Schedule(0),
        )
    };
    write(100, 99).unwrap();
    let message = write(100, 100).unwrap_err();
    assert!(
        message.ends_with("a thread wrote behind the end of shared memory"),
        "{message}"
    );
}

#[test]
#[cfg(not(address_sanitizer))]
#[should_panic(expected = "something was written behind the end of 100 bytes of memory")]
fn writing_just_behind_memory_panics() {
    let array = Array::<u8>::unwritten(100);
    let arguments = [array.argument(), number(&100u64)];
    run_block("test_write_at", 32, 0, &arguments, Schedule(0)).unwrap();
}

/// Access to memory that may not be touched.
const SIGSEGV: i32 = 11;

/// Runs one of this program's ignored tests, which must die of a signal, or of AddressSanitizer.
fn dies(test: &str) {
    let program = std::env::current_exe().unwrap();
    let output = Command::new(program)
        .args(["--exact", test, "--ignored"])
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    if ADDRESS_SANITIZER {
        assert!(told.contains("AddressSanitizer"), "{output:?}");
    } else {
        let place = ": block (0, 0, 0), thread 0: access to address 0x";
        assert!(told.contains(place), "{output:?}");
        assert_eq!(output.status.signal(), Some(SIGSEGV), "{output:?}");
    }
}

#[test]
fn access_is_fatal() {
    dies("child_reads_behind_memory");
    dies("child_writes_behind_memory");
    dies("child_writes_behind_shared_memory");
    if ADDRESS_SANITIZER {
        dies("child_writes_just_behind_memory");
        dies("child_writes_just_behind_shared_memory");
        dies("child_reads_before_memory");
    }
}

#[test]
#[ignore = "dies; another test runs it"]
fn child_reads_behind_memory() {
    let (out, array) = (Array::<f32>::unwritten(1), Array::<f32>::unwritten(1024));
    let arguments = [out.argument(), array.argument(), number(&1024u64)];
    let _ = run_block("test_read_at", 32, 0, &arguments, Schedule(0));
}

#[test]
#[ignore = "dies; another test runs it"]
fn child_writes_behind_memory() {
    let array = Array::<u8>::unwritten(32);
    let arguments = [array.argument(), number(&32u64)];
    let _ = run_block("test_write_at", 32, 0, &arguments, Schedule(0));
}

#[test]
#[ignore = "dies; another test runs it"]
fn child_writes_behind_shared_memory() {
    let _ = run_block(
        "test_write_shared_at",
        32,
        64,
        &[number(&64u32)],
        Schedule(0),
    );
}

#[test]
#[ignore = "dies; another test runs it"]
fn child_writes_just_behind_memory() {
    let array = Array::<u8>::unwritten(100);
    let arguments = [array.argument(), number(&100u64)];
    let _ = run_block("test_write_at", 32, 0, &arguments, Schedule(0));
}

#[test]
#[ignore = "dies; another test runs it"]
fn child_writes_just_behind_shared_memory() {
    let _ = run_block(
        "test_write_shared_at",
        32,
        100,
        &[number(&100u32)],
        Schedule(0),
    );
}

#[test]
#[ignore = "dies; another test runs it"]
fn child_reads_before_memory() {
    let (out, array) = (Array::<f32>::unwritten(1), Array::<f32>::unwritten(16));
    let arguments = [out.argument(), array.argument(), number(&u64::MAX)];
    let _ = run_block("test_read_at", 32, 0, &arguments, Schedule(0));
}

#[test]
fn memory_ends_where_it_may_not_be_touched() {
    for bytes in [1, 16, 100, 4096, 5000, 1 << 20] {
        let memory = Memory::allocate(bytes);
        assert_eq!(memory.address() % 16, 0);
        assert_eq!(
            (memory.address() as usize + bytes).next_multiple_of(16) % 4096,
            0
        );
    }
}

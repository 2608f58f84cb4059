//! Times of typical launches.

use std::time::Instant;

use promot_cuda_emulator::{Memory, Schedule, launch};

/// Prints the shortest time of several runs.
fn time(what: &str, repeats: u32, mut run: impl FnMut()) {
    let times = (0..repeats).map(|_| {
        let start = Instant::now();
        run();
        start.elapsed()
    });
    println!(
        "{what}: {:.1} us",
        times.min().expect("a run").as_secs_f64() * 1e6
    );
}

fn main() {
    let memory = Memory::allocate(1 << 22);
    let address = memory.address();
    let pointer = std::ptr::from_ref(&address).cast();
    for schedule in [0, 1, 2] {
        let schedule = Schedule(schedule);
        time(
            &format!("{schedule:?} 256 threads, 10 barriers"),
            2000,
            || {
                launch(
                    "test_ten_barriers",
                    [1, 1, 1],
                    256,
                    1024,
                    &[pointer],
                    schedule,
                )
                .unwrap();
            },
        );
        time(&format!("{schedule:?} 1000 such blocks"), 20, || {
            launch(
                "test_ten_barriers",
                [1000, 1, 1],
                256,
                1024,
                &[pointer],
                schedule,
            )
            .unwrap();
        });
        time(
            &format!("{schedule:?} 1 block of 1024, block_sum and block_max"),
            500,
            || {
                let arguments = [pointer, pointer, pointer];
                launch("test_block_sum", [1, 1, 1], 1024, 128, &arguments, schedule).unwrap();
            },
        );
        time(
            &format!("{schedule:?} 1 block of 64 without barriers"),
            5000,
            || {
                launch("test_indices", [1, 1, 1], 64, 0, &[pointer], schedule).unwrap();
            },
        );
        time(
            &format!("{schedule:?} 1000 blocks of 64 without barriers"),
            50,
            || {
                launch("test_indices", [1000, 1, 1], 64, 0, &[pointer], schedule).unwrap();
            },
        );
        time(&format!("{schedule:?} 1000 warps with one mma"), 50, || {
            let arguments = [pointer, pointer, pointer];
            launch("test_mma", [1000, 1, 1], 32, 0, &arguments, schedule).unwrap();
        });
    }
    time("memory of 64 KiB", 5000, || {
        Memory::allocate(1 << 16);
    });
}

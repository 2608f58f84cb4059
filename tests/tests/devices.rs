//! Where models compute: what there is, what is said where there is no GPU, and that the program needs
//! none.

use std::process::Command;

use promot_tests::{SMALL, Workplace, program};

/// A GPU that no machine has.
const NOT_THERE: &str = "cuda:999";

/// What is said about a GPU that is not there: by a machine without a driver, without that many GPUs, or
/// with a driver that does not start.
fn says_why(stderr: &str) -> bool {
    let reasons = [
        "no NVIDIA driver on this machine",
        "no CUDA device 999",
        "NVIDIA driver:",
    ];
    reasons.iter().any(|reason| stderr.contains(reason))
}

#[test]
fn devices_are_listed_or_it_is_said_why_there_are_none() {
    let place = Workplace::new();
    let listed = place.run(&["devices"]).success();
    assert_eq!(listed.stderr, "");
    let lines: Vec<&str> = listed.stdout.lines().collect();
    assert!(
        lines[0].starts_with("cpu ") && lines[0].contains("kernels"),
        "{}",
        lines[0]
    );
    assert!(
        lines[1].starts_with("cuda:0 ") || lines[1].starts_with("no GPU: "),
        "{}",
        lines[1]
    );
}

/// Kernels that a variable asks for run, or the program says which it could.
#[test]
fn kernels_on_the_cpu_are_those_that_are_asked_for() {
    let place = Workplace::new();
    let listed = |name| place.run_with_env(&["devices"], &[("PROMOT_GEMM", name)]);
    let portable = listed("portable").success().stdout;
    assert!(
        portable.contains("kernels gemm-f32 (f32) and gemm-bf16-rounded (bf16)"),
        "{portable}"
    );
    let refused = listed("portabel");
    assert_eq!(refused.code, Some(2), "{}", refused.all());
    assert_eq!(refused.stdout, "");
    assert!(
        refused.stderr.starts_with("error: PROMOT_GEMM=portabel: ")
            && refused.stderr.contains("portable, or unset it"),
        "{}",
        refused.stderr
    );
}

#[test]
fn a_gpu_that_is_not_there_ends_a_run_before_anything_is_written() {
    let place = Workplace::new();
    place.write("small.yaml", SMALL);
    place.write(
        "gpu.yaml",
        SMALL.replacen("seed:", &format!("device: {NOT_THERE}\nseed:"), 1),
    );
    for args in [
        &["run", "gpu.yaml"][..],
        &["run", "small.yaml", "--device", NOT_THERE],
    ] {
        let failed = place.run(args);
        assert_eq!(failed.code, Some(1), "{}", failed.all());
        assert!(failed.stderr.starts_with("error: "), "{}", failed.stderr);
        assert!(says_why(&failed.stderr), "{}", failed.stderr);
        assert_eq!(failed.stderr.lines().count(), 1, "{}", failed.stderr);
        assert_eq!(failed.stdout, "");
        assert!(!place.path(".promot").exists());
    }
    // What does not compute needs no GPU.
    let validated = place.run(&["validate", "gpu.yaml"]).success();
    assert!(
        validated.stdout.contains("nothing wrong"),
        "{}",
        validated.stdout
    );
    let planned = place.run(&["plan", "gpu.yaml"]).success();
    assert!(planned.stdout.contains("never run"), "{}", planned.stdout);

    let failed = place.run(&["generate", "--device", NOT_THERE, "Anna is tall."]);
    assert_eq!(failed.code, Some(1), "{}", failed.all());
    assert!(says_why(&failed.stderr), "{}", failed.stderr);
}

#[test]
fn auto_says_what_it_took() {
    let place = Workplace::new();
    place.write("small.yaml", SMALL);
    let planned = place
        .run(&["plan", "small.yaml", "--device", "auto"])
        .success();
    let note = planned.stderr;
    let has_gpu = place.run(&["devices"]).success().stdout;
    if has_gpu.contains("no GPU") {
        assert!(note.starts_with("device auto: cpu (no "), "{note}");
    } else {
        assert!(note.starts_with("device auto: cuda:"), "{note}");
    }
}

/// The program that runs where there is a GPU is the one that runs where there is none.
#[test]
fn no_cuda_library_is_linked() {
    if !cfg!(target_os = "linux") {
        eprintln!("skipped: this looks at ELF files");
        return;
    }
    let Ok(output) = Command::new("readelf").arg("-d").arg(program()).output() else {
        eprintln!("skipped: readelf is not installed");
        return;
    };
    assert!(output.status.success());
    let dynamic = String::from_utf8(output.stdout).unwrap();
    let needed: Vec<&str> = dynamic
        .lines()
        .filter(|line| line.contains("(NEEDED)"))
        .collect();
    assert!(
        needed.iter().any(|line| line.contains("libc.so")),
        "{dynamic}"
    );
    for line in needed {
        let line = line.to_lowercase();
        for library in ["cuda", "cublas", "nvrtc", "nvidia"] {
            assert!(!line.contains(library), "{line}");
        }
    }
}

#[test]
fn the_self_test_passes_on_the_cpu_and_says_why_it_cannot_on_a_gpu_that_is_not_there() {
    let place = Workplace::new();
    let tested = place.run(&["selftest"]).success();
    for part in [
        "cpu, precision f32",
        "cpu, precision bf16",
        "attention",
        "T5: loss",
        "TFLOP/s",
    ] {
        assert!(tested.stdout.contains(part), "{part}: {}", tested.stdout);
    }
    assert!(
        tested.stdout.ends_with("all checks passed\n"),
        "{}",
        tested.stdout
    );
    assert!(!tested.stdout.contains("WRONG"), "{}", tested.stdout);

    let failed = place.run(&["selftest", "--device", NOT_THERE]);
    assert_eq!(failed.code, Some(1), "{}", failed.all());
    assert!(says_why(&failed.stderr), "{}", failed.stderr);
}

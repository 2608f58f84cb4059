//! What asks NVIDIA's libraries, executed: on stand-ins everywhere, and on a GPU where there is one.

use std::path::Path;
use std::process::Command;

use half::bf16;

use super::super::{Argument, Driver as _, Factor, Gpu, GpuError, Kernel, Launch, Module, Product};
use super::{CudaDriver, devices, first_usable};
use crate::backend::Device as _;
use crate::gemm::Precision;

#[test]
fn a_machine_lists_its_devices_or_says_why_there_are_none() {
    match devices() {
        Ok(devices) => {
            for (index, device) in devices.iter().enumerate() {
                assert_eq!(device.index, index);
                assert!(device.memory > 0 && !device.name.is_empty(), "{device:?}");
            }
            let opened = CudaDriver::open(devices.len()).err();
            let (index, count) = (devices.len(), devices.len());
            assert_eq!(opened, Some(GpuError::NoDevice { index, count }));
        }
        Err(error) => {
            let missing = matches!(error, GpuError::NoDriver { .. } | GpuError::Failed { .. });
            assert!(missing, "{error}");
            assert_eq!(CudaDriver::open(0).err(), Some(error.clone()));
            assert_eq!(first_usable().err(), Some(error));
        }
    }
}

#[test]
fn a_gpu_copies_and_multiplies() {
    match first_usable() {
        Ok(device) => copies_and_multiplies(&CudaDriver::open(device.index).unwrap()),
        Err(reason) => eprintln!("skipped: {reason}"),
    }
}

/// The environment variable that tells this program, started again, on which machine it is.
const MACHINE: &str = "STAND_IN";

#[test]
fn libraries_are_asked_for_what_they_can_do() {
    if let Ok(machine) = std::env::var(MACHINE) {
        return on_machine(&machine);
    }
    if !cfg!(target_os = "linux") {
        eprintln!("skipped: stand-ins are made on Linux only");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    for (library, which) in [("libcuda.so", "DRIVER"), ("libcublasLt.so", "CUBLASLT")] {
        if !compile(&directory.path().join(library), which) {
            eprintln!("skipped: there is no C compiler");
            return;
        }
    }
    for machine in [
        "usual",
        "old driver",
        "old device",
        "empty",
        "without cuBLASLt",
    ] {
        if machine == "without cuBLASLt" {
            std::fs::remove_file(directory.path().join("libcublasLt.so")).unwrap();
        }
        let name = "backend::gpu::cuda::tests::libraries_are_asked_for_what_they_can_do";
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name, "--nocapture"])
            .env(MACHINE, machine)
            .env("LD_LIBRARY_PATH", directory.path())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success() && said.contains("1 passed"),
            "{machine}: {:?}\n{said}{}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

fn compile(library: &Path, which: &str) -> bool {
    let source =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("src/backend/gpu/cuda/tests/stand_in.c");
    let mut compiler = Command::new("cc");
    compiler
        .args(["-std=c11", "-O1", "-shared", "-fPIC", "-o"])
        .arg(library);
    compiler.arg(format!("-D{which}")).arg(source);
    match compiler.status() {
        Ok(status) => {
            assert!(status.success(), "{which} of the stand-in compiles");
            true
        }
        Err(_) => false,
    }
}

fn on_machine(machine: &str) {
    let unsupported = |error: Option<GpuError>, part: &str| {
        let error = error.expect("it cannot be used");
        assert!(matches!(error, GpuError::Unsupported { .. }), "{error}");
        assert!(error.to_string().contains(part), "{error}");
    };
    match machine {
        "usual" => on_the_usual_machine(),
        "old driver" => {
            assert_eq!(devices().unwrap()[0].driver, (11, 8));
            unsupported(CudaDriver::open(0).err(), "CUDA 11.8");
            unsupported(first_usable().err(), "CUDA 11.8");
        }
        "old device" => {
            unsupported(CudaDriver::open(0).err(), "7.6");
            assert_eq!(first_usable().unwrap().index, 1);
        }
        "empty" => {
            assert_eq!(devices(), Ok(Vec::new()));
            let nothing = GpuError::NoDevice { index: 0, count: 0 };
            assert_eq!(first_usable().err(), Some(nothing.clone()));
            assert_eq!(CudaDriver::open(0).err(), Some(nothing));
        }
        "without cuBLASLt" => {
            let error = CudaDriver::open(0).err().unwrap();
            assert!(matches!(error, GpuError::NoLibrary { .. }), "{error}");
            assert_eq!(first_usable().err(), Some(error));
        }
        other => panic!("no machine {other}"),
    }
}

fn on_the_usual_machine() {
    let found = devices().unwrap();
    assert_eq!(found.len(), 2);
    let device = &found[1];
    assert_eq!((device.name.as_str(), device.index), ("Stand-in 1", 1));
    assert_eq!(
        (device.compute_capability, device.driver),
        ((8, 6), (12, 2))
    );
    assert_eq!(
        (device.memory, device.free_memory()),
        (1 << 30, Ok(1 << 20))
    );

    copies_and_multiplies(&CudaDriver::open(1).unwrap());
    // Two at once, on one thread.
    let drivers = [0, 1].map(|index| CudaDriver::open(index).unwrap());
    drivers.iter().for_each(copies_and_multiplies);
    drop(drivers);

    let driver = CudaDriver::open(0).unwrap();
    let out_of_memory = GpuError::OutOfMemory {
        bytes: 2 << 30,
        free: 1 << 20,
        total: 1 << 30,
    };
    assert_eq!(driver.allocate(2 << 30), Err(out_of_memory));
    launches(&driver);
    drop(driver);

    // A crash is told once it is asked for, and ends what is asked for afterwards.
    let gpu = Gpu::open(0, Precision::F32).unwrap();
    assert_eq!(gpu.kernels(), "cuda-f32 (Stand-in 0)");
    // 10 multiprocessors at 1.5 GHz, 256 operations each.
    assert_eq!(gpu.peak(), Some(256.0 * 10.0 * 1.5e9));
    let buffer = gpu.upload(vec![1.0, 2.0]);
    assert_eq!(gpu.download(buffer.as_ref()), [1.0, 2.0]);
    assert_eq!(gpu.check(), Ok(()));
    gpu.launch(kernel("crash"), [1, 1, 1], 32, 0, &[]);
    let error = gpu.check().unwrap_err().to_string();
    assert_eq!(
        error,
        "GPU: computing: unspecified launch failure (CUDA_ERROR_LAUNCH_FAILED)"
    );
    assert_eq!(gpu.download(buffer.as_ref()), [0.0, 0.0]);
    assert_eq!(gpu.check().unwrap_err().to_string(), error);
}

static MODULE: Module = Module {
    name: "some",
    ptx: "\
.version 8.1
.visible .entry fill(
\t.param .u64 fill_param_0,
\t.param .u32 fill_param_1,
\t.param .f32 fill_param_2
)
{ ret; }
.visible .entry crash()
{ ret; }
",
};

static DAMAGED: Module = Module {
    name: "damaged",
    ptx: ".visible .entry crash()\n{ ret; }\n",
};

fn kernel(name: &'static str) -> Kernel {
    Kernel {
        module: &MODULE,
        name,
    }
}

fn launches(driver: &CudaDriver) {
    let memory = driver.allocate(64).unwrap();
    driver.clear(memory, 64).unwrap();
    let arguments = [
        Argument::Address(memory),
        Argument::U32(3),
        Argument::F32(1.5),
    ];
    let launch = |kernel, shared_bytes, arguments| {
        driver.launch(&Launch {
            kernel,
            grid: [2, 1, 1],
            threads: 64,
            shared_bytes,
            arguments,
        })
    };
    // More shared memory than is plain has to be asked for, up to what there is.
    for shared_bytes in [0, 100 * 1024, 1024] {
        launch(kernel("fill"), shared_bytes, &arguments).unwrap();
    }
    assert_eq!(floats(driver, memory, 4), [1.5, 1.5, 1.5, 0.0]);
    let error = launch(kernel("fill"), 200 * 1024, &arguments).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("GPU: shared memory of kernel fill: "),
        "{error}"
    );
    let error = launch(kernel("fill"), 0, &arguments[..2]).unwrap_err();
    assert!(
        error.to_string().contains("arguments of [8, 4] bytes"),
        "{error}"
    );
    let damaged = Kernel {
        module: &DAMAGED,
        name: "crash",
    };
    let error = launch(damaged, 0, &[]).unwrap_err().to_string();
    assert_eq!(
        error,
        "GPU: compiling damaged.ptx for the device: a PTX JIT compilation failed \
         (CUDA_ERROR_INVALID_PTX) line 1: no version"
    );
    driver.free(memory);
}

fn floats(driver: &CudaDriver, address: u64, count: usize) -> Vec<f32> {
    let mut bytes = vec![0; 4 * count];
    driver.copy_to_host(&mut bytes, address).unwrap();
    let values = bytes.as_chunks::<4>().0.iter();
    values.map(|&value| f32::from_ne_bytes(value)).collect()
}

/// Products of all transpositions, in both precisions, of memory that is not aligned, with and without
/// what was there before.
fn copies_and_multiplies(driver: &CudaDriver) {
    let (m, n, k) = (3, 5, 4);
    // Small whole numbers: exact in every precision and order.
    let a = |row: usize, term: usize| row as f32 - term as f32;
    let b = |term: usize, column: usize| (2 * term + column) as f32 - 5.0;
    let memory = driver.allocate(4096).unwrap();
    for case in 0..16 {
        let [a_transposed, b_transposed, narrow, again] = [1, 2, 4, 8].map(|bit| case & bit != 0);
        driver.clear(memory, 4096).unwrap();
        let precision = if narrow {
            Precision::Bf16
        } else {
            Precision::F32
        };
        let (a_at, b_at, c_at) = (memory + 4, memory + 1024, memory + 2048);
        let factor = |at: u64,
                      (rows, columns): (usize, usize),
                      transposed: bool,
                      value: &dyn Fn(usize, usize) -> f32| {
            let (rows, columns) = if transposed {
                (columns, rows)
            } else {
                (rows, columns)
            };
            let stride = columns + 3;
            let values = (0..rows * stride).map(|i| {
                let (row, column) = (i / stride, i % stride);
                if transposed {
                    value(column, row)
                } else {
                    value(row, column)
                }
            });
            let bytes: Vec<u8> = match precision {
                Precision::F32 => values.flat_map(f32::to_ne_bytes).collect(),
                Precision::Bf16 => values
                    .flat_map(|v| bf16::from_f32(v).to_ne_bytes())
                    .collect(),
            };
            // By way of another place on the device.
            driver.copy_to_device(memory + 3072, &bytes).unwrap();
            driver.copy(at, memory + 3072, bytes.len()).unwrap();
            Factor {
                address: at,
                stride,
                transposed,
            }
        };
        let product = Product {
            m,
            n,
            k,
            a: factor(a_at, (m, k), a_transposed, &a),
            b: factor(b_at, (k, n), b_transposed, &b),
            precision,
            c: c_at,
            d: c_at,
            stride: n + 1,
            alpha: 2.0,
            beta: 0.0,
        };
        driver.product(&product).unwrap();
        let mut factor = 2.0;
        if again {
            driver
                .product(&Product {
                    beta: 0.5,
                    ..product
                })
                .unwrap();
            factor = 3.0;
        }
        driver.synchronize().unwrap();
        let c = floats(driver, c_at, m * (n + 1));
        for (i, &c) in c.iter().enumerate() {
            let (row, column) = (i / (n + 1), i % (n + 1));
            let sum: f32 = (0..k).map(|term| a(row, term) * b(term, column)).sum();
            let expected = if column == n { 0.0 } else { factor * sum };
            assert_eq!(c, expected, "case {case}: row {row}, column {column}");
        }
    }
    driver.free(memory);
}

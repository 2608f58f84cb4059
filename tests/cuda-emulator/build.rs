//! Compiles every kernel of promot-model, and those of this crate's tests, as C++.
//!
//! Variables of the environment choose what is compiled, and how:
//! - `PROMOT_CUDA_SOURCES`: a directory in place of `crates/promot-model/src`.
//! - `PROMOT_EMULATOR_SANITIZE=address`: with AddressSanitizer.
//! - `PROMOT_EMULATOR_RACES=1`: so that races for shared memory are found.
//! - `PROMOT_EMULATOR_CONTEXT=ucontext`: fibers as on processors without a switch of our own.

use std::collections::HashSet;
use std::ffi::OsString;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() {
    let here = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    let own = here.join("src");
    let model = variable("PROMOT_CUDA_SOURCES")
        .map_or_else(|| here.join("../../crates/promot-model/src"), PathBuf::from);
    let model = model
        .canonicalize()
        .unwrap_or_else(|error| fail(&model, &error));
    // Directories, so that a new file is seen too.
    for directory in [&model, &own] {
        println!("cargo:rerun-if-changed={}", directory.display());
    }

    let mode = Mode::chosen();
    mode.tell_rustc();
    let headers = [files(&own, "hpp"), files(&model, "cuh")].concat();
    let units = Units {
        mode,
        out: &out,
        include: [own.clone(), model.join("backend/gpu")],
        headers,
    };
    let mut objects = units.compile(&files(&own, "cpp"), &[]);
    let kernels = [files(&model, "cu"), files(&own, "cu")].concat();
    let wrappers: Vec<PathBuf> = kernels.iter().map(|kernel| wrapper(&out, kernel)).collect();
    objects.extend(units.compile(&wrappers, &kernels));
    units.remove_all_but(&objects);
    cc::Build::new()
        .cpp(true)
        .objects(objects)
        .link_lib_modifier("+whole-archive")
        .compile("promot_cuda_emulator");
}

/// What kernels are checked for.
const UNDEFINED: &str = "alignment,bounds,shift,integer-divide-by-zero,signed-integer-overflow";

/// How everything is compiled.
#[derive(Clone, Copy, Default, Hash)]
struct Mode {
    address_sanitizer: bool,
    races: bool,
    ucontext: bool,
}

impl Mode {
    fn chosen() -> Mode {
        let chosen = |name: &str, value: &str| match variable(name) {
            None => false,
            Some(given) if given.is_empty() || given == "0" => false,
            Some(given) if given == value => true,
            Some(given) => panic!("{name} may be `{value}`, not {given:?}"),
        };
        let mode = Mode {
            address_sanitizer: chosen("PROMOT_EMULATOR_SANITIZE", "address"),
            races: chosen("PROMOT_EMULATOR_RACES", "1"),
            ucontext: chosen("PROMOT_EMULATOR_CONTEXT", "ucontext"),
        };
        assert!(
            !(mode.address_sanitizer && mode.races),
            "AddressSanitizer and the search for races exclude each other"
        );
        mode
    }

    fn tell_rustc(self) {
        for (name, set) in [
            ("address_sanitizer", self.address_sanitizer),
            ("races", self.races),
        ] {
            println!("cargo:rustc-check-cfg=cfg({name})");
            if set {
                println!("cargo:rustc-cfg={name}");
            }
        }
        if self.address_sanitizer {
            // Before the C++ library: the sanitizer wants to be the first one that is loaded.
            println!("cargo:rustc-link-lib=asan");
        }
    }
}

/// What C++ files are compiled with. An object is compiled again when its file, a header or
/// the compiler's arguments changed.
struct Units<'a> {
    mode: Mode,
    out: &'a Path,
    include: [PathBuf; 2],
    headers: Vec<PathBuf>,
}

impl Units<'_> {
    fn directory(&self) -> PathBuf {
        self.out
            .join(format!("objects_{:016x}", hash_of(&self.mode)))
    }

    /// Objects of files. If the files are but wrappers of kernels, `kernels` are those.
    fn compile(&self, sources: &[PathBuf], kernels: &[PathBuf]) -> Vec<PathBuf> {
        let directory = self.directory();
        fs::create_dir_all(&directory).unwrap_or_else(|error| fail(&directory, &error));
        let mut build = self.build(!kernels.is_empty());
        let compiler = format!("{:?}", build.get_compiler().to_command());
        let mut headers = DefaultHasher::new();
        for header in &self.headers {
            read(header).hash(&mut headers);
        }
        let objects: Vec<PathBuf> = sources
            .iter()
            .enumerate()
            .map(|(i, source)| {
                let text = (read(source), kernels.get(i).map(|kernel| read(kernel)));
                let digest = hash_of(&(&compiler, headers.finish(), text));
                let stem = source.file_stem().expect("a file").to_string_lossy();
                directory.join(format!("{stem}_{digest:016x}.o"))
            })
            .collect();

        let stale = |i: &usize| !objects[*i].exists();
        let stale: Vec<usize> = (0..sources.len()).filter(stale).collect();
        if !stale.is_empty() {
            build.files(stale.iter().map(|&i| &sources[i]));
            for (&i, compiled) in stale.iter().zip(build.compile_intermediates()) {
                fs::rename(&compiled, &objects[i]).unwrap_or_else(|error| fail(&compiled, &error));
            }
        }
        objects
    }

    fn build(&self, kernels: bool) -> cc::Build {
        let mut build = cc::Build::new();
        build
            .cpp(true)
            .std("c++20")
            .opt_level(2)
            .debug(false)
            .includes(&self.include)
            .define("CUDA_EMULATOR", None)
            // Tools take the names of included files wrongly from the newer format.
            .flag("-gdwarf-4")
            .flag("-g1")
            .flag("-ffp-contract=off")
            .flag("-Wno-unknown-pragmas");
        if self.mode.ucontext {
            build.define("EMULATOR_UCONTEXT", None);
        }
        if self.mode.races {
            build.define("EMULATOR_RACES", None);
        }
        if self.mode.address_sanitizer {
            build
                .flag("-fsanitize=address")
                .flag("-fno-omit-frame-pointer");
        } else {
            // Also where the Rust code around it is built with it.
            build.flag("-fno-sanitize=address");
        }
        if kernels {
            // The functions called are in undefined.cpp.
            build
                .flag(format!("-fsanitize={UNDEFINED}"))
                .flag("-fno-sanitize-recover=all");
        }
        if kernels && self.mode.races {
            // Only for its calls at every access: the functions called are in races.cpp. Higher levels
            // of optimisation might read what the kernel would not.
            build.opt_level(1).flag("-fsanitize=thread");
        }
        build
    }

    /// Forgets objects of files as they were before.
    fn remove_all_but(&self, objects: &[PathBuf]) {
        let kept: HashSet<&PathBuf> = objects.iter().collect();
        for object in files(&self.directory(), "o") {
            if !kept.contains(&object) {
                fs::remove_file(&object).unwrap_or_else(|error| fail(&object, &error));
            }
        }
    }
}

/// A C++ file that holds a kernel's file in an unnamed namespace: types and functions of two such
/// files may have the same name, as they may on a GPU.
fn wrapper(out: &Path, kernel: &Path) -> PathBuf {
    let stem = kernel.file_stem().expect("a file").to_string_lossy();
    let path = out.join(format!("{stem}_{:016x}.cpp", hash_of(kernel)));
    let kernel = kernel.display().to_string();
    let text = format!("#include \"cuda_emulator.hpp\"\nnamespace {{\n#include {kernel:?}\n}}\n");
    fs::write(&path, text).unwrap_or_else(|error| fail(&path, &error));
    path
}

/// All files below a directory with this ending, in order of their names.
fn files(directory: &Path, ending: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .unwrap_or_else(|error| fail(directory, &error));
    let mut found = Vec::new();
    for path in entries.into_iter().map(|entry| entry.path()) {
        if path.is_dir() {
            found.extend(files(&path, ending));
        } else if path
            .extension()
            .is_some_and(|extension| extension == ending)
        {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn read(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap_or_else(|error| fail(path, &error))
}

fn hash_of(value: &(impl Hash + ?Sized)) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// A variable of the environment; when it changes, this program is run again.
fn variable(name: &str) -> Option<OsString> {
    println!("cargo:rerun-if-env-changed={name}");
    env::var_os(name)
}

fn fail<T>(path: &Path, error: &dyn std::fmt::Display) -> T {
    panic!("{}: {error}", path.display())
}

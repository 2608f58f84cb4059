//! Catches the signal in which an unknown instruction ends.

use std::cell::RefCell;
use std::ffi::{c_int, c_void};
use std::sync::Once;

use crate::instruction::TileInstruction;
use crate::registers::GeneralRegisters;
use crate::tiles::Tiles;

thread_local! {
    // Made by the compiler and never dropped, so that a signal handler may use it.
    static TILES: RefCell<Tiles> = const { RefCell::new(Tiles::NONE) };
}

/// Whether this processor lacks the instructions, so that emulation is what runs them.
pub fn is_needed() -> bool {
    // CPUID leaf 7: AMX-BF16 and AMX-TILE.
    let leaf = std::arch::x86_64::__cpuid_count(7, 0);
    leaf.edx & (1 << 22) == 0 || leaf.edx & (1 << 24) == 0
}

/// From now on instructions with tiles are emulated in this process where they end in a signal. Any other
/// unknown instruction ends the program as before.
///
/// # Panics
/// If the processor has no AVX2 and FMA, which emulation is made of, or the system refuses the handler.
pub fn install() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        assert!(
            is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            "AMX is emulated with AVX2 and FMA, which this processor lacks"
        );
        // The decoder builds its tables for the first instruction; a signal handler must not allocate.
        // SAFETY: the bytes are there.
        let known = unsafe { TileInstruction::at(NO_OPERATIONS.as_ptr() as u64) };
        assert!(known.is_none(), "no operation is one with tiles");
        // SAFETY: an action of zeros is a valid one, whose fields are set below; the handler uses what a signal
        // handler may use.
        let result = unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = on_unknown_instruction as *const () as usize;
            action.sa_flags = libc::SA_SIGINFO;
            libc::sigaction(libc::SIGILL, &action, std::ptr::null_mut())
        };
        assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
    });
}

static NO_OPERATIONS: [u8; 16] = [0x90; 16];

extern "C" fn on_unknown_instruction(_: c_int, _: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: the kernel gives a handler its context, and nobody else has it.
    let registers = unsafe { &mut (*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs };
    let mut registers = GeneralRegisters(registers);
    let first = registers.instruction_pointer();
    // Those that follow at once save a signal each.
    // SAFETY: the processor has tried to run what is there, and behind it the function goes on, at least with the
    // return to its caller and with what of the program is behind that.
    while let Some(instruction) = unsafe { TileInstruction::at(registers.instruction_pointer()) } {
        TILES.with_borrow_mut(|tiles| {
            // SAFETY: it is the program's next instruction.
            unsafe { instruction.execute(tiles, &registers) }
        });
        registers.go_on(instruction.next());
    }
    if registers.instruction_pointer() == first {
        // Not ours: it is tried again, and ends the program.
        // SAFETY: a signal handler may call this.
        unsafe { libc::signal(libc::SIGILL, libc::SIG_DFL) };
    }
}

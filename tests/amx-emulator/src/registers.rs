//! The general purpose registers of an interrupted program.

use std::ffi::c_int;

/// Those of a program that a signal has interrupted.
pub(crate) struct GeneralRegisters<'a>(pub(crate) &'a mut [libc::greg_t; 23]);

impl GeneralRegisters<'_> {
    pub(crate) fn instruction_pointer(&self) -> u64 {
        self.0[libc::REG_RIP as usize] as u64
    }

    /// Lets the program go on at an address.
    pub(crate) fn go_on(&mut self, address: u64) {
        self.0[libc::REG_RIP as usize] = address as libc::greg_t;
    }

    /// One of the 16 by its number in machine code.
    pub(crate) fn get(&self, number: usize) -> u64 {
        /// As machine code counts them.
        const ORDER: [c_int; 16] = [
            libc::REG_RAX,
            libc::REG_RCX,
            libc::REG_RDX,
            libc::REG_RBX,
            libc::REG_RSP,
            libc::REG_RBP,
            libc::REG_RSI,
            libc::REG_RDI,
            libc::REG_R8,
            libc::REG_R9,
            libc::REG_R10,
            libc::REG_R11,
            libc::REG_R12,
            libc::REG_R13,
            libc::REG_R14,
            libc::REG_R15,
        ];
        self.0[ORDER[number] as usize] as u64
    }
}

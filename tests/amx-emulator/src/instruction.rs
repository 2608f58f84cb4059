//! What an instruction with tiles has to do, read from machine code.

use iced_x86::{Code, Decoder, DecoderOptions, Instruction, Register};

use crate::registers::GeneralRegisters;
use crate::tiles::Tiles;

/// Bytes of an instruction at most.
const MOST_BYTES: usize = 15;

/// An instruction that is known here.
pub(crate) struct TileInstruction(Instruction);

impl TileInstruction {
    /// The one at an address, if it is one of those with tiles.
    ///
    /// # Safety
    /// 15 bytes can be read there.
    pub(crate) unsafe fn at(address: u64) -> Option<Self> {
        // SAFETY: as the caller promises.
        let bytes = unsafe { (address as *const [u8; MOST_BYTES]).read() };
        let instruction = Decoder::with_ip(64, &bytes, address, DecoderOptions::NONE).decode();
        let is_known = matches!(
            instruction.code(),
            Code::VEX_Ldtilecfg_m512
                | Code::VEX_Tilerelease
                | Code::VEX_Tilezero_tmm
                | Code::VEX_Tileloadd_tmm_sibmem
                | Code::VEX_Tileloaddt1_tmm_sibmem
                | Code::VEX_Tilestored_sibmem_tmm
                | Code::VEX_Tdpbf16ps_tmm_tmm_tmm
        );
        is_known.then_some(Self(instruction))
    }

    /// Where the next one is.
    pub(crate) fn next(&self) -> u64 {
        self.0.next_ip()
    }

    /// Does what it says.
    ///
    /// # Safety
    /// Its operands in memory can be read, or written, as in the program that it is part of.
    pub(crate) unsafe fn execute(&self, tiles: &mut Tiles, registers: &GeneralRegisters<'_>) {
        let tile = |operand| self.0.op_register(operand) as usize - Register::TMM0 as usize;
        // SAFETY, of all: as the caller promises.
        match self.0.code() {
            Code::VEX_Ldtilecfg_m512 => {
                let (address, _) = self.memory(registers);
                // SAFETY: see above.
                unsafe { tiles.configure(address as *const u8) };
            }
            Code::VEX_Tilerelease => tiles.release(),
            Code::VEX_Tilezero_tmm => tiles.zero(tile(0)),
            Code::VEX_Tilestored_sibmem_tmm => {
                let (address, stride) = self.memory(registers);
                // SAFETY: see above.
                unsafe { tiles.store(tile(1), address as *mut u8, stride) };
            }
            Code::VEX_Tdpbf16ps_tmm_tmm_tmm => tiles.add_products(tile(0), tile(1), tile(2)),
            _ => {
                let (address, stride) = self.memory(registers);
                // SAFETY: see above.
                unsafe { tiles.load(tile(0), address as *const u8, stride) };
            }
        }
    }

    /// The address of an operand, or that of its first row and the bytes from one row to the next, which the
    /// instruction has in the place of an index.
    fn memory(&self, registers: &GeneralRegisters<'_>) -> (u64, usize) {
        let value = |register: Register| match register {
            Register::None => 0,
            // The address of the next instruction is already in the displacement.
            Register::RIP => 0,
            _ => registers.get(register as usize - Register::RAX as usize),
        };
        let address = value(self.0.memory_base()).wrapping_add(self.0.memory_displacement64());
        let stride = value(self.0.memory_index()).wrapping_mul(self.0.memory_index_scale().into());
        (address, stride as usize)
    }
}

// What memory.rs tells of device memory.

#include "races.hpp"
#include "sanitizer.hpp"

// `bytes` of device memory were made at `start`, inside a mapping that may be touched nowhere else.
extern "C" void promot_emulator_memory_made(const unsigned char *mapping, size_t mapped,
                                            const unsigned char *start, size_t bytes) {
    emulator::sanitizer::forbid(mapping, mapped);
    emulator::sanitizer::allow(start, bytes);
    emulator::add_device_memory(start, bytes);
}

// The mapping is about to be given back.
extern "C" void promot_emulator_memory_freed(const unsigned char *mapping, size_t mapped,
                                             const unsigned char *start) {
    emulator::remove_device_memory(start);
    emulator::sanitizer::allow(mapping, mapped);
}

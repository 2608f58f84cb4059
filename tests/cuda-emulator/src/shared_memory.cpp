#include "shared_memory.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <new>

#include "sanitizer.hpp"

namespace emulator {
namespace {

constexpr size_t PAGE = 4096;
constexpr u32 ALIGNMENT = 16;
constexpr unsigned char POISON = 0xff;
// Not a byte that a kernel is likely to write.
constexpr unsigned char UNTOUCHED = 0xd7;
constexpr size_t MAPPED = (SharedMemory::MOST_BYTES + PAGE - 1) / PAGE * PAGE;

}  // namespace

SharedMemory::SharedMemory() {
    void *mapped = mmap(nullptr, MAPPED + PAGE, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapped == MAP_FAILED) throw std::bad_alloc();
    mapping = static_cast<unsigned char *>(mapped);
    slack = mapping + MAPPED;
    if (mprotect(mapping + MAPPED, PAGE, PROT_NONE) != 0) throw std::bad_alloc();
}

SharedMemory::~SharedMemory() {
    sanitizer::allow(mapping, MAPPED);
    munmap(mapping, MAPPED + PAGE);
}

unsigned char *SharedMemory::provide(u32 bytes) {
    u32 whole = (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    unsigned char *start = mapping + MAPPED - whole;
    sanitizer::allow(mapping, MAPPED);
    memset(start, POISON, bytes);
    slack = start + bytes;
    memset(slack, UNTOUCHED, whole - bytes);
    sanitizer::forbid(mapping, start - mapping);
    sanitizer::forbid(slack, whole - bytes);
    return start;
}

bool SharedMemory::intact() const {
    if (sanitizer::PRESENT) return true;
    return std::all_of(slack, mapping + MAPPED, [](unsigned char byte) { return byte == UNTOUCHED; });
}

}  // namespace emulator

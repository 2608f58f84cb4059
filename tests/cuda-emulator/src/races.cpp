#include "races.hpp"

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <memory>
#include <mutex>

#include "block.hpp"
#include "source_line.hpp"

namespace emulator {
namespace {

u32 warp_of(const Access &access) { return access.thread / WARP_SIZE; }

// Whether nothing says which of two accesses comes first.
bool unordered(const Access &before, const Access &now) {
    if (before.scope != now.scope) return false;
    if (before.block != now.block) return true;
    if (before.epoch != now.epoch || before.thread == now.thread) return false;
    if (warp_of(before) != warp_of(now)) return true;
    return before.warp_epoch == now.warp_epoch;
}

u64 new_scope() {
    static std::atomic<u64> scopes = 0;
    return ++scopes;
}

// Device memory, with a shadow for each two bytes: no number is narrower.
class DeviceMemory {
public:
    static constexpr size_t GRANULE = 2;

    DeviceMemory(uintptr_t start, size_t bytes)
        : start(start), bytes(bytes), count(bytes / GRANULE + 1) {}

    bool contains(uintptr_t address) const { return address - start < bytes; }
    size_t offset(uintptr_t address) const { return address - start; }

    Shadow &shadow(uintptr_t address) {
        if (!shadows) {
            // Zero bytes are shadows without accesses, and pages that nobody touches cost nothing.
            static_assert(std::is_trivially_destructible_v<Shadow>);
            shadows.reset(static_cast<Shadow *>(calloc(count, sizeof(Shadow))));
            if (!shadows) throw std::bad_alloc();
        }
        return shadows.get()[offset(address) / GRANULE];
    }

private:
    struct Free {
        void operator()(Shadow *shadows) const { free(shadows); }
    };

    uintptr_t start;
    size_t bytes, count;
    std::unique_ptr<Shadow, Free> shadows;
};

// All device memory by where it starts.
struct AllMemory {
    std::mutex mutex;
    std::map<uintptr_t, DeviceMemory> by_start;

    DeviceMemory *find(uintptr_t address) {
        auto after = by_start.upper_bound(address);
        if (after == by_start.begin()) return nullptr;
        DeviceMemory &memory = std::prev(after)->second;
        return memory.contains(address) ? &memory : nullptr;
    }

    static AllMemory &instance() {
        static AllMemory *all = new AllMemory;
        return *all;
    }
};

std::string place(const void *instruction) {
    std::string line = source_line(instruction);
    return line.empty() ? "" : " (" + line + ")";
}

std::string message(const std::string &where, const Access &before, bool read_before,
                    const Access &now, bool write) {
    std::string other = "thread " + std::to_string(before.thread);
    if (before.block != now.block) other += " of block number " + std::to_string(before.block);
    return "a race for " + where + ": thread " + std::to_string(now.thread) +
           (write ? " writes" : " reads") + place(now.instruction) + " what " + other +
           (read_before ? " read" : " wrote") + place(before.instruction) +
           ", and no barrier is between them";
}

}  // namespace

const Access *Shadow::read(const Access &now) {
    add_reader(now);
    return unordered(writer, now) ? &writer : nullptr;
}

const Access *Shadow::write(const Access &now, bool &read_before) {
    read_before = true;
    if (unordered(last_reader, now)) return &last_reader;
    if (spread != Spread::none && unordered(other_reader, now)) return &other_reader;
    read_before = false;
    if (unordered(writer, now)) return &writer;
    writer = now;
    return nullptr;
}

// Two readers are enough to know: if a write races with any reader, it does with one of them.
void Shadow::add_reader(const Access &now) {
    if (last_reader.scope != now.scope) {
        spread = Spread::none;
    } else if (last_reader.block != now.block) {
        widen(Spread::blocks);
    } else if (last_reader.epoch != now.epoch) {
        if (spread < Spread::blocks) spread = Spread::none;
    } else if (warp_of(last_reader) != warp_of(now)) {
        widen(Spread::warps);
    } else if (last_reader.warp_epoch != now.warp_epoch) {
        if (spread == Spread::lanes) spread = Spread::none;
    } else if (last_reader.thread != now.thread) {
        widen(Spread::lanes);
    }
    last_reader = now;
}

void Shadow::widen(Spread to) {
    if (to < spread) return;
    spread = to;
    other_reader = last_reader;
}

void Races::begin_block(u64 launch, u64 block, u32 warps, const unsigned char *shared,
                        u32 shared_bytes) {
    this->launch = launch;
    this->block = block;
    this->shared = shared;
    this->shared_bytes = shared_bytes;
    shared_scope = new_scope();
    epoch = 0;
    warp_epochs.assign(warps, 0);
    if (shared_shadows.size() < shared_bytes) shared_shadows.resize(shared_bytes);
}

std::string Races::access(u32 thread, const void *memory, size_t bytes, bool write,
                          const void *instruction) {
    auto address = reinterpret_cast<uintptr_t>(memory);
    size_t shared_offset = address - reinterpret_cast<uintptr_t>(shared);
    bool in_shared = shared_offset < shared_bytes;
    DeviceMemory *device = in_shared ? nullptr : AllMemory::instance().find(address);
    if (!in_shared && !device) return {};

    u64 scope = in_shared ? shared_scope : launch;
    Access now{scope, block, epoch, warp_epochs[thread / WARP_SIZE], thread, instruction};
    size_t step = in_shared ? 1 : DeviceMemory::GRANULE;
    for (size_t i = 0; i < bytes; i += step) {
        // Beyond the end it is not a race that is wrong.
        if (in_shared ? shared_offset + i >= shared_bytes : !device->contains(address + i)) break;
        Shadow &shadow = in_shared ? shared_shadows[shared_offset + i] : device->shadow(address + i);
        bool read_before = false;
        const Access *other = write ? shadow.write(now, read_before) : shadow.read(now);
        if (!other) continue;
        std::string where =
            in_shared ? "byte " + std::to_string(shared_offset + i) + " of shared memory"
                      : "byte " + std::to_string(device->offset(address + i)) + " of device memory";
        return message(where, *other, read_before, now, write);
    }
    return {};
}

void add_device_memory(const void *start, size_t bytes) {
    if (!FINDS_RACES) return;
    AllMemory &all = AllMemory::instance();
    std::lock_guard lock(all.mutex);
    auto address = reinterpret_cast<uintptr_t>(start);
    all.by_start.emplace(address, DeviceMemory(address, bytes));
}

void remove_device_memory(const void *start) {
    if (!FINDS_RACES) return;
    AllMemory &all = AllMemory::instance();
    std::lock_guard lock(all.mutex);
    all.by_start.erase(reinterpret_cast<uintptr_t>(start));
}

OnlyLaunch::OnlyLaunch() {
    if (FINDS_RACES) AllMemory::instance().mutex.lock();
}

OnlyLaunch::~OnlyLaunch() {
    if (FINDS_RACES) AllMemory::instance().mutex.unlock();
}

}  // namespace emulator

#ifdef EMULATOR_RACES

// What compiled kernels call.

#define INSTRUCTION __builtin_return_address(0)
#define ACCESSES(name, bytes)                                              \
    extern "C" void __tsan_read##name(const void *memory) {                \
        emulator::Block::note_access(memory, bytes, false, INSTRUCTION);   \
    }                                                                      \
    extern "C" void __tsan_write##name(const void *memory) {               \
        emulator::Block::note_access(memory, bytes, true, INSTRUCTION);    \
    }                                                                      \
    extern "C" void __tsan_unaligned_read##name(const void *memory) {      \
        emulator::Block::note_access(memory, bytes, false, INSTRUCTION);   \
    }                                                                      \
    extern "C" void __tsan_unaligned_write##name(const void *memory) {     \
        emulator::Block::note_access(memory, bytes, true, INSTRUCTION);    \
    }

ACCESSES(1, 1)
ACCESSES(2, 2)
ACCESSES(4, 4)
ACCESSES(8, 8)
ACCESSES(16, 16)

extern "C" void __tsan_read_range(const void *memory, size_t bytes) {
    emulator::Block::note_access(memory, bytes, false, INSTRUCTION);
}
extern "C" void __tsan_write_range(const void *memory, size_t bytes) {
    emulator::Block::note_access(memory, bytes, true, INSTRUCTION);
}
extern "C" void __tsan_init() {}
extern "C" void __tsan_func_entry(const void *) {}
extern "C" void __tsan_func_exit() {}

#endif

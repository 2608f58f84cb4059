// What AddressSanitizer wants to be told. Without it, nothing is.
#pragma once

#include <cstddef>

#ifdef __SANITIZE_ADDRESS__

#include <pthread.h>
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>

namespace emulator::sanitizer {

constexpr bool PRESENT = true;

inline void forbid(const void *start, size_t bytes) { __asan_poison_memory_region(start, bytes); }
inline void allow(const void *start, size_t bytes) { __asan_unpoison_memory_region(start, bytes); }

// Where a context's stack is, as it has to be said before each switch.
class StackBounds {
public:
    void set(const void *bottom, size_t size) {
        this->bottom = bottom;
        this->size = size;
    }

    // Of the thread of the host that calls this.
    void set_to_host() {
        pthread_attr_t attributes;
        void *lowest;
        size_t bytes;
        pthread_getattr_np(pthread_self(), &attributes);
        pthread_attr_getstack(&attributes, &lowest, &bytes);
        pthread_attr_destroy(&attributes);
        set(lowest, bytes);
    }

    // Before a switch to this stack. `frames` keeps what belongs to the stack that is left; null if
    // that one will not be used any more.
    void enter_from(void **frames) { __sanitizer_start_switch_fiber(frames, bottom, size); }

    // After a switch, on the new stack; `frames` as kept when it was left, null at its beginning.
    static void entered(void *frames) { __sanitizer_finish_switch_fiber(frames, nullptr, nullptr); }

private:
    const void *bottom;
    size_t size;
};

}  // namespace emulator::sanitizer

#else

namespace emulator::sanitizer {

constexpr bool PRESENT = false;

inline void forbid(const void *, size_t) {}
inline void allow(const void *, size_t) {}

class StackBounds {
public:
    void set(const void *, size_t) {}
    void set_to_host() {}
    void enter_from(void **) {}
    static void entered(void *) {}
};

}  // namespace emulator::sanitizer

#endif

// Fibers: stacks that a thread of the host runs on in turn.
#pragma once

#include <cstddef>

#include "sanitizer.hpp"

#if !defined(__x86_64__) && !defined(EMULATOR_UCONTEXT)
#define EMULATOR_UCONTEXT
#endif
#ifdef EMULATOR_UCONTEXT
#include <ucontext.h>
#endif

namespace emulator {

// Memory for a fiber, between two pages that may not be touched.
class Stack {
public:
    // `number` staggers the stacks: if all began at the same place of a page, they would push each
    // other out of the cache.
    explicit Stack(size_t number);
    ~Stack();
    Stack(const Stack &) = delete;
    Stack &operator=(const Stack &) = delete;

    // The lowest address.
    unsigned char *bottom() const;
    // Bytes from there to the place where a fiber begins.
    size_t size() const;

private:
    unsigned char *mapping;
    size_t stagger;
};

// Where something that was switched away from goes on.
class Context {
public:
    // This is where the thread of the host is, which calls this before its first switch.
    void belongs_to_host() { bounds.set_to_host(); }
    // Lets the next switch to this context call `entry`, which must not return, on a stack. First of
    // all `entry` calls `begun`.
    void begin(const Stack &stack, void (*entry)());
    static void begun() { sanitizer::StackBounds::entered(nullptr); }
    // Goes on with `to`; returns when someone switches back to this context.
    void switch_to(Context &to);
    // Goes on with `to` for good: nobody switches back.
    [[noreturn]] void leave_for(Context &to);

private:
    void prepare(const Stack &stack, void (*entry)());
    void switch_now(Context &to);

    [[no_unique_address]] sanitizer::StackBounds bounds;
#ifdef EMULATOR_UCONTEXT
    ucontext_t context;
#else
    void *stack_pointer;
#endif
};

}  // namespace emulator

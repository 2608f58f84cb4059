#include "fiber.hpp"

#include <sys/mman.h>

#include <cstdint>
#include <cstdlib>
#include <new>

namespace emulator {
namespace {

constexpr size_t PAGE = 4096;
constexpr size_t STACK_BYTES = 128 * 1024;

}  // namespace

Stack::Stack(size_t number) : stagger(number % 32 * 128) {
    void *mapped = mmap(nullptr, STACK_BYTES + 2 * PAGE, PROT_NONE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (mapped == MAP_FAILED) throw std::bad_alloc();
    mapping = static_cast<unsigned char *>(mapped);
    if (mprotect(bottom(), STACK_BYTES, PROT_READ | PROT_WRITE) != 0) throw std::bad_alloc();
}

Stack::~Stack() { munmap(mapping, STACK_BYTES + 2 * PAGE); }

unsigned char *Stack::bottom() const { return mapping + PAGE; }

size_t Stack::size() const { return STACK_BYTES - stagger; }

#ifdef EMULATOR_UCONTEXT

void Context::prepare(const Stack &stack, void (*entry)()) {
    getcontext(&context);
    context.uc_stack.ss_sp = stack.bottom();
    context.uc_stack.ss_size = stack.size();
    context.uc_link = nullptr;
    makecontext(&context, entry, 0);
}

void Context::switch_now(Context &to) { swapcontext(&context, &to.context); }

#else

// Saves what a function has to preserve on the stack, leaves the stack pointer in *from, and takes
// all of it up again from the other stack. The floating-point modes are the same everywhere.
extern "C" void promot_emulator_switch(void **from, void *to);
asm(R"(
    .text
    .globl promot_emulator_switch
    .hidden promot_emulator_switch
    .type promot_emulator_switch, @function
promot_emulator_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
    .size promot_emulator_switch, . - promot_emulator_switch
)");

void Context::prepare(const Stack &stack, void (*entry)()) {
    constexpr int SAVED_REGISTERS = 6;
    auto **top = reinterpret_cast<void **>(stack.bottom() + stack.size());
    // `entry` finds the stack as a call would have left it: an address to return to, here none, and
    // beyond it a multiple of 16.
    *--top = nullptr;
    *--top = reinterpret_cast<void *>(entry);
    for (int i = 0; i < SAVED_REGISTERS; ++i) *--top = nullptr;
    stack_pointer = top;
}

void Context::switch_now(Context &to) { promot_emulator_switch(&stack_pointer, to.stack_pointer); }

#endif

void Context::begin(const Stack &stack, void (*entry)()) {
    bounds.set(stack.bottom(), stack.size());
    // Functions that were left there for good still have their places marked.
    sanitizer::allow(stack.bottom(), stack.size());
    prepare(stack, entry);
}

void Context::switch_to(Context &to) {
    void *frames = nullptr;
    to.bounds.enter_from(&frames);
    switch_now(to);
    sanitizer::StackBounds::entered(frames);
}

void Context::leave_for(Context &to) {
    to.bounds.enter_from(nullptr);
    switch_now(to);
    abort();
}

}  // namespace emulator

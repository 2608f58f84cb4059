#include "faults.hpp"

#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <mutex>

#include "block.hpp"

namespace emulator {
namespace {

struct sigaction of_segv, of_bus;

void tell(int signal, siginfo_t *info, void *) {
    if (current) {
        char text[512];
        int length = Block::describe_running(text, sizeof text);
        length += snprintf(text + length, sizeof text - length,
                           ": access to address %p, which may not be touched\n", info->si_addr);
        [[maybe_unused]] ssize_t written = write(STDERR_FILENO, text, length);
    }
    // The instruction is run again, and whoever handled the signal before sees it.
    sigaction(signal, signal == SIGSEGV ? &of_segv : &of_bus, nullptr);
}

}  // namespace

void tell_of_faults() {
    static std::once_flag once;
    std::call_once(once, [] {
        struct sigaction action = {};
        action.sa_sigaction = tell;
        action.sa_flags = SA_SIGINFO | SA_ONSTACK;
        sigaction(SIGSEGV, &action, &of_segv);
        sigaction(SIGBUS, &action, &of_bus);
    });
}

}  // namespace emulator

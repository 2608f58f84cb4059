#include "kernel.hpp"

#include <cstdio>
#include <cstdlib>
#include <map>

namespace emulator {
namespace {

// Made when the first kernel registers itself, which may be before this file's own variables are.
std::map<std::string, Kernel, std::less<>> &kernels() {
    static std::map<std::string, Kernel, std::less<>> all;
    return all;
}

// Registration happens before main, on one thread.
u32 limit_of_next = 0;

}  // namespace

ThreadLimit::ThreadLimit(u32 threads) { limit_of_next = threads; }

void register_kernel(const char *name, AnyKernel kernel, Invoke invoke, u32 parameters) {
    const char *problem = nullptr;
    if (limit_of_next == 0) problem = "EXPORT does not follow the body of its KERNEL";
    if (kernels().contains(name)) problem = "two kernels have this name";
    if (problem) {
        fprintf(stderr, "kernel `%s`: %s\n", name, problem);
        abort();
    }
    kernels()[name] = {name, kernel, invoke, parameters, limit_of_next};
    limit_of_next = 0;
}

const Kernel *find_kernel(std::string_view name) {
    auto found = kernels().find(name);
    return found == kernels().end() ? nullptr : &found->second;
}

}  // namespace emulator

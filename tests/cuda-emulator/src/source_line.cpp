#include "source_line.hpp"

#include <dlfcn.h>

#include <cstdint>
#include <cstdio>

namespace emulator {
namespace {

// Without directories and what else addr2line says.
std::string shortened(std::string line) {
    line = line.substr(line.rfind('/') + 1);
    return line.substr(0, line.find_first_of(" \n"));
}

// Asks addr2line, which is where compilers are. It names first the innermost of the functions that the
// compiler has put into one another; of the emulator's own nobody wants to know.
std::string ask(const char *program, uintptr_t offset) {
    char text[4200];
    snprintf(text, sizeof text, "addr2line -i -e '%s' 0x%zx 2>/dev/null", program,
             static_cast<size_t>(offset));
    FILE *output = popen(text, "r");
    if (!output) return {};
    std::string found;
    while (fgets(text, sizeof text, output)) {
        std::string line = shortened(text);
        if (line.starts_with("??") || line.starts_with("cuda_emulator.hpp")) continue;
        found += (found.empty() ? "" : " from ") + line;
        if (line.find(".cu:") != std::string::npos) break;
    }
    pclose(output);
    return found;
}

}  // namespace

std::string source_line(const void *return_address) {
    Dl_info info;
    if (!dladdr(return_address, &info)) return {};
    // The call itself is before the address that it returns to.
    uintptr_t offset = reinterpret_cast<uintptr_t>(return_address) -
                       reinterpret_cast<uintptr_t>(info.dli_fbase) - 1;
    return ask(info.dli_fname, offset);
}

}  // namespace emulator

// What kernels do that C++ and CUDA do not define: misaligned access, an index beyond a local array, a
// shift by 32 bits and more, a division by zero, an overflow of a signed number. The compiler checks for
// them (-fsanitize=alignment and so on) and calls these functions, which end the block with an error.

#include <string>

#include "block.hpp"

namespace {

// What every check is given first.
struct SourceLocation {
    const char *file;
    u32 line;
    u32 column;
};

[[noreturn]] void fail(const SourceLocation &location, const char *what) {
    {
        std::string file = location.file;
        std::string line = std::to_string(location.line);
        emulator::Block::report(file.substr(file.rfind('/') + 1) + ":" + line + ": " + what);
    }
    emulator::Block::leave();
}

}  // namespace

// Weak: where a program is linked with a sanitizer, which brings functions of these names, those are called.
#define CHECK(name, what, ...)                                                                \
    extern "C" [[gnu::weak]] void __ubsan_handle_##name##_abort(const SourceLocation *data,   \
                                                                __VA_ARGS__) {                \
        fail(*data, what);                                                                    \
    }

CHECK(type_mismatch_v1, "misaligned access", const void *)
CHECK(out_of_bounds, "an index beyond the end of an array", const void *)
CHECK(shift_out_of_bounds, "a shift by too many bits", const void *, const void *)
CHECK(divrem_overflow, "a division by zero", const void *, const void *)
CHECK(add_overflow, "an overflow of a signed number", const void *, const void *)
CHECK(sub_overflow, "an overflow of a signed number", const void *, const void *)
CHECK(mul_overflow, "an overflow of a signed number", const void *, const void *)
CHECK(negate_overflow, "an overflow of a signed number", const void *)

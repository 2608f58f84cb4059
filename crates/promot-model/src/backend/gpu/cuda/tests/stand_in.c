// A stand-in for NVIDIA's libraries, so that what asks them is executed where they are not: memory is host
// memory, products are plain loops, and one kernel is written out. Compiled twice, with DRIVER and with
// CUBLASLT, into the two libraries' file names. STAND_IN in the environment makes it another machine.
#define _POSIX_C_SOURCE 200809L
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef DRIVER
static int machine_is(const char *name) {
    const char *machine = getenv("STAND_IN");
    return machine != NULL && strcmp(machine, name) == 0;
}

// cuda.h: SUCCESS, INVALID_VALUE, OUT_OF_MEMORY, NO_DEVICE, INVALID_PTX, NOT_FOUND, LAUNCH_FAILED.
enum { OK = 0, INVALID = 1, NO_MEMORY = 2, NO_DEVICE = 100, BAD_PTX = 218, NOT_FOUND = 500, CRASHED = 719 };

static void *current;
static int retained, crashed, allocations;
static char context[1], stream[1];

// Whether the caller may ask for anything: the context is current, and no kernel has crashed in it.
static int usable(void) {
    if (current != context || retained == 0) return INVALID;
    return crashed ? CRASHED : OK;
}

int cuInit(unsigned flags) { return flags != 0 ? INVALID : machine_is("empty") ? NO_DEVICE : OK; }
int cuDriverGetVersion(int *version) { *version = machine_is("old driver") ? 11080 : 12020; return OK; }
int cuDeviceGetCount(int *count) { *count = 2; return OK; }
int cuDeviceGet(int *device, int ordinal) { *device = 40 + ordinal; return ordinal < 2 ? OK : INVALID; }
int cuDeviceGetName(char *name, int size, int device) {
    snprintf(name, (size_t)size, "Stand-in %d", device - 40);
    return OK;
}
int cuDeviceTotalMem_v2(size_t *bytes, int device) { *bytes = 1u << 30; return device >= 40 ? OK : INVALID; }
int cuDeviceGetAttribute(int *value, int attribute, int device) {
    if (device < 40) return INVALID;
    switch (attribute) {
    case 75: *value = machine_is("old device") && device == 40 ? 7 : 8; return OK; // capability, major
    case 76: *value = 6; return OK;                                               // capability, minor
    case 13: *value = 1500000; return OK; // clock in kHz
    case 16: *value = 10; return OK;      // multiprocessors
    case 100: *value = 0; return OK; // reads host memory through the host's page tables
    default: return INVALID;
    }
}
int cuDevicePrimaryCtxRetain(void **result, int device) { (void)device; ++retained; *result = context; return OK; }
int cuDevicePrimaryCtxRelease_v2(int device) {
    (void)device;
    // Everything that was asked for was given back.
    if (--retained == 0 && allocations != 0) abort();
    return retained < 0 ? INVALID : OK;
}
int cuCtxSetCurrent(void *now) { current = now; return OK; }
int cuStreamCreate(void **result, unsigned flags) { *result = stream; return flags == 1 ? usable() : INVALID; }
int cuStreamDestroy_v2(void *which) { return which == stream ? OK : INVALID; }
int cuStreamSynchronize(void *which) { return which == stream ? usable() : INVALID; }
int cuMemGetInfo_v2(size_t *free, size_t *total) { *free = 1u << 20; *total = 1u << 30; return usable(); }
int cuMemAlloc_v2(uint64_t *address, size_t bytes) {
    if (usable() != OK) return usable();
    if (bytes > 1u << 30) return NO_MEMORY;
    *address = (uint64_t)aligned_alloc(256, (bytes + 255) / 256 * 256);
    memset((void *)*address, 0xff, bytes);
    ++allocations;
    return OK;
}
int cuMemFree_v2(uint64_t address) { --allocations; free((void *)address); return OK; }
int cuMemsetD8Async(uint64_t to, unsigned char byte, size_t bytes, void *on) {
    if (on != stream || usable() != OK) return INVALID;
    memset((void *)to, byte, bytes);
    return OK;
}
static int copy(void *to, const void *from, size_t bytes, void *on) {
    if (on != stream || usable() != OK) return INVALID;
    memmove(to, from, bytes);
    return OK;
}
int cuMemcpyHtoDAsync_v2(uint64_t to, const void *from, size_t bytes, void *on) { return copy((void *)to, from, bytes, on); }
int cuMemcpyDtoHAsync_v2(void *to, uint64_t from, size_t bytes, void *on) { return copy(to, (void *)from, bytes, on); }
int cuMemcpyDtoDAsync_v2(uint64_t to, uint64_t from, size_t bytes, void *on) { return copy((void *)to, (void *)from, bytes, on); }

// A module is its text, a kernel its name and how much shared memory it may have.
struct kernel { char name[64]; int shared; };

int cuModuleLoadDataEx(void **module, const char *ptx, unsigned count, const int *options, void **values) {
    if (usable() != OK || count != 2 || options[0] != 5 || options[1] != 6) return INVALID; // error log, its size
    if (strstr(ptx, ".version") == NULL) {
        snprintf(values[0], (size_t)values[1], "line 1: no version");
        return BAD_PTX;
    }
    *module = strdup(ptx);
    return OK;
}
int cuModuleUnload(void *module) { free(module); return OK; }
int cuModuleGetFunction(void **function, const char *module, const char *name) {
    // Handles of functions end with the module, and nobody gives them back.
    static struct kernel kernels[16];
    static int count = 0;
    if (strstr(module, name) == NULL || count == 16) return NOT_FOUND;
    struct kernel *kernel = &kernels[count++];
    snprintf(kernel->name, sizeof kernel->name, "%s", name);
    kernel->shared = 48 * 1024;
    *function = kernel;
    return OK;
}
int cuFuncSetAttribute(struct kernel *kernel, int attribute, int value) {
    if (attribute != 8 || value > 160 * 1024) return INVALID; // largest dynamic shared memory
    kernel->shared = value;
    return OK;
}
int cuLaunchKernel(struct kernel *kernel, unsigned x, unsigned y, unsigned z, unsigned tx, unsigned ty, unsigned tz,
                   unsigned shared, void *on, void **arguments, void **extra) {
    if (on != stream || usable() != OK || extra != NULL || ty != 1 || tz != 1) return INVALID;
    if ((int)shared > kernel->shared || x * y * z == 0 || tx > 1024) return INVALID;
    if (strcmp(kernel->name, "crash") == 0) {
        crashed = 1; // noticed by whoever asks next
        return OK;
    }
    if (strcmp(kernel->name, "fill") != 0) return NOT_FOUND;
    float *to = *(float **)arguments[0];
    for (uint32_t i = 0; i < *(uint32_t *)arguments[1]; ++i) to[i] = *(float *)arguments[2];
    return OK;
}
int cuGetErrorName(int error, const char **name) {
    *name = error == CRASHED ? "CUDA_ERROR_LAUNCH_FAILED" : error == BAD_PTX ? "CUDA_ERROR_INVALID_PTX" : "CUDA_ERROR_INVALID_VALUE";
    return OK;
}
int cuGetErrorString(int error, const char **text) {
    *text = error == CRASHED ? "unspecified launch failure" : error == BAD_PTX ? "a PTX JIT compilation failed" : "invalid argument";
    return OK;
}
#endif

#ifdef CUBLASLT
// cublas_api.h: SUCCESS, INVALID_VALUE, NOT_SUPPORTED.
enum { OK = 0, INVALID = 7, UNSUPPORTED = 15 };

struct layout { int type; uint64_t rows, columns; int64_t stride; };
struct description { int transposed[2]; };
struct preference { uint64_t workspace; uint32_t alignment[4]; };
struct algorithm { uint64_t data[8]; };
struct found { struct algorithm algorithm; size_t workspace; int state; float waves; int reserved[4]; };

int cublasLtCreate(void **handle) { *handle = malloc(1); return OK; }
int cublasLtDestroy(void *handle) { free(handle); return OK; }
int cublasLtMatrixLayoutCreate(struct layout **layout, int type, uint64_t rows, uint64_t columns, int64_t stride) {
    if (stride < (int64_t)rows || (type != 0 && type != 14)) return INVALID; // f32, bf16
    *layout = malloc(sizeof **layout);
    **layout = (struct layout){type, rows, columns, stride};
    return OK;
}
int cublasLtMatrixLayoutDestroy(struct layout *layout) { free(layout); return OK; }
int cublasLtMatmulDescCreate(struct description **description, int compute, int scale) {
    if (compute != 68 || scale != 0) return UNSUPPORTED; // sums and factors in f32, no TF32
    *description = calloc(1, sizeof **description);
    return OK;
}
int cublasLtMatmulDescSetAttribute(struct description *description, int attribute, const void *value, size_t bytes) {
    if (bytes != 4 || attribute < 3 || attribute > 4) return INVALID; // TRANSA, TRANSB
    description->transposed[attribute - 3] = *(const int *)value;
    return OK;
}
int cublasLtMatmulDescDestroy(struct description *description) { free(description); return OK; }
int cublasLtMatmulPreferenceCreate(struct preference **preference) {
    *preference = calloc(1, sizeof **preference);
    return OK;
}
int cublasLtMatmulPreferenceSetAttribute(struct preference *preference, int attribute, const void *value, size_t bytes) {
    if (attribute == 1 && bytes == 8) preference->workspace = *(const uint64_t *)value;
    else if (attribute >= 5 && attribute <= 8 && bytes == 4) preference->alignment[attribute - 5] = *(const uint32_t *)value;
    else return INVALID;
    return OK;
}
int cublasLtMatmulPreferenceDestroy(struct preference *preference) { free(preference); return OK; }

static uint64_t rows(const struct layout *layout, int transposed) { return transposed ? layout->columns : layout->rows; }
static uint64_t columns(const struct layout *layout, int transposed) { return transposed ? layout->rows : layout->columns; }

int cublasLtMatmulAlgoGetHeuristic(void *handle, struct description *description, struct layout *a, struct layout *b,
                                   struct layout *c, struct layout *d, struct preference *preference, int wanted,
                                   struct found *found, int *count) {
    (void)handle;
    const int *transposed = description->transposed;
    if (a->type != b->type || c != d || d->type != 0 || wanted != 1) return UNSUPPORTED;
    if (columns(a, transposed[0]) != rows(b, transposed[1])) return INVALID;
    if (rows(a, transposed[0]) != d->rows || columns(b, transposed[1]) != d->columns) return INVALID;
    memset(found, 0, sizeof *found);
    // What an algorithm counts on is remembered, to be checked where it is used.
    for (int i = 0; i < 4; ++i) found->algorithm.data[i] = preference->alignment[i];
    found->algorithm.data[4] = preference->workspace;
    *count = 1;
    return OK;
}

static float value(const void *values, const struct layout *layout, uint64_t row, uint64_t column, int transposed) {
    uint64_t at = transposed ? row * (uint64_t)layout->stride + column : column * (uint64_t)layout->stride + row;
    if (layout->type == 0) return ((const float *)values)[at];
    uint32_t bits = (uint32_t)((const uint16_t *)values)[at] << 16;
    float wide;
    memcpy(&wide, &bits, 4);
    return wide;
}

int cublasLtMatmul(void *handle, struct description *description, const float *alpha, const void *a, struct layout *la,
                   const void *b, struct layout *lb, const float *beta, const float *c, struct layout *lc, float *d,
                   struct layout *ld, const struct algorithm *algorithm, void *workspace, size_t bytes, void *stream) {
    (void)handle;
    const void *addresses[4] = {a, b, c, d};
    for (int i = 0; i < 4; ++i)
        if (algorithm->data[i] == 0 || (uintptr_t)addresses[i] % algorithm->data[i] != 0) return INVALID;
    if (algorithm->data[4] > bytes || workspace == NULL || stream == NULL) return INVALID;
    const int *transposed = description->transposed;
    for (uint64_t column = 0; column < ld->columns; ++column)
        for (uint64_t row = 0; row < ld->rows; ++row) {
            float sum = 0;
            for (uint64_t k = 0; k < columns(la, transposed[0]); ++k)
                sum += value(a, la, row, k, transposed[0]) * value(b, lb, k, column, transposed[1]);
            float addend = *beta == 0 ? 0 : *beta * c[column * (uint64_t)lc->stride + row];
            d[column * (uint64_t)ld->stride + row] = *alpha * sum + addend;
        }
    return OK;
}
#endif

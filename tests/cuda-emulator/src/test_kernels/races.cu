// Races that happen to give right results, whatever the order.
#include "device.cuh"

// All threads write the same number to the same place.
KERNEL(64) test_race_of_writes(u32 *out) {
    SHARED(shared);
    u32 *slots = (u32 *)shared;
    slots[0] = 7;
    sync_block();
    out[threadIdx.x] = slots[0];
}
EXPORT(test_race_of_writes)

// Before it writes, a thread looks whether another one has done so already.
KERNEL(64) test_race_of_read_and_write(u32 *out) {
    SHARED(shared);
    u32 *slots = (u32 *)shared;
    if (threadIdx.x == 40) slots[0] = 0;
    sync_block();
    if (slots[0] == 0 && threadIdx.x == 0) slots[0] = 7;
    sync_block();
    out[threadIdx.x] = slots[0];
}
EXPORT(test_race_of_read_and_write)

// A shuffle is no barrier for memory, though here all lanes have come to it.
KERNEL(32) test_race_across_shuffle(float *out) {
    SHARED(shared);
    float *slots = (float *)shared;
    slots[lane_id()] = (float)lane_id();
    float x = shuffle_xor(1.0f, 1);
    out[lane_id()] = x * slots[lane_id() ^ 1];
}
EXPORT(test_race_across_shuffle)

// ldmatrix reads what other lanes wrote, with no barrier but a shuffle between.
KERNEL(32) test_race_of_load_matrices(u32 *out) {
    SHARED(shared);
    u16 *tile = (u16 *)shared;
    for (u32 i = lane_id(); i < 256; i += 32) tile[i] = (u16)i;
    shuffle_xor(0.0f, 1);
    u32 r[4];
    load_matrices(r, tile + lane_id() * 8);
    out[lane_id()] = r[0];
}
EXPORT(test_race_of_load_matrices)

// Every block writes the same number to the same place of device memory.
KERNEL(32) test_race_of_blocks(u32 *out) {
    if (lane_id() == 0) out[0] = 7;
}
EXPORT(test_race_of_blocks)

// A warp's lanes exchange numbers again and again, with all barriers there have to be; other warps do
// so in their own memory.
KERNEL(64) test_no_race(u32 *out) {
    SHARED(shared);
    u32 *slots = (u32 *)shared + 32 * warp_id();
    u32 value = lane_id();
    for (u32 i = 0; i < 3; ++i) {
        slots[lane_id()] = value;
        sync_warp();
        value = slots[lane_id() ^ 1] + slots[0];
        sync_warp();
    }
    slots[lane_id()] = value;
    sync_block();
    out[threadIdx.x] = ((u32 *)shared)[threadIdx.x ^ 32];
}
EXPORT(test_no_race)

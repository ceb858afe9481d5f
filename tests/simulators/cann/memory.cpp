// Device memory: host memory that is counted, so that a device runs out of it as a real one does.
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>

#include "device.h"
#include "scenario.h"

using namespace simulator;

namespace {

struct Allocation {
    int device;
    size_t bytes;
};

std::mutex lock;
std::map<void *, Allocation> allocations;
std::map<int, size_t> used;

int allocate(void **pointer, size_t bytes) {
    int device;
    aclrtGetDevice(&device);
    std::lock_guard<std::mutex> guard(lock);
    if (used[device] + bytes > scenario().memory_bytes) return ACL_ERROR_RT_MEMORY_ALLOCATION;
    // CANN aligns to 512 bytes; a request may be read 32 bytes beyond its end.
    if (posix_memalign(pointer, 512, bytes + 32) != 0) return ACL_ERROR_RT_MEMORY_ALLOCATION;
    allocations[*pointer] = {device, bytes};
    used[device] += bytes;
    return ACL_SUCCESS;
}

}  // namespace

SIMULATOR_API aclError aclrtMalloc(void **pointer, size_t bytes, aclrtMemMallocPolicy) {
    return allocate(pointer, bytes);
}

SIMULATOR_API aclError aclrtMallocAlign32(void **pointer, size_t bytes, aclrtMemMallocPolicy) {
    return allocate(pointer, bytes);
}

SIMULATOR_API aclError aclrtFree(void *pointer) {
    std::lock_guard<std::mutex> guard(lock);
    auto found = allocations.find(pointer);
    if (found == allocations.end()) return ACL_ERROR_RT_PARAM_INVALID;
    used[found->second.device] -= found->second.bytes;
    allocations.erase(found);
    std::free(pointer);
    return ACL_SUCCESS;
}

SIMULATOR_API aclError aclrtGetMemInfo(aclrtMemAttr, size_t *free, size_t *total) {
    int device;
    aclrtGetDevice(&device);
    std::lock_guard<std::mutex> guard(lock);
    *total = scenario().memory_bytes;
    *free = *total - used[device];
    return ACL_SUCCESS;
}

SIMULATOR_API aclError aclrtMallocHost(void **pointer, size_t bytes) {
    return posix_memalign(pointer, 512, bytes) == 0 ? ACL_SUCCESS : ACL_ERROR_RT_MEMORY_ALLOCATION;
}

SIMULATOR_API aclError aclrtMallocHostWithCfg(void **pointer, uint64_t bytes, aclrtMallocConfig *) {
    return aclrtMallocHost(pointer, bytes);
}

SIMULATOR_API aclError aclrtFreeHost(void *pointer) {
    std::free(pointer);
    return ACL_SUCCESS;
}

SIMULATOR_API aclError aclrtPointerGetAttributes(const void *pointer, aclrtPtrAttributes *found) {
    std::lock_guard<std::mutex> guard(lock);
    auto after = allocations.upper_bound(const_cast<void *>(pointer));
    bool device = false;
    if (after != allocations.begin()) {
        auto [start, allocation] = *--after;
        device = static_cast<const char *>(pointer) < static_cast<char *>(start) + allocation.bytes;
    }
    found->location.type = device ? ACL_MEM_LOCATION_TYPE_DEVICE : ACL_MEM_LOCATION_TYPE_HOST;
    return ACL_SUCCESS;
}

SIMULATOR_API aclError aclrtMemcpyAsync(void *to, size_t, const void *from, size_t bytes,
                                        aclrtMemcpyKind kind, aclrtStream stream) {
    // Over PCIe or its like to and from the host; within the device each byte is read and written.
    bool within = kind == ACL_MEMCPY_DEVICE_TO_DEVICE;
    double seconds = LAUNCH_S + (within ? memory_seconds(2.0 * bytes) : bytes / 25e9);
    auto copy = [=] {
        std::memmove(to, from, bytes);
        return ACL_SUCCESS;
    };
    return submit(stream, {copy, seconds});
}

SIMULATOR_API aclError aclrtMemcpy(void *to, size_t room, const void *from, size_t bytes,
                                   aclrtMemcpyKind kind) {
    return aclrtMemcpyAsync(to, room, from, bytes, kind, nullptr);
}

SIMULATOR_API aclError aclrtMemsetAsync(void *pointer, size_t, int32_t value, size_t bytes,
                                        aclrtStream stream) {
    auto set = [=] {
        std::memset(pointer, value, bytes);
        return ACL_SUCCESS;
    };
    return submit(stream, {set, LAUNCH_S + memory_seconds(bytes)});
}

SIMULATOR_API aclError aclrtMemset(void *pointer, size_t room, int32_t value, size_t bytes) {
    return aclrtMemsetAsync(pointer, room, value, bytes, nullptr);
}

// The simulated devices: memory, streams that carry a clock, events, and graphs.
#pragma once

#include <acl/acl.h>

#include <functional>
#include <vector>

#define SIMULATOR_API extern "C" __attribute__((visibility("default")))

namespace simulator {

struct Graph;

// Work on a stream is executed by the host at once; what passes on the device is its clock alone.
struct Stream {
    int device;
    int id;
    double clock_s = 0;
    Graph *capturing = nullptr;
};

struct Event {
    double clock_s = 0;
};

// One execution on a stream: returns an error code, or ACL_SUCCESS after `seconds` of device time.
struct Task {
    std::function<int()> execute;
    double seconds;
};

struct Graph {
    std::vector<Task> tasks;
};

// The stream that a handle stands for; a null handle is the current device's default stream.
Stream &stream_of(aclrtStream handle);

// Executes a task on a stream, or keeps it for the graph that is being captured there.
int submit(aclrtStream stream, Task task);

// Whether any graph has been captured: what its tasks refer to has to stay.
bool graphs_exist();

// Ends a device: every later call on it fails. Records the code and text as the last error.
int lose(int device);
int fail(int code, const char *text);

// Seconds that bytes take through the device's memory.
double memory_seconds(double bytes);

// What starting an operator costs the device at least.
constexpr double LAUNCH_S = 50e-6;

}  // namespace simulator

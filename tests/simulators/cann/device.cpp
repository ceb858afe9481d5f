// Devices, contexts, streams, events: the part of libascendcl that torch-npu needs to run.
//
// Streams advance a clock by a roofline model of the chip, so that events carry plausible times that
// are the same in every run. Nothing here says how fast a real chip is.
#include "device.h"

#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <utility>

#include "scenario.h"

namespace simulator {
namespace {

std::mutex lock;
std::set<int> lost_devices;
std::map<int, int> failures;  // of a device's tasks: what a synchronization reports
std::map<int, std::unique_ptr<Stream>> default_streams;
thread_local int current_device = 0;
std::string last_error;
bool captured = false;
int next_stream_id = 1;
int streams = 0;  // of the process: those that were made, and one for each graph
int events = 0;

// What a chip has of a resource; a 310P has fewer events.
constexpr int MOST_STREAMS = 2048;
constexpr int MOST_EVENTS = 65535, MOST_EVENTS_310P = 1023;

int most_events() {
    return std::strncmp(scenario().chip.name, "Ascend310", 9) == 0 ? MOST_EVENTS_310P : MOST_EVENTS;
}

// The last error is set by the caller, who may hold the lock.
const char *const NO_STREAM =
    "[PID: 1] 2026-06-04-10:17:18.891.861 Insufficient_Stream_Resources(EL0009): The stream "
    "resources are insufficient.";

}  // namespace

int fail(int code, const char *text) {
    std::lock_guard<std::mutex> guard(lock);
    last_error = text;
    return code;
}

int lose(int device) {
    {
        std::lock_guard<std::mutex> guard(lock);
        lost_devices.insert(device);
    }
    return fail(ACL_ERROR_RT_LOST_HEARTBEAT, "the task scheduler's heartbeat is lost (simulated)");
}

int check(int device) {
    std::lock_guard<std::mutex> guard(lock);
    if (lost_devices.count(device)) return ACL_ERROR_RT_LOST_HEARTBEAT;
    return failures.count(device) ? failures[device] : ACL_SUCCESS;
}

Stream &stream_of(aclrtStream handle) {
    if (handle != nullptr) return *static_cast<Stream *>(handle);
    std::lock_guard<std::mutex> guard(lock);
    auto &stream = default_streams[current_device];
    if (!stream) stream.reset(new Stream{current_device, 0});
    return *stream;
}

int submit(aclrtStream handle, Task task) {
    Stream &stream = stream_of(handle);
    if (stream.capturing != nullptr) {
        stream.capturing->tasks.push_back(std::move(task));
        return ACL_SUCCESS;
    }
    if (int error = check(stream.device)) return error;
    int error = task.execute();
    stream.clock_s += task.seconds;
    if (error) {
        std::lock_guard<std::mutex> guard(lock);
        failures.emplace(stream.device, error);
    }
    return error;
}

bool graphs_exist() { return captured; }

double memory_seconds(double bytes) { return bytes / (0.8e9 * scenario().chip.hbm_gbps); }

}  // namespace simulator

using namespace simulator;

// Whoever finds this symbol in libascendcl.so is not on a real node.
SIMULATOR_API const char *cann_simulator() { return "simulated"; }

SIMULATOR_API aclError aclInit(const char *) { return ACL_SUCCESS; }
SIMULATOR_API aclError aclFinalize() { return ACL_SUCCESS; }

SIMULATOR_API aclError aclrtGetDeviceCount(uint32_t *count) {
    *count = scenario().devices;
    return ACL_SUCCESS;
}

SIMULATOR_API aclError aclrtSetDevice(int32_t device) {
    if (device < 0 || device >= scenario().devices)
        return fail(ACL_ERROR_RT_INVALID_DEVICEID, "no such device");
    if (fault_at(__func__) == Fault::fail)
        return fail(ACL_ERROR_RT_DEV_SETUP_ERROR, "the device cannot be set up (simulated)");
    current_device = device;
    note_call(("aclrtSetDevice:" + std::to_string(device)).c_str());
    return check(device);
}

SIMULATOR_API aclError aclrtResetDevice(int32_t) { return ACL_SUCCESS; }

SIMULATOR_API aclError aclrtGetDevice(int32_t *device) {
    *device = current_device;
    return ACL_SUCCESS;
}

// A context is the number of its device plus one, so that none is null.
SIMULATOR_API aclError aclrtGetCurrentContext(aclrtContext *context) {
    *context = reinterpret_cast<aclrtContext>(static_cast<intptr_t>(current_device) + 1);
    return ACL_SUCCESS;
}

SIMULATOR_API aclError aclrtSetCurrentContext(aclrtContext context) {
    current_device = static_cast<int>(reinterpret_cast<intptr_t>(context)) - 1;
    return ACL_SUCCESS;
}

SIMULATOR_API aclError aclrtGetPrimaryCtxState(int32_t, uint32_t *flags, int32_t *active) {
    if (flags != nullptr) *flags = 0;
    *active = 1;
    return ACL_SUCCESS;
}

SIMULATOR_API aclError aclrtCreateStreamWithConfig(aclrtStream *stream, uint32_t, uint32_t) {
    std::lock_guard<std::mutex> guard(lock);
    if (streams >= MOST_STREAMS) {
        last_error = NO_STREAM;
        return ACL_ERROR_RT_NO_STREAM_RESOURCE;
    }
    ++streams;
    *stream = new Stream{current_device, next_stream_id++};
    return ACL_SUCCESS;
}

SIMULATOR_API aclError aclrtCreateStream(aclrtStream *stream) {
    return aclrtCreateStreamWithConfig(stream, 0, 0);
}

SIMULATOR_API aclError aclrtDestroyStream(aclrtStream stream) {
    std::lock_guard<std::mutex> guard(lock);
    --streams;
    delete static_cast<Stream *>(stream);
    return ACL_SUCCESS;
}

SIMULATOR_API aclError aclrtStreamGetId(aclrtStream stream, int32_t *id) {
    *id = stream_of(stream).id;
    return ACL_SUCCESS;
}

SIMULATOR_API aclError aclrtStreamQuery(aclrtStream stream, aclrtStreamStatus *status) {
    *status = ACL_STREAM_STATUS_COMPLETE;
    return check(stream_of(stream).device);
}

SIMULATOR_API aclError aclrtSynchronizeStream(aclrtStream stream) {
    if (stream_of(stream).capturing != nullptr)
        return fail(ACL_ERROR_RT_STREAM_CAPTURED, "the host waits for a stream that is captured");
    return check(stream_of(stream).device);
}

SIMULATOR_API aclError aclrtSynchronizeStreamWithTimeout(aclrtStream stream, int32_t) {
    return aclrtSynchronizeStream(stream);
}

SIMULATOR_API aclError aclrtSynchronizeDevice() { return check(current_device); }
SIMULATOR_API aclError aclrtSynchronizeDeviceWithTimeout(int32_t) { return check(current_device); }

SIMULATOR_API aclError aclrtStreamWaitEvent(aclrtStream stream, aclrtEvent event) {
    Stream &waiting = stream_of(stream);
    waiting.clock_s = std::max(waiting.clock_s, static_cast<Event *>(event)->clock_s);
    return ACL_SUCCESS;
}

SIMULATOR_API aclError aclrtCreateEventExWithFlag(aclrtEvent *event, uint32_t) {
    std::lock_guard<std::mutex> guard(lock);
    if (events >= most_events()) {
        last_error = "the event resources are insufficient (simulated)";
        return ACL_ERROR_RT_NO_EVENT_RESOURCE;
    }
    ++events;
    *event = new Event;
    return ACL_SUCCESS;
}

SIMULATOR_API aclError aclrtCreateEventWithFlag(aclrtEvent *event, uint32_t flag) {
    return aclrtCreateEventExWithFlag(event, flag);
}

SIMULATOR_API aclError aclrtDestroyEvent(aclrtEvent event) {
    std::lock_guard<std::mutex> guard(lock);
    --events;
    delete static_cast<Event *>(event);
    return ACL_SUCCESS;
}

SIMULATOR_API aclError aclrtRecordEvent(aclrtEvent event, aclrtStream stream) {
    Stream &recorded = stream_of(stream);
    static_cast<Event *>(event)->clock_s = recorded.clock_s;
    return check(recorded.device);
}

SIMULATOR_API aclError aclrtResetEvent(aclrtEvent, aclrtStream) { return ACL_SUCCESS; }
SIMULATOR_API aclError aclrtSynchronizeEvent(aclrtEvent) { return check(current_device); }

SIMULATOR_API aclError aclrtQueryEventStatus(aclrtEvent, aclrtEventRecordedStatus *status) {
    *status = ACL_EVENT_RECORDED_STATUS_COMPLETE;
    return ACL_SUCCESS;
}

SIMULATOR_API aclError aclrtQueryEventWaitStatus(aclrtEvent, aclrtEventWaitStatus *status) {
    *status = ACL_EVENT_WAIT_STATUS_COMPLETE;
    return ACL_SUCCESS;
}

SIMULATOR_API aclError aclrtEventElapsedTime(float *ms, aclrtEvent start, aclrtEvent end) {
    auto clock_s = [](aclrtEvent event) { return static_cast<Event *>(event)->clock_s; };
    *ms = static_cast<float>(1e3 * (clock_s(end) - clock_s(start)));
    return ACL_SUCCESS;
}

// Graphs: what is submitted while a stream is captured is kept, and executed at each replay.
SIMULATOR_API aclError aclmdlRICaptureBegin(aclrtStream stream, aclmdlRICaptureMode) {
    {
        std::lock_guard<std::mutex> guard(lock);
        if (streams >= MOST_STREAMS) {
            last_error = NO_STREAM;
            return ACL_ERROR_RT_NO_STREAM_RESOURCE;
        }
        ++streams;  // a graph keeps one until it is destroyed
    }
    stream_of(stream).capturing = new Graph;
    captured = true;
    return ACL_SUCCESS;
}

SIMULATOR_API aclError aclmdlRICaptureGetInfo(aclrtStream stream, aclmdlRICaptureStatus *status,
                                              aclmdlRI *model) {
    Graph *graph = stream_of(stream).capturing;
    *status = graph ? ACL_MODEL_RI_CAPTURE_STATUS_ACTIVE : ACL_MODEL_RI_CAPTURE_STATUS_NONE;
    *model = graph;
    return ACL_SUCCESS;
}

SIMULATOR_API aclError aclmdlRICaptureEnd(aclrtStream stream, aclmdlRI *model) {
    *model = std::exchange(stream_of(stream).capturing, nullptr);
    return ACL_SUCCESS;
}

SIMULATOR_API aclError aclmdlRIExecuteAsync(aclmdlRI model, aclrtStream stream) {
    Stream &on = stream_of(stream);
    on.clock_s += LAUNCH_S;
    for (const Task &task : static_cast<Graph *>(model)->tasks) {
        if (int error = submit(stream, task)) return error;
        on.clock_s -= 0.9 * LAUNCH_S;  // a graph's operators start one another
    }
    return ACL_SUCCESS;
}

SIMULATOR_API aclError aclmdlRIDestroy(aclmdlRI model) {
    std::lock_guard<std::mutex> guard(lock);
    --streams;
    delete static_cast<Graph *>(model);
    return ACL_SUCCESS;
}

SIMULATOR_API aclError aclmdlRICaptureThreadExchangeMode(aclmdlRICaptureMode *) {
    return ACL_SUCCESS;
}

SIMULATOR_API const char *aclGetRecentErrMsg() {
    std::lock_guard<std::mutex> guard(lock);
    static thread_local std::string shown;
    shown = std::exchange(last_error, "");
    return shown.c_str();
}

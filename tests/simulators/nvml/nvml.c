/* A stand-in for libnvidia-ml.so.1 that plays a scenario, so that the real pynvml can be run without a GPU.
 *
 * The file that NVML_SCENARIO names is read at each first nvmlInit. A line of it is one of
 *
 *     FUNCTION DEVICE VALUE [VALUE …]   what the calls return in turn; the last value is repeated
 *     FUNCTION DEVICE !CODE             an NVML error code instead; also among values
 *     lost DEVICE CALLS                 after so many calls about a device: NVML_ERROR_GPU_IS_LOST
 *
 * FUNCTION is the NVML name without the version, with `.N` for an argument or the N-th output, such as
 * nvmlDeviceGetClockInfo.1. A device exists if it has a nvmlDeviceGetUUID. What a scenario does not say is
 * NVML_ERROR_NOT_SUPPORTED. `self` among processes is the calling one.
 */

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SUCCESS = 0, UNINITIALIZED = 1, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6,
       INSUFFICIENT_SIZE = 7, DRIVER_NOT_LOADED = 9, GPU_IS_LOST = 15 };
enum { LINES = 512, WORDS = 64, WORD = 96, DEVICES = 16 };

typedef unsigned long long u64;
typedef struct { int index; } Device;
typedef struct { char name[WORD]; int device, words, next; char word[WORDS][WORD]; } Line;
typedef struct { unsigned id, scope; long long at, latency; unsigned type, code;
                 union { unsigned small; u64 wide; } value; } Field;
typedef struct { unsigned pid; u64 memory; unsigned gpu_instance, compute_instance; } Process;

static Line lines[LINES];
static int count, users;
static Device devices[DEVICES];
static int calls_left[DEVICES]; /* -1: never lost */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void read_scenario(FILE *file) {
    char text[8192];
    count = 0;
    for (int i = 0; i < DEVICES; i++) { devices[i].index = i; calls_left[i] = -1; }
    while (count < LINES && fgets(text, sizeof text, file)) {
        Line *line = &lines[count];
        char *rest = text, *name = strsep(&rest, " \n"), *device = strsep(&rest, " \n");
        if (!name || !*name || *name == '#' || !device) continue;
        snprintf(line->name, WORD, "%s", name);
        line->device = atoi(device);
        line->words = line->next = 0;
        for (char *word; line->words < WORDS && (word = strsep(&rest, " \n"));)
            if (*word) snprintf(line->word[line->words++], WORD, "%s", word);
        if (!strcmp(name, "lost")) calls_left[line->device] = atoi(line->word[0]);
        else count++;
    }
}

static Line *find(const char *name, int device) {
    for (int i = 0; i < count; i++)
        if (lines[i].device == device && !strcmp(lines[i].name, name)) return &lines[i];
    return NULL;
}

/* The next word of a line; an error code if there is none, or where the scenario has one. */
static int play(const char *name, int device, const char **word) {
    Line *line = find(name, device);
    if (!line || !line->words) return NOT_SUPPORTED;
    *word = line->word[line->next];
    if (line->next + 1 < line->words) line->next++;
    return **word == '!' ? atoi(*word + 1) : SUCCESS;
}

static int alive(Device *device) {
    if (!users) return UNINITIALIZED;
    if (!device) return INVALID_ARGUMENT;
    if (calls_left[device->index] == 0) return GPU_IS_LOST;
    if (calls_left[device->index] > 0) calls_left[device->index]--;
    return SUCCESS;
}

static int number(const char *name, Device *device, u64 *value) {
    const char *word;
    pthread_mutex_lock(&lock);
    int code = alive(device);
    if (!code) code = play(name, device->index, &word);
    if (!code) *value = strtoull(word, NULL, 0);
    pthread_mutex_unlock(&lock);
    return code;
}

static int small(const char *name, Device *device, unsigned *value) {
    u64 wide = 0;
    int code = number(name, device, &wide);
    if (!code) *value = (unsigned)wide;
    return code;
}

static int pair(const char *name, Device *device, unsigned *first, unsigned *second) {
    char other[WORD];
    snprintf(other, WORD, "%s.1", name);
    int code = small(name, device, first);
    if (!code && small(other, device, second)) *second = *first;
    return code;
}

static int text(const char *name, Device *device, char *out, unsigned size) {
    pthread_mutex_lock(&lock);
    int code = alive(device);
    Line *line = code ? NULL : find(name, device->index);
    if (!code && !line) code = NOT_SUPPORTED;
    if (!code && line->word[0][0] == '!') code = atoi(line->word[0] + 1);
    if (!code)
        for (int i = 0, used = 0; i < line->words; i++)
            used += snprintf(out + used, size - used, i ? " %s" : "%s", line->word[i]);
    pthread_mutex_unlock(&lock);
    return code;
}

int nvmlInitWithFlags(unsigned flags) {
    (void)flags;
    const char *path = getenv("NVML_SCENARIO"), *word;
    FILE *file = path ? fopen(path, "r") : NULL;
    if (!file) return DRIVER_NOT_LOADED;
    pthread_mutex_lock(&lock);
    if (!users) read_scenario(file);
    int code = play("nvmlInit", 0, &word);
    if (code == NOT_SUPPORTED) code = SUCCESS;
    if (!code) users++;
    pthread_mutex_unlock(&lock);
    fclose(file);
    return code;
}

int nvmlShutdown(void) {
    if (!users) return UNINITIALIZED;
    users--;
    return SUCCESS;
}

const char *nvmlErrorString(int code) {
    switch (code) {
    case NOT_SUPPORTED: return "Not Supported";
    case 4: return "Insufficient Permissions";
    case DRIVER_NOT_LOADED: return "Driver Not Loaded";
    case 13: return "Function Not Found";
    case GPU_IS_LOST: return "GPU is lost";
    case 16: return "GPU requires reset";
    case 18: return "Driver/library version mismatch";
    default: return "Unknown Error";
    }
}

int nvmlSystemGetDriverVersion(char *out, unsigned size) {
    return text("nvmlSystemGetDriverVersion", &devices[0], out, size);
}

int nvmlDeviceGetCount_v2(unsigned *out) {
    *out = 0;
    while (*out < DEVICES && find("nvmlDeviceGetUUID", *out)) ++*out;
    return users ? SUCCESS : UNINITIALIZED;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned index, Device **out) {
    if (!users) return UNINITIALIZED;
    if (index >= DEVICES || !find("nvmlDeviceGetUUID", index)) return INVALID_ARGUMENT;
    *out = &devices[index];
    return SUCCESS;
}

int nvmlDeviceGetHandleByUUID(const char *uuid, Device **out) {
    if (!users) return UNINITIALIZED;
    for (int i = 0; i < DEVICES; i++) {
        Line *line = find("nvmlDeviceGetUUID", i);
        if (line && !strcmp(line->word[0], uuid)) { *out = &devices[i]; return SUCCESS; }
    }
    return NOT_FOUND;
}

int nvmlDeviceIsMigDeviceHandle(Device *d, unsigned *out) {
    *out = find("parent", d->index) != NULL;
    return alive(d);
}

int nvmlDeviceGetDeviceHandleFromMigDeviceHandle(Device *d, Device **out) {
    u64 parent;
    int code = number("parent", d, &parent);
    if (!code) *out = &devices[parent];
    return code;
}

int nvmlDeviceGetUUID(Device *d, char *out, unsigned n) { return text("nvmlDeviceGetUUID", d, out, n); }
int nvmlDeviceGetName(Device *d, char *out, unsigned n) { return text("nvmlDeviceGetName", d, out, n); }
int nvmlDeviceGetPowerUsage(Device *d, unsigned *out) { return small("nvmlDeviceGetPowerUsage", d, out); }
int nvmlDeviceGetPowerManagementLimit(Device *d, unsigned *out) {
    return small("nvmlDeviceGetPowerManagementLimit", d, out);
}
int nvmlDeviceGetPowerManagementDefaultLimit(Device *d, unsigned *out) {
    return small("nvmlDeviceGetPowerManagementDefaultLimit", d, out);
}
int nvmlDeviceGetPersistenceMode(Device *d, unsigned *out) {
    return small("nvmlDeviceGetPersistenceMode", d, out);
}
int nvmlDeviceGetMemoryBusWidth(Device *d, unsigned *out) {
    return small("nvmlDeviceGetMemoryBusWidth", d, out);
}
int nvmlDeviceGetTotalEnergyConsumption(Device *d, u64 *out) {
    return number("nvmlDeviceGetTotalEnergyConsumption", d, out);
}
int nvmlDeviceGetCurrentClocksEventReasons(Device *d, u64 *out) {
    return number("nvmlDeviceGetCurrentClocksEventReasons", d, out);
}
int nvmlDeviceGetCurrentClocksThrottleReasons(Device *d, u64 *out) {
    return number("nvmlDeviceGetCurrentClocksThrottleReasons", d, out);
}
int nvmlDeviceGetTemperature(Device *d, unsigned sensor, unsigned *out) {
    (void)sensor;
    return small("nvmlDeviceGetTemperature", d, out);
}
int nvmlDeviceGetEccMode(Device *d, unsigned *now, unsigned *later) {
    return pair("nvmlDeviceGetEccMode", d, now, later);
}
int nvmlDeviceGetMigMode(Device *d, unsigned *now, unsigned *later) {
    return pair("nvmlDeviceGetMigMode", d, now, later);
}
int nvmlDeviceGetUtilizationRates(Device *d, unsigned *rates) {
    return pair("nvmlDeviceGetUtilizationRates", d, &rates[0], &rates[1]);
}
int nvmlDeviceGetCudaComputeCapability(Device *d, int *major, int *minor) {
    return pair("nvmlDeviceGetCudaComputeCapability", d, (unsigned *)major, (unsigned *)minor);
}
int nvmlDeviceGetTotalEccErrors(Device *d, unsigned type, unsigned counter, u64 *out) {
    (void)counter;
    return type == 1 ? number("nvmlDeviceGetTotalEccErrors", d, out) : NOT_SUPPORTED;
}

static int by_type(const char *function, Device *d, unsigned type, unsigned *out) {
    char name[WORD];
    snprintf(name, WORD, "%s.%u", function, type);
    return small(name, d, out);
}
int nvmlDeviceGetFieldValues(Device *d, int size, Field *fields) {
    for (int i = 0; i < size; i++)
        fields[i].code = by_type("nvmlDeviceGetFieldValues", d, fields[i].id, &fields[i].value.small);
    return size && fields[0].code == GPU_IS_LOST ? GPU_IS_LOST : SUCCESS;
}
int nvmlDeviceGetClockInfo(Device *d, unsigned type, unsigned *out) {
    return by_type("nvmlDeviceGetClockInfo", d, type, out);
}
int nvmlDeviceGetMaxClockInfo(Device *d, unsigned type, unsigned *out) {
    return by_type("nvmlDeviceGetMaxClockInfo", d, type, out);
}

int nvmlDeviceGetComputeRunningProcesses_v3(Device *d, unsigned *size, Process *out) {
    pthread_mutex_lock(&lock);
    int code = alive(d);
    Line *line = code ? NULL : find("nvmlDeviceGetComputeRunningProcesses", d->index);
    if (!code && !line) code = NOT_SUPPORTED;
    if (!code && line->words && line->word[0][0] == '!') code = atoi(line->word[0] + 1);
    if (!code) {
        unsigned room = *size;
        *size = (unsigned)line->words;
        if (room < *size) code = INSUFFICIENT_SIZE;
        else
            for (int i = 0; i < line->words; i++) {
                int self = !strcmp(line->word[i], "self");
                out[i] = (Process){self ? (unsigned)getpid() : (unsigned)atoi(line->word[i]), 1 << 20, 0, 0};
            }
    }
    pthread_mutex_unlock(&lock);
    return code;
}

// What a node says of itself: names, versions, properties; and settings that change nothing here.
#include <cstdio>
#include <cstring>
#include <map>
#include <mutex>
#include <string>

#include <acl/acl_op_compiler.h>
#include <profiling/aprof_pub.h>

#include "device.h"
#include "scenario.h"

using namespace simulator;

SIMULATOR_API const char *aclrtGetSocName() { return scenario().chip.name; }

SIMULATOR_API aclError aclGetDeviceCapability(uint32_t, aclDeviceInfo info, int64_t *value) {
    int cores = scenario().chip.cube_cores;
    *value = info == ACL_DEVICE_INFO_L2_SIZE          ? int64_t(scenario().cache_bytes)
             : info == ACL_DEVICE_INFO_VECTOR_CORE_NUM ? 2 * cores
                                                       : cores;
    return ACL_SUCCESS;
}

SIMULATOR_API aclError aclrtGetDeviceInfo(uint32_t, aclrtDevAttr attribute, int64_t *value) {
    if (attribute != ACL_DEV_ATTR_TOTAL_GLOBAL_MEM_SIZE) return ACL_ERROR_RT_FEATURE_NOT_SUPPORT;
    *value = static_cast<int64_t>(scenario().memory_bytes);
    return ACL_SUCCESS;
}

SIMULATOR_API aclError aclrtDeviceGetUuid(int32_t device, aclrtUuid *uuid) {
    std::memset(uuid, 0, sizeof *uuid);
    std::memcpy(uuid, &device, sizeof device);
    return ACL_SUCCESS;
}

SIMULATOR_API aclError aclrtGetDeviceUtilizationRate(int32_t, aclrtUtilizationInfo *info) {
    *info = {87, 12, 0, 9, nullptr};
    return ACL_SUCCESS;
}

SIMULATOR_API aclError aclsysGetCANNVersion(aclCANNPackageName name,
                                            aclCANNPackageVersion *version) {
    std::memset(version, 0, sizeof *version);
    bool driver = name == ACL_PKG_NAME_DRIVER;
    const std::string &text = driver ? scenario().driver_version : scenario().cann_version;
    std::snprintf(version->version, sizeof version->version, "%s", text.c_str());
    return ACL_SUCCESS;
}

SIMULATOR_API aclError aclsysGetVersionStr(char *package, char *version) {
    bool driver = std::strcmp(package, "driver") == 0;
    std::strcpy(version, (driver ? scenario().driver_version : scenario().cann_version).c_str());
    return ACL_SUCCESS;
}

SIMULATOR_API aclError aclGetCannAttributeList(const aclCannAttr **list, size_t *count) {
    static const aclCannAttr has[] = {ACL_CANN_ATTR_INF_NAN, ACL_CANN_ATTR_BF16,
                                      ACL_CANN_ATTR_JIT_COMPILE};
    *list = has;
    *count = 3;
    return ACL_SUCCESS;
}

SIMULATOR_API aclError aclGetCannAttribute(aclCannAttr, int32_t *value) {
    *value = 1;
    return ACL_SUCCESS;
}

// Compile options are kept as they were set, for torch-npu reads them back.
namespace {
std::mutex lock;
std::map<int, std::string> options;
std::map<int, int64_t> parameters;
}  // namespace

SIMULATOR_API aclError aclSetCompileopt(aclCompileOpt option, const char *value) {
    std::lock_guard<std::mutex> guard(lock);
    options[option] = value;
    return ACL_SUCCESS;
}

SIMULATOR_API size_t aclGetCompileoptSize(aclCompileOpt option) {
    std::lock_guard<std::mutex> guard(lock);
    return options[option].size() + 1;
}

SIMULATOR_API aclError aclGetCompileopt(aclCompileOpt option, char *value, size_t length) {
    std::lock_guard<std::mutex> guard(lock);
    std::snprintf(value, length, "%s", options[option].c_str());
    return ACL_SUCCESS;
}

SIMULATOR_API aclError aclrtSetSysParamOpt(aclSysParamOpt option, int64_t value) {
    std::lock_guard<std::mutex> guard(lock);
    parameters[option] = value;
    return ACL_SUCCESS;
}

SIMULATOR_API aclError aclrtGetSysParamOpt(aclSysParamOpt option, int64_t *value) {
    std::lock_guard<std::mutex> guard(lock);
    *value = parameters[option];
    return ACL_SUCCESS;
}

SIMULATOR_API aclError aclrtCtxSetSysParamOpt(aclSysParamOpt option, int64_t value) {
    return aclrtSetSysParamOpt(option, value);
}

SIMULATOR_API aclError aclrtCtxGetSysParamOpt(aclSysParamOpt option, int64_t *value) {
    return aclrtGetSysParamOpt(option, value);
}

SIMULATOR_API aclError aclrtSetDeviceSatMode(aclrtFloatOverflowMode) { return ACL_SUCCESS; }
SIMULATOR_API aclError aclrtSetOpWaitTimeout(uint32_t) { return ACL_SUCCESS; }
SIMULATOR_API aclError aclrtSetOpExecuteTimeOut(uint32_t) { return ACL_SUCCESS; }
SIMULATOR_API aclError aclrtSetStreamAttribute(aclrtStream, aclrtStreamAttr,
                                               aclrtStreamAttrValue *) {
    return ACL_SUCCESS;
}
SIMULATOR_API aclError aclrtSetStreamFailureMode(aclrtStream, uint64_t) { return ACL_SUCCESS; }
SIMULATOR_API aclError aclrtPeekAtLastError(aclrtLastErrLevel) { return ACL_SUCCESS; }
SIMULATOR_API aclError aclrtGetLastError(aclrtLastErrLevel) { return ACL_SUCCESS; }
SIMULATOR_API aclError aclmdlInitDump() { return ACL_SUCCESS; }
SIMULATOR_API aclError aclmdlSetDump(const char *) { return ACL_SUCCESS; }
SIMULATOR_API aclError aclmdlFinalizeDump() { return ACL_SUCCESS; }
SIMULATOR_API void aclAppLog(aclLogLevel, const char *, const char *, uint32_t, const char *, ...) {}

// The profiler is never switched on.
SIMULATOR_API uint64_t MsprofGetHashId(const char *, size_t) { return 0; }
SIMULATOR_API int32_t MsprofRegisterCallback(uint32_t, ProfCommandHandle) { return 0; }
SIMULATOR_API int32_t MsprofReportAdditionalInfo(uint32_t, const VOID_PTR, uint32_t) { return 0; }
SIMULATOR_API int32_t MsprofReportApi(uint32_t, const MsprofApi *) { return 0; }
SIMULATOR_API int32_t MsprofReportCompactInfo(uint32_t, const VOID_PTR, uint32_t) { return 0; }
SIMULATOR_API uint64_t MsprofSysCycleTime() { return 0; }

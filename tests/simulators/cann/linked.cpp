// Functions that have to be there for libtorch_npu.so to be loaded, and whose arguments are not read.
//
// Their declarations are left out on purpose: a C function that reads no argument may be called with
// any. IGNORED ones set up calls of aclopCompileAndExecute, which fails; ABSENT ones fail themselves.
#include <string>

namespace simulator {
int absent(const std::string &name);
}

#define IGNORED(name)                                                        \
    extern "C" __attribute__((visibility("default"))) int name() { return 0; }
#define ABSENT(name)                                                         \
    extern "C" __attribute__((visibility("default"))) int name() {           \
        return simulator::absent(#name);                                     \
    }

IGNORED(aclGetTensorDescDimV2)
IGNORED(aclGetTensorDescFormat)
IGNORED(aclGetTensorDescNumDims)
IGNORED(aclGetTensorDescType)
IGNORED(aclSetTensorDescName)
IGNORED(aclSetTensorFormat)
IGNORED(aclSetTensorPlaceMent)
IGNORED(aclSetTensorShape)
IGNORED(aclopSetAttrBool)
IGNORED(aclopSetAttrDataType)
IGNORED(aclopSetAttrFloat)
IGNORED(aclopSetAttrInt)
IGNORED(aclopSetAttrListBool)
IGNORED(aclopSetAttrListFloat)
IGNORED(aclopSetAttrListInt)
IGNORED(aclopSetAttrListListInt)
IGNORED(aclopSetAttrString)

ABSENT(aclrtBinaryGetFunction)
ABSENT(aclrtBinaryLoadFromData)
ABSENT(aclrtDeviceCanAccessPeer)
ABSENT(aclrtDeviceEnablePeerAccess)
ABSENT(aclrtDeviceGetBareTgid)
ABSENT(aclrtFreePhysical)
ABSENT(aclrtGetFunctionAddr)
ABSENT(aclrtMallocPhysical)
ABSENT(aclrtMapMem)
ABSENT(aclrtMemExportToShareableHandle)
ABSENT(aclrtMemImportFromShareableHandle)
ABSENT(aclrtMemSetPidToShareableHandle)
ABSENT(aclrtProcessReport)
ABSENT(aclrtReleaseMemAddress)
ABSENT(aclrtReserveMemAddress)
ABSENT(aclrtUnmapMem)
ABSENT(rtDevBinaryRegister)
ABSENT(rtFunctionRegister)
ABSENT(rtGetC2cCtrlAddr)
ABSENT(rtKernelLaunch)

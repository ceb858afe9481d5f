// What torch-npu links but a benchmark never calls: each fails and says its name.
//
// The older way to run an operator, aclopCompileAndExecute, is one of them. torch-npu takes it in
// silence for every operator that libopapi lacks, so a stub that returned success would leave results
// unwritten: wrong numbers, and no error.
#include <cstdio>
#include <string>

#include <acl/acl_op_compiler.h>

#include "device.h"

using namespace simulator;

namespace simulator {

int absent(const std::string &name) {
    std::fprintf(stderr, "CANN simulator: %s is not simulated\n", name.c_str());
    return fail(ACL_ERROR_RT_FEATURE_NOT_SUPPORT, (name + " is not simulated").c_str());
}

}  // namespace simulator

SIMULATOR_API aclError aclopCompileAndExecute(const char *op, int, const aclTensorDesc *const[],
                                              const aclDataBuffer *const[], int,
                                              const aclTensorDesc *const[], aclDataBuffer *const[],
                                              const aclopAttr *, aclopEngineType, aclopCompileType,
                                              const char *, aclrtStream) {
    return absent(std::string("operator ") + op + " (by aclop)");
}

SIMULATOR_API aclError aclopCompileAndExecuteV2(const char *op, int, aclTensorDesc *[],
                                                aclDataBuffer *[], int, aclTensorDesc *[],
                                                aclDataBuffer *[], aclopAttr *, aclopEngineType,
                                                aclopCompileType, const char *, aclrtStream) {
    return absent(std::string("operator ") + op + " (by aclop)");
}

// Descriptions of operands for that way: made and thrown away, never read.
struct aclTensorDesc {};
struct aclDataBuffer {};
struct aclopAttr {};

SIMULATOR_API aclTensorDesc *aclCreateTensorDesc(aclDataType, int, const int64_t *, aclFormat) {
    return new aclTensorDesc;
}
SIMULATOR_API void aclDestroyTensorDesc(const aclTensorDesc *desc) { delete desc; }
SIMULATOR_API aclDataBuffer *aclCreateDataBuffer(void *, size_t) { return new aclDataBuffer; }
SIMULATOR_API aclError aclDestroyDataBuffer(const aclDataBuffer *buffer) {
    delete buffer;
    return ACL_SUCCESS;
}
SIMULATOR_API aclopAttr *aclopCreateAttr() { return new aclopAttr; }
SIMULATOR_API void aclopDestroyAttr(const aclopAttr *attr) { delete attr; }

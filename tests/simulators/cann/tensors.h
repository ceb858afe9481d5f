// What an operator is given: tensors, scalars and lists in CANN's clothes, as torch sees them.
#pragma once

#include <ATen/ATen.h>
#include <acl/acl.h>

#include <vector>

#include "device.h"

struct aclTensor {
    at::Tensor view;     // on the memory that the handle describes; never owns it
    bool fractal;        // FRACTAL_NZ: `view` has the logical shape, and no memory
    at::Tensor storage;  // all the memory, in the shape that the format gives it
};
struct aclScalar {
    at::Scalar value;
};
struct aclIntArray {
    std::vector<int64_t> values;
};
struct aclBoolArray {
    std::vector<bool> values;
};
struct aclTensorList {
    std::vector<const aclTensor *> tensors;
};
struct aclOpExecutor;

namespace simulator {

using Tensor = const aclTensor *;
using TensorList = const aclTensorList *;
using Scalar = const aclScalar *;
using IntArray = const aclIntArray *;

// The operand as a torch tensor on the host; undefined for a null handle (an optional operand).
// One in FRACTAL_NZ is unpacked into a tensor of its own.
at::Tensor in(Tensor tensor);

// The tensors of a list; empty for a null handle.
std::vector<at::Tensor> in(TensorList list);

// Writes an operator's result where the caller wants it, in its dtype and strides.
void out(Tensor tensor, const at::Tensor &value);

// FRACTAL_NZ: the last two dimensions [rows, columns] in blocks of 16 rows by 32 bytes, as
// [columns / block, rows / 16, 16, block], filled up with zeros.
std::vector<int64_t> fractal_sizes(const at::Tensor &x);
at::Tensor pack_fractal(const at::Tensor &x);
at::Tensor unpack_fractal(const at::Tensor &storage, int64_t rows, int64_t columns);

// The torch dtype of one of CANN's.
at::ScalarType scalar_type(aclDataType type);

// The products that a matrix unit makes, for the clock.
struct Work {
    double flops = 0;
    at::ScalarType dtype = at::kFloat;
};
Work products(const at::Tensor &a, const at::Tensor &b);

// The rows that each group of a grouped product has, and the product of int8 or of floats.
std::vector<int64_t> group_sizes(const at::Tensor &list, int64_t kind);
at::Tensor grouped_product(const at::Tensor &x, const std::vector<at::Tensor> &weights,
                           const std::vector<int64_t> &sizes);

// First phase: remembers what is to be computed, and what it will take.
int plan(const char *op, aclOpExecutor **executor, uint64_t *workspace, Work work,
         std::function<void()> compute);

// Second phase: computes on a stream, or does what the scenario has planned instead.
int launch(aclOpExecutor *executor, aclrtStream stream);

}  // namespace simulator

// Defines both phases of an operator. The body follows, and ends in COMPUTE or COMPUTE_PRODUCTS:
//   ACLNN(aclnnMm, Tensor a, Tensor b, Tensor c, int8_t) { COMPUTE(out(c, at::mm(in(a), in(b)))); }
#define ACLNN(name, ...)                                                                        \
    SIMULATOR_API int name(void *, uint64_t, aclOpExecutor *executor, aclrtStream stream) {     \
        return simulator::launch(executor, stream);                                             \
    }                                                                                           \
    SIMULATOR_API int name##GetWorkspaceSize(__VA_ARGS__, uint64_t *workspace,                  \
                                             aclOpExecutor **executor)

#define COMPUTE_PRODUCTS(work, ...) \
    return simulator::plan(__func__, executor, workspace, work, [=] { __VA_ARGS__; })
#define COMPUTE(...) COMPUTE_PRODUCTS(simulator::Work{}, __VA_ARGS__)

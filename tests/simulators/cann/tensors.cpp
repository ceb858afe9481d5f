// Handles of operands, and the two phases of every operator: plan, then launch.
//
// An operator is executed by torch's own for the host, on views of the same memory. Its time on the
// device is that of its products at 80 % of the Cube's peak or of its bytes at 80 % of the memory's,
// whichever is longer, after LAUNCH_S.
#include "tensors.h"

#include <c10/core/InferenceMode.h>
#include <unistd.h>

#include <cstring>
#include <string>

#include "scenario.h"

struct aclOpExecutor {
    std::string op;
    simulator::Task task;
};

namespace simulator {
namespace {

thread_local double bytes_seen = 0;
thread_local bool wrong = false;

double seconds(const Work &work, double bytes) {
    double rate = 0.8e12 * scenario().chip.cube_tflops;
    if (work.dtype == at::kFloat) rate /= 4;
    if (work.dtype == at::kChar) rate *= 2;
    return LAUNCH_S + std::max(work.flops / rate, memory_seconds(bytes));
}

int execute(const std::string &op, const std::function<void()> &compute) {
    note_call(op.c_str());
    Fault fault = fault_at(op.c_str());
    switch (fault) {
        case Fault::fail:
            return fail(ACL_ERROR_RT_AICORE_EXCEPTION, (op + ": aicore exception (simulated)").c_str());
        case Fault::out_of_memory:
            return fail(ACL_ERROR_RT_MEMORY_ALLOCATION, (op + ": out of memory (simulated)").c_str());
        case Fault::lost: {
            int device;
            aclrtGetDevice(&device);
            return lose(device);
        }
        case Fault::hang:
            while (true) pause();
        case Fault::wrong:
        case Fault::none:
            break;
    }
    // As in the caller's thread: what is made in inference mode may be written in it alone.
    c10::InferenceMode inference;
    wrong = fault == Fault::wrong;
    try {
        compute();
    } catch (const std::exception &error) {
        std::string text(error.what());
        text = op + ": " + text.substr(0, text.find('\n'));
        std::fprintf(stderr, "CANN simulator: %s\n", text.c_str());
        wrong = false;
        return fail(ACL_ERROR_RT_PARAM_INVALID, text.c_str());
    }
    wrong = false;
    return ACL_SUCCESS;
}

}  // namespace

at::Tensor in(Tensor tensor) {
    if (tensor == nullptr) return {};
    if (!tensor->fractal) return tensor->view;
    // A transposed view is of the same blocks: what lies in memory are its columns.
    const auto &view = tensor->view;
    bool transposed = view.stride(-1) != 1;
    int64_t rows = view.size(transposed ? -1 : -2), columns = view.size(transposed ? -2 : -1);
    auto unpacked = unpack_fractal(tensor->storage, rows, columns);
    return transposed ? unpacked.transpose(-1, -2) : unpacked;
}

std::vector<int64_t> fractal_sizes(const at::Tensor &x) {
    int64_t block = 32 / x.element_size();
    auto sizes = x.sizes().vec();
    int64_t columns = sizes.back(), rows = sizes[sizes.size() - 2];
    sizes.resize(sizes.size() - 2);
    for (int64_t size : {(columns + block - 1) / block, (rows + 15) / 16, int64_t{16}, block})
        sizes.push_back(size);
    return sizes;
}

at::Tensor pack_fractal(const at::Tensor &x) {
    auto sizes = fractal_sizes(x);
    int64_t block = sizes.back(), across = sizes[sizes.size() - 4], down = sizes[sizes.size() - 3];
    auto padded =
        at::constant_pad_nd(x, {0, across * block - x.size(-1), 0, down * 16 - x.size(-2)});
    return padded.unflatten(-1, {across, block})
        .unflatten(-3, {down, 16})
        .movedim(-2, -4)
        .contiguous();
}

at::Tensor unpack_fractal(const at::Tensor &storage, int64_t rows, int64_t columns) {
    auto blocks = storage.movedim(-4, -2);  // [down, 16, across, block]
    return blocks.flatten(-2, -1).flatten(-3, -2).narrow(-2, 0, rows).narrow(-1, 0, columns);
}

std::vector<at::Tensor> in(TensorList list) {
    std::vector<at::Tensor> tensors;
    if (list != nullptr)
        for (Tensor tensor : list->tensors) tensors.push_back(in(tensor));
    return tensors;
}

void out(Tensor tensor, const at::Tensor &value) {
    if (tensor == nullptr) return;
    if (!wrong)
        tensor->view.copy_(value);
    else if (value.scalar_type() == at::kBool)
        tensor->view.copy_(value.logical_not());
    else
        tensor->view.copy_(value.add(1));
}

at::ScalarType scalar_type(aclDataType type) {
    switch (type) {
        case ACL_FLOAT: return at::kFloat;
        case ACL_FLOAT16: return at::kHalf;
        case ACL_BF16: return at::kBFloat16;
        case ACL_DOUBLE: return at::kDouble;
        case ACL_INT8: return at::kChar;
        case ACL_INT16: return at::kShort;
        case ACL_INT32: return at::kInt;
        case ACL_INT64: return at::kLong;
        case ACL_UINT8: return at::kByte;
        case ACL_BOOL: return at::kBool;
        default: TORCH_CHECK(false, "data type ", int(type), " is not simulated");
    }
}

Work products(const at::Tensor &a, const at::Tensor &b) {
    return {2.0 * a.numel() * b.size(-1), a.scalar_type()};
}

int plan(const char *phase, aclOpExecutor **executor, uint64_t *workspace, Work work,
         std::function<void()> compute) {
    std::string op(phase, std::strlen(phase) - std::strlen("GetWorkspaceSize"));
    double time = seconds(work, std::exchange(bytes_seen, 0));
    auto execute_it = [op, compute = std::move(compute)] { return execute(op, compute); };
    *executor = new aclOpExecutor{op, {execute_it, time}};
    *workspace = 0;
    return ACL_SUCCESS;
}

int launch(aclOpExecutor *executor, aclrtStream stream) {
    int status = submit(stream, std::move(executor->task));
    delete executor;
    return status;
}

}  // namespace simulator

using namespace simulator;

SIMULATOR_API aclTensor *aclCreateTensor(const int64_t *sizes, uint64_t dims, aclDataType type,
                                         const int64_t *strides, int64_t offset, aclFormat format,
                                         const int64_t *storage_sizes, uint64_t storage_dims,
                                         void *data) {
    at::IntArrayRef shape(sizes, dims), steps(strides, dims);
    auto options = at::TensorOptions().dtype(scalar_type(type));
    bool nothing = data == nullptr || c10::multiply_integers(shape) == 0;
    if (format == ACL_FORMAT_FRACTAL_NZ && !nothing) {
        auto view = at::empty_strided(shape, steps, options.device(at::kMeta));
        auto storage = at::from_blob(data, at::IntArrayRef(storage_sizes, storage_dims), options);
        bytes_seen += storage.nbytes();
        return new aclTensor{view, true, storage};
    }
    auto *start = static_cast<char *>(data) + offset * c10::elementSize(scalar_type(type));
    auto view = nothing ? at::empty(shape, options) : at::from_blob(start, shape, steps, options);
    bytes_seen += view.nbytes();
    return new aclTensor{view, false, {}};
}

SIMULATOR_API aclScalar *aclCreateScalar(void *value, aclDataType type) {
    auto one = at::from_blob(value, {}, at::TensorOptions().dtype(scalar_type(type)));
    return new aclScalar{one.item()};
}

SIMULATOR_API aclIntArray *aclCreateIntArray(const int64_t *values, uint64_t count) {
    return new aclIntArray{{values, values + count}};
}

SIMULATOR_API aclBoolArray *aclCreateBoolArray(const bool *values, uint64_t count) {
    return new aclBoolArray{std::vector<bool>(values, values + count)};
}

SIMULATOR_API aclTensorList *aclCreateTensorList(const aclTensor *const *values, uint64_t count) {
    return new aclTensorList{{values, values + count}};
}

// A captured graph goes on reading the operands of its operators, so handles outlive it.
template <typename Handle>
int destroy(const Handle *handle) {
    if (!graphs_exist()) delete handle;
    return ACL_SUCCESS;
}

SIMULATOR_API int aclDestroyTensor(const aclTensor *tensor) { return destroy(tensor); }
SIMULATOR_API int aclDestroyScalar(const aclScalar *scalar) { return destroy(scalar); }
SIMULATOR_API int aclDestroyIntArray(const aclIntArray *array) { return destroy(array); }
SIMULATOR_API int aclDestroyBoolArray(const aclBoolArray *array) { return destroy(array); }
SIMULATOR_API int aclDestroyTensorList(const aclTensorList *list) {
    if (list != nullptr)
        for (Tensor tensor : list->tensors) aclDestroyTensor(tensor);
    return destroy(list);
}

// CANN's pool of workspaces, which no operator here needs.
SIMULATOR_API int InitHugeMemThreadLocal(void *, bool) { return 0; }
SIMULATOR_API void UnInitHugeMemThreadLocal(void *, bool) {}
SIMULATOR_API void ReleaseHugeMem(void *, bool) {}

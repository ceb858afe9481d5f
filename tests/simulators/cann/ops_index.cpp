// Order and place: top-k, sort, gather, scatter, index, counts.
#include "tensors.h"

using namespace simulator;

ACLNN(aclnnTopk, Tensor x, int64_t k, int64_t dim, bool largest, bool sorted, Tensor values,
      Tensor indices) {
    COMPUTE(auto [top, where] = at::topk(in(x), k, dim, largest, sorted);
            out(values, top); out(indices, where));
}
ACLNN(aclnnSort, Tensor x, bool stable, int64_t dim, bool descending, Tensor values,
      Tensor indices) {
    COMPUTE(auto [sorted, from] = at::sort(in(x), stable, dim, descending);
            out(values, sorted); out(indices, from));
}
ACLNN(aclnnArgsort, Tensor x, int64_t dim, bool descending, Tensor indices) {
    COMPUTE(out(indices, at::argsort(in(x), dim, descending)));
}
ACLNN(aclnnGather, Tensor x, int64_t dim, Tensor index, Tensor y) {
    COMPUTE(out(y, at::gather(in(x), dim, in(index).to(at::kLong))));
}
ACLNN(aclnnIndexSelect, Tensor x, int64_t dim, Tensor index, Tensor y) {
    COMPUTE(out(y, at::index_select(in(x), dim, in(index))));
}
ACLNN(aclnnEmbedding, Tensor weight, Tensor index, Tensor y) {
    COMPUTE(out(y, at::embedding(in(weight), in(index))));
}

// An index that is left out (`:`) comes as a null handle or as an empty tensor.
static c10::List<c10::optional<at::Tensor>> indices(TensorList list) {
    c10::List<c10::optional<at::Tensor>> found;
    for (const at::Tensor &index : in(list)) {
        bool left_out = !index.defined() || index.numel() == 0;
        found.push_back(left_out ? c10::optional<at::Tensor>() : index);
    }
    return found;
}
ACLNN(aclnnIndex, Tensor x, TensorList at_indices, Tensor y) {
    COMPUTE(out(y, at::index(in(x), indices(at_indices))));
}
ACLNN(aclnnIndexPutImpl, Tensor x, TensorList at_indices, Tensor value, bool accumulate, bool) {
    COMPUTE(out(x, at::index_put(in(x), indices(at_indices), in(value), accumulate)));
}

ACLNN(aclnnIndexAdd, Tensor x, int64_t dim, Tensor index, Tensor source, Scalar alpha, Tensor y) {
    COMPUTE(out(y, at::index_add(in(x), dim, in(index), in(source), alpha->value)));
}

static at::Tensor scatter(const at::Tensor &x, int64_t dim, const at::Tensor &index,
                          const at::Tensor &source, int64_t reduction) {
    auto places = index.to(at::kLong);
    if (reduction == 0) return at::scatter(x, dim, places, source);
    return at::scatter(x, dim, places, source, reduction == 1 ? "add" : "multiply");
}
ACLNN(aclnnScatter, Tensor x, int64_t dim, Tensor index, Tensor source, int64_t reduction,
      Tensor y) {
    COMPUTE(out(y, scatter(in(x), dim, in(index), in(source), reduction)));
}
ACLNN(aclnnInplaceScatter, Tensor x, int64_t dim, Tensor index, Tensor source, int64_t reduction) {
    COMPUTE(out(x, scatter(in(x), dim, in(index), in(source), reduction)));
}
ACLNN(aclnnScatterValue, Tensor x, int64_t dim, Tensor index, Scalar value, int64_t reduction,
      Tensor y) {
    COMPUTE(auto source = at::full_like(in(index), value->value, in(x).options());
            out(y, scatter(in(x), dim, in(index), source, reduction)));
}
ACLNN(aclnnInplaceScatterValue, Tensor x, int64_t dim, Tensor index, Scalar value,
      int64_t reduction) {
    COMPUTE(auto source = at::full_like(in(index), value->value, in(x).options());
            out(x, scatter(in(x), dim, in(index), source, reduction)));
}

ACLNN(aclnnSearchSorted, Tensor sorted, Tensor x, bool int32, bool right, Tensor sorter,
      Tensor y) {
    COMPUTE(c10::optional<at::Tensor> by;
            if (sorter != nullptr) by = in(sorter);
            out(y, at::searchsorted(in(sorted), in(x), int32, right, {}, by)));
}
ACLNN(aclnnBincount, Tensor x, Tensor weight, int64_t least, Tensor y) {
    COMPUTE(c10::optional<at::Tensor> weights;
            if (weight != nullptr) weights = in(weight);
            out(y, at::bincount(in(x), weights, least)));
}
ACLNN(aclnnHistc, Tensor x, int64_t bins, Scalar low, Scalar high, Tensor y) {
    COMPUTE(out(y, at::histc(in(x).to(at::kFloat), bins, low->value, high->value)));
}

// The number of rows found is known after the execution only: the handle's shape tells the caller.
ACLNN(aclnnNonzero, Tensor x, Tensor y) {
    COMPUTE(auto found = at::nonzero(in(x));
            const_cast<aclTensor *>(y)->view = in(y).flatten().narrow(0, 0, found.numel())
                                                   .view(found.sizes());
            out(y, found));
}
ACLNN(aclnnNonzeroV2, Tensor x, Tensor y) {
    COMPUTE(auto found = at::nonzero(in(x)).t().contiguous();
            const_cast<aclTensor *>(y)->view = in(y).flatten().narrow(0, 0, found.numel())
                                                   .view(found.sizes());
            out(y, found));
}
SIMULATOR_API int aclGetViewShape(Tensor tensor, int64_t **sizes, uint64_t *dims) {
    auto shape = tensor->view.sizes();
    *sizes = new int64_t[shape.size()];
    std::copy(shape.begin(), shape.end(), *sizes);
    *dims = shape.size();
    return ACL_SUCCESS;
}

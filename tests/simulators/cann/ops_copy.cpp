// What makes tensors and moves them: copies, casts, fills, random numbers, joins, storage formats.
#include <ATen/CPUGeneratorImpl.h>

#include "tensors.h"

using namespace simulator;

ACLNN(aclnnInplaceCopy, Tensor to, Tensor from) { COMPUTE(out(to, in(from))); }
ACLNN(aclnnCast, Tensor x, aclDataType type, Tensor y) {
    COMPUTE(out(y, in(x).to(scalar_type(type))));
}
ACLNN(aclnnPermute, Tensor x, IntArray dims, Tensor y) {
    COMPUTE(out(y, in(x).permute(dims->values)));
}
ACLNN(aclnnRepeat, Tensor x, IntArray times, Tensor y) {
    COMPUTE(out(y, in(x).repeat(times->values)));
}
ACLNN(aclnnCat, TensorList parts, int64_t dim, Tensor y) {
    COMPUTE(out(y, at::cat(in(parts), dim)));
}

ACLNN(aclnnInplaceZero, Tensor x) { COMPUTE(out(x, at::zeros_like(in(x)))); }
ACLNN(aclnnInplaceOne, Tensor x) { COMPUTE(out(x, at::ones_like(in(x)))); }
ACLNN(aclnnInplaceFillScalar, Tensor x, Scalar value) {
    COMPUTE(out(x, at::full_like(in(x), value->value)));
}
ACLNN(aclnnInplaceFillTensor, Tensor x, Tensor value) {
    COMPUTE(out(x, in(value).expand_as(in(x))));
}
ACLNN(aclnnInplaceMaskedFillScalar, Tensor x, Tensor mask, Scalar value) {
    COMPUTE(out(x, at::masked_fill(in(x), in(mask), value->value)));
}
ACLNN(aclnnArange, Scalar start, Scalar end, Scalar step, Tensor y) {
    COMPUTE(out(y, at::arange(start->value, end->value, step->value, in(y).options())));
}

static at::Generator generator(int64_t seed, int64_t offset) {
    return at::detail::createCPUGenerator(seed + offset);
}
ACLNN(aclnnInplaceNormal, Tensor x, float mean, float std, int64_t seed, int64_t offset) {
    COMPUTE(out(x, at::empty_like(in(x)).normal_(mean, std, generator(seed, offset))));
}
ACLNN(aclnnInplaceUniform, Tensor x, double low, double high, uint64_t seed, uint64_t offset) {
    COMPUTE(out(x, at::empty_like(in(x)).uniform_(low, high, generator(seed, offset))));
}
ACLNN(aclnnInplaceRandom, Tensor x, int64_t low, int64_t high, int64_t seed, int64_t offset) {
    COMPUTE(out(x, at::empty_like(in(x)).random_(low, high, generator(seed, offset))));
}

ACLNN(aclnnNpuFormatCast, Tensor x, Tensor y) {
    COMPUTE(if (y->fractal) y->storage.copy_(pack_fractal(in(x)));
            else out(y, in(x)));
}

SIMULATOR_API int aclnnNpuFormatCastCalculateSizeAndFormat(Tensor x, int format, int,
                                                           int64_t **sizes, uint64_t *dims,
                                                           int *actual) {
    if (format != ACL_FORMAT_FRACTAL_NZ && format != ACL_FORMAT_ND)
        return fail(ACL_ERROR_RT_FEATURE_NOT_SUPPORT, "format is not simulated");
    auto shape = format == ACL_FORMAT_ND ? in(x).sizes().vec() : fractal_sizes(in(x));
    *sizes = new int64_t[shape.size()];
    std::copy(shape.begin(), shape.end(), *sizes);
    *dims = shape.size();
    *actual = format;
    return ACL_SUCCESS;
}

// Arithmetic, comparisons, activations, casts and reductions, element by element.
#include "tensors.h"

using namespace simulator;

#define UNARY(name, value) \
    ACLNN(aclnn##name, Tensor self, Tensor y) { COMPUTE(auto x = in(self); out(y, value)); }
#define UNARY_IN_PLACE(name, value) \
    ACLNN(aclnnInplace##name, Tensor self) { COMPUTE(auto x = in(self); out(self, value)); }

UNARY(Abs, x.abs())
UNARY(Exp, x.exp())
UNARY(Log, x.log())
UNARY(Neg, x.neg())
UNARY(Reciprocal, x.reciprocal())
UNARY(Relu, x.relu())
UNARY(Round, x.round())
UNARY(Rsqrt, x.rsqrt())
UNARY(Sigmoid, x.sigmoid())
UNARY(Silu, at::silu(x))
UNARY(Sqrt, x.sqrt())
UNARY(LogicalNot, x.logical_not())
UNARY(IsFinite, x.isfinite())
UNARY_IN_PLACE(Sigmoid, x.sigmoid())
UNARY_IN_PLACE(Sqrt, x.sqrt())
UNARY_IN_PLACE(Relu, x.relu())

#define BINARY(name, function)                               \
    ACLNN(aclnn##name, Tensor a, Tensor b, Tensor y) {       \
        COMPUTE(out(y, function(in(a), in(b))));             \
    }
#define BINARY_SCALAR(name, function)                        \
    ACLNN(aclnn##name, Tensor a, Scalar b, Tensor y) {       \
        COMPUTE(out(y, function(in(a), b->value)));          \
    }
#define BINARY_IN_PLACE(name, function)                      \
    ACLNN(aclnnInplace##name, Tensor a, Tensor b) {          \
        COMPUTE(out(a, function(in(a), in(b))));             \
    }                                                        \
    ACLNN(aclnnInplace##name##s, Tensor a, Scalar b) {       \
        COMPUTE(out(a, function(in(a), b->value)));          \
    }

BINARY(Mul, at::mul)
BINARY(Div, at::div)
BINARY(Maximum, at::maximum)
BINARY(Minimum, at::minimum)
BINARY(LogicalAnd, at::logical_and)
BINARY(BitwiseAndTensor, at::bitwise_and)
BINARY(BitwiseOrTensor, at::bitwise_or)
BINARY(FloorDivide, at::floor_divide)
BINARY(RemainderTensorTensor, at::remainder)
BINARY(PowTensorTensor, at::pow)
BINARY_SCALAR(Muls, at::mul)
BINARY_SCALAR(Divs, at::div)
BINARY_SCALAR(FloorDivides, at::floor_divide)
BINARY_SCALAR(RemainderTensorScalar, at::remainder)
BINARY_SCALAR(FmodScalar, at::fmod)
BINARY_SCALAR(PowTensorScalar, at::pow)
BINARY_SCALAR(BitwiseAndScalar, at::bitwise_and)
BINARY_SCALAR(BitwiseOrScalar, at::bitwise_or)
BINARY_SCALAR(ClampMax, at::clamp_max)
BINARY_SCALAR(ClampMin, at::clamp_min)
BINARY_IN_PLACE(Mul, at::mul)
BINARY_IN_PLACE(Div, at::div)

#define COMPARISON(name, function)                           \
    BINARY(name##Tensor, function)                           \
    BINARY_SCALAR(name##Scalar, function)

COMPARISON(Eq, at::eq)
COMPARISON(Ne, at::ne)
COMPARISON(Lt, at::lt)
COMPARISON(Le, at::le)
COMPARISON(Gt, at::gt)
COMPARISON(Ge, at::ge)

#define SUM(name, function)                                             \
    ACLNN(aclnn##name, Tensor a, Tensor b, Scalar alpha, Tensor y) {    \
        COMPUTE(out(y, function(in(a), in(b), alpha->value)));          \
    }                                                                   \
    ACLNN(aclnn##name##s, Tensor a, Scalar b, Scalar alpha, Tensor y) { \
        COMPUTE(out(y, function(in(a), b->value, alpha->value)));       \
    }                                                                   \
    ACLNN(aclnnInplace##name, Tensor a, Tensor b, Scalar alpha) {       \
        COMPUTE(out(a, function(in(a), in(b), alpha->value)));          \
    }                                                                   \
    ACLNN(aclnnInplace##name##s, Tensor a, Scalar b, Scalar alpha) {    \
        COMPUTE(out(a, function(in(a), b->value, alpha->value)));       \
    }

SUM(Add, at::add)
SUM(Sub, at::sub)

ACLNN(aclnnClamp, Tensor x, Scalar low, Scalar high, Tensor y) {
    using Bound = c10::optional<at::Scalar>;
    COMPUTE(out(y, at::clamp(in(x), low ? Bound(low->value) : Bound(),
                             high ? Bound(high->value) : Bound())));
}
ACLNN(aclnnSoftplus, Tensor x, Scalar beta, Scalar threshold, Tensor y) {
    COMPUTE(out(y, at::softplus(in(x), beta->value, threshold->value)));
}
ACLNN(aclnnGelu, Tensor x, Tensor y) { COMPUTE(out(y, at::gelu(in(x)))); }
ACLNN(aclnnGeluV2, Tensor x, int64_t approximate, Tensor y) {
    COMPUTE(out(y, at::gelu(in(x), approximate ? "tanh" : "none")));
}
ACLNN(aclnnSoftmax, Tensor x, int64_t dim, Tensor y) {
    COMPUTE(out(y, at::softmax(in(x), dim)));
}
ACLNN(aclnnSwiGlu, Tensor x, int64_t dim, Tensor y) {
    COMPUTE(auto halves = in(x).to(at::kFloat).chunk(2, dim);
            out(y, at::silu(halves[0]) * halves[1]));
}
ACLNN(aclnnSWhere, Tensor condition, Tensor a, Tensor b, Tensor y) {
    COMPUTE(out(y, at::where(in(condition), in(a), in(b))));
}

ACLNN(aclnnReduceSum, Tensor x, IntArray dims, bool keep, aclDataType type, Tensor y) {
    COMPUTE(out(y, at::sum(in(x), dims->values, keep, scalar_type(type))));
}
ACLNN(aclnnMean, Tensor x, IntArray dims, bool keep, aclDataType type, Tensor y) {
    COMPUTE(out(y, at::mean(in(x), dims->values, keep, scalar_type(type))));
}
ACLNN(aclnnAmax, Tensor x, IntArray dims, bool keep, Tensor y) {
    COMPUTE(out(y, at::amax(in(x), dims->values, keep)));
}
ACLNN(aclnnAmin, Tensor x, IntArray dims, bool keep, Tensor y) {
    COMPUTE(out(y, at::amin(in(x), dims->values, keep)));
}
UNARY(Max, x.max())
UNARY(Min, x.min())
ACLNN(aclnnAll, Tensor x, IntArray dims, bool keep, Tensor y) {
    COMPUTE(out(y, at::all(in(x).to(at::kBool), dims->values, keep)));
}
ACLNN(aclnnAny, Tensor x, IntArray dims, bool keep, Tensor y) {
    COMPUTE(out(y, at::any(in(x).to(at::kBool), dims->values, keep)));
}
ACLNN(aclnnCumsum, Tensor x, int64_t dim, aclDataType type, Tensor y) {
    COMPUTE(out(y, at::cumsum(in(x), dim, scalar_type(type))));
}

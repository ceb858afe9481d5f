// Products: plain, batched, quantized and grouped.
#include "tensors.h"

using namespace simulator;

// Allowed to round, the Cube multiplies float32 as hf32: 11 stored bits of the significand.
static at::Tensor operand(Tensor tensor, int8_t cube_math_type) {
    auto x = in(tensor);
    bool allowed = cube_math_type == 1 || cube_math_type == 3;
    if (!allowed || x.scalar_type() != at::kFloat) return x;
    return x.contiguous().view(at::kInt).add(0x800).bitwise_and(~0xFFF).view(at::kFloat);
}

#define PRODUCT(name, function)                                              \
    ACLNN(name, Tensor a, Tensor b, Tensor c, int8_t math) {                 \
        COMPUTE_PRODUCTS(products(in(a), in(b)),                             \
                         out(c, function(operand(a, math), operand(b, math)))); \
    }

PRODUCT(aclnnMm, at::mm)
PRODUCT(aclnnMatmul, at::matmul)
PRODUCT(aclnnBatchMatMul, at::bmm)
PRODUCT(aclnnMatmulWeightNz, at::matmul)
PRODUCT(aclnnBatchMatMulWeightNz, at::bmm)

ACLNN(aclnnAddmm, Tensor c, Tensor a, Tensor b, Scalar beta, Scalar alpha, Tensor y, int8_t math) {
    COMPUTE_PRODUCTS(products(in(a), in(b)),
                     out(y, at::addmm(in(c), operand(a, math), operand(b, math), beta->value,
                                      alpha->value)));
}
ACLNN(aclnnBaddbmm, Tensor c, Tensor a, Tensor b, Scalar beta, Scalar alpha, Tensor y,
      int8_t math) {
    COMPUTE_PRODUCTS(products(in(a), in(b)),
                     out(y, at::baddbmm(in(c), operand(a, math), operand(b, math), beta->value,
                                        alpha->value)));
}

// Integer products summed in float64, which holds every one of them exactly.
static at::Tensor integer_product(const at::Tensor &a, const at::Tensor &b) {
    return at::matmul(a.to(at::kDouble), b.to(at::kDouble));
}

// x1 · x2, times the scale of each column and of each row; int32 results are not scaled.
static void quantized_product(Tensor x1, Tensor x2, Tensor x1_scale, Tensor x2_scale, Tensor bias,
                              Tensor y) {
    auto sum = integer_product(in(x1), in(x2));
    if (bias != nullptr && in(bias).numel() > 0) sum = sum + in(bias).to(at::kDouble);
    if (in(y).scalar_type() != at::kInt) {
        sum = sum * in(x2_scale).to(at::kDouble);
        if (x1_scale != nullptr && in(x1_scale).numel() > 0)
            sum = sum * in(x1_scale).to(at::kDouble).unsqueeze(-1);
    }
    out(y, sum);
}

#define QUANTIZED_PRODUCT(name)                                                                  \
    ACLNN(name, Tensor x1, Tensor x2, Tensor x1_scale, Tensor x2_scale, Tensor, Tensor, Tensor,  \
          Tensor, Tensor bias, bool, bool, int64_t, Tensor y) {                                  \
        COMPUTE_PRODUCTS(products(in(x1), in(x2)),                                               \
                         quantized_product(x1, x2, x1_scale, x2_scale, bias, y));                \
    }
QUANTIZED_PRODUCT(aclnnQuantMatmulV5)
QUANTIZED_PRODUCT(aclnnQuantMatmulWeightNz)

ACLNN(aclnnQuantMatmulV4, Tensor x1, Tensor x2, Tensor x2_scale, Tensor, Tensor x1_scale,
      Tensor bias, bool, bool, Tensor y) {
    COMPUTE_PRODUCTS(products(in(x1), in(x2)),
                     quantized_product(x1, x2, x1_scale, x2_scale, bias, y));
}

// The rows of x that each group has: `kind` 0 gives their ends, 1 their numbers.
std::vector<int64_t> simulator::group_sizes(const at::Tensor &list, int64_t kind) {
    TORCH_CHECK(kind == 0 || kind == 1, "group_list_type ", kind, " is not simulated");
    auto numbers = list.to(at::kLong).contiguous();
    std::vector<int64_t> sizes(numbers.data_ptr<int64_t>(),
                               numbers.data_ptr<int64_t>() + numbers.numel());
    if (kind == 0)
        for (size_t i = sizes.size(); i-- > 1;) sizes[i] -= sizes[i - 1];
    return sizes;
}

at::Tensor simulator::grouped_product(const at::Tensor &x, const std::vector<at::Tensor> &weights,
                                      const std::vector<int64_t> &sizes) {
    bool stacked = weights.size() == 1 && weights[0].dim() == 3;
    bool integers = x.scalar_type() == at::kChar;
    auto y = at::zeros({x.size(0), weights[0].size(-1)},
                       x.options().dtype(integers ? at::kDouble : x.scalar_type()));
    int64_t row = 0;
    for (size_t group = 0; group < sizes.size(); ++group) {
        auto rows = x.narrow(0, row, sizes[group]);
        auto weight = stacked ? weights[0][group] : weights[group];
        y.narrow(0, row, sizes[group])
            .copy_(integers ? integer_product(rows, weight) : at::mm(rows, weight));
        row += sizes[group];
    }
    return y;
}

static int grouped_matmul(const char *phase, uint64_t *workspace, aclOpExecutor **executor,
                          TensorList x, TensorList weight, TensorList scale,
                          TensorList per_token_scale, Tensor group_list, int64_t split_item,
                          int64_t group_type, int64_t kind, TensorList y) {
    auto compute = [=] {
        TORCH_CHECK(split_item >= 2 && group_type == 0 && in(x).size() == 1,
                    "only rows of one x, into one y, are simulated");
        auto sizes = group_sizes(in(group_list), kind);
        auto product = grouped_product(in(x)[0], in(weight), sizes);
        if (in(x)[0].scalar_type() == at::kChar && !in(scale).empty()) {
            auto groups = at::tensor(sizes, at::kLong);
            product = product * in(scale)[0].to(at::kDouble).repeat_interleave(groups, 0);
            if (!in(per_token_scale).empty())
                product = product * in(per_token_scale)[0].to(at::kDouble).unsqueeze(-1);
        }
        out(y->tensors[0], product);
    };
    return plan(phase, executor, workspace, products(in(x)[0], in(weight)[0]), compute);
}

ACLNN(aclnnGroupedMatmulV4, TensorList x, TensorList weight, TensorList, TensorList scale,
      TensorList, TensorList, TensorList, TensorList per_token_scale, Tensor group_list, TensorList,
      TensorList, TensorList, int64_t split_item, int64_t group_type, int64_t kind, int64_t,
      TensorList y, TensorList, TensorList) {
    return grouped_matmul(__func__, workspace, executor, x, weight, scale, per_token_scale,
                          group_list, split_item, group_type, kind, y);
}
ACLNN(aclnnGroupedMatmulV5, TensorList x, TensorList weight, TensorList, TensorList scale,
      TensorList, TensorList, TensorList, TensorList per_token_scale, Tensor group_list, TensorList,
      TensorList, TensorList, int64_t split_item, int64_t group_type, int64_t kind, int64_t,
      IntArray, TensorList y, TensorList, TensorList) {
    return grouped_matmul(__func__, workspace, executor, x, weight, scale, per_token_scale,
                          group_list, split_item, group_type, kind, y);
}
ACLNN(aclnnGroupedMatmulWeightNz, TensorList x, TensorList weight, TensorList, TensorList scale,
      TensorList, TensorList, TensorList, TensorList per_token_scale, Tensor group_list, TensorList,
      TensorList, TensorList, int64_t split_item, int64_t group_type, int64_t kind, int64_t,
      IntArray, int64_t, TensorList y, TensorList, TensorList) {
    return grouped_matmul(__func__, workspace, executor, x, weight, scale, per_token_scale,
                          group_list, split_item, group_type, kind, y);
}

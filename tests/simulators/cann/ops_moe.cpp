// The operators of a mixture-of-experts layer, after the equivalents in torch-npu's documentation.
#include "tensors.h"

using namespace simulator;

ACLNN(aclnnMoeGatingTopKSoftmax, Tensor x, Tensor, int64_t k, Tensor y, Tensor experts,
      Tensor rows) {
    COMPUTE(auto [weight, chosen] = at::topk(at::softmax(in(x).to(at::kFloat), -1), k, -1);
            int64_t n = in(x).size(0);
            out(y, weight); out(experts, chosen);
            out(rows, at::arange(n * k).view({k, n}).t()));
}

// Scores, the best groups by their maximum (0) or their two best (1), and the best experts of those.
ACLNN(aclnnMoeGatingTopK, Tensor x, Tensor bias, int64_t k, int64_t k_group, int64_t group_count,
      int64_t group_select_mode, int64_t, int64_t norm_type, bool, double scaling, double eps,
      Tensor y, Tensor experts, Tensor scores_out) {
    COMPUTE(auto logits = in(x).to(at::kFloat);
            auto scores = norm_type == 1 ? at::sigmoid(logits) : at::softmax(logits, -1);
            auto choice = bias != nullptr ? scores + in(bias).to(at::kFloat) : scores;
            if (group_count > 1) {
                auto grouped = choice.view({choice.size(0), group_count, -1});
                auto best = group_select_mode == 1
                                ? std::get<0>(at::topk(grouped, 2, -1)).sum(-1)
                                : grouped.amax(-1);
                auto open = std::get<1>(at::topk(best, k_group, -1));
                auto closed = at::ones_like(best, at::kBool).scatter_(1, open, false);
                choice = grouped.masked_fill(closed.unsqueeze(-1), -INFINITY).flatten(1);
            }
            auto chosen = std::get<1>(at::topk(choice, k, -1));
            auto weight = scores.gather(1, chosen);
            if (norm_type == 1) weight = weight / (weight.sum(-1, true) + eps);
            out(y, weight * scaling); out(experts, chosen); out(scores_out, scores));
}

static at::Tensor absolute_maximum(const at::Tensor &rows) {
    return rows.abs().amax(-1, true) / 127;
}

// Rows sorted by expert: expanded[row_idx[token · k + slot]] = x[token] (a gather index, type 0).
static void init_routing(Tensor x, Tensor experts, int64_t expert_num, int64_t counts_type,
                         int64_t quant_mode, int64_t row_idx_type, Tensor expanded, Tensor row_idx,
                         Tensor counts, Tensor scale) {
    auto flat = in(experts).flatten().to(at::kLong);
    int64_t k = in(experts).size(1);
    TORCH_CHECK(flat.min().item<int64_t>() >= 0 && flat.max().item<int64_t>() < expert_num,
                "an expert is out of range");
    auto order = std::get<1>(at::sort(flat, true, 0, false));
    auto rows = in(x).index_select(0, at::floor_divide(order, k));
    if (quant_mode == 1) {
        auto wide = rows.to(at::kFloat);
        auto unit = absolute_maximum(wide);
        out(scale, unit.squeeze(-1));
        rows = (wide / unit).round();
    }
    out(expanded, rows);
    auto place = at::empty_like(order);
    place.index_put_({order}, at::arange(order.numel()));
    out(row_idx, row_idx_type == 0 ? place : order);
    auto number = at::bincount(flat, {}, expert_num);
    out(counts, counts_type == 0 ? at::cumsum(number, 0) : number);
}

ACLNN(aclnnMoeInitRoutingV3, Tensor x, Tensor experts, Tensor, Tensor, int64_t, int64_t,
      int64_t expert_num, int64_t drop_pad_mode, int64_t counts_type, bool, int64_t quant_mode,
      IntArray range, int64_t row_idx_type, Tensor expanded, Tensor row_idx, Tensor counts,
      Tensor scale) {
    COMPUTE(TORCH_CHECK(drop_pad_mode == 0 && counts_type < 2 &&
                            (quant_mode == -1 || quant_mode == 1) && range->values[0] == 0 &&
                            range->values[1] == expert_num,
                        "only dropless routing to all experts is simulated");
            init_routing(x, experts, expert_num, counts_type, quant_mode, row_idx_type, expanded,
                         row_idx, counts, scale));
}

// With CANN before 8.5, torch-npu takes this one for 128 experts with rows of 2048; its counts are int32.
ACLNN(aclnnMoeInitRoutingV2, Tensor x, Tensor experts, int64_t, int64_t, int64_t expert_num,
      int64_t drop_pad_mode, int64_t counts_type, bool, Tensor expanded, Tensor row_idx, Tensor counts,
      Tensor) {
    COMPUTE(TORCH_CHECK(drop_pad_mode == 0 && counts_type > 0, "only dropless routing is simulated");
            init_routing(x, experts, expert_num, counts_type - 1, -1, 0, expanded, row_idx, counts,
                         nullptr));
}

ACLNN(aclnnMoeTokenPermute, Tensor tokens, Tensor experts, int64_t count, bool, Tensor permuted,
      Tensor sorted_indices) {
    COMPUTE(auto flat = in(experts).flatten();
            int64_t k = flat.numel() / in(tokens).size(0);
            auto order = std::get<1>(at::sort(flat, true, 0, false));
            auto rows = at::floor_divide(order.narrow(0, 0, count), k);
            out(permuted, in(tokens).index_select(0, rows));
            out(sorted_indices, std::get<1>(at::sort(order, true, 0, false))));
}

// Σ_j weight[token, j] · rows[index[token, j]], summed in float32.
static at::Tensor combine(const at::Tensor &rows, const at::Tensor &index,
                          const at::Tensor &weights, int64_t tokens) {
    auto back = rows.to(at::kFloat).index_select(0, index.to(at::kLong).flatten());
    auto by_token = back.view({tokens, -1, rows.size(-1)});
    if (weights.defined()) by_token = by_token * weights.to(at::kFloat).unsqueeze(-1);
    return by_token.sum(1);
}

ACLNN(aclnnMoeTokenUnpermute, Tensor rows, Tensor sorted_indices, Tensor weights, bool, IntArray,
      Tensor y) {
    COMPUTE(out(y, combine(in(rows), in(sorted_indices), in(weights), in(y).size(0))));
}

// Modes 0 and 1 take the index slot by slot (as V1 did), 2 and 3 token by token.
static void finalize_routing(Tensor rows, Tensor index, Tensor skip1, Tensor skip2, Tensor weights,
                             int64_t mode, Tensor y) {
    int64_t tokens = in(y).size(0);
    auto by_token = mode >= 2 ? in(index) : in(index).view({-1, tokens}).t().flatten();
    auto sum = combine(in(rows).flatten(0, -2), by_token, in(weights), tokens);
    if (skip1 != nullptr) sum = sum + in(skip1);
    if (skip2 != nullptr) sum = sum + in(skip2);
    out(y, sum);
}

ACLNN(aclnnMoeFinalizeRoutingV2, Tensor rows, Tensor index, Tensor skip1, Tensor skip2, Tensor bias,
      Tensor weights, Tensor, int64_t mode, Tensor y) {
    COMPUTE(TORCH_CHECK(bias == nullptr, "a bias of experts is not simulated");
            finalize_routing(rows, index, skip1, skip2, weights, mode, y));
}

// Symmetric, a scale for each row: the largest magnitude becomes 127.
ACLNN(aclnnDynamicQuant, Tensor x, Tensor smooth, Tensor y, Tensor scale) {
    COMPUTE(TORCH_CHECK(smooth == nullptr, "smooth scales are not simulated");
            auto wide = in(x).to(at::kFloat);
            auto unit = absolute_maximum(wide);
            out(y, (wide / unit).round()); out(scale, unit.squeeze(-1)));
}

// A grouped product of int8, scaled, through SwiGLU, and to int8 again.
ACLNN(aclnnGroupedMatmulSwigluQuantWeightNZ, Tensor x, Tensor weight, Tensor, Tensor,
      Tensor weight_scale, Tensor x_scale, Tensor group_list, Tensor y, Tensor y_scale, Tensor) {
    COMPUTE_PRODUCTS(
        products(in(x), in(weight)),
        TORCH_CHECK(weight->fractal, "a plain weight would be read as if it were FRACTAL_NZ");
        TORCH_CHECK(in(weight).size(-1) <= 10240 && in(x).size(-1) < 65536, "too large for CANN");
        auto sizes = group_sizes(in(group_list), 0);
        auto product = grouped_product(in(x), {in(weight)}, sizes);
        auto by_row = in(weight_scale).to(at::kDouble).repeat_interleave(
            at::tensor(sizes, at::kLong), 0);
        auto scaled = product * by_row * in(x_scale).to(at::kDouble).unsqueeze(-1);
        auto halves = scaled.to(at::kFloat).chunk(2, -1);
        auto acted = at::silu(halves[0]) * halves[1]; auto unit = absolute_maximum(acted);
        out(y, (acted / unit).round()); out(y_scale, unit.squeeze(-1)));
}

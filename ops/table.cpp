// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <initializer_list>

#include "thalweg/graph/fail.h"
#include "thalweg/graph/opdef.h"
#include "thalweg/ops/make.h"

namespace thalweg {

// One list from each file of the vocabulary.
OpList activation_ops();
OpList check_ops();
OpList conv_ops();
OpList ctc_ops();
OpList function_ops();
OpList image_ops();
OpList index_ops();
OpList loss_ops();
OpList matmul_ops();
OpList metric_ops();
OpList movement_ops();
OpList norm_ops();
OpList pointwise_ops();
OpList pool_ops();
OpList random_ops();
OpList reduce_ops();
OpList softmax_ops();
OpList source_ops();

namespace {

OpList collected() {
  OpList all;
  for (OpList (*list)() : {activation_ops, check_ops, conv_ops, ctc_ops, function_ops, image_ops, index_ops, loss_ops,
                           matmul_ops, metric_ops, movement_ops, norm_ops, pointwise_ops, pool_ops, random_ops,
                           reduce_ops, softmax_ops,
                           source_ops})
    for (const OpDef* op : list()) all.push_back(op);
  std::sort(all.begin(), all.end(), [](const OpDef* a, const OpDef* b) { return a->name < b->name; });
  const auto twice =
      std::adjacent_find(all.begin(), all.end(), [](const OpDef* a, const OpDef* b) { return a->name == b->name; });
  if (twice != all.end()) throw InternalError(fmt::format("two ops are named '{}'", (*twice)->name));
  return all;
}

}  // namespace

std::span<const OpDef* const> op_table() {
  static const OpList all = collected();
  return all;
}

}  // namespace thalweg

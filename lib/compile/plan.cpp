// SPDX-License-Identifier: Apache-2.0
#include "thalweg/lib/compile/planning.h"

namespace thalweg {

ValueIndex::ValueIndex(const Graph& graph) {
  first_.reserve(graph.size() + 1);
  first_.push_back(0);
  for (NodeId id = 0; id < graph.size(); ++id) first_.push_back(first_.back() + graph.node(id).types.size());
}

Plan plan_kernels(const Graph& graph, const ValueIndex& index, const CompileOptions& options, int threads) {
  const Uses uses(graph, index, options.fuse);
  Plan plan;
  plan.works = make_works(graph, index, uses, options, threads);
  plan.root = uses.roots();
  if (options.fuse) absorb_pointwise(graph, index, uses, options, threads, plan);
  merge_works(graph, index, uses, options, threads, plan);
  order_works(graph, index, plan);
  write_variables(graph, index, plan);
  return plan;
}

}  // namespace thalweg

// SPDX-License-Identifier: Apache-2.0
// Private: an Epilogue in oneDNN's words.
#pragma once

#include <oneapi/dnnl/dnnl.hpp>

#include "thalweg/lib/onednn/lower.h"
#include "thalweg/lib/onednn/primitive.h"

namespace thalweg::onednn {

/// The attributes of a primitive with this epilogue (the bias is the primitive's own argument).
inline dnnl::primitive_attr attributes(const Epilogue& epilogue) {
  dnnl::primitive_attr attr;
  attr.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  dnnl::post_ops post;
  if (epilogue.slope)
    post.append_eltwise(1.F, dnnl::algorithm::eltwise_relu, static_cast<float>(*epilogue.slope), 0.F);
  attr.set_post_ops(post);
  return attr;
}

/// A kernel that is one ReorderedCall.
class CallKernel : public Kernel {
 public:
  CallKernel(ReorderedCall call, std::string what) : call_(std::move(call)), what_(std::move(what)) {}
  void run(const void* const* in, void* const* out, void* scratch) const override { call_.run(in, out, scratch); }
  std::size_t scratch_bytes() const override { return call_.scratch_bytes(); }
  std::size_t reorders() const override { return call_.reorders(); }
  bool starts_workers() const override { return true; }
  std::string name() const override { return "onednn:" + what_ + ":" + call_.implementation(); }

 private:
  ReorderedCall call_;
  std::string what_;
};

}  // namespace thalweg::onednn

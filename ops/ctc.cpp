// SPDX-License-Identifier: Apache-2.0
#include "thalweg/ops/ctc.h"

#include <vector>

#include "thalweg/ops/ctc_lattice.h"
#include "thalweg/ops/loss.h"
#include "thalweg/ops/make.h"
#include "thalweg/ops/source.h"

namespace thalweg {

CtcSizes::CtcSizes(const Attrs& attrs, const Shape& logits, const Shape& label_shape)
    : frames(static_cast<std::size_t>(logits[1])), classes(static_cast<std::size_t>(logits[2])),
      labels(static_cast<std::size_t>(label_shape[1])), blank(static_cast<std::int32_t>(attrs.integer("blank"))),
      zero_infinity(attrs.flag("zero_infinity")) {}

bool CtcSizes::check(std::size_t n, const std::int32_t* sample_labels, std::int32_t input_length,
                     std::int32_t label_length) const {
  if (input_length < 0 || static_cast<std::size_t>(input_length) > frames)
    run_error("ctc: the input length of sample {} is {}, must be in [0,{}]", n, input_length, frames);
  if (label_length < 0 || static_cast<std::size_t>(label_length) > labels)
    run_error("ctc: the label length of sample {} is {}, must be in [0,{}]", n, label_length, labels);
  std::int32_t needed = label_length;
  for (std::int32_t i = 0; i < label_length; ++i) {
    const std::int32_t label = sample_labels[i];
    if (label < 0 || static_cast<std::size_t>(label) >= classes || label == blank)
      run_error("ctc: label {} of sample {} is {}, must be in [0,{}) and not the blank, {}",
          i, n, label, classes, blank);
    if (i > 0 && label == sample_labels[i - 1]) ++needed;
  }
  if (needed <= input_length) return true;
  if (zero_infinity) return false;
  run_error("ctc: sample {} has {} frames and {} labels, which need at least {} (zero_infinity makes its loss 0)", n,
            input_length, label_length, needed);
}

namespace {

constexpr AttrSpecs ctc_attrs = {{.name = "blank", .kind = AttrKind::integer, .min = 0},
                                 {.name = "zero_infinity", .kind = AttrKind::flag}};

TensorType loss_type(const Infer& i) {
  need_rank(i.in[0], 3, "logits");
  need_float(i.in[0], "logits");
  const Shape& x = i.in[0].shape;
  need_rank(i.in[1], 2, "labels");
  for (std::size_t k = 1; k < 4; ++k)
    if (i.in[k].dtype != DType::i32)
        rule_error("labels and lengths must be i32, operand {} is {}", k, to_string(i.in[k]));
  if (i.in[1].shape[0] != x[0])
    rule_error("labels must be [{},S] for logits {}, are {}; a loss never broadcasts", x[0], to_string(x),
               to_string(i.in[1].shape));
  for (std::size_t k = 2; k < 4; ++k)
    if (i.in[k].shape != Shape{x[0]})
      rule_error("lengths must be [{}], one a sample, are {}", x[0], to_string(i.in[k].shape));
  if (i.attrs.integer("blank") >= x[2])
    rule_error("attribute blank is {}, must be below the {} classes", i.attrs.integer("blank"), x[2]);
  return {i.in[0].dtype, Shape{x[0]}};
}

/// Calls f(lattice, sample, log probability) for every sample that has alignments.
template <class E, class F>
void each_sample(E& e, F f) {
  using S = std::decay_t<decltype(e.in(0)[0])>;
  const CtcSizes sizes(e.attrs, e.in(0).shape, e.in(1).shape);
  std::vector<S> memory(sizes.memory());
  std::vector<std::int32_t> labels(sizes.labels);
  for (std::size_t n = 0; n < e.in(2).size(); ++n) {
    for (std::size_t i = 0; i < labels.size(); ++i)
      labels[i] = static_cast<std::int32_t>(value_of(e.in(1)[n * labels.size() + i]));
    const auto input_length = static_cast<std::int32_t>(value_of(e.in(2)[n]));
    const auto label_length = static_cast<std::int32_t>(value_of(e.in(3)[n]));
    if (!sizes.check(n, labels.data(), input_length, label_length)) continue;
    CtcLattice<S> lattice(sizes, memory.data(), labels.data(), input_length, label_length);
    const std::size_t first = n * sizes.frames * sizes.classes;
    const S log_probability = lattice.forward(
        [&](std::size_t t, std::size_t k) -> const S& { return e.in(0)[first + t * sizes.classes + k]; });
    f(lattice, n, log_probability);
  }
}

extern const OpDef ctc_backward_op;

constexpr OpDef ctc_op{
    .name = "ctc", .arity = 4, .attrs = ctc_attrs, .fusion = Fusion::heavy,
    .infer = [](const Infer& i) { return std::vector{loss_type(i)}; },
    .gradient = gradient_of(
        [](const Vjp& v) {
          return make(ctc_backward_op, {v.x(0), v.x(1), v.x(2), v.x(3), v.dy()}, v.attrs().all());
        },
        nullptr, nullptr, nullptr),
    .eval = [](auto& e) { each_sample(e, [&](auto&, std::size_t n, auto log_p) { e.out()[n] = -log_p; }); },
};

// The posterior probabilities of the states have no formula in simple ops that is not the whole recursion.
constexpr OpDef ctc_backward_op{
    .name = "ctc_backward", .arity = 5, .attrs = ctc_attrs, .fusion = Fusion::heavy,
    .infer = [](const Infer& i) {
      const TensorType loss = loss_type(i);
      if (i.in[4] != loss)
        rule_error("the gradient must be of the loss's type {}, is {}", to_string(loss), to_string(i.in[4]));
      return std::vector{i.in[0]};
    },
    .gradient = no_gradient,
    .eval = [](auto& e) {
      const auto frames = static_cast<std::size_t>(e.in(0).shape[1]),
          classes = static_cast<std::size_t>(e.in(0).shape[2]);
      each_sample(e, [&](auto& lattice, std::size_t n, auto log_p) {
        lattice.backward(log_p, [&](std::size_t t, std::size_t k, auto slope) {
          e.out()[(n * frames + t) * classes + k] = e.in(4)[n] * slope;
        });
      });
    },
};

/// Lengths as the op reads them: those given, or the whole of each sample.
Operand lengths(const std::optional<Value>& given, const Value& logits, Dim whole) {
  const TensorType type{DType::i32, Shape{logits.shape()[0]}};
  if (!given) return constant(logits.graph(), static_cast<double>(whole), type);
  return is_integer(given->dtype()) && given->dtype() != DType::i32 ? cast(*given, DType::i32) : *given;
}

}  // namespace

Value ctc(Operand logits, Operand labels, const CtcOptions& options) {
  for (const Operand& operand : {logits, labels})
    if (operand.is_number()) graph_error(logits.loc, "ctc: both sides must be values of a graph, one is a number");
  if (logits.value.rank() != 3 || labels.value.rank() != 2)
    graph_error(logits.loc, "ctc: logits must be [N,T,K] and labels [N,S]\n    a  {}\n    b  {}",
        describe(logits.value),
                describe(labels.value));
  const Frame frame(logits.value.graph(), {.loc = logits.loc});
  const Operand input_lengths = lengths(options.input_lengths, logits.value, logits.value.shape()[1]);
  const Operand label_lengths = lengths(options.label_lengths, logits.value, labels.value.shape()[1]);
  const DType dtype = labels.value.dtype();
  if (is_integer(dtype) && dtype != DType::i32) labels.value = cast(labels.value, DType::i32);
  return make(ctc_op, {logits, labels, input_lengths, label_lengths},
              {{"blank", options.blank}, {"zero_infinity", options.zero_infinity}});
}

OpList ctc_ops() { return {&ctc_op, &ctc_backward_op}; }

}  // namespace thalweg

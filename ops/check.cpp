// SPDX-License-Identifier: Apache-2.0
#include "thalweg/ops/checker.h"

#include <array>

#include "thalweg/ops/make.h"

namespace thalweg {
namespace {

constexpr std::array<std::string_view, 4> rule_names = {"distribution", "unit_interval", "non_negative", "signs"};

CheckRule rule_of(const Attrs& attrs) {
  std::size_t k = 0;
  while (rule_names[k] != attrs.text("rule")) ++k;
  return static_cast<CheckRule>(k);
}

constexpr OpDef check_target_op{
    .name = "check_target", .arity = 1,
    .attrs = {{.name = "rule", .kind = AttrKind::text, .required = true,
               .choices = "distribution|unit_interval|non_negative|signs"},
              {.name = "what", .kind = AttrKind::text, .fallback_text = "check_target"}},
    .fusion = Fusion::opaque,
    .infer = [](const Infer& i) {
      if (rule_of(i.attrs) == CheckRule::distribution && i.in[0].shape.rank() == 0)
        rule_error("a distribution has a last axis of classes, the operand is {}", to_string(i.in[0]));
      return same_float(i);
    },
    .gradient = gradient_of([](const Vjp& v) { return v.dy(); }),
    .eval = [](auto& e) {
      check_all(Checker(e.attrs, e.in(0).shape), [&](std::size_t k) { return value_of(e.in(0)[k]); });
      e.each([](auto x) { return x; });
    },
};

}  // namespace

Checker::Checker(const Attrs& attrs, const Shape& shape)
    : rule_(rule_of(attrs)), what_(attrs.text("what")), shape_(shape),
      length_(shape.rank() == 0 ? 1 : static_cast<std::size_t>(shape.back())),
      low_(rule_ == CheckRule::signs ? -1 : 0),
      high_(rule_ == CheckRule::unit_interval || rule_ == CheckRule::signs ? 1 :
          std::numeric_limits<double>::infinity()) {
  lines_ = static_cast<std::size_t>(shape.elements()) / length_;
}

std::string Checker::place(std::size_t element) const {
  if (shape_.rank() < 2) return std::to_string(element);
  std::vector<std::size_t> index;
  for (const Dim stride : strides_of(shape_)) {
    index.push_back(element / static_cast<std::size_t>(stride));
    element %= static_cast<std::size_t>(stride);
  }
  return fmt::format("[{}]", fmt::join(index, ","));
}

void Checker::bad(std::size_t at, std::size_t k, double x) const {
  constexpr std::array<std::string_view, 4> wanted = {"at least 0", "in [0,1]", "at least 0", "-1 or 1, or 0 or 1"};
  run_error("{}: the target at {} is {}, must be {}", what_, place(at * length_ + k), to_string(AttrValue(x)),
            wanted[static_cast<std::size_t>(rule_)]);
}

void Checker::bad_sum(std::size_t at, double sum) const {
  std::string sample = std::to_string(at);
  if (shape_.rank() > 2) {
    sample = place(at * length_);
    sample = sample.substr(0, sample.rfind(',')) + "]";
  }
  run_error("{}: the target of sample {} sums to {}, must be a distribution, with sum 1 up to {}", what_, sample,
            to_string(AttrValue(sum)), to_string(AttrValue(distribution_tolerance)));
}

void Checker::mixed(std::size_t zero, std::size_t minus) const {
  run_error("{}: the target at {} is 0 and that at {} is -1: labels are -1 and 1, or 0 and 1", what_, place(zero),
            place(minus));
}

Value check_target(Operand x, CheckRule rule, std::string_view what) {
  return make(check_target_op, {std::move(x)}, {{"rule", rule_names[static_cast<std::size_t>(rule)]}, {"what", what}});
}

OpList check_ops() { return {&check_target_op}; }

}  // namespace thalweg

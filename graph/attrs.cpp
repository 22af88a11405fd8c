// SPDX-License-Identifier: Apache-2.0
#include "thalweg/graph/attrs.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "thalweg/graph/fail.h"
#include "thalweg/graph/opdef.h"

namespace thalweg {
namespace {

std::string range_text(const AttrSpec& spec) {
  const bool whole = spec.kind == AttrKind::integer || spec.kind == AttrKind::integers;
  const auto bound = [&](double x) {
    return whole && std::isfinite(x) ? fmt::format("{:.0f}", x) : to_string(AttrValue(x));
  };
  const bool low = std::isfinite(spec.min), high = std::isfinite(spec.max);
  if (low && high)
    return fmt::format("in {}{}, {}{}", spec.min_open ? '(' : '[', bound(spec.min), bound(spec.max),
                       spec.max_open ? ')' : ']');
  if (low) return fmt::format("{} {}", spec.min_open ? "greater than" : "at least", bound(spec.min));
  if (high) return fmt::format("{} {}", spec.max_open ? "less than" : "at most", bound(spec.max));
  return "finite";
}

bool in_range(const AttrSpec& spec, double x) {
  if (!std::isfinite(x)) return spec.allow_nonfinite;
  return (spec.min_open ? x > spec.min : x >= spec.min) && (spec.max_open ? x < spec.max : x <= spec.max);
}

bool is_choice(std::string_view choices, std::string_view word) {
  while (true) {
    const auto bar = choices.find('|');
    if (choices.substr(0, bar) == word) return true;
    if (bar == std::string_view::npos) return false;
    choices.remove_prefix(bar + 1);
  }
}

void check_value(const AttrSpec& spec, const AttrValue& value) {
  const auto check = [&](double x) {
    if (!in_range(spec, x))
      rule_error("attribute {} is {}, must be {}", spec.name, shown(to_string(value)), range_text(spec));
  };
  switch (spec.kind) {
    case AttrKind::flag: return;
    case AttrKind::integer: return check(static_cast<double>(std::get<std::int64_t>(value)));
    case AttrKind::real: return check(std::get<double>(value));
    case AttrKind::text:
      if (!spec.choices.empty() && !is_choice(spec.choices, std::get<std::string>(value)))
        rule_error("attribute {} is '{}', must be one of {}", spec.name, shown(std::get<std::string>(value)),
                   spec.choices);
      return;
    case AttrKind::integers:
      for (const std::int64_t x : std::get<std::vector<std::int64_t>>(value)) check(static_cast<double>(x));
      return;
    case AttrKind::reals:
      for (const double x : std::get<std::vector<double>>(value)) check(x);
      return;
  }
}

/// Integers are welcome where reals are asked for.
AttrValue as_kind(const AttrSpec& spec, AttrValue value) {
  if (value.index() == static_cast<std::size_t>(spec.kind)) return value;
  if (spec.kind == AttrKind::real && std::holds_alternative<std::int64_t>(value))
    return static_cast<double>(std::get<std::int64_t>(value));
  if (spec.kind == AttrKind::reals && std::holds_alternative<std::vector<std::int64_t>>(value)) {
    const auto& whole = std::get<std::vector<std::int64_t>>(value);
    return std::vector<double>(whole.begin(), whole.end());
  }
  rule_error("attribute {} is {}, must be {}", spec.name, shown(to_string(value)), to_string(spec.kind));
}

}  // namespace

const AttrValue& Attrs::find(std::string_view name) const {
  for (const Attr& attr : values_)
    if (attr.name == name) return attr.value;
  throw InternalError(fmt::format("attribute '{}' was read from a node that has none of that name", name));
}

bool operator==(const Attrs& a, const Attrs& b) {
  const auto same_bits = [](double x, double y) {
    return std::bit_cast<std::uint64_t>(x) == std::bit_cast<std::uint64_t>(y);
  };
  if (a.values_.size() != b.values_.size()) return false;
  for (std::size_t i = 0; i < a.values_.size(); ++i) {
    const AttrValue &x = a.values_[i].value, &y = b.values_[i].value;
    if (a.values_[i].name != b.values_[i].name || x.index() != y.index()) return false;
    if (const double* real = std::get_if<double>(&x)) {
      if (!same_bits(*real, std::get<double>(y))) return false;
    } else if (const auto* reals = std::get_if<std::vector<double>>(&x)) {
      const auto& others = std::get<std::vector<double>>(y);
      if (!std::equal(reals->begin(), reals->end(), others.begin(), others.end(), same_bits)) return false;
    } else if (x != y) {
      return false;
    }
  }
  return true;
}

std::string_view to_string(AttrKind kind) {
  switch (kind) {
    case AttrKind::flag: return "true or false";
    case AttrKind::integer: return "a whole number";
    case AttrKind::real: return "a number";
    case AttrKind::text: return "a word";
    case AttrKind::integers: return "a list of whole numbers";
    case AttrKind::reals: return "a list of numbers";
  }
  return "?";
}

AttrValue fallback_of(const AttrSpec& spec) {
  switch (spec.kind) {
    case AttrKind::flag: return spec.fallback != 0;
    case AttrKind::integer: return static_cast<std::int64_t>(spec.fallback);
    case AttrKind::real: return spec.fallback;
    case AttrKind::text: return std::string(spec.fallback_text);
    case AttrKind::integers: return std::vector<std::int64_t>{};
    case AttrKind::reals: return std::vector<double>{};
  }
  return false;
}

Attrs checked_attrs(const AttrSpecs& specs, std::vector<Attr> given) {
  std::vector<Attr> values;
  values.reserve(specs.size());
  for (std::size_t i = 0; i < given.size(); ++i) {
    const auto named = [&](const auto& other) { return other.name == given[i].name; };
    if (std::none_of(specs.begin(), specs.end(), named)) {
      std::vector<std::string> known;
      for (const AttrSpec& spec : specs) known.emplace_back(spec.name);
      rule_error("there is no attribute '{}'{}", shown(given[i].name), suggestion(given[i].name, known));
    }
    if (std::any_of(given.begin(), given.begin() + static_cast<std::ptrdiff_t>(i), named))
      rule_error("attribute {} is given twice", given[i].name);
  }
  for (const AttrSpec& spec : specs) {
    const auto it =
        std::find_if(given.begin(), given.end(), [&](const Attr& attr) { return attr.name == spec.name; });
    if (it == given.end()) {
      if (spec.required) rule_error("attribute {} is missing", spec.name);
      values.emplace_back(spec.name, fallback_of(spec));
      continue;
    }
    values.emplace_back(spec.name, as_kind(spec, std::move(it->value)));
    check_value(spec, values.back().value);
  }
  return Attrs(std::move(values));
}

namespace {

std::string real_text(double x) {
  if (std::isnan(x)) return "nan";
  if (std::isinf(x)) return x > 0 ? "inf" : "-inf";
  return fmt::format("{}", x);
}

struct AttrText {
  std::string operator()(bool x) const { return x ? "true" : "false"; }
  std::string operator()(std::int64_t x) const { return std::to_string(x); }
  std::string operator()(double x) const { return real_text(x); }
  std::string operator()(const std::string& x) const { return x; }
  std::string operator()(const std::vector<std::int64_t>& x) const { return fmt::format("[{}]", fmt::join(x, ",")); }
  std::string operator()(const std::vector<double>& x) const {
    std::string text = "[";
    for (const double v : x) text += (text.size() > 1 ? "," : "") + real_text(v);
    return text + "]";
  }
};

}  // namespace

std::string to_string(const AttrValue& value) { return std::visit(AttrText{}, value); }

}  // namespace thalweg

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
  const std::string_view also = whole ? "" : "finite and ";
  const bool low = std::isfinite(spec.min), high = std::isfinite(spec.max);
  if (low && high)
    return fmt::format("in {}{}, {}{}", spec.min_open ? '(' : '[', bound(spec.min), bound(spec.max),
                       spec.max_open ? ')' : ']');
  if (low) return fmt::format("{}{} {}", also, spec.min_open ? "greater than" : "at least", bound(spec.min));
  if (high) return fmt::format("{}{} {}", also, spec.max_open ? "less than" : "at most", bound(spec.max));
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
    case AttrKind::integer: return check(static_cast<double>(value.integer()));
    case AttrKind::real: return check(value.real());
    case AttrKind::text:
      if (!spec.choices.empty() && !is_choice(spec.choices, value.text()))
        rule_error("attribute {} is '{}', must be one of {}", spec.name, shown(value.text()),
                   spec.choices);
      return;
    case AttrKind::integers:
      for (const std::int64_t x : value.integers()) check(static_cast<double>(x));
      return;
    case AttrKind::reals:
      for (const double x : value.reals()) check(x);
      return;
  }
}

/// Integers are welcome where reals are asked for.
AttrValue as_kind(const AttrSpec& spec, AttrValue value) {
  if (value.kind() == spec.kind) return value;
  if (spec.kind == AttrKind::real && value.kind() == AttrKind::integer)
    return static_cast<double>(value.integer());
  if (spec.kind == AttrKind::reals && value.kind() == AttrKind::integers)
    return std::vector<double>(value.integers().begin(), value.integers().end());
  rule_error("attribute {} is {}, must be {}", spec.name, shown(to_string(value)), to_string(spec.kind));
}

}  // namespace

AttrValue::AttrValue(std::string x)
    : kind_(AttrKind::text), shared_(detail::share<const std::string>(std::move(x))) {}
AttrValue::AttrValue(std::string_view x) : AttrValue(std::string(x)) {}
AttrValue::AttrValue(std::vector<std::int64_t> x)
    : kind_(AttrKind::integers), shared_(detail::share<const std::vector<std::int64_t>>(std::move(x))) {}
AttrValue::AttrValue(std::vector<double> x)
    : kind_(AttrKind::reals), shared_(detail::share<const std::vector<double>>(std::move(x))) {}

void AttrValue::wrong_kind(AttrKind wanted) const {
  throw InternalError(fmt::format("an attribute that is {} was read as {}", to_string(kind_), to_string(wanted)));
}

bool operator==(const AttrValue& a, const AttrValue& b) {
  const auto same_bits = [](double x, double y) {
    return std::bit_cast<std::uint64_t>(x) == std::bit_cast<std::uint64_t>(y);
  };
  if (a.kind_ != b.kind_) return false;
  switch (a.kind_) {
    case AttrKind::flag:
    case AttrKind::integer: return a.integer_ == b.integer_;
    case AttrKind::real: return same_bits(a.real_, b.real_);
    case AttrKind::text: return a.text() == b.text();
    case AttrKind::integers: return a.integers() == b.integers();
    case AttrKind::reals:
      return std::equal(a.reals().begin(), a.reals().end(), b.reals().begin(), b.reals().end(), same_bits);
  }
  return false;
}

const AttrValue& Attrs::find(std::string_view name) const {
  for (const Attr& attr : values_)
    if (attr.name == name) return attr.value;
  throw InternalError(fmt::format("attribute '{}' was read from a node that has none of that name", name));
}

bool operator==(const Attrs& a, const Attrs& b) {
  return std::equal(a.values_.begin(), a.values_.end(), b.values_.begin(), b.values_.end(),
                    [](const Attr& x, const Attr& y) { return x.name == y.name && x.value == y.value; });
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

namespace {

/// Whether names stand in the order of the specs, each once: as in every node that is there, so that most of what is
/// checked needs no search.
bool in_order(const AttrSpecs& specs, const std::vector<Attr>& given) {
  auto next = given.begin();
  for (const AttrSpec& spec : specs)
    if (next != given.end() && next->name == spec.name) ++next;
  return next == given.end();
}

void check_names(const AttrSpecs& specs, const std::vector<Attr>& given) {
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
}

}  // namespace

Attrs checked_attrs(const AttrSpecs& specs, std::vector<Attr> given) {
  const bool ordered = in_order(specs, given);
  if (!ordered) check_names(specs, given);
  std::vector<Attr> values;
  values.reserve(specs.size());
  auto next = given.begin();
  for (const AttrSpec& spec : specs) {
    const auto here = [&](const Attr& attr) { return attr.name == spec.name; };
    const auto it = !ordered                                ? std::find_if(given.begin(), given.end(), here)
                    : next != given.end() && here(*next) ? next++
                                                            : given.end();
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

}  // namespace

std::string to_string(const AttrValue& value) {
  switch (value.kind()) {
    case AttrKind::flag: return value.flag() ? "true" : "false";
    case AttrKind::integer: return std::to_string(value.integer());
    case AttrKind::real: return real_text(value.real());
    case AttrKind::text: return value.text();
    case AttrKind::integers: return fmt::format("[{}]", fmt::join(value.integers(), ","));
    case AttrKind::reals: break;
  }
  std::string text = "[";
  for (const double v : value.reals()) text += (text.size() > 1 ? "," : "") + real_text(v);
  return text + "]";
}

}  // namespace thalweg

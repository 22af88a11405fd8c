// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "thalweg/graph/error.h"
#include "thalweg/graph/shared.h"

namespace thalweg {

/// The kinds of attribute value.
enum class AttrKind : std::uint8_t { flag, integer, real, text, integers, reals };

/// A value of one of those kinds. Texts and lists never change once made, so that copies share them.
class THALWEG_API AttrValue {
 public:
  AttrValue(bool x = false) : kind_(AttrKind::flag), integer_(x) {}                       // NOLINT: by design
  AttrValue(std::int64_t x) : kind_(AttrKind::integer), integer_(x) {}                    // NOLINT: by design
  AttrValue(int x) : AttrValue(std::int64_t{x}) {}                                        // NOLINT: by design
  AttrValue(double x) : kind_(AttrKind::real), real_(x) {}                                // NOLINT: by design
  AttrValue(std::string x);                                                               // NOLINT: by design
  AttrValue(std::string_view x);                                                          // NOLINT: by design
  AttrValue(const char* x) : AttrValue(std::string_view(x)) {}                            // NOLINT: by design
  AttrValue(std::vector<std::int64_t> x);                                                 // NOLINT: by design
  AttrValue(std::vector<double> x);                                                       // NOLINT: by design

  AttrKind kind() const { return kind_; }
  /// The value as what it is; throws InternalError if it is of another kind.
  bool flag() const { return must_be(AttrKind::flag).integer_ != 0; }
  std::int64_t integer() const { return must_be(AttrKind::integer).integer_; }
  double real() const { return must_be(AttrKind::real).real_; }
  const std::string& text() const { return *static_cast<const std::string*>(must_be(AttrKind::text).shared_.get()); }
  const std::vector<std::int64_t>& integers() const {
    return *static_cast<const std::vector<std::int64_t>*>(must_be(AttrKind::integers).shared_.get());
  }
  const std::vector<double>& reals() const {
    return *static_cast<const std::vector<double>*>(must_be(AttrKind::reals).shared_.get());
  }
  /// Same kind, same value; reals compared by their bits, so that -0 and 0 differ.
  friend THALWEG_API bool operator==(const AttrValue& a, const AttrValue& b);

 private:
  const AttrValue& must_be(AttrKind kind) const {
    if (kind != kind_) wrong_kind(kind);
    return *this;
  }
  [[noreturn]] void wrong_kind(AttrKind wanted) const;

  AttrKind kind_;
  union {
    std::int64_t integer_ = 0;
    double real_;
  };
  detail::Shared<const void> shared_;
};

/// One attribute given to a node. `name` must outlive it: a literal, or the name in the op's AttrSpec.
struct Attr {
  std::string_view name;
  AttrValue value;

  Attr(std::string_view n, AttrValue v) : name(n), value(std::move(v)) {}
  Attr(std::string_view n, std::vector<std::int64_t> v) : name(n), value(std::move(v)) {}
  Attr(std::string_view n, std::vector<double> v) : name(n), value(std::move(v)) {}
};

/// What an op says of one attribute: its kind, whether it must be given, its default and its range. The one place
/// that knows: builder, parser, printer, verifier and the tests of bad attributes all read it.
struct AttrSpec {
  std::string_view name;
  AttrKind kind = AttrKind::integer;
  bool required = false;
  double fallback = 0;                  ///< default of flag (0 or 1), integer and real; lists default to empty
  std::string_view fallback_text = {};  ///< default of text
  double min = -std::numeric_limits<double>::infinity();
  double max = std::numeric_limits<double>::infinity();
  bool min_open = false;           ///< the range is (min, …
  bool max_open = false;           ///< the range is …, max)
  std::string_view choices = {};   ///< text: the allowed words, separated by `|`; empty: any
  bool allow_nonfinite = false;    ///< real and reals: whether NaN and infinity may stand here
};

/// The attributes of a node: every attribute of its op, in the op's order, defaults filled in.
class THALWEG_API Attrs {
 public:
  Attrs() = default;
  explicit Attrs(std::vector<Attr> values) : values_(std::move(values)) {}

  bool flag(std::string_view name) const { return find(name).flag(); }
  std::int64_t integer(std::string_view name) const { return find(name).integer(); }
  double real(std::string_view name) const { return find(name).real(); }
  const std::string& text(std::string_view name) const { return find(name).text(); }
  const std::vector<std::int64_t>& integers(std::string_view name) const { return find(name).integers(); }
  const std::vector<double>& reals(std::string_view name) const { return find(name).reals(); }

  const std::vector<Attr>& all() const { return values_; }
  std::vector<Attr>::const_iterator begin() const { return values_.begin(); }
  std::vector<Attr>::const_iterator end() const { return values_.end(); }
  /// Same names and values.
  friend THALWEG_API bool operator==(const Attrs& a, const Attrs& b);

 private:
  const AttrValue& find(std::string_view name) const;

  std::vector<Attr> values_;
};

/// A short fixed list usable in a constexpr OpDef.
class AttrSpecs {
 public:
  static constexpr std::size_t capacity = 16;
  constexpr AttrSpecs() = default;
  constexpr AttrSpecs(std::initializer_list<AttrSpec> specs) {
    for (const AttrSpec& spec : specs) items_[size_++] = spec;
  }
  constexpr const AttrSpec* begin() const { return items_.data(); }
  constexpr const AttrSpec* end() const { return items_.data() + size_; }
  constexpr std::size_t size() const { return size_; }

 private:
  std::array<AttrSpec, capacity> items_{};
  std::size_t size_ = 0;
};

/// Fills in defaults and checks kind, range and choices; throws RuleError naming the attribute, its value, and what
/// is allowed. An integer given where a real is asked for is taken as a real.
THALWEG_API Attrs checked_attrs(const AttrSpecs& specs, std::vector<Attr> given);
/// `0.1`, `same`, `[1,2]`, `true`: the spelling that the text form uses; reals are the shortest that read back equal.
THALWEG_API std::string to_string(const AttrValue& value);
THALWEG_API std::string_view to_string(AttrKind kind);
/// The value that `spec` takes when none is given.
THALWEG_API AttrValue fallback_of(const AttrSpec& spec);

}  // namespace thalweg

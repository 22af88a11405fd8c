// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <type_traits>
#include <utility>

#include "thalweg/graph/export.h"

namespace thalweg {
namespace detail {

/// Throws an Error: a Function that holds nothing was called.
[[noreturn]] THALWEG_API void throw_empty_function();

template <class F, class R, class... A>
concept CallableAs = requires(F& f, A... arguments) {
  requires std::is_void_v<R> || std::is_convertible_v<decltype(f(std::forward<A>(arguments)...)), R>;
};

}  // namespace detail

template <class Signature>
class Function;

/// A copy of anything that can be called with A… and returns an R, or nothing: options and callbacks hold the user's
/// lambdas in it, as in a std::function. Calling an empty one is an Error. (It is not std::function because
/// <functional> takes a tenth of the time in which a program's file compiles: it brings hash tables and searches.)
template <class R, class... A>
class Function<R(A...)> {
 public:
  Function() = default;
  Function(std::nullptr_t) {}  // NOLINT: as a pointer's
  template <class F>
    requires(!std::is_same_v<std::remove_cvref_t<F>, Function>) && detail::CallableAs<std::decay_t<F>, R, A...>
  Function(F&& f) {  // NOLINT: as std::function's
    static_assert(std::is_copy_constructible_v<std::decay_t<F>>, "a Function is copied with what it holds");
    if (holds(f)) callee_ = new Held<std::decay_t<F>>(std::forward<F>(f));
  }
  Function(const Function& other) : callee_(other.callee_ == nullptr ? nullptr : other.callee_->copy()) {}
  Function(Function&& other) noexcept : callee_(std::exchange(other.callee_, nullptr)) {}
  Function& operator=(Function other) noexcept {
    std::swap(callee_, other.callee_);
    return *this;
  }
  ~Function() { delete callee_; }

  R operator()(A... arguments) const {
    if (callee_ == nullptr) detail::throw_empty_function();
    return callee_->call(std::forward<A>(arguments)...);
  }
  explicit operator bool() const { return callee_ != nullptr; }

 private:
  struct Callee {
    virtual ~Callee() = default;
    virtual Callee* copy() const = 0;
    virtual R call(A... arguments) = 0;
  };
  template <class F>
  struct Held final : Callee {
    F f;
    template <class From>
    explicit Held(From&& from) : f(std::forward<From>(from)) {}
    Callee* copy() const override { return new Held(f); }
    R call(A... arguments) override { return static_cast<R>(f(std::forward<A>(arguments)...)); }
  };

  /// False for a null pointer and for another wrapper that is empty.
  template <class F>
  static bool holds(const F& f) {
    if constexpr (std::is_pointer_v<F>)
      return f != nullptr;
    else if constexpr (requires { f.operator bool(); })
      return static_cast<bool>(f);
    else
      return true;
  }

  Callee* callee_ = nullptr;
};

}  // namespace thalweg

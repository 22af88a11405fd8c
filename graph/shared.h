// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <type_traits>
#include <utility>

#include "thalweg/graph/error.h"

namespace thalweg::detail {

/// What stands before an object that handles share: how many they are, and how it ends with the last of them.
struct Home {
  long handles = 1;
  void (*end)(Home*) noexcept = nullptr;
};
/// One handle more, and one less; from any thread.
THALWEG_API void enter(Home* home) noexcept;
THALWEG_API void leave(Home* home) noexcept;

/// A handle of a T that ends with its last handle. It stands in public headers for std::shared_ptr, which takes a fifth
/// of the time in which a program's file compiles: <memory> declares the printing of pointers, and so brings the
/// streams and their locales.
template <class T>
class Shared {
 public:
  Shared() = default;
  /// The first handle of an object: takes over the one that `home` counts.
  Shared(T* object, Home* home) noexcept : object_(object), home_(home) {}
  template <class U>
    requires std::is_convertible_v<U*, T*>
  Shared(Shared<U> other) noexcept  // NOLINT: as one pointer becomes another
      : object_(other.object_), home_(std::exchange(other.home_, nullptr)) {
    other.object_ = nullptr;
  }
  Shared(const Shared& other) noexcept : object_(other.object_), home_(other.home_) {
    if (home_ != nullptr) enter(home_);
  }
  Shared(Shared&& other) noexcept
      : object_(std::exchange(other.object_, nullptr)), home_(std::exchange(other.home_, nullptr)) {}
  Shared& operator=(Shared other) noexcept {
    std::swap(object_, other.object_);
    std::swap(home_, other.home_);
    return *this;
  }
  ~Shared() {
    if (home_ != nullptr) leave(home_);
  }

  T* get() const { return object_; }
  T* operator->() const { return object_; }
  std::add_lvalue_reference_t<T> operator*() const { return *object_; }
  explicit operator bool() const { return object_ != nullptr; }
  friend bool operator==(const Shared& a, const Shared& b) { return a.object_ == b.object_; }

 private:
  template <class U>
  friend class Shared;
  T* object_ = nullptr;
  Home* home_ = nullptr;
};

template <class T>
struct Housed : Home {
  T object;
  template <class... A>
  explicit Housed(A&&... arguments) : object(std::forward<A>(arguments)...) {
    end = [](Home* home) noexcept { delete static_cast<Housed*>(home); };
  }
};

/// A T of its own, made of these arguments.
template <class T, class... A>
Shared<T> share(A&&... arguments) {
  auto* const housed = new Housed<T>(std::forward<A>(arguments)...);
  return {&housed->object, housed};
}

}  // namespace thalweg::detail

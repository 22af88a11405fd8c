// SPDX-License-Identifier: Apache-2.0
// Memory that runs out at any allocation of ours, from a graph's text to a step: an exception, and nothing is broken by
// it. oneDNN's own allocations do not fail here: it does not survive that, which is why its memory is asked for before.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <new>

#include "soak.h"
#include "tests/fuzz/parsers.h"
#include "tests/compile/random_graph.h"
#include "tests/compile/run.h"
#include "thalweg/graph/parse.h"
#include "thalweg/graph/print.h"
#include "thalweg/graph/verify.h"

extern "C" {
extern const char __executable_start, etext;  // the linker's: where this program's own code lies
}

namespace {

std::atomic<bool> counting{false};
std::atomic<long> allocations{0}, failing{0};

/// Whether the library asks, and not one that it is linked with.
bool is_ours(const void* caller) { return caller >= &__executable_start && caller < &etext; }

// Not inlined: a compiler that saw through both would call it a mistake that what `new` gave is freed.
[[gnu::noinline]] void* allocate(std::size_t bytes, const void* caller) {
  if (counting && is_ours(caller) && ++allocations == failing) throw std::bad_alloc();
  if (void* memory = std::malloc(bytes == 0 ? 1 : bytes)) return memory;
  throw std::bad_alloc();
}

}  // namespace

void* operator new(std::size_t bytes) { return allocate(bytes, __builtin_return_address(0)); }
void* operator new[](std::size_t bytes) { return allocate(bytes, __builtin_return_address(0)); }
// As the standard library's own does; AddressSanitizer's would be freed by what is below.
void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept {
  try {
    return allocate(bytes, __builtin_return_address(0));
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { operator delete(memory); }
void operator delete(void* memory, std::size_t) noexcept { operator delete(memory); }
void operator delete[](void* memory, std::size_t) noexcept { operator delete(memory); }

namespace thalweg {
namespace {

/// Lets the `call`-th allocation fail while it lives; 0: none.
class Failing {
 public:
  explicit Failing(long call) {
    allocations = 0;
    failing = call;
    counting = true;
  }
  ~Failing() { counting = false; }
  Failing(const Failing&) = delete;
  Failing& operator=(const Failing&) = delete;
};

/// From a text to the numbers of a step.
std::string all_the_way(const std::string& text, const testing::Bounds::Feeds& feeds) {
  const Graph graph = parse(text);
  verify(graph);
  Program program = compile(graph, {.logical_threads = 2, .variables = Variables()});
  testing::set_all(program, feeds);
  program.run();
  std::string numbers = print(graph);
  for (const std::string& name : program.output_names())
    for (const double x : program.fetch(name).numbers()) numbers += " " + std::to_string(x);
  return numbers;
}

TEST(Allocation, ThatFailsIsAnErrorAndNothingBreaks) {
  const std::uint64_t graphs = testing::count_of("THALWEG_SOAK_MEMORY_GRAPHS", 5);
  const long most = graphs > 5 ? 20'000 : 150;  // of a graph's allocations, spread over all
  std::uint64_t failed = 0;
  for (std::uint64_t seed = 1; seed <= graphs; ++seed) {
    const Graph graph = testing::random_graph(seed);
    const auto feeds = testing::random_feeds(graph, seed);
    const std::string text = print(graph), expected = all_the_way(text, feeds);
    long all = 0;
    {
      const Failing none(0);
      all_the_way(text, feeds);
      all = allocations;
    }
    EXPECT_GT(all, 100);
    const long stride = std::max(1L, all / most);
    for (long call = 1 + static_cast<long>(seed) % stride; call <= all; call += stride) {
      try {
        const Failing one(call);
        EXPECT_EQ(all_the_way(text, feeds), expected) << "it went on without allocation " << call;
      } catch (const InternalError& error) {
        ADD_FAILURE() << "allocation " << call << " of graph " << seed << ": " << error.what();
      } catch (const std::bad_alloc&) {
        ++failed;
      } catch (const Error&) {
        ++failed;
      }
    }
    EXPECT_EQ(all_the_way(text, feeds), expected) << "graph " << seed << " is another after its failures";
  }
  EXPECT_GT(failed, 100u);
  testing::report("allocations that failed", failed);
}

TEST(Allocation, ThatFailsWhileAFileIsReadIsToldByItsName) {
  std::uint64_t failed = 0;
  for (const testing::Parser& parser : testing::parsers()) {
    // The first reads bytes, whose name its caller knows; the others' JSON library takes memory to free what it has, and
    // ends the process where there is none.
    const std::vector<std::string_view> others{"gzip", "json", "safetensors", "checkpoint"};
    if (std::find(others.begin(), others.end(), parser.name) != others.end()) continue;
    for (const std::string& seed : parser.seeds()) {
      const testing::InMemory file(std::as_bytes(std::span(seed)));
      for (long call = 1;; ++call) {
        const Failing one(call);
        try {
          parser.read("file");
          if (allocations < call) break;
        } catch (const RunError& error) {
          const std::string_view told = error.what();  // no allocation, which might be the failing one
          EXPECT_NE(told.find("memory"), told.npos) << parser.name << ": " << told;
          EXPECT_NE(told.find("file"), told.npos) << parser.name << ": " << told;
          ++failed;
        } catch (const std::exception& other) {
          ADD_FAILURE() << parser.name << ", allocation " << call << ": " << other.what();
        }
      }
    }
  }
  EXPECT_GT(failed, 500u);
  testing::report("allocations that failed while files were read", failed);
}

}  // namespace
}  // namespace thalweg

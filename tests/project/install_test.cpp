// SPDX-License-Identifier: Apache-2.0
// Installs into a folder, and builds and runs a program there as a user would: by pkg-config and by CMake, with the
// shared and with the static library. The program compiles a graph and runs it, so that it needs every library below.
#include <gtest/gtest.h>

#include <algorithm>

#include "shell.h"

namespace thalweg::project {
namespace {

const char* const program = R"(#include <thalweg/thalweg.h>
#include <cstdio>
#include <memory>
#include <vector>
using namespace thalweg;

struct Counter : Callback {
  std::string name() const override { return "Counter"; }
  void on_epoch_end(TrainingRun& run) override { std::printf("epoch %d\n", run.epoch()); }
};

// Every class that a user may derive from or name, so that its tables must be in the library.
void train() {
  Graph g("train");
  const Value x = input(g, "x", f32(32, 8, 8, 1)), t = input(g, "t", i32(32));
  const Value loss = mean(sparse_cross_entropy(dense(flatten(x), 10), t));
  minimize(loss, Sgd{.rate = 0.1});
  g.output("loss", loss);
  FitOptions options{.epochs = 1, .verbose = 0};
  options.callbacks = {Counter(), EarlyStopping({.monitor = "loss"}), ReduceLROnPlateau({.monitor = "loss"}),
                       LearningRateScheduler([](int, double rate) { return rate; }), TerminateOnNaN(),
                       CSVLogger("log.csv"), ModelCheckpoint("best.safetensors"), TensorBoard("logs"),
                       LambdaCallback({.on_epoch_begin = [](TrainingRun&) { std::puts("begin"); }}),
                       std::make_shared<GradientStatistics>()};
  fit(g, digits(), options);
  try {
    fit(g, digits(), {.epochs = 0});
  } catch (const RunError&) {
    std::puts("refused");
  }
}

int main() {
  train();
  try {
    dtype_named("f33");
  } catch (const GraphError& error) {
    std::puts("caught");
  }
  Graph g("user");
  const Value x = input(g, "x", f32(2, 3));
  const Value w = variable(g, "w", f32(3, 4), filled(0.5));
  const Value h = matmul(x, w);
  g.output("sum", sum(h));
  g.output("smooth", sum(tanh(h) * 0.0));
  Program program = compile(g);
  program.feed("x", Tensor(f32(2, 3), std::vector<double>{1, 2, 3, 4, 5, 6}));
  program.run();
  std::printf("%g %g\n", double(program.output<float>("sum")[0]), double(program.output<float>("smooth")[0]));
  std::printf("%d digits\n", int(digits().size()));
}
)";
// 4 columns of half of 1 + … + 6, from oneDNN and own kernels; the digits are unpacked by zlib.
const char* const expected = "begin\nepoch 1\nrefused\ncaught\n42 0\n1797 digits\n";

class Install : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = new Folder;
    const std::filesystem::path log = folder_->path() / "log";
    installed_ = run("DESTDIR=" + word_of(folder_->path()) + " " + setting("THALWEG_MESON") +
                     " install --no-rebuild -C " + word_of(build_root()) + " >" + word_of(log));
    write_text(folder_->path() / "user.cpp", program);
  }
  static void TearDownTestSuite() { delete folder_; }
  void SetUp() override {
    if (!has_compiler()) GTEST_SKIP() << "no compiler here";
    ASSERT_EQ(installed_.status, 0) << read_text(folder_->path() / "log") << installed_.err;
  }

  static std::filesystem::path prefix() { return folder_->path() / setting("THALWEG_PREFIX").substr(1); }
  static std::filesystem::path libdir() { return prefix() / setting("THALWEG_LIBDIR"); }
  static std::string pkg_config(const std::string& what) {
    return "PKG_CONFIG_SYSROOT_DIR=" + word_of(folder_->path()) +
           " PKG_CONFIG_PATH=" + word_of(libdir() / "pkgconfig") + " pkg-config " + what + " thalweg";
  }
  static void expect_program(const std::string& build) {
    const std::filesystem::path binary = folder_->path() / "user";
    const Ran built = run("cd " + word_of(folder_->path()) + " && " + build);
    ASSERT_EQ(built.status, 0) << built.out << built.err;
    const Ran ran = run("LD_LIBRARY_PATH=" + word_of(libdir()) + " " + word_of(binary));
    EXPECT_EQ(ran.status, 0) << ran.err;
    EXPECT_EQ(ran.out, expected);
  }
  /// The commands that build the program by CMake against the library of an installation.
  static std::string cmake(const std::string& build, const std::filesystem::path& installed) {
    write_text(folder_->path() / "CMakeLists.txt",
               "cmake_minimum_required(VERSION 3.18)\nproject(user CXX)\nfind_package(Thalweg 0.1 REQUIRED)\n"
               "add_executable(user user.cpp)\ntarget_link_libraries(user Thalweg::thalweg)\n");
    return "cmake -B " + build + " -DCMAKE_PREFIX_PATH=" + word_of(installed) + " -DCMAKE_CXX_FLAGS='" +
           setting("THALWEG_SANITIZE") + "' . && cmake --build " + build + " && cp " + build + "/user user";
  }
  static std::string compiler() {
    return setting("THALWEG_CXX") + " " + setting("THALWEG_SANITIZE") + " -std=c++20 user.cpp ";
  }

  static inline Folder* folder_ = nullptr;
  static inline Ran installed_;
};

TEST_F(Install, PublicHeadersAndNothingElse) {
  std::vector<std::string> wanted, found;
  for (const std::string& header : public_headers()) wanted.push_back(header == "lib/thalweg.h" ? "thalweg.h" : header);
  const std::filesystem::path root = prefix() / "include/thalweg";
  for (const auto& entry : std::filesystem::recursive_directory_iterator(root))
    if (entry.is_regular_file()) found.push_back(std::filesystem::relative(entry.path(), root).generic_string());
  std::sort(wanted.begin(), wanted.end());
  std::sort(found.begin(), found.end());
  EXPECT_EQ(found, wanted);
}

TEST_F(Install, PkgConfigWithTheSharedLibrary) {
  if (run("pkg-config --version").status != 0) GTEST_SKIP() << "no pkg-config here";
  expect_program(compiler() + "-o user $(" + pkg_config("--cflags --libs") + ")");
}

TEST_F(Install, PkgConfigWithTheStaticLibrary) {
  if (run("pkg-config --version").status != 0) GTEST_SKIP() << "no pkg-config here";
  expect_program(compiler() + "-o user $(" + pkg_config("--cflags") + ") " + word_of(libdir() / "libthalweg.a") +
                 " $(" + pkg_config("--libs --static") + " | sed 's/-lthalweg//')");
}

TEST_F(Install, CMakePackageWithTheSharedLibrary) {
  if (run("cmake --version").status != 0) GTEST_SKIP() << "no cmake here";
  expect_program(cmake("shared", prefix()));
}

TEST_F(Install, CMakePackageWithTheStaticLibrary) {
  if (run("cmake --version").status != 0) GTEST_SKIP() << "no cmake here";
  const std::filesystem::path moved = folder_->path() / "moved";  // where only the static library was installed
  std::filesystem::copy(prefix(), moved, std::filesystem::copy_options::recursive);
  const Ran removed = run("rm " + word_of(moved / setting("THALWEG_LIBDIR")) + "/libthalweg.so*");
  ASSERT_EQ(removed.status, 0) << removed.err;
  expect_program(cmake("static", moved));
}

TEST_F(Install, TheSharedLibraryShowsOnlyItsOwnNames) {
  if (run("nm --version").status != 0) GTEST_SKIP() << "no nm here";
  const Ran ran = run("nm -DC --defined-only " + word_of(libdir() / "libthalweg.so"));
  ASSERT_EQ(ran.status, 0) << ran.err;
  std::size_t own = 0;
  std::string foreign;
  for (const std::string& line : lines_of(ran.out)) {
    const std::string symbol = line.size() > 19 ? line.substr(19) : line;
    if (symbol.find("thalweg::") != std::string::npos)
      ++own;
    else if (symbol.find("boost::") != std::string::npos || symbol.find("nlohmann") != std::string::npos ||
             symbol.find("dnnl") != std::string::npos)
      foreign += symbol + "\n";
  }
  EXPECT_GT(own, 50U);
  EXPECT_EQ(foreign, "");
}

}  // namespace
}  // namespace thalweg::project

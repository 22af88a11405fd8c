// SPDX-License-Identifier: Apache-2.0
// Installs into a folder, and builds a program there as a user would: by pkg-config, statically, and by CMake.
#include <gtest/gtest.h>

#include "shell.h"

namespace thalweg::project {
namespace {

const char* const program = R"(#include <thalweg/thalweg.h>
#include <cstdio>
int main() {
  const thalweg::TensorType type = thalweg::f32(2, 3);
  std::puts(thalweg::to_string(type).c_str());
  try {
    thalweg::dtype_named("f33");
  } catch (const thalweg::GraphError& error) {
    std::puts("caught");
  }
}
)";
const char* const expected = "f32[2,3]\ncaught\n";

class Install : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = new Folder;
    const std::filesystem::path log = folder_->path() / "log";
    installed_ = run("DESTDIR=" + word_of(folder_->path()) + " " + setting("THALWEG_MESON") + " install --no-rebuild -C " +
                     word_of(build_root()) + " >" + word_of(log));
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
    return "PKG_CONFIG_SYSROOT_DIR=" + word_of(folder_->path()) + " PKG_CONFIG_PATH=" + word_of(libdir() / "pkgconfig") +
           " pkg-config " + what + " thalweg";
  }
  static void expect_program(const std::string& build) {
    const std::filesystem::path binary = folder_->path() / "user";
    const Ran built = run("cd " + word_of(folder_->path()) + " && " + build);
    ASSERT_EQ(built.status, 0) << built.out << built.err;
    const Ran ran = run("LD_LIBRARY_PATH=" + word_of(libdir()) + " " + word_of(binary));
    EXPECT_EQ(ran.status, 0) << ran.err;
    EXPECT_EQ(ran.out, expected);
  }
  static std::string compiler() { return setting("THALWEG_CXX") + " " + setting("THALWEG_SANITIZE") + " -std=c++20 user.cpp "; }

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
  expect_program(compiler() + "-o user $(" + pkg_config("--cflags") + ") " + word_of(libdir() / "libthalweg.a") + " $(" +
                 pkg_config("--libs --static") + " | sed 's/-lthalweg//')");
}

TEST_F(Install, CMakePackage) {
  if (run("cmake --version").status != 0) GTEST_SKIP() << "no cmake here";
  write_text(folder_->path() / "CMakeLists.txt",
             "cmake_minimum_required(VERSION 3.18)\nproject(user CXX)\nfind_package(Thalweg 0.1 REQUIRED)\n"
             "add_executable(user user.cpp)\ntarget_link_libraries(user Thalweg::thalweg)\n");
  expect_program("cmake -B cm -DCMAKE_PREFIX_PATH=" + word_of(prefix()) + " -DCMAKE_CXX_FLAGS='" +
                 setting("THALWEG_SANITIZE") + "' . && cmake --build cm && cp cm/user user");
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

// SPDX-License-Identifier: Apache-2.0
// Whatever goes wrong between the library and the disk, an old file or a whole new one is there, and the caller knows.
#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <random>

#include "../data/files.h"
#include "faults.h"
#include "sanitized.h"
#include "soak.h"
#include "thalweg/lib/base/append.h"
#include "thalweg/lib/base/bytes.h"
#include "thalweg/lib/base/file.h"
#include "thalweg/lib/data/readers.h"
#include "thalweg/lib/io/checkpoint_file.h"
#include "thalweg/lib/io/graph_text.h"
#include "thalweg/lib/io/npy.h"
#include "thalweg/lib/io/safetensors.h"
#include "thalweg/lib/train/history.h"
#include "thalweg/graph/parse.h"
#include "thalweg/graph/print.h"

namespace thalweg {
namespace {

using testing::content_of;
using testing::count_of;
using testing::FailingFileSystem;
using testing::Folder;
using testing::MemoryFileSystem;
using testing::report;
using testing::sanitized;

std::string text_of_length(std::size_t bytes, char first) {
  std::string text(bytes, ' ');
  for (std::size_t i = 0; i < bytes; ++i) text[i] = static_cast<char>(first + static_cast<char>(i % 23));
  return text;
}

TEST(Crash, LeavesTheOldFileOrTheNewOne) {
  std::mt19937_64 random(1);
  std::size_t states = 0;
  for (const std::size_t size : {0u, 1u, 512u, 700u, 2300u}) {
    MemoryFileSystem disk;
    const FileSystemScope scope(disk);
    ASSERT_EQ(disk.make_folder("/runs"), 0);
    const std::string path = "/runs/out", before = text_of_length(1400, 'a'), after = text_of_length(size, 'A');
    write_file(path, before);
    disk.settle();
    write_file(path, after);
    for (std::size_t done = 0; done <= disk.operations(); ++done)
      states += disk.crashes(done, 64, random, [&](MemoryFileSystem& then) {
        ASSERT_TRUE(then.has(path)) << "after " << done << " operations";
        const std::string now = then.content(path);
        if (done == disk.operations()) ASSERT_EQ(now, after) << "it was said to be written";
        else ASSERT_TRUE(now == before || now == after) << "after " << done << " operations: " << now.size() << " bytes";
      });
  }
  report("crash states of writing a file", states);
}

TEST(Crash, TheModelSeesWhatIsNotSynced) {
  // The disk that the tests play must forget: else nothing above is tested.
  MemoryFileSystem disk;
  ASSERT_EQ(disk.make_folder("/runs"), 0);
  disk.settle();
  const int descriptor = disk.open("/runs/x", O_CREAT | O_EXCL | O_WRONLY, 0666);
  ASSERT_EQ(disk.write(descriptor, text_of_length(1000, 'a').data(), 1000), 1000);
  ASSERT_EQ(disk.close(descriptor), 0);
  ASSERT_EQ(disk.rename("/runs/x", "/runs/y"), 0);
  std::mt19937_64 random(1);
  std::size_t empty = 0, half = 0, none = 0, whole = 0;
  disk.crashes(disk.operations(), 64, random, [&](const MemoryFileSystem& then) {
    if (!then.has("/runs/y")) ++none;
    else if (then.content("/runs/y").empty()) ++empty;
    else if (then.content("/runs/y") == text_of_length(1000, 'a')) ++whole;
    else ++half;
  });
  EXPECT_EQ(none + empty + half + whole, 16u);
  EXPECT_TRUE(none > 0 && empty > 0 && half > 0 && whole > 0);
}

/// A way to bring something to the disk, or back.
struct Way {
  const char* name;
  std::function<void(const std::string&)> go;
};

Safetensors some_tensors() {
  Safetensors content;
  content.tensors.emplace("w", Tensor(f32(3), std::vector<double>{1, 2, 3}));
  content.metadata["by"] = "test";
  return content;
}

std::vector<Way> writers() {
  History history{.columns = {"epoch", "loss"}, .rows = {{1, 0.5}}, .variables = {}};
  const Graph graph = parse("graph g {\n  %x = input : f32[2]\n  output y = %x\n}\n");
  return {{"text", [](const std::string& path) { write_file(path, "new"); }},
          {"safetensors", [](const std::string& path) { write_safetensors(some_tensors(), path); }},
          {"history", [history](const std::string& path) { write_csv(history, path); }},
          {"curves", [history](const std::string& path) { write_svg(history, path); }},
          {"graph", [graph](const std::string& path) { write_text(graph, path); }},
          {"npy", [](const std::string& path) { write_npy(some_tensors().tensors.at("w"), path); }},
          {"npz", [](const std::string& path) { write_npz(some_tensors().tensors, path); }},
          {"checkpoint", [](const std::string& path) { write_checkpoint(some_tensors(), path); }}};
}

TEST(Fault, EveryCallOfEveryWriterFailsOnce) {
  std::size_t injected = 0;
  for (const Way& writer : writers()) {
    const Folder folder;
    const std::string path = folder.file("out");
    writer.go(path);
    const std::string after = content_of(path);
    for (const int error : {ENOSPC, EIO}) {
      for (const bool stays : {false, true}) {
        for (std::size_t call = 1;; ++call) {
          folder.write("out", "old");
          FailingFileSystem failing({.call = call, .error = error, .stays = stays});
          bool thrown = false;
          {
            const FileSystemScope scope(failing);
            try {
              writer.go(path);
            } catch (const RunError& problem) {
              thrown = true;
              EXPECT_NE(std::string(problem.what()).find("errno"), std::string::npos) << problem.what();
            }
          }
          EXPECT_EQ(failing.open_files(), 0);
          EXPECT_EQ(folder.files(), 1u) << writer.name << " left something at call " << call;
          const std::string now = content_of(path);
          EXPECT_TRUE(now == after || (thrown && now == "old")) << writer.name << ", call " << call << ": " << now;
          if (failing.calls() < call) break;
          ++injected;
        }
      }
    }
  }
  report("injected failures of writers", injected);
}

TEST(Fault, AppendsAllOrNothing) {
  const Folder folder;
  const std::string path = folder.file("log"), line = "0.25,0.5\n";
  for (const int error : {ENOSPC, EIO}) {
    for (const bool stays : {false, true}) {
      for (std::size_t call = 1;; ++call) {
        folder.write("log", "header\n");
        FailingFileSystem failing({.call = call, .error = error, .stays = stays});
        bool thrown = false;
        {
          const FileSystemScope scope(failing);
          try {
            append_file(path, bytes_of(line));
          } catch (const RunError&) {
            thrown = true;
          }
        }
        EXPECT_EQ(failing.open_files(), 0);
        const std::string now = content_of(path);
        EXPECT_TRUE(now == "header\n" + line || (thrown && now == "header\n")) << "call " << call << ": " << now;
        if (failing.calls() < call) break;
      }
    }
  }
  FailingFileSystem slow({.most_bytes = 1, .interrupted = true});
  const FileSystemScope scope(slow);
  folder.write("log", "");
  append_file(path, bytes_of(line));
  EXPECT_EQ(content_of(path), line);
}

TEST(Fault, ShortAndInterruptedCallsChangeNothing) {
  for (const Way& writer : writers()) {
    const Folder folder;
    writer.go(folder.file("whole"));
    FailingFileSystem failing({.most_bytes = 1, .interrupted = true});
    {
      const FileSystemScope scope(failing);
      writer.go(folder.file("in pieces"));
      EXPECT_EQ(text_of(read_file(folder.file("in pieces"))), content_of(folder.file("whole"))) << writer.name;
    }
    EXPECT_EQ(failing.open_files(), 0);
  }
}

/// A way to read something, and what of it shows that nothing is missing.
struct Reader {
  const char* name;
  std::function<std::string(const std::string&)> go;
};

std::string names_of_classes(int count) {
  std::string text;
  for (int i = 0; i < count; ++i) text += "class" + std::to_string(i) + "\n";
  return text;
}

std::string digest_of(const Dataset& data) {
  return fmt::format("{} {} [{}]", to_string(data.inputs.type()), to_string(data.labels.type()), fmt::join(data.classes, " "));
}

TEST(Fault, EveryCallOfEveryReaderFailsOnce) {
  const Folder folder;
  write_safetensors(some_tensors(), folder.file("tensors"));
  folder.write("table", "a,b\n1,2\n3,4\n");
  folder.write("graph", "graph g {\n  %x = input : f32[2]\n  output y = %x\n}\n");
  folder.write("json", R"({"name": "g", "graph": [{"name": "%x", "op": "input", "attrs": {}, "inputs": [],
      "outputs": [{"id": 0, "dtype": "f32", "shape": [2]}], "scope": "", "origin": "forward", "line": ""}]})");
  folder.write("idx", std::string("\0\0\x08\x01\0\0\0\x02\x05\x06", 10));
  folder.write("picture", "P6 1 2 255\nabcdef");
  write_npy(some_tensors().tensors.at("w"), folder.file("npy"));
  write_npz(some_tensors().tensors, folder.file("npz"));
  write_checkpoint(some_tensors(), folder.file("checkpoint"));
  for (const char* part : {"1", "2", "3", "4", "5"})
    folder.write(std::string("data_batch_") + part + ".bin", std::string(3073, '\1'));
  folder.write("test_batch.bin", std::string(3073, '\1'));
  for (const char* part : {"train.bin", "test.bin"}) folder.write(part, std::string(3074, '\1'));
  folder.write("sklearn", "2,2,red,blue\n1,2,0\n3,4,1\n");
  for (const char* part : {"train", "t10k"}) {
    folder.write(part + std::string("-images.idx3-ubyte"), std::string("\0\0\x08\x03\0\0\0\x01\0\0\0\x01\0\0\0\x01*", 17));
    folder.write(part + std::string("-labels.idx1-ubyte"), std::string("\0\0\x08\x01\0\0\0\x01\x07", 9));
  }
  folder.write("fine_label_names.txt", names_of_classes(100));
  for (const char* kind : {"cats", "dogs"}) {
    make_folder(folder.file("pictures/" + std::string(kind)));
    folder.write("pictures/" + std::string(kind) + "/1.ppm", "P6 1 2 255\nabcdef");
  }
  const std::vector<Reader> readers{
      {"tensors", [](const std::string& path) { return std::to_string(read_safetensors(path).tensors.size()); }},
      {"table", [](const std::string& path) { return digest_of(csv(path, {.label = "b"})); }},
      {"sklearn", [](const std::string& path) { return digest_of(sklearn_csv(path)); }},
      {"graph", [](const std::string& path) { return print(read_text(path)); }},
      {"json", [](const std::string& path) { return print(read_text(path)); }},
      {"idx", [](const std::string& path) { return to_string(read_idx(path).type()); }},
      {"picture", [](const std::string& path) { return to_string(read_image(path).type()); }},
      {"pictures", [](const std::string& path) { return digest_of(image_folder(path)); }},
      {"npy", [](const std::string& path) { return to_string(read_npy(path).type()); }},
      {"npz", [](const std::string& path) { return std::to_string(read_npz(path).size()); }},
      {"checkpoint", [](const std::string& path) { return std::to_string(read_checkpoint(path).tensors.size()); }},
      {"", [](const std::string& path) { return digest_of(mnist(path).train); }},
      {"", [](const std::string& path) { return digest_of(cifar10(path).train); }},
      {"", [](const std::string& path) { return digest_of(cifar100(path).train); }}};
  std::size_t injected = 0;
  for (const Reader& reader : readers) {
    const std::string whole = reader.go(folder.file(reader.name));
    for (std::size_t call = 1;; ++call) {
      FailingFileSystem failing({.call = call});
      bool thrown = false;
      {
        const FileSystemScope scope(failing);
        try {
          EXPECT_EQ(reader.go(folder.file(reader.name)), whole) << reader.name << " lost something at call " << call;
        } catch (const RunError& problem) {
          thrown = true;
          EXPECT_NE(std::string(problem.what()).find(reader.name), std::string::npos) << problem.what();
        }
      }
      EXPECT_EQ(failing.open_files(), 0);
      if (failing.calls() < call) {
        EXPECT_FALSE(thrown);
        break;
      }
      ++injected;
    }
    FailingFileSystem slow({.most_bytes = 1, .interrupted = true});
    const FileSystemScope scope(slow);
    EXPECT_EQ(reader.go(folder.file(reader.name)), whole);
  }
  EXPECT_GE(injected, 100u);
  report("injected failures of readers", injected);
}

/// The real file system, but that some calls always give the same.
class StubbornFileSystem : public FileSystem {
 public:
  explicit StubbornFileSystem(std::map<std::string, int> answers) : answers_(std::move(answers)) {}
  int open(const std::string& path, int flags, unsigned mode) override {
    const bool makes = (flags & O_CREAT) != 0, folder = (flags & O_DIRECTORY) != 0;
    return answer(makes ? "create" : folder ? "open folder" : "open", [&] { return FileSystem::open(path, flags, mode); });
  }
  ssize_t read(int descriptor, void* to, std::size_t bytes) override {
    return answer("read", [&] { return FileSystem::read(descriptor, to, bytes); });
  }
  ssize_t write(int descriptor, const void* from, std::size_t bytes) override {
    return answer("write", [&] { return FileSystem::write(descriptor, from, bytes); });
  }
  int sync(int descriptor) override { return answer("sync", [&] { return FileSystem::sync(descriptor); }); }
  int close(int descriptor) override {
    const int result = FileSystem::close(descriptor);
    return answer("close", [&] { return result; });
  }
  int status(const std::string& path, FileStatus& status) override {
    return answer("status", [&] { return FileSystem::status(path, status); });
  }
  int status(int descriptor, FileStatus& status) override {
    const int result = FileSystem::status(descriptor, status);
    if (answers_.contains("size")) status.size = std::uint64_t{1} << answers_.at("size");
    return result;
  }
  int remove(const std::string& path) override { return answer("remove", [&] { return FileSystem::remove(path); }); }
  int lock(int descriptor) override { return answer("lock", [&] { return FileSystem::lock(descriptor); }); }

 private:
  template <class F>
  auto answer(const std::string& call, F real) -> decltype(real()) {
    const auto found = answers_.find(call);
    return found == answers_.end() ? real() : found->second;
  }
  std::map<std::string, int> answers_;
};

TEST(Fault, WhatTheSystemSaysIsToldOrUnderstood) {
  const Folder folder;
  const std::string path = folder.write("file", "0123456789");
  struct Case {
    std::map<std::string, int> answers;
    std::function<void()> act;
    std::string message;  // none: it is no error
  };
  const auto write = [&] { write_file(path, "new"); };
  const auto read = [&] { read_file(path, ~std::uint64_t{0}); };
  const auto lock = [&] { locked_file(folder.file("lock")); };
  const auto sync = [&] { sync_folder(folder.path()); };
  const auto append = [&] { append_file(folder.file("log"), bytes_of("0.25\n")); };
  const std::string empty = folder.write("empty", "");
  for (const auto& [answers, act, message] : std::vector<Case>{
           {{{"write", 0}}, write, "cannot write: Input/output error"},
           {{{"sync", -EINVAL}}, write, ""},
           {{{"sync", -EROFS}}, write, ""},
           {{{"sync", -ENOTSUP}}, write, ""},
           {{{"sync", -EDQUOT}}, write, "cannot flush to the disk: Disk quota exceeded"},
           {{{"close", -EINTR}}, write, ""},
           {{{"close", -EDQUOT}}, write, "cannot close: Disk quota exceeded"},
           {{{"create", -EEXIST}}, write, "cannot create a temporary file beside it: File exists"},
           {{{"open folder", -EACCES}}, write, ""},
           {{{"open folder", -EIO}}, write, "cannot open the folder: Input/output error"},
           {{{"sync", -EIO}}, sync, "cannot flush the folder to the disk: Input/output error"},
           {{{"read", 0}}, read, "it became shorter while it was read: 0 of "},
           {{{"read", -EIO}}, read, "cannot read: Input/output error"},
           {{{"read", -EIO}}, [&] { read_file(empty); }, "cannot read: Input/output error"},
           {{{"write", 0}}, append, "cannot append: Input/output error"},
           {{{"close", -EINTR}}, append, ""},
           {{{"close", -EDQUOT}}, append, "cannot append: Disk quota exceeded"},
           {{{"close", -EIO}, {"write", -ENOSPC}}, append, "cannot append: No space left on device"},
           {{}, [] { append_file("/dev/full", bytes_of("x")); }, "/dev/full: cannot append: No space left on device"},
           {{{"size", 46}}, read, "there is not enough memory for its 70368744177664 bytes"},
           {{{"lock", -ENOTSUP}}, lock, ""},
           {{{"lock", -ENOLCK}}, lock, ""},
           {{{"lock", -EIO}}, lock, "cannot lock: Input/output error"},
           {{{"lock", -EWOULDBLOCK}}, lock, "is in use by process "},
           {{{"create", -EROFS}}, lock, "cannot open: Read-only file system"},
           {{{"status", -EIO}}, [&] { make_folder(folder.file("a/b")); }, "cannot look at it: Input/output error"},
           {{{"status", -ENOTDIR}}, [&] { EXPECT_FALSE(is_there(path)); }, ""},
           {{{"status", -EIO}}, [&] { is_there(path); }, "cannot look at it: Input/output error"},
           {{{"remove", -EIO}}, [&] { remove_file(path); }, "cannot remove it: Input/output error"},
           {{}, [&] { read_file("/proc/self/status"); }, "holds more than the 0 bytes it is said to hold"},
           {{}, [&] { EXPECT_FALSE(is_folder(path) || is_folder(folder.file("none"))); }, ""},
           {{}, [&] { EXPECT_TRUE(is_folder(folder.path()) && is_there(path)); }, ""},
           {{}, [] { read_file(""); }, "a file needs a path"},
           {{}, [] { read_file(std::string("a\0b", 3)); }, "a path holds no NUL byte"}}) {
    if (sanitized && answers.contains("size")) continue;  // its allocator ends the program and throws nothing
    StubbornFileSystem stubborn(answers);
    const FileSystemScope scope(stubborn);
    const std::string what = answers.empty() ? "none" : answers.begin()->first + " " + std::to_string(answers.begin()->second);
    if (message.empty()) EXPECT_NO_THROW(act()) << what;
    else EXPECT_CONTAINS(testing::run_error_of(act), message);
  }
}

TEST(Fault, ANameWithoutAFolderIsInTheOneWhereWeAre) {
  const Folder folder;
  const auto before = std::filesystem::current_path();
  std::filesystem::current_path(folder.path());
  write_file("here", "new");
  std::filesystem::current_path(before);
  EXPECT_EQ(content_of(folder.file("here")), "new");
  EXPECT_CONTAINS(testing::run_error_of([] { write_file("/", "x"); }), "it is a directory");
  StubbornFileSystem refuses({{"create", -EROFS}});
  const FileSystemScope scope(refuses);
  EXPECT_CONTAINS(testing::run_error_of([] { write_file("/thalweg-none", "x"); }), "cannot create: Read-only file system");
}

TEST(Folders, AreMadeListedAndRefused) {
  const Folder folder;
  make_folder(folder.file("a/b/c"));
  make_folder(folder.file("a/b/c"));
  folder.write("a/b/c/2", "x");
  folder.write("a/b/c/1", "x");
  EXPECT_EQ(list_folder(folder.file("a/b/c")), (std::vector<std::string>{"1", "2"}));
  remove_file(folder.file("a/b/c/2"));
  remove_file(folder.file("a/b/c/2"));
  EXPECT_EQ(list_folder(folder.file("a/b/c")), (std::vector<std::string>{"1"}));
  EXPECT_CONTAINS(testing::run_error_of([&] { make_folder(folder.file("a/b/c/1")); }), "is not a folder");
  EXPECT_CONTAINS(testing::run_error_of([&] { make_folder("/proc/thalweg"); }), "cannot make the folder");
  EXPECT_CONTAINS(testing::run_error_of([&] { list_folder(folder.file("none")); }), "cannot list the folder");
}

}  // namespace
}  // namespace thalweg

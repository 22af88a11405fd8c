// SPDX-License-Identifier: Apache-2.0
// A checkpoint is whole or is not taken, and the newest whole one is found, whatever happened to the disk.
#include "thalweg/lib/io/checkpoint_file.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <limits>
#include <random>
#include <set>

#include "../data/files.h"
#include "data_limit.h"
#include "faults.h"
#include "sanitized.h"
#include "soak.h"
#include "thalweg/lib/base/bytes.h"
#include "thalweg/lib/io/checksum.h"
#include "thalweg/ops/source.h"

namespace thalweg {
namespace {

using testing::content_of;
using testing::count_of;
using testing::FailingFileSystem;
using testing::Folder;
using testing::MemoryFileSystem;
using testing::report;
using testing::run_error_of;

Safetensors run_of(int number, Dim size = 5) {
  Safetensors content;
  Tensor w(f32(size));
  for (std::size_t i = 0; i < static_cast<std::size_t>(size); ++i)
    w.as<float>()[i] = static_cast<float>(number) + 0.25f * static_cast<float>(i);
  content.tensors.emplace("w", w);
  content.tensors.emplace("b", Tensor(f64(2), std::vector<double>{1.5, -std::numeric_limits<double>::infinity()}));
  content.tensors.emplace("callback:0:best", Tensor(f32(1), std::vector<double>{7}));
  content.metadata[std::string(checkpoint_key)] = checkpoint_format;
  content.metadata["thalweg.step"] = std::to_string(number);
  return content;
}

std::string number_of(const Safetensors& content) { return content.metadata.at("thalweg.step"); }

TEST(Checksum, IsTheOneThatEverybodyHas) {
  const std::string text = "123456789";
  const auto bytes = std::as_bytes(std::span(text));
  EXPECT_EQ(crc32_text(crc32_of(bytes)), "cbf43926");  // the catalogue's check value of CRC-32/ISO-HDLC
  for (std::size_t n = 0; n <= text.size(); ++n)
    EXPECT_EQ(crc32_joined(crc32_of(bytes.first(n)), crc32_of(bytes.subspan(n)), text.size() - n), 0xcbf43926u);
}

TEST(CheckpointFile, HoldsWhatWasWritten) {
  const Folder folder;
  const std::string path = folder.file("c");
  write_checkpoint(run_of(3), path);
  const Safetensors back = read_checkpoint(path);
  EXPECT_EQ(back.metadata, run_of(3).metadata);
  ASSERT_EQ(back.tensors.size(), 3u);
  EXPECT_EQ(back.tensors.at("w").numbers(), run_of(3).tensors.at("w").numbers());
  EXPECT_EQ(back.tensors.at("b").numbers(), run_of(3).tensors.at("b").numbers());
  const std::string first = content_of(path);
  write_checkpoint(run_of(3), path);
  EXPECT_EQ(content_of(path), first);
  // It is a file of weights as well.
  Graph g;
  variable(g, "w", f32(5));
  variable(g, "b", f64(2));
  EXPECT_EQ(load_weights(g, path).at("w").numbers(), run_of(3).tensors.at("w").numbers());
  write_safetensors(run_of(3), path);
  EXPECT_CONTAINS(run_error_of([&] { read_checkpoint(path); }), "is not a checkpoint: it has no digests");
}

TEST(CheckpointFile, EveryFlippedBitIsFound) {
  const Folder folder;
  const std::string path = folder.file("c");
  write_checkpoint(run_of(1), path);
  const std::string whole = content_of(path);
  for (std::size_t bit = 0; bit < 8 * whole.size(); ++bit) {
    std::string flipped = whole;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << (bit % 8)));
    EXPECT_THROW(parse_checkpoint(bytes_of(flipped), path), RunError) << "bit " << bit << " of byte " << bit / 8;
  }
  report("flipped bits found", 8 * whole.size());
}

TEST(CheckpointFile, EveryTruncationAndEveryLostBlockIsFound) {
  const Folder folder;
  write_checkpoint(run_of(1, 700), folder.file("c"));
  const std::string whole = content_of(folder.file("c"));
  const std::string path = folder.file("c");
  for (std::size_t n = 0; n < whole.size(); ++n)
    EXPECT_THROW(parse_checkpoint(bytes_of(whole.substr(0, n)), path), RunError) << n << " of " << whole.size() << " bytes";
  EXPECT_THROW(parse_checkpoint(bytes_of(whole + '\0'), path), RunError);
  for (std::size_t block = 0; block < whole.size(); block += 512) {
    std::string lost = whole;
    const std::size_t n = std::min<std::size_t>(512, whole.size() - block);
    lost.replace(block, n, std::string(n, '\0'));
    EXPECT_THROW(parse_checkpoint(bytes_of(lost), path), RunError) << "block at " << block;
  }
}

TEST(CheckpointFile, RandomBitsOfALargeOneAreFound) {
  const Folder folder;
  write_checkpoint(run_of(1, 200'000), folder.file("c"));
  std::string bytes = content_of(folder.file("c"));
  std::mt19937_64 random(2);
  const std::uint64_t flips = count_of("THALWEG_SOAK_FLIPS", 100);
  for (std::uint64_t i = 0; i < flips; ++i) {
    const std::size_t bit = random() % (8 * bytes.size());
    const auto flip = [&] { bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ (1 << (bit % 8))); };
    flip();
    EXPECT_THROW(parse_checkpoint(bytes_of(bytes), "large"), RunError) << "bit " << bit;
    flip();
  }
  report("flipped bits of a large file found", flips);
}

TEST(CheckpointFile, NamesTheTensorThatIsDamaged) {
  const Folder folder;
  write_checkpoint(run_of(1), folder.file("c"));
  std::string bytes = content_of(folder.file("c"));
  bytes.back() = static_cast<char>(bytes.back() ^ 4);
  folder.write("c", bytes);
  EXPECT_EQ(run_error_of([&] { read_checkpoint(folder.file("c")); }),
            folder.file("c") + ": tensor 'w' is damaged: its bytes do not have the digest that was written");
}

TEST(CheckpointFile, TellsWhichDigestIsWrong) {
  const Folder folder;
  write_checkpoint(run_of(1), folder.file("c"));
  const std::string whole = content_of(folder.file("c"));
  const auto refusal_of = [&](const std::string& bytes) {
    return run_error_of([&] { parse_checkpoint(bytes_of(bytes), "c"); });
  };
  const auto changed = [&](const std::string& from, const std::string& to) {
    std::string text = whole;
    return text.replace(text.find(from), from.size(), to);
  };
  EXPECT_CONTAINS(refusal_of(changed("\"thalweg.step\":\"1\"", "\"thalweg.step\":\"2\"")), "it is damaged: the file has digest ");
  // A writer that signs what it got wrong.
  const Tensor w = run_of(1).tensors.at("w");
  const std::string digest = crc32_text(crc32_of({static_cast<const std::byte*>(w.data()), w.bytes()}));
  std::string lie = changed("w " + digest, "w 00000000");
  const std::string key = "\"" + std::string(file_digest_key) + "\":\"";
  const std::size_t place = lie.find(key) + key.size();
  lie.replace(place, 8, "00000000");
  lie.replace(place, 8, crc32_text(crc32_of(bytes_of(lie))));
  EXPECT_CONTAINS(refusal_of(lie), "c: tensor 'w' does not have the digest that was written");
  Safetensors other = run_of(1);
  other.metadata[std::string(file_digest_key)] = "123";
  for (const bool has_list : {false, true}) {
    if (has_list) other.metadata[std::string(tensor_digests_key)] = "";
    write_safetensors(other, folder.file("other"));
    EXPECT_CONTAINS(run_error_of([&] { read_checkpoint(folder.file("other")); }), "is not a checkpoint: it has no digests");
  }
}

TEST(CheckpointFile, ItsDigestIsNotThatOfALongerKey) {
  const Folder folder;
  Safetensors content = run_of(1);
  for (const char* before : {"\"", "a\"", "~\""}) content.metadata[before + std::string(file_digest_key)] = "00000000";
  write_checkpoint(content, folder.file("c"));
  EXPECT_EQ(read_checkpoint(folder.file("c")).metadata, content.metadata);
}

TEST(CheckpointFile, ADigestTooShortForItsHeaderIsNone) {
  const std::string header = "{\"__metadata__\":{\"" + std::string(tensor_digests_key) + "\":\"\",\"" +
                             std::string(file_digest_key) + "\":\"\"}}";
  const std::string file = static_cast<char>(header.size()) + std::string(7, '\0') + header;
  EXPECT_EQ(run_error_of([&] { parse_checkpoint(bytes_of(file), "c"); }), "c: is not a checkpoint: it has no digests");
}

TEST(CheckpointFolder, LeavesWhatIsNoneOfItsFiles) {
  const Folder folder;
  const std::vector<std::string> names{
      "checkpoint-.safetensors", "checkpoint-.safetensor", "checkpoint-0.safetensors", "checkpoint-12a.safetensors",
      "checkpoint-99999999999999999999999.safetensors", "checkpoint-4611686018427387904.safetensors", "checkpoint-1.txt",
      "checkpoint-safetensors", "other.1-0.tmp"};
  for (const std::string& name : names) folder.write(name, "x");
  CheckpointFolder runs(folder.path());
  EXPECT_TRUE(runs.empty());
  EXPECT_EQ(runs.save(run_of(1), 0), (folder.path() / "checkpoint-000001.safetensors").string());
  EXPECT_EQ(folder.files(), names.size() + 2);
}

TEST(CheckpointFolder, KeepsTheLastAndFindsTheNewest) {
  const Folder folder;
  const std::string path = folder.file("runs/a");
  std::vector<std::string> damaged;
  {
    CheckpointFolder runs(path);
    EXPECT_TRUE(runs.empty());
    EXPECT_FALSE(runs.newest(damaged));
    for (int i = 1; i <= 5; ++i) runs.save(run_of(i), 3);
  }
  EXPECT_EQ(list_folder(path), (std::vector<std::string>{"checkpoint-000003.safetensors",
                                                         "checkpoint-000004.safetensors",
                                                         "checkpoint-000005.safetensors", "lock"}));
  folder.write("runs/a/checkpoint-000006.safetensors.1-0.tmp", "half");
  folder.write("runs/a/notes.txt", "the user's");
  folder.write("runs/a/checkpoint-000007.safetensors", "");
  folder.write("runs/a/checkpoint-000005.safetensors", content_of(path + "/checkpoint-000005.safetensors") + "x");
  CheckpointFolder runs(path);
  const auto found = runs.newest(damaged);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->path, path + "/checkpoint-000004.safetensors");
  EXPECT_EQ(number_of(found->content), "4");
  ASSERT_EQ(damaged.size(), 2u);
  EXPECT_CONTAINS(damaged[0], "checkpoint-000007.safetensors: 0 bytes are too few for a header");
  EXPECT_CONTAINS(damaged[1], "checkpoint-000005.safetensors: 1 bytes follow the last tensor");
  EXPECT_EQ(runs.save(run_of(8), 2), path + "/checkpoint-000008.safetensors");
  EXPECT_EQ(list_folder(path), (std::vector<std::string>{"checkpoint-000004.safetensors",
                                                         "checkpoint-000008.safetensors", "lock", "notes.txt"}));
}

TEST(CheckpointFolder, RefusesWhatItCannotUse) {
  const Folder folder;
  const CheckpointFolder first(folder.file("a"));
  EXPECT_CONTAINS(run_error_of([&] { CheckpointFolder second(folder.file("a")); }), "/a/lock: is in use by process ");
  folder.write("file", "x");
  EXPECT_CONTAINS(run_error_of([&] { CheckpointFolder second(folder.file("file")); }), "is not a folder");
  make_folder(folder.file("b"));
  folder.write("b/checkpoint-000001.safetensors", "x");
  CheckpointFolder broken(folder.file("b"));
  std::vector<std::string> damaged;
  EXPECT_CONTAINS(run_error_of([&] { broken.newest(damaged); }), "none of its 1 checkpoints is whole");
}

/// What a process that starts now takes up.
std::string taken_up(const std::string& folder) {
  CheckpointFolder runs(folder);
  std::vector<std::string> damaged;
  const auto found = runs.newest(damaged);
  return found ? number_of(found->content) : "none";
}

TEST(Crash, NeverLosesTheLastGoodCheckpoint) {
  const std::uint64_t wanted = count_of("THALWEG_SOAK_CRASHES", 2000);
  std::mt19937_64 random(3);
  std::uint64_t states = 0;
  for (int round = 0; states < wanted; ++round) {
    const Dim size = 5 + 100 * (round % 5);
    const int keep = 1 + round % 3;
    MemoryFileSystem disk;
    const FileSystemScope scope(disk);
    CheckpointFolder runs("/runs");
    for (int i = 1; i <= keep + 1; ++i) runs.save(run_of(i, size), keep);
    disk.settle();
    const std::string before = std::to_string(keep + 1), after = std::to_string(keep + 2);
    runs.save(run_of(keep + 2, size), keep);
    for (std::size_t done = 0; done <= disk.operations(); ++done)
      states += disk.crashes(done, 48, random, [&](MemoryFileSystem& then) {
        const FileSystemScope now(then);
        const std::string found = taken_up("/runs");
        if (done == disk.operations()) ASSERT_EQ(found, after) << "it was said to be saved";
        else ASSERT_TRUE(found == before || found == after) << "after " << done << " operations: " << found;
      });
  }
  EXPECT_GE(states, wanted);
  report("crash states of saving a checkpoint", states);
}

TEST(Fault, EveryCallOfSavingFailsOnceAndTheOldOneIsThere) {
  std::size_t injected = 0;
  for (const int error : {ENOSPC, EIO}) {
    for (const bool stays : {false, true}) {
      for (std::size_t call = 1;; ++call) {
        const Folder folder;
        CheckpointFolder(folder.file("a")).save(run_of(1), 1);
        FailingFileSystem failing({.call = call, .error = error, .stays = stays});
        bool saved = false;
        {
          const FileSystemScope scope(failing);
          try {
            CheckpointFolder runs(folder.file("a"));
            runs.save(run_of(2), 1);
            saved = true;
          } catch (const RunError& problem) {
            EXPECT_CONTAINS(problem.what(), "errno");
          }
        }
        EXPECT_EQ(failing.open_files(), 0);
        const std::string found = taken_up(folder.file("a"));
        EXPECT_TRUE(found == "2" || (!saved && found == "1")) << "call " << call << ": " << found;
        // The next save works, and cleans up.
        CheckpointFolder(folder.file("a")).save(run_of(3), 1);
        EXPECT_EQ(taken_up(folder.file("a")), "3");
        EXPECT_LE(list_folder(folder.file("a")).size(), 3u);
        if (failing.calls() < call) break;
        ++injected;
      }
    }
  }
  report("injected failures of saving", injected);
}

TEST(Fault, EveryCallOfLoadingFailsOnce) {
  const Folder folder;
  CheckpointFolder(folder.file("a")).save(run_of(1), 1);
  CheckpointFolder(folder.file("a")).save(run_of(2), 2);
  std::size_t call = 0;
  for (;;) {
    FailingFileSystem failing({.call = ++call});
    {
      const FileSystemScope scope(failing);
      try {
        const std::string found = taken_up(folder.file("a"));
        EXPECT_TRUE(found == "2" || found == "1") << found;
      } catch (const RunError& problem) {
        EXPECT_CONTAINS(problem.what(), "errno");
      }
    }
    EXPECT_EQ(failing.open_files(), 0);
    EXPECT_EQ(taken_up(folder.file("a")), "2") << "call " << call;
    if (failing.calls() < call) break;
  }
  report("injected failures of loading", call - 1);
}

TEST(CheckpointFolder, MemoryThatEndsIsNoDamage) {
  const Folder folder;
  // So large that its tensor is a mapping of its own (above malloc's 32 MiB), which a limit refuses.
  for (int i = 1; i <= 2; ++i) CheckpointFolder(folder.file("a")).save(run_of(i, 12'000'000), 2);
  const std::string second = folder.file("a/checkpoint-000002.safetensors");
  if (testing::sanitized) GTEST_SKIP() << "the sanitizer takes more addresses than any limit leaves";
  // 48 MB are the file, and another 48 MB its tensor.
  for (const std::size_t more : {std::size_t{20'000'000}, std::size_t{72'000'000}}) {
    CheckpointFolder runs(folder.file("a"));
    std::vector<std::string> damaged;
    std::string text;
    {
      const testing::DataLimit limit(more);
      ASSERT_TRUE(limit.is_set());
      try {
        runs.newest(damaged);
      } catch (const RunError& error) {
        text = error.what();
      }
    }
    EXPECT_CONTAINS(text, "not enough memory");
    EXPECT_TRUE(damaged.empty()) << damaged[0];
    runs.save(run_of(3), 5);
    EXPECT_TRUE(is_there(second));
    remove_file(folder.file("a/checkpoint-000003.safetensors"));
  }
}

TEST(CheckpointFile, AHeaderThatNoReaderTakesIsNotWritten) {
  const Folder folder;
  Safetensors content = run_of(1);
  content.metadata["notes"] = std::string(100'000'000, 'x');
  EXPECT_CONTAINS(run_error_of([&] { write_checkpoint(content, folder.file("c")); }), "and the format allows 100000000");
  EXPECT_CONTAINS(run_error_of([&] { check_checkpoint(content, "folder"); }), "folder: names, shapes and texts take ");
  EXPECT_FALSE(is_there(folder.file("c")));
}

TEST(Fault, WhatCouldNotBeReadOnceIsNotRemoved) {
  std::size_t passed_over = 0, removed = 0;
  for (std::size_t call = 1;; ++call) {
    bool older = false, saved = false;
    const Folder folder;
    for (int i = 1; i <= 2; ++i) CheckpointFolder(folder.file("a")).save(run_of(i), 2);
    FailingFileSystem failing({.call = call, .error = EMFILE});
    {
      const FileSystemScope scope(failing);
      try {
        CheckpointFolder runs(folder.file("a"));
        std::vector<std::string> damaged;
        older = number_of(runs.newest(damaged)->content) == "1";
        runs.save(run_of(3), 1);
        saved = true;
      } catch (const RunError&) {
      }
    }
    // With one to be kept, the second goes for the third; but not one that nobody could look at.
    const bool there = is_there(folder.file("a/checkpoint-000002.safetensors"));
    EXPECT_TRUE(there || (saved && !older)) << "call " << call;
    passed_over += older ? 1 : 0;
    removed += there ? 0 : 1;
    if (failing.calls() < call) break;
  }
  EXPECT_GE(passed_over, 2u);
  EXPECT_GE(removed, 1u);
}

TEST(CheckpointFile, PythonsSafetensorsOpensIt) {
  // THALWEG_PYTHON names one that has the package: `python3 -m venv v && v/bin/pip install safetensors numpy`.
  const char* named = std::getenv("THALWEG_PYTHON");
  const std::string python = named != nullptr && *named != '\0' ? named : "python3";
  if (std::system((python + " -c 'import safetensors.numpy' 2>/dev/null").c_str()) != 0)
    GTEST_SKIP() << "Python's safetensors is not installed";
  const Folder folder;
  write_checkpoint(run_of(4), folder.file("c"));
  folder.write("look.py", R"(import sys
from safetensors import safe_open
with safe_open(sys.argv[1], framework="numpy") as f:
    assert list(f.get_tensor("w")) == [4, 4.25, 4.5, 4.75, 5], f.get_tensor("w")
    assert list(f.get_tensor("b")) == [1.5, float("-inf")], f.get_tensor("b")
    assert f.metadata()["thalweg.step"] == "4", f.metadata()
)");
  EXPECT_EQ(std::system((python + " " + folder.file("look.py") + " " + folder.file("c")).c_str()), 0);
}

}  // namespace
}  // namespace thalweg

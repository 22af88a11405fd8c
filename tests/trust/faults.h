// SPDX-License-Identifier: Apache-2.0
// File systems that fail: one call of the real one at a time, or all at once as when the power goes.
#pragma once

#include <cerrno>
#include <cstddef>
#include <functional>
#include <map>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "thalweg/lib/base/file_system.h"

namespace thalweg::testing {

/// The real file system, but for one thing that goes wrong.
class FailingFileSystem : public FileSystem {
 public:
  struct Fault {
    std::size_t call = 0;   ///< the first call that fails, counted from 1; 0: none
    int error = EIO;
    bool stays = false;     ///< every later write, sync and open for writing fails too, as on a full disk
    std::size_t most_bytes = 0;  ///< reads and writes move no more than this at once; 0: as many as asked
    bool interrupted = false;    ///< every call that may be interrupted is, the first time
  };
  explicit FailingFileSystem(Fault fault) : fault_(fault) {}
  /// Calls so far.
  std::size_t calls() const { return calls_; }
  /// Descriptors that were opened and not closed.
  int open_files() const { return open_; }

  int open(const std::string& path, int flags, unsigned mode) override;
  ssize_t read(int descriptor, void* to, std::size_t bytes) override;
  ssize_t write(int descriptor, const void* from, std::size_t bytes) override;
  int sync(int descriptor) override;
  int truncate(int descriptor, std::uint64_t size) override;
  int close(int descriptor) override;
  int rename(const std::string& from, const std::string& to) override;
  int remove(const std::string& path) override;
  int status(const std::string& path, FileStatus& status) override;
  int status(int descriptor, FileStatus& status) override;
  int list(const std::string& folder, std::vector<std::string>& names) override;
  int make_folder(const std::string& path) override;
  int lock(int descriptor) override;

 private:
  /// The error of this call, or 0.
  int next(bool writes, bool can_be_interrupted);
  Fault fault_;
  std::size_t calls_ = 0;
  int open_ = 0;
  bool interrupted_before_ = false;
};

/// A file system in memory that remembers what was done, and what of it a disk may have forgotten when the power went:
/// of what was written and not synced any sectors, of names that were made, renamed or removed and not synced any.
class MemoryFileSystem : public FileSystem {
 public:
  MemoryFileSystem();

  int open(const std::string& path, int flags, unsigned mode) override;
  ssize_t read(int descriptor, void* to, std::size_t bytes) override;
  ssize_t write(int descriptor, const void* from, std::size_t bytes) override;
  int sync(int descriptor) override;
  int close(int descriptor) override;
  int rename(const std::string& from, const std::string& to) override;
  int remove(const std::string& path) override;
  int status(const std::string& path, FileStatus& status) override;
  int status(int descriptor, FileStatus& status) override;
  int list(const std::string& folder, std::vector<std::string>& names) override;
  int make_folder(const std::string& path) override;
  int lock(int) override { return 0; }

  /// Everything so far is on the disk, and forgotten as history.
  void settle();
  /// How many operations have changed something since.
  std::size_t operations() const { return log_.size(); }
  /// Calls `look` with disks as they may be after a crash that follows the first `operations` operations: every one
  /// if there are at most `most` of them, else the extreme ones and a sample. Returns how many.
  std::size_t crashes(std::size_t operations, std::size_t most, std::mt19937_64& random,
                      const std::function<void(MemoryFileSystem&)>& look) const;
  std::string content(const std::string& path) const;
  bool has(const std::string& path) const { return names_.contains(path); }
  std::vector<std::string> files() const;

 private:
  static constexpr std::size_t sector = 512;
  struct Operation {
    enum class Kind { make, write, rename, remove, sync, sync_folder };
    Kind kind;
    std::string name, to;       // of names
    std::size_t file = 0;       // of contents
    std::size_t offset = 0;
    std::string bytes;
  };
  struct Open {
    std::size_t file = 0;
    std::size_t at = 0;
    bool folder = false;
    std::string path;
  };
  void write_sectors(std::size_t file, std::size_t offset, std::string_view bytes);
  void apply(const Operation& operation);
  std::map<std::string, std::size_t> names_;    // path -> file
  std::map<std::size_t, std::string> contents_;
  std::map<std::string, bool> folders_;
  std::map<int, Open> open_;
  std::size_t next_file_ = 0;
  int next_descriptor_ = 1000;
  std::vector<Operation> log_;
  // The disk when the log began.
  std::map<std::string, std::size_t> settled_names_;
  std::map<std::size_t, std::string> settled_contents_;
};

}  // namespace thalweg::testing

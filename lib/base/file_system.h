// SPDX-License-Identifier: Apache-2.0
// Private: the system calls that files are read and written by, in one place, so that a test can count them, let each
// one fail, and play every crash.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace thalweg {

/// What a path or a descriptor leads to.
struct FileStatus {
  enum class Kind { regular, folder, other };
  Kind kind = Kind::other;
  std::uint64_t size = 0;
  unsigned mode = 0;  ///< permission bits
};

/// The system's own calls: each returns what the system's does, and -errno for an error. A test's file system
/// overrides them.
class FileSystem {
 public:
  virtual ~FileSystem() = default;
  /// `flags` and `mode` as open(2) has them.
  virtual int open(const std::string& path, int flags, unsigned mode = 0);
  virtual ssize_t read(int descriptor, void* to, std::size_t bytes);
  virtual ssize_t write(int descriptor, const void* from, std::size_t bytes);
  virtual int sync(int descriptor);
  virtual int truncate(int descriptor, std::uint64_t size);
  virtual int close(int descriptor);
  virtual int rename(const std::string& from, const std::string& to);
  virtual int remove(const std::string& path);
  virtual int status(const std::string& path, FileStatus& status);
  virtual int status(int descriptor, FileStatus& status);
  /// The names in a folder, sorted, without `.` and `..`.
  virtual int list(const std::string& folder, std::vector<std::string>& names);
  virtual int make_folder(const std::string& path);
  /// Takes the file's lock, which ends with the process; -EWOULDBLOCK if another process has it.
  virtual int lock(int descriptor);
};

/// The file system that everything uses.
FileSystem& file_system();

/// While it lives, everything uses another file system. For one test at a time.
class FileSystemScope {
 public:
  explicit FileSystemScope(FileSystem& other);
  ~FileSystemScope();
  FileSystemScope(const FileSystemScope&) = delete;
  FileSystemScope& operator=(const FileSystemScope&) = delete;

 private:
  FileSystem* before_;
};

}  // namespace thalweg

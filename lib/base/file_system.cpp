// SPDX-License-Identifier: Apache-2.0
#include "thalweg/lib/base/file_system.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <string_view>

namespace thalweg {
namespace {

template <class T>
T or_errno(T result) {
  return result < 0 ? static_cast<T>(-errno) : result;
}

FileStatus status_of(const struct stat& from) {
  const auto kind = S_ISREG(from.st_mode)   ? FileStatus::Kind::regular
                    : S_ISDIR(from.st_mode) ? FileStatus::Kind::folder
                                            : FileStatus::Kind::other;
  return {kind, static_cast<std::uint64_t>(from.st_size), from.st_mode & 0777u};
}

FileSystem& of_the_system() {
  static FileSystem system;
  return system;
}

std::atomic<FileSystem*> current{nullptr};

}  // namespace

int FileSystem::open(const std::string& path, int flags, unsigned mode) {
  return or_errno(::open(path.c_str(), flags, mode));
}
ssize_t FileSystem::read(int descriptor, void* to, std::size_t bytes) {
  return or_errno(::read(descriptor, to, bytes));
}
ssize_t FileSystem::write(int descriptor, const void* from, std::size_t bytes) {
  return or_errno(::write(descriptor, from, bytes));
}
int FileSystem::sync(int descriptor) { return or_errno(::fsync(descriptor)); }
int FileSystem::truncate(int descriptor, std::uint64_t size) {
  return or_errno(::ftruncate(descriptor, static_cast<off_t>(size)));
}
int FileSystem::close(int descriptor) { return or_errno(::close(descriptor)); }
int FileSystem::rename(const std::string& from, const std::string& to) {
  return or_errno(::rename(from.c_str(), to.c_str()));
}
int FileSystem::remove(const std::string& path) { return or_errno(::unlink(path.c_str())); }

int FileSystem::status(const std::string& path, FileStatus& status) {
  struct stat found {};
  if (::stat(path.c_str(), &found) != 0) return -errno;
  status = status_of(found);
  return 0;
}
int FileSystem::status(int descriptor, FileStatus& status) {
  struct stat found {};
  if (::fstat(descriptor, &found) != 0) return -errno;
  status = status_of(found);
  return 0;
}

int FileSystem::list(const std::string& folder, std::vector<std::string>& names) {
  DIR* open_folder = ::opendir(folder.c_str());
  if (open_folder == nullptr) return -errno;
  names.clear();
  errno = 0;
  while (const dirent* entry = ::readdir(open_folder)) {
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") names.emplace_back(name);
  }
  const int error = errno;
  ::closedir(open_folder);
  std::sort(names.begin(), names.end());
  return -error;
}

int FileSystem::make_folder(const std::string& path) { return or_errno(::mkdir(path.c_str(), 0777)); }
int FileSystem::lock(int descriptor) { return or_errno(::flock(descriptor, LOCK_EX | LOCK_NB)); }

FileSystem& file_system() {
  FileSystem* other = current.load(std::memory_order_relaxed);
  return other != nullptr ? *other : of_the_system();
}

FileSystemScope::FileSystemScope(FileSystem& other) : before_(current.exchange(&other)) {}
FileSystemScope::~FileSystemScope() { current = before_; }

}  // namespace thalweg

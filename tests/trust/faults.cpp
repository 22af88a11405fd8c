// SPDX-License-Identifier: Apache-2.0
#include "faults.h"

#include <fcntl.h>

#include <algorithm>
#include <cstring>

namespace thalweg::testing {

int FailingFileSystem::next(bool writes, bool can_be_interrupted) {
  if (fault_.interrupted && can_be_interrupted) {
    interrupted_before_ = !interrupted_before_;
    if (interrupted_before_) return -EINTR;
  }
  ++calls_;
  if (fault_.call == 0) return 0;
  return calls_ == fault_.call || (fault_.stays && writes && calls_ > fault_.call) ? -fault_.error : 0;
}

int FailingFileSystem::open(const std::string& path, int flags, unsigned mode) {
  if (const int error = next((flags & O_ACCMODE) != O_RDONLY, true)) return error;
  const int descriptor = FileSystem::open(path, flags, mode);
  if (descriptor >= 0) ++open_;
  return descriptor;
}
ssize_t FailingFileSystem::read(int descriptor, void* to, std::size_t bytes) {
  if (const int error = next(false, true)) return error;
  return FileSystem::read(descriptor, to, fault_.most_bytes == 0 ? bytes : std::min(bytes, fault_.most_bytes));
}
ssize_t FailingFileSystem::write(int descriptor, const void* from, std::size_t bytes) {
  if (const int error = next(true, true)) {
    // A full disk takes what still fits.
    if (error == -ENOSPC && bytes > 1 && !fault_.stays) return FileSystem::write(descriptor, from, bytes / 2);
    return error;
  }
  return FileSystem::write(descriptor, from, fault_.most_bytes == 0 ? bytes : std::min(bytes, fault_.most_bytes));
}
int FailingFileSystem::sync(int descriptor) {
  if (const int error = next(true, true)) return error;
  return FileSystem::sync(descriptor);
}
int FailingFileSystem::truncate(int descriptor, std::uint64_t size) {
  // What is given back on a full disk is given back.
  return FileSystem::truncate(descriptor, size);
}
int FailingFileSystem::close(int descriptor) {
  --open_;
  const int result = FileSystem::close(descriptor);  // the descriptor is gone even where close says EINTR or EIO
  const int error = next(false, false);
  return error != 0 ? error : result;
}
int FailingFileSystem::rename(const std::string& from, const std::string& to) {
  if (const int error = next(true, false)) return error;
  return FileSystem::rename(from, to);
}
int FailingFileSystem::remove(const std::string& path) {
  if (const int error = next(false, false)) return error;
  return FileSystem::remove(path);
}
int FailingFileSystem::status(const std::string& path, FileStatus& status) {
  if (const int error = next(false, false)) return error;
  return FileSystem::status(path, status);
}
int FailingFileSystem::status(int descriptor, FileStatus& status) {
  if (const int error = next(false, false)) return error;
  return FileSystem::status(descriptor, status);
}
int FailingFileSystem::list(const std::string& folder, std::vector<std::string>& names) {
  if (const int error = next(false, false)) return error;
  return FileSystem::list(folder, names);
}
int FailingFileSystem::make_folder(const std::string& path) {
  if (const int error = next(true, false)) return error;
  return FileSystem::make_folder(path);
}
int FailingFileSystem::lock(int descriptor) {
  if (const int error = next(false, true)) return error;
  return FileSystem::lock(descriptor);
}

namespace {

std::string folder_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  return slash == std::string::npos ? "." : path.substr(0, std::max<std::size_t>(slash, 1));
}

}  // namespace

MemoryFileSystem::MemoryFileSystem() { folders_["/"] = true; }

int MemoryFileSystem::open(const std::string& path, int flags, unsigned) {
  Open opened;
  opened.path = path;
  if (folders_.contains(path)) {
    if ((flags & O_ACCMODE) != O_RDONLY) return -EISDIR;
    opened.folder = true;
  } else if (const auto found = names_.find(path); found != names_.end()) {
    if ((flags & O_EXCL) != 0) return -EEXIST;
    if ((flags & O_DIRECTORY) != 0) return -ENOTDIR;
    opened.file = found->second;
  } else {
    if ((flags & O_CREAT) == 0) return -ENOENT;
    if (!folders_.contains(folder_of(path))) return -ENOENT;
    log_.push_back({.kind = Operation::Kind::make, .name = path, .to = {}, .file = next_file_++, .bytes = {}});
    apply(log_.back());
    opened.file = log_.back().file;
  }
  open_[next_descriptor_] = opened;
  return next_descriptor_++;
}

ssize_t MemoryFileSystem::read(int descriptor, void* to, std::size_t bytes) {
  Open& opened = open_.at(descriptor);
  const std::string& content = contents_.at(opened.file);
  const std::size_t n = std::min(bytes, content.size() - std::min(opened.at, content.size()));
  std::memcpy(to, content.data() + opened.at, n);
  opened.at += n;
  return static_cast<ssize_t>(n);
}

void MemoryFileSystem::write_sectors(std::size_t file, std::size_t offset, std::string_view bytes) {
  while (!bytes.empty()) {
    const std::size_t n = std::min(bytes.size(), sector - offset % sector);
    log_.push_back({.kind = Operation::Kind::write, .name = {}, .to = {}, .file = file, .offset = offset,
                    .bytes = std::string(bytes.substr(0, n))});
    apply(log_.back());
    bytes.remove_prefix(n);
    offset += n;
  }
}

ssize_t MemoryFileSystem::write(int descriptor, const void* from, std::size_t bytes) {
  Open& opened = open_.at(descriptor);
  write_sectors(opened.file, opened.at, {static_cast<const char*>(from), bytes});
  opened.at += bytes;
  return static_cast<ssize_t>(bytes);
}

int MemoryFileSystem::sync(int descriptor) {
  const Open& opened = open_.at(descriptor);
  log_.push_back({.kind = opened.folder ? Operation::Kind::sync_folder : Operation::Kind::sync,
                  .name = opened.path, .to = {}, .file = opened.file, .bytes = {}});
  return 0;
}
int MemoryFileSystem::close(int descriptor) { return open_.erase(descriptor) == 1 ? 0 : -EBADF; }

int MemoryFileSystem::rename(const std::string& from, const std::string& to) {
  if (!names_.contains(from)) return -ENOENT;
  log_.push_back({.kind = Operation::Kind::rename, .name = from, .to = to, .file = names_.at(from), .bytes = {}});
  apply(log_.back());
  return 0;
}
int MemoryFileSystem::remove(const std::string& path) {
  if (!names_.contains(path)) return -ENOENT;
  log_.push_back({.kind = Operation::Kind::remove, .name = path, .to = {}, .bytes = {}});
  apply(log_.back());
  return 0;
}

int MemoryFileSystem::status(const std::string& path, FileStatus& status) {
  if (folders_.contains(path)) {
    status = {FileStatus::Kind::folder, 0, 0755};
    return 0;
  }
  const auto found = names_.find(path);
  if (found == names_.end()) return -ENOENT;
  status = {FileStatus::Kind::regular, contents_.at(found->second).size(), 0644};
  return 0;
}
int MemoryFileSystem::status(int descriptor, FileStatus& status) {
  const Open& opened = open_.at(descriptor);
  status = opened.folder ? FileStatus{FileStatus::Kind::folder, 0, 0755}
                         : FileStatus{FileStatus::Kind::regular, contents_.at(opened.file).size(), 0644};
  return 0;
}
int MemoryFileSystem::list(const std::string& folder, std::vector<std::string>& names) {
  if (!folders_.contains(folder)) return -ENOENT;
  names.clear();
  for (const auto& [path, file] : names_)
    if (folder_of(path) == folder) names.push_back(path.substr(folder.size() + 1));
  return 0;
}
int MemoryFileSystem::make_folder(const std::string& path) {
  return folders_.emplace(path, true).second ? 0 : -EEXIST;  // never lost: the tests are about files
}

void MemoryFileSystem::apply(const Operation& operation) {
  switch (operation.kind) {
    case Operation::Kind::make:
      names_[operation.name] = operation.file;
      contents_[operation.file];
      break;
    case Operation::Kind::write: {
      std::string& content = contents_[operation.file];
      if (content.size() < operation.offset + operation.bytes.size())
        content.resize(operation.offset + operation.bytes.size());
      content.replace(operation.offset, operation.bytes.size(), operation.bytes);
      break;
    }
    case Operation::Kind::rename:
      // By the file, not by its old name: a disk may keep this and lose the making.
      names_.erase(operation.name);
      names_[operation.to] = operation.file;
      break;
    case Operation::Kind::remove: names_.erase(operation.name); break;
    case Operation::Kind::sync:
    case Operation::Kind::sync_folder: break;
  }
}

void MemoryFileSystem::settle() {
  log_.clear();
  settled_names_ = names_;
  settled_contents_ = contents_;
}

std::size_t MemoryFileSystem::crashes(std::size_t operations, std::size_t most, std::mt19937_64& random,
                                      const std::function<void(MemoryFileSystem&)>& look) const {
  // What no sync has made safe.
  std::vector<std::size_t> loose;
  for (std::size_t i = 0; i < operations; ++i) {
    const Operation& done = log_[i];
    if (done.kind == Operation::Kind::sync || done.kind == Operation::Kind::sync_folder) continue;
    const bool is_write = done.kind == Operation::Kind::write;
    const bool safe = std::any_of(log_.begin() + static_cast<std::ptrdiff_t>(i),
                                  log_.begin() + static_cast<std::ptrdiff_t>(operations), [&](const Operation& later) {
      if (is_write) return later.kind == Operation::Kind::sync && later.file == done.file;
      return later.kind == Operation::Kind::sync_folder && later.name == folder_of(done.name);
    });
    if (!safe) loose.push_back(i);
  }
  const auto disk = [&](const std::vector<bool>& lost) {
    MemoryFileSystem after;
    after.folders_ = folders_;
    after.names_ = settled_names_;
    after.contents_ = settled_contents_;
    after.next_file_ = next_file_;
    for (std::size_t i = 0, k = 0; i < operations; ++i) {
      const bool is_loose = k < loose.size() && loose[k] == i;
      if (is_loose && lost[k++]) {
        if (log_[i].kind == Operation::Kind::make) after.contents_[log_[i].file];
        continue;
      }
      after.apply(log_[i]);
    }
    after.settle();
    look(after);
  };
  std::size_t count = 0;
  if (loose.size() < 20 && (std::size_t{1} << loose.size()) <= most) {
    for (std::size_t bits = 0; bits < (std::size_t{1} << loose.size()); ++bits, ++count) {
      std::vector<bool> lost(loose.size());
      for (std::size_t k = 0; k < lost.size(); ++k) lost[k] = ((bits >> k) & 1) != 0;
      disk(lost);
    }
    return count;
  }
  for (const bool all : {false, true}) {
    disk(std::vector<bool>(loose.size(), all));
    ++count;
    for (std::size_t k = 0; k < loose.size() && count < most; ++k, ++count) {
      std::vector<bool> lost(loose.size(), all);
      lost[k] = !all;
      disk(lost);
    }
  }
  for (; count < most; ++count) {
    std::vector<bool> lost(loose.size());
    for (std::size_t k = 0; k < lost.size(); ++k) lost[k] = random() % 2 != 0;
    disk(lost);
  }
  return count;
}

std::string MemoryFileSystem::content(const std::string& path) const { return contents_.at(names_.at(path)); }

std::vector<std::string> MemoryFileSystem::files() const {
  std::vector<std::string> paths;
  for (const auto& [path, file] : names_) paths.push_back(path);
  return paths;
}

}  // namespace thalweg::testing

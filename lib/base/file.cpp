// SPDX-License-Identifier: Apache-2.0
#include "thalweg/lib/base/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string_view>
#include <system_error>
#include <utility>

#include "thalweg/lib/base/bytes.h"

namespace thalweg {
namespace {

[[noreturn]] void file_error(const std::string& path, std::string_view doing, int error) {
  run_error("{}: cannot {}: {} (errno {})", path, doing, std::generic_category().message(error), error);
}

/// Owns a file descriptor.
class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }
  /// Closes now, to hear of an error that the system kept for this moment (quota, network disks).
  int close() { return ::close(std::exchange(fd_, -1)); }

 private:
  int fd_;
};

/// Removes a file at the end of its life unless told to keep it.
class Temporary {
 public:
  explicit Temporary(std::string path) : path_(std::move(path)) {}
  ~Temporary() {
    if (!path_.empty()) ::unlink(path_.c_str());
  }
  Temporary(const Temporary&) = delete;
  Temporary& operator=(const Temporary&) = delete;
  const std::string& path() const { return path_; }
  void keep() { path_.clear(); }

 private:
  std::string path_;
};

std::string folder_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

void write_all(int fd, std::span<const std::byte> bytes, const std::string& path) {
  constexpr std::size_t most = std::size_t{1} << 30;  // the system writes at most 2 GiB at once
  while (!bytes.empty()) {
    const ssize_t n = ::write(fd, bytes.data(), std::min(bytes.size(), most));
    if (n < 0) {
      if (errno == EINTR) continue;
      file_error(path, "write", errno);
    }
    bytes = bytes.subspan(static_cast<std::size_t>(n));
  }
}

void sync(int fd, const std::string& path, std::string_view doing) {
  while (::fsync(fd) != 0) {
    if (errno == EINTR) continue;
    // Some file systems have nothing to flush and say so.
    if (errno == EINVAL || errno == EROFS || errno == ENOTSUP) return;
    file_error(path, doing, errno);
  }
}

/// A new file beside `path` that nobody else has.
std::pair<int, std::string> make_beside(const std::string& path, mode_t mode) {
  static std::atomic<unsigned> counter{0};
  for (int attempt = 0; attempt < 100; ++attempt) {
    std::string name = fmt::format("{}.{}-{}.tmp", path, ::getpid(), counter.fetch_add(1));
    const int fd = ::open(name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
    if (fd >= 0) return {fd, std::move(name)};
    if (errno != EEXIST && errno != EINTR) file_error(name, "create", errno);
  }
  file_error(path, "create a temporary file beside it", EEXIST);
}

/// A zlib inflater that reads gzip.
class Inflater {
 public:
  Inflater() {
    constexpr int gzip_only = 16;
    if (inflateInit2(&stream_, MAX_WBITS + gzip_only) != Z_OK) throw RunError("zlib: no memory to inflate");
  }
  ~Inflater() { inflateEnd(&stream_); }
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;
  z_stream& stream() { return stream_; }

 private:
  z_stream stream_{};
};

}  // namespace

std::vector<std::byte> read_file(const std::string& path, std::uint64_t limit) {
  if (path.find('\0') != std::string::npos) run_error("{}: a path holds no NUL byte", shown(path));
  // O_NONBLOCK: opening a pipe that nobody writes would wait for ever.
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (file.get() < 0) file_error(path, "open", errno);
  struct stat status {};
  if (::fstat(file.get(), &status) != 0) file_error(path, "look at it", errno);
  if (S_ISDIR(status.st_mode)) run_error("{}: is a directory, and a file was expected", path);
  if (!S_ISREG(status.st_mode)) run_error("{}: is not a regular file", path);
  const auto size = static_cast<std::uint64_t>(status.st_size);
  if (size > limit) run_error("{}: {} bytes are more than the limit of {}", path, size, limit);
  std::vector<std::byte> bytes(static_cast<std::size_t>(size));
  std::size_t filled = 0;
  while (filled < bytes.size()) {
    const ssize_t n = ::read(file.get(), bytes.data() + filled, std::min(bytes.size() - filled, std::size_t{1} << 30));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) file_error(path, "read", errno);
    if (n == 0) run_error("{}: it became shorter while it was read: {} of {} bytes", path, filled, bytes.size());
    filled += static_cast<std::size_t>(n);
  }
  return bytes;
}

bool is_gzip(std::span<const std::byte> bytes) {
  return bytes.size() >= 2 && bytes[0] == std::byte{0x1f} && bytes[1] == std::byte{0x8b};
}

std::vector<std::byte> gunzip(std::span<const std::byte> bytes, const std::string& source, std::uint64_t limit) {
  constexpr std::size_t chunk = std::size_t{1} << 18;
  Inflater inflater;
  z_stream& z = inflater.stream();
  std::vector<std::byte> out;
  std::size_t filled = 0;
  std::size_t consumed = 0;
  bool inside = false;  // a member has begun and not ended
  while (inside || consumed < bytes.size()) {
    if (!inside) {
      if (!is_gzip(bytes.subspan(consumed)))
        run_error("{}: byte {}: {} bytes that are not gzip {}", source, consumed, bytes.size() - consumed,
                  consumed == 0 ? "stand at the beginning" : "follow the gzip data");
      if (consumed > 0) inflateReset(&z);
      inside = true;
    }
    if (out.size() - filled < chunk) out.resize(std::max(out.size() + chunk, filled + filled / 2));
    const std::size_t give = std::min(bytes.size() - consumed, chunk);
    const std::size_t room = std::min(out.size() - filled, chunk);
    z.next_in = const_cast<Bytef*>(reinterpret_cast<const Bytef*>(bytes.data() + consumed));
    z.avail_in = static_cast<uInt>(give);
    z.next_out = reinterpret_cast<Bytef*>(out.data() + filled);
    z.avail_out = static_cast<uInt>(room);
    const int code = inflate(&z, Z_NO_FLUSH);
    consumed += give - z.avail_in;
    filled += room - z.avail_out;
    if (code == Z_MEM_ERROR) throw RunError("zlib: no memory to inflate " + source);
    // zlib compares each member's CRC and size itself, and says so in its message.
    if (code != Z_OK && code != Z_STREAM_END && code != Z_BUF_ERROR)
      run_error("{}: byte {}: damaged gzip data: {}", source, consumed, z.msg != nullptr ? z.msg : "no reason given");
    if (filled > limit) run_error("{}: inflates to more than the limit of {} bytes", source, limit);
    if (filled > ratio_free && filled / largest_ratio > consumed)
      run_error("{}: inflates to more than {} times its size: refused", source, largest_ratio);
    if (code == Z_STREAM_END) inside = false;
    else if (consumed == bytes.size() && z.avail_out > 0) run_error("{}: the gzip data is cut off after {} bytes", source, consumed);
  }
  if (bytes.empty()) run_error("{}: is empty, and gzip data was expected", source);
  out.resize(filled);
  return out;
}

std::vector<std::byte> read_maybe_gzip(const std::string& path, std::uint64_t limit) {
  std::vector<std::byte> bytes = read_file(path, limit);
  return is_gzip(bytes) ? gunzip(bytes, path, limit) : bytes;
}

void write_file(const std::string& path, std::span<const std::span<const std::byte>> parts) {
  if (path.empty()) throw RunError("a file to write needs a path");
  if (path.find('\0') != std::string::npos) run_error("{}: a path holds no NUL byte", shown(path));
  struct stat status {};
  mode_t mode = 0666;  // the user's mask applies
  if (::stat(path.c_str(), &status) == 0) {
    if (S_ISDIR(status.st_mode)) run_error("{}: cannot write: it is a directory", path);
    if (!S_ISREG(status.st_mode)) run_error("{}: cannot write: it is not a regular file", path);
    mode = status.st_mode & 0777;
  }
  auto [fd, name] = make_beside(path, mode);
  Descriptor file(fd);
  Temporary temporary(std::move(name));
  for (const auto part : parts) write_all(file.get(), part, temporary.path());
  sync(file.get(), temporary.path(), "flush to the disk");
  if (file.close() != 0 && errno != EINTR) file_error(temporary.path(), "close", errno);
  if (::rename(temporary.path().c_str(), path.c_str()) != 0) file_error(path, "rename the finished file to it", errno);
  temporary.keep();
  const std::string folder = folder_of(path);
  const Descriptor directory(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  // A folder that may be written and not read cannot be flushed; the file itself is.
  if (directory.get() >= 0) sync(directory.get(), folder, "flush the folder to the disk");
}

void write_file(const std::string& path, std::string_view text) {
  const std::span<const std::byte> part = bytes_of(text);
  write_file(path, {&part, 1});
}

}  // namespace thalweg

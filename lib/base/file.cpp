// SPDX-License-Identifier: Apache-2.0
#include "thalweg/lib/base/file.h"

#include <fcntl.h>
#include <sys/utsname.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <new>
#include <string_view>
#include <system_error>
#include <utility>

#include "thalweg/lib/base/bytes.h"
#include "thalweg/lib/base/file_system.h"
#include "thalweg/lib/base/signals.h"

namespace thalweg {
namespace {

[[noreturn]] void file_error(const std::string& path, std::string_view doing, int error) {
  run_error("{}: cannot {}: {} (errno {})", shown(path), doing, std::generic_category().message(error), error);
}

/// A call that a signal may cut short, until it is not.
template <class F>
auto uninterrupted(F call) {
  for (;;)
    if (const auto result = call(); result != -EINTR) return result;
}

/// Removes a file at the end of its life unless told to keep it.
class Temporary {
 public:
  explicit Temporary(std::string path) : path_(std::move(path)) {}
  ~Temporary() {
    if (!path_.empty()) file_system().remove(path_);
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

void write_all(int descriptor, std::span<const std::byte> bytes, const std::string& path) {
  constexpr std::size_t most = std::size_t{1} << 30;  // the system writes at most 2 GiB at once
  while (!bytes.empty()) {
    const ssize_t n = uninterrupted(
        [&] { return file_system().write(descriptor, bytes.data(), std::min(bytes.size(), most)); });
    // No call may write nothing and say nothing; waiting for better would be for ever.
    if (n <= 0) file_error(path, "write", n == 0 ? EIO : static_cast<int>(-n));
    bytes = bytes.subspan(static_cast<std::size_t>(n));
  }
}

void sync(int descriptor, const std::string& path, std::string_view doing) {
  const int result = uninterrupted([&] { return file_system().sync(descriptor); });
  // Some file systems have nothing to flush and say so.
  if (result == 0 || result == -EINVAL || result == -EROFS || result == -ENOTSUP) return;
  file_error(path, doing, -result);
}

/// A new file beside `path` that nobody else has.
std::pair<int, std::string> make_beside(const std::string& path, unsigned mode) {
  // In a container every process may have the same number, and an earlier one may have left files.
  static std::atomic<std::uint64_t> counter{
      static_cast<std::uint64_t>(std::chrono::system_clock::now().time_since_epoch().count())};
  for (int attempt = 0; attempt < 100; ++attempt) {
    std::string name = fmt::format("{}.{}-{}{}", path, ::getpid(), counter.fetch_add(1), temporary_suffix);
    const int descriptor = uninterrupted([&] {
      return file_system().open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
    });
    if (descriptor >= 0) return {descriptor, std::move(name)};
    if (descriptor != -EEXIST) file_error(path, "create", -descriptor);
  }
  file_error(path, "create a temporary file beside it", EEXIST);
}

void check_path(const std::string& path) {
  if (path.empty()) throw RunError("a file needs a path");
  if (path.find('\0') != std::string::npos) run_error("{}: a path holds no NUL byte", shown(path));
}

void check_is_empty(int descriptor, const std::string& path) {
  std::byte one{};
  const ssize_t n = uninterrupted([&] { return file_system().read(descriptor, &one, 1); });
  if (n < 0) file_error(path, "read", static_cast<int>(-n));
  if (n > 0) run_error("{}: holds more than the 0 bytes it is said to hold", shown(path));
}

std::vector<std::byte> memory_for(const std::string& path, std::uint64_t bytes) {
  try {
    return std::vector<std::byte>(static_cast<std::size_t>(bytes));
  } catch (const std::bad_alloc&) {
    throw OutOfMemory(fmt::format("{}: there is not enough memory for its {} bytes", shown(path), bytes));
  }
}

constexpr int gzip_only = MAX_WBITS + 16;

/// Throws for a code of inflate() that is no progress, at that byte of the source.
void check_inflated(int code, const z_stream& stream, const std::string& source, std::size_t byte, std::string_view what) {
  if (code == Z_OK || code == Z_STREAM_END || code == Z_BUF_ERROR) return;
  if (code == Z_MEM_ERROR) throw OutOfMemory(source + ": there is not enough memory to inflate it");
  run_error("{}: byte {}: damaged {} data: {}", source, byte, what, stream.msg != nullptr ? stream.msg : "no reason given");
}

/// A zlib inflater; `window_bits` say of which format, as inflateInit2 has them.
class Inflater {
 public:
  explicit Inflater(int window_bits) {
    if (inflateInit2(&stream_, window_bits) != Z_OK) throw OutOfMemory("there is not enough memory to inflate");
  }
  ~Inflater() { inflateEnd(&stream_); }
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;
  z_stream& stream() { return stream_; }

 private:
  z_stream stream_{};
};

}  // namespace

Descriptor::Descriptor(Descriptor&& other) noexcept : number_(std::exchange(other.number_, -1)) {}

Descriptor::~Descriptor() {
  if (number_ >= 0) file_system().close(number_);
}

int Descriptor::close() { return file_system().close(std::exchange(number_, -1)); }

void no_memory_for(const std::string& path) {
  throw OutOfMemory(fmt::format("{}: there is not enough memory to read it", shown(path)));
}

std::uint64_t largest_tensor_file() { return std::max<std::uint64_t>(largest_file, memory_limit().left / 2); }

std::vector<std::byte> read_file(const std::string& path, std::uint64_t limit) {
  check_path(path);
  // O_NONBLOCK: opening a pipe that nobody writes would wait for ever.
  const Descriptor file(uninterrupted(
      [&] { return file_system().open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY); }));
  if (file.get() < 0) file_error(path, "open", -file.get());
  FileStatus status;
  if (const int result = file_system().status(file.get(), status); result < 0) file_error(path, "look at it", -result);
  if (status.kind == FileStatus::Kind::folder) run_error("{}: is a directory, and a file was expected", shown(path));
  if (status.kind != FileStatus::Kind::regular) run_error("{}: is not a regular file", shown(path));
  if (status.size > limit) run_error("{}: {} bytes are more than the limit of {}", shown(path), status.size, limit);
  // Files that the kernel makes up say that they are empty, and are not.
  if (status.size == 0) check_is_empty(file.get(), path);
  std::vector<std::byte> bytes = memory_for(path, status.size);
  std::size_t filled = 0;
  while (filled < bytes.size()) {
    check_interrupted("reading", path);
    const ssize_t n = uninterrupted([&] {
      constexpr std::size_t most = std::size_t{1} << 26;  // a signal is heard of between two calls
      return file_system().read(file.get(), bytes.data() + filled, std::min(bytes.size() - filled, most));
    });
    if (n < 0) file_error(path, "read", static_cast<int>(-n));
    if (n == 0) run_error("{}: it became shorter while it was read: {} of {} bytes", shown(path), filled, bytes.size());
    filled += static_cast<std::size_t>(n);
  }
  return bytes;
}

bool is_gzip(std::span<const std::byte> bytes) {
  return bytes.size() >= 2 && bytes[0] == std::byte{0x1f} && bytes[1] == std::byte{0x8b};
}

std::vector<std::byte> gunzip(std::span<const std::byte> bytes, const std::string& source, std::uint64_t limit) {
  constexpr std::size_t chunk = std::size_t{1} << 18;
  Inflater inflater(gzip_only);
  z_stream& z = inflater.stream();
  std::vector<std::byte> out;
  std::size_t filled = 0;
  std::size_t consumed = 0;
  bool inside = false;  // a member has begun and not ended
  while (inside || consumed < bytes.size()) {
    check_interrupted("inflating", source);
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
    // zlib compares each member's CRC and size itself, and says so in its message.
    check_inflated(code, z, source, consumed, "gzip");
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

std::vector<std::byte> inflate_raw(std::span<const std::byte> bytes, std::uint64_t size, const std::string& source) {
  constexpr std::uint64_t best_ratio = 1032, least = 64;  // what deflate reaches
  if (size > best_ratio * bytes.size() + least)
    run_error("{}: {} bytes cannot inflate to {}", source, bytes.size(), size);
  std::vector<std::byte> out = memory_for(source, size);
  Inflater inflater(-MAX_WBITS);
  z_stream& z = inflater.stream();
  constexpr std::size_t chunk = std::size_t{1} << 26;
  std::size_t consumed = 0, filled = 0;
  std::byte beyond{};  // room for one byte more than there may be
  for (;;) {
    check_interrupted("inflating", source);
    const std::size_t give = std::min(bytes.size() - consumed, chunk), room = std::min(out.size() - filled, chunk);
    z.next_in = const_cast<Bytef*>(reinterpret_cast<const Bytef*>(bytes.data() + consumed));
    z.avail_in = static_cast<uInt>(give);
    z.next_out = reinterpret_cast<Bytef*>(room > 0 ? out.data() + filled : &beyond);
    z.avail_out = static_cast<uInt>(room > 0 ? room : 1);
    const uInt room_given = z.avail_out;
    const int code = inflate(&z, Z_NO_FLUSH);
    consumed += give - z.avail_in;
    const std::size_t made = room_given - z.avail_out;
    if (made > 0 && room == 0) run_error("{}: inflates to more than the {} bytes it is said to have", source, size);
    filled += made;
    check_inflated(code, z, source, consumed, "deflate");
    if (code == Z_STREAM_END) break;
    if (made == 0 && give == z.avail_in) run_error("{}: the deflate data is cut off after {} bytes", source, consumed);
  }
  if (filled != size || consumed != bytes.size())
    run_error("{}: inflates to {} of {} bytes, from {} of {}", source, filled, size, consumed, bytes.size());
  return out;
}

std::vector<std::byte> read_maybe_gzip(const std::string& path, std::uint64_t limit) {
  std::vector<std::byte> bytes = read_file(path, limit);
  return is_gzip(bytes) ? within_memory(path, [&] { return gunzip(bytes, path, limit); }) : bytes;
}

void write_file(const std::string& path, std::span<const std::span<const std::byte>> parts) {
  check_path(path);
  FileStatus status;
  unsigned mode = 0666;  // the user's mask applies
  if (file_system().status(path, status) == 0) {
    if (status.kind == FileStatus::Kind::folder) run_error("{}: cannot write: it is a directory", shown(path));
    if (status.kind != FileStatus::Kind::regular) run_error("{}: cannot write: it is not a regular file", shown(path));
    mode = status.mode;
  }
  auto [descriptor, name] = make_beside(path, mode);
  Descriptor file(descriptor);
  Temporary temporary(std::move(name));
  for (const auto part : parts) write_all(file.get(), part, path);
  sync(file.get(), path, "flush to the disk");
  if (const int result = file.close(); result < 0 && result != -EINTR) file_error(path, "close", -result);
  if (const int result = file_system().rename(temporary.path(), path); result < 0)
    file_error(path, "rename the finished file to it", -result);
  temporary.keep();
  sync_folder(folder_of(path));
}

void write_file(const std::string& path, std::string_view text) {
  const std::span<const std::byte> part = bytes_of(text);
  write_file(path, {&part, 1});
}

void sync_folder(const std::string& folder) {
  const Descriptor open_folder(
      uninterrupted([&] { return file_system().open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC); }));
  // A folder that may be written and not read cannot be flushed; the file itself is.
  if (open_folder.get() == -EACCES) return;
  if (open_folder.get() < 0) file_error(folder, "open the folder", -open_folder.get());
  sync(open_folder.get(), folder, "flush the folder to the disk");
}

void make_folder(const std::string& path) {
  check_path(path);
  for (std::size_t end = path.find('/', 1);; end = path.find('/', end + 1)) {
    const std::string part = path.substr(0, end);
    if (const int result = file_system().make_folder(part); result < 0 && result != -EEXIST)
      file_error(part, "make the folder", -result);
    else if (result == 0) sync_folder(folder_of(part));
    if (end == std::string::npos) break;
  }
  FileStatus status;
  if (const int result = file_system().status(path, status); result < 0) file_error(path, "look at it", -result);
  if (status.kind != FileStatus::Kind::folder) run_error("{}: is not a folder", shown(path));
}

namespace {
/// Whether the path leads to anything, and then to what. That nobody can tell is not that nothing is there.
bool look_at(const std::string& path, FileStatus& status) {
  const int result = file_system().status(path, status);
  if (result == -ENOENT || result == -ENOTDIR) return false;
  if (result < 0) file_error(path, "look at it", -result);
  return true;
}
}  // namespace

bool is_there(const std::string& path) {
  FileStatus status;
  return look_at(path, status);
}

bool is_folder(const std::string& path) {
  FileStatus status;
  return look_at(path, status) && status.kind == FileStatus::Kind::folder;
}

std::vector<std::string> list_folder(const std::string& path) {
  check_path(path);
  std::vector<std::string> names;
  if (const int result = file_system().list(path, names); result < 0) file_error(path, "list the folder", -result);
  return names;
}

void remove_file(const std::string& path) {
  check_path(path);
  if (const int result = file_system().remove(path); result < 0 && result != -ENOENT)
    file_error(path, "remove it", -result);
}

void try_remove_file(const std::string& path) { file_system().remove(path); }

Descriptor locked_file(const std::string& path) {
  check_path(path);
  Descriptor file(
      uninterrupted([&] { return file_system().open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666); }));
  if (file.get() < 0) file_error(path, "open", -file.get());
  const int result = uninterrupted([&] { return file_system().lock(file.get()); });
  if (result == -EWOULDBLOCK) {
    const std::vector<std::byte> bytes = read_file(path, 64);
    std::string_view user = text_of(bytes);
    user = user.substr(0, user.find_last_not_of(' ') + 1);
    run_error("{}: is in use by process {}", shown(path), shown(user));
  }
  // A file system without locks (some network disks) has one user at a time, or nobody to tell.
  if (result < 0 && result != -ENOTSUP && result != -ENOLCK) file_error(path, "lock", -result);
  utsname system{};
  ::uname(&system);
  write_all(file.get(), bytes_of(fmt::format("{:<63}", fmt::format("{} of {:.32}", ::getpid(), system.nodename))), path);
  return file;
}

}  // namespace thalweg

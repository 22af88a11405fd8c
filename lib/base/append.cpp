// SPDX-License-Identifier: Apache-2.0
#include "thalweg/lib/base/append.h"

#include <fcntl.h>

#include <cerrno>
#include <cstring>

#include "thalweg/graph/fail.h"
#include "thalweg/lib/base/file_system.h"

namespace thalweg {

void append_file(const std::string& path, std::span<const std::byte> bytes) {
  FileSystem& disk = file_system();
  int file = 0;
  do file = disk.open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
  while (file == -EINTR);
  if (file < 0) run_error("{}: cannot open to append: {}", shown(path), std::strerror(-file));
  FileStatus before;
  int reason = disk.status(file, before);
  const bool known = reason == 0;
  while (reason == 0 && !bytes.empty()) {
    const ssize_t n = disk.write(file, bytes.data(), bytes.size());
    if (n > 0) bytes = bytes.subspan(static_cast<std::size_t>(n));
    else if (n != -EINTR) reason = n == 0 ? -EIO : static_cast<int>(n);
  }
  // A half line would spoil what comes after it.
  if (reason != 0 && known && before.kind == FileStatus::Kind::regular) disk.truncate(file, before.size);
  const int closed = disk.close(file);
  if (closed != 0 && closed != -EINTR && reason == 0) reason = closed;
  if (reason != 0) run_error("{}: cannot append: {}", shown(path), std::strerror(-reason));
}

}  // namespace thalweg

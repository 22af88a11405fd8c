// SPDX-License-Identifier: Apache-2.0
#include "thalweg/lib/base/append.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "thalweg/graph/fail.h"

namespace thalweg {

void append_file(const std::string& path, std::span<const std::byte> bytes) {
  const int file = ::open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
  if (file < 0) run_error("{}: cannot open to append: {}", shown(path), std::strerror(errno));
  struct stat before {};
  int reason = ::fstat(file, &before) == 0 ? 0 : errno;
  while (reason == 0 && !bytes.empty()) {
    const ssize_t n = ::write(file, bytes.data(), bytes.size());
    if (n >= 0) bytes = bytes.subspan(static_cast<std::size_t>(n));
    else if (errno != EINTR) reason = errno;
  }
  // A half line would spoil what comes after it.
  if (reason != 0 && S_ISREG(before.st_mode) && ::ftruncate(file, before.st_size) != 0) reason = errno;
  if (::close(file) != 0 && errno != EINTR && reason == 0) reason = errno;
  if (reason != 0) run_error("{}: cannot append: {}", shown(path), std::strerror(reason));
}

}  // namespace thalweg

// SPDX-License-Identifier: Apache-2.0
#include <zlib.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdlib>
#include <cstring>

#include "thalweg/graph/fail.h"
#include "thalweg/lib/base/bytes.h"
#include "thalweg/lib/base/file.h"
#include "thalweg/lib/base/signals.h"
#include "thalweg/lib/base/threads.h"
#include "thalweg/lib/data/readers.h"

namespace thalweg {
namespace {

using Bytes = std::span<const std::byte>;

/// No side of a picture is longer: beyond it, a file is damaged rather than large.
constexpr std::uint32_t longest_side = 1u << 16;
/// A PNG file may say in a few bytes that it is large: no picture has more numbers than these, which take 1 GiB.
constexpr std::uint64_t most_numbers = std::uint64_t{1} << 28;
/// deflate makes at most 1032 bytes of one.
constexpr std::uint64_t most_from_one = 1032;

std::uint32_t whole(std::byte b) { return std::to_integer<std::uint32_t>(b); }

// ---- PNG (W3C Recommendation, second edition; ISO/IEC 15948)

constexpr std::array<unsigned char, 8> png_signature{0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};

struct PngHeader {
  std::uint32_t width = 0, height = 0, depth = 0, colour = 0;
  /// Numbers of a pixel in the file: gray 1, RGB 3, palette 1, gray and alpha 2, RGB and alpha 4.
  std::uint32_t samples() const {
    constexpr std::uint32_t of[] = {1, 0, 3, 1, 2, 0, 4};
    return of[colour];
  }
  bool palette() const { return colour == 3; }
  /// Channels of the result: without transparency, and a palette is RGB.
  std::uint32_t channels() const { return colour == 0 || colour == 4 ? 1 : 3; }
  std::size_t row_bytes() const { return (std::size_t{width} * samples() * depth + 7) / 8; }
  /// The distance to the pixel before, for the filters.
  std::size_t step() const { return std::max<std::size_t>(1, samples() * depth / 8); }
};

PngHeader png_header(ByteReader& in, const std::string& path) {
  PngHeader h;
  h.width = in.big_endian<std::uint32_t>("the width");
  h.height = in.big_endian<std::uint32_t>("the height");
  h.depth = in.big_endian<std::uint8_t>("the bit depth");
  h.colour = in.big_endian<std::uint8_t>("the colour type");
  const std::uint32_t compression = in.big_endian<std::uint8_t>("the compression method");
  const std::uint32_t filter = in.big_endian<std::uint8_t>("the filter method");
  const std::uint32_t interlace = in.big_endian<std::uint8_t>("the interlace method");
  if (h.width == 0 || h.height == 0 || h.width > longest_side || h.height > longest_side)
    run_error("{}: a picture of {}x{} pixels; sides from 1 to {} are understood", path, h.width, h.height,
              longest_side);
  const bool one_to_16 = h.depth == 1 || h.depth == 2 || h.depth == 4 || h.depth == 8 || h.depth == 16;
  const bool right = h.colour == 0   ? one_to_16
                     : h.colour == 3 ? one_to_16 && h.depth != 16
                                     : (h.colour == 2 || h.colour == 4 || h.colour == 6) && one_to_16 && h.depth >= 8;
  if (!right) run_error("{}: colour type {} with a depth of {} bits is not PNG", path, h.colour, h.depth);
  if (compression != 0 || filter != 0)
    run_error("{}: compression method {} and filter method {}, and PNG has 0 and 0", path, compression, filter);
  if (interlace != 0) run_error("{}: interlaced PNG is not read; save it without", path);
  return h;
}

/// What the file's chunks hold.
struct PngChunks {
  PngHeader header;
  std::vector<std::byte> palette;
  std::vector<std::byte> data;  ///< the zlib stream, cut into any number of chunks in the file
};

PngChunks png_chunks(Bytes bytes, const std::string& path) {
  ByteReader in(bytes, path);
  in.take(png_signature.size(), "the signature");
  PngChunks chunks;
  bool begun = false;
  for (;;) {
    const std::size_t offset = in.offset();
    const auto size = in.big_endian<std::uint32_t>("the size of a chunk");
    const Bytes type = in.take(4, "the type of a chunk");
    const std::string name(reinterpret_cast<const char*>(type.data()), 4);
    const Bytes data = in.take(size, "a chunk");
    const auto crc = in.big_endian<std::uint32_t>("the checksum of a chunk");
    const uLong right = crc32_z(crc32_z(0, reinterpret_cast<const Bytef*>(type.data()), 4),
                                reinterpret_cast<const Bytef*>(data.data()), data.size());
    if (crc != right) run_error("{}: byte {}: the checksum of chunk {} is wrong", path, offset, shown(name));
    if (begun == (name == "IHDR"))
      run_error("{}: byte {}: chunk {}, and a PNG file begins with one IHDR", path, offset, shown(name));
    if (name == "IHDR") {
      if (size != 13) run_error("{}: byte {}: IHDR has {} bytes, must have 13", path, offset, size);
      ByteReader header(data, path);
      chunks.header = png_header(header, path);
      begun = true;
    } else if (name == "PLTE") {
      if (size % 3 != 0 || size == 0 || size > 768)
        run_error("{}: byte {}: a palette of {} bytes, and 1 to 256 colours of 3 are understood", path, offset, size);
      chunks.palette.assign(data.begin(), data.end());
    } else if (name == "IDAT") {
      chunks.data.insert(chunks.data.end(), data.begin(), data.end());
    } else if (name == "IEND") {
      break;
    } else if (std::islower(static_cast<unsigned char>(name[0])) == 0) {
      run_error("{}: byte {}: chunk {} is needed to show the picture, and not understood", path, offset, shown(name));
    }
  }
  if (chunks.header.palette() && chunks.palette.empty()) run_error("{}: the palette is missing", path);
  return chunks;
}

/// Exactly `size` bytes from a zlib stream.
std::vector<std::byte> inflated(Bytes data, std::size_t size, const std::string& path) {
  if (size > most_from_one * data.size() + 64)
    run_error("{}: {} bytes of compressed pixels cannot hold a picture of {} bytes: the file is cut off or damaged",
              path, data.size(), size);
  std::vector<std::byte> out(size);
  auto used = static_cast<uLong>(data.size());
  auto made = static_cast<uLongf>(size);
  const int code = uncompress2(reinterpret_cast<Bytef*>(out.data()), &made,
                               reinterpret_cast<const Bytef*>(data.data()), &used);
  if (code == Z_MEM_ERROR) throw OutOfMemory(path + ": there is not enough memory to inflate it");
  // Z_BUF_ERROR: `out` is full before the stream has ended; of one that is cut off all was used.
  if (code == Z_BUF_ERROR && used < data.size()) run_error("{}: the pixels go on beyond the picture's size", path);
  if (code != Z_OK) run_error("{}: the compressed pixels are damaged or cut off", path);
  if (made != size) run_error("{}: {} bytes of pixels, and the picture's size needs {}", path, made, size);
  return out;
}

std::uint32_t paeth(std::uint32_t a, std::uint32_t b, std::uint32_t c) {
  const auto distance = [p = static_cast<int>(a + b) - static_cast<int>(c)](std::uint32_t x) {
    return std::abs(p - static_cast<int>(x));
  };
  if (distance(a) <= distance(b) && distance(a) <= distance(c)) return a;
  return distance(b) <= distance(c) ? b : c;
}

/// Undoes the filters in place: each row is a byte that names its filter, then the differences to what it predicts.
void unfilter(std::vector<std::byte>& rows, const PngHeader& h, const std::string& path) {
  const std::size_t stride = h.row_bytes() + 1, step = h.step();
  for (std::size_t y = 0; y < h.height; ++y) {
    check_interrupted("reading", path);
    std::byte* row = rows.data() + y * stride;
    const std::uint32_t filter = whole(row[0]);
    if (filter > 4) run_error("{}: row {} has filter {}, and PNG has 0 to 4", path, y, filter);
    for (std::size_t i = 1; i < stride && filter != 0; ++i) {
      const std::uint32_t a = i > step ? whole(row[i - step]) : 0;
      const std::uint32_t b = y > 0 ? whole((row - stride)[i]) : 0;
      const std::uint32_t c = y > 0 && i > step ? whole((row - stride)[i - step]) : 0;
      const std::uint32_t predicted = filter == 1 ? a : filter == 2 ? b : filter == 3 ? (a + b) / 2 : paeth(a, b, c);
      row[i] = static_cast<std::byte>(whole(row[i]) + predicted);
    }
  }
}

/// Number i of a row: most significant bits first.
std::uint32_t number_at(const std::byte* row, std::size_t i, std::uint32_t depth) {
  if (depth == 16) return whole(row[2 * i]) << 8 | whole(row[2 * i + 1]);
  const std::size_t each = 8 / depth;
  return whole(row[i / each]) >> (8 - depth * (i % each + 1)) & ((1u << depth) - 1);
}

Tensor read_png(Bytes bytes, const std::string& path) {
  const PngChunks chunks = png_chunks(bytes, path);
  const PngHeader& h = chunks.header;
  if (std::uint64_t{h.width} * h.height * h.channels() > most_numbers)
    run_error("{}: a picture of {}x{} pixels is larger than any that is read: {} numbers at most", path, h.width,
              h.height, most_numbers);
  std::vector<std::byte> rows = inflated(chunks.data, (h.row_bytes() + 1) * h.height, path);
  unfilter(rows, h, path);
  Tensor picture(f32(h.height, h.width, h.channels()));
  float* out = picture.as<float>().data();
  const auto most = static_cast<float>((1u << h.depth) - 1);
  for (std::size_t y = 0; y < h.height; ++y) {
    const std::byte* row = rows.data() + y * (h.row_bytes() + 1) + 1;
    for (std::size_t x = 0; x < h.width; ++x) {
      if (h.palette()) {
        const std::size_t colour = number_at(row, x, h.depth);
        if (3 * colour >= chunks.palette.size())
          run_error("{}: pixel ({}, {}) has colour {}, and the palette has {}", path, y, x, colour,
                    chunks.palette.size() / 3);
        for (std::size_t k = 0; k < 3; ++k) *out++ = static_cast<float>(whole(chunks.palette[3 * colour + k])) / 255.0f;
        continue;
      }
      for (std::size_t k = 0; k < h.channels(); ++k)
        *out++ = static_cast<float>(number_at(row, x * h.samples() + k, h.depth)) / most;
    }
  }
  return picture;
}

// ---- PGM and PPM (the Netpbm formats)

/// The next number of a header: white space and comments come before it, one white space after the last.
std::uint32_t netpbm_number(Bytes bytes, std::size_t& at, const std::string& path, std::string_view what) {
  const auto c = [&]() -> char { return at < bytes.size() ? static_cast<char>(bytes[at]) : '\0'; };
  while (at < bytes.size() && (std::isspace(static_cast<unsigned char>(c())) != 0 || c() == '#')) {
    if (c() == '#')
      while (at < bytes.size() && c() != '\n') ++at;
    else ++at;
  }
  const std::size_t first = at;
  std::uint32_t number = 0;
  for (; c() >= '0' && c() <= '9' && at - first < 8; ++at) number = 10 * number + static_cast<std::uint32_t>(c() - '0');
  if (at == first || std::isspace(static_cast<unsigned char>(c())) == 0)
    run_error("{}: byte {}: {} is expected, a number of at most 7 digits", path, first, what);
  return number;
}

Tensor read_netpbm(Bytes bytes, const std::string& path) {
  const std::size_t channels = static_cast<char>(bytes[1]) == '6' ? 3 : 1;
  std::size_t at = 2;
  const std::uint32_t width = netpbm_number(bytes, at, path, "the width");
  const std::uint32_t height = netpbm_number(bytes, at, path, "the height");
  const std::uint32_t most = netpbm_number(bytes, at, path, "the largest value");
  ++at;
  if (width == 0 || height == 0 || width > longest_side || height > longest_side)
    run_error("{}: a picture of {}x{} pixels; sides from 1 to {} are understood", path, width, height, longest_side);
  if (most == 0 || most > 65535) run_error("{}: the largest value is {}, must be 1 to 65535", path, most);
  const std::size_t each = most > 255 ? 2 : 1, numbers = std::size_t{width} * height * channels;
  if (bytes.size() - at != numbers * each)
    run_error("{}: byte {}: {}x{} pixels need {} bytes, and {} follow", path, at, width, height, numbers * each,
              bytes.size() - at);
  Tensor picture(f32(height, width, channels));
  const std::span<float> out = picture.as<float>();
  for (std::size_t i = 0; i < numbers; ++i) {
    const std::byte* in = bytes.data() + at + i * each;
    const std::uint32_t x = each == 2 ? whole(in[0]) << 8 | whole(in[1]) : whole(in[0]);
    if (x > most) run_error("{}: byte {}: value {} is above the largest, {}", path, at + i * each, x, most);
    out[i] = static_cast<float>(x) / static_cast<float>(most);
  }
  return picture;
}

bool is_png(Bytes bytes) {
  return bytes.size() >= png_signature.size() &&
         std::memcmp(bytes.data(), png_signature.data(), png_signature.size()) == 0;
}
bool is_netpbm(Bytes bytes) {
  return bytes.size() >= 3 && static_cast<char>(bytes[0]) == 'P' &&
         (static_cast<char>(bytes[1]) == '5' || static_cast<char>(bytes[1]) == '6');
}

bool is_picture(std::string_view name) {
  std::string end(name.substr(std::min(name.size(), name.find_last_of('.'))));
  std::transform(end.begin(), end.end(), end.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return end == ".png" || end == ".pgm" || end == ".ppm";
}

}  // namespace

namespace {

Tensor picture_in(std::span<const std::byte> bytes, const std::string& path) {
  if (is_png(bytes)) return read_png(bytes, path);
  if (is_netpbm(bytes)) return read_netpbm(bytes, path);
  run_error("{}: neither PNG nor a binary PGM or PPM (P5, P6){}", path, bytes.empty() ? ": the file is empty" : "");
}

Dataset images_below(const std::string& path) {
  Dataset data;
  std::vector<std::pair<std::string, std::int32_t>> files;
  for (const std::string& name : list_folder(path)) {
    const std::string folder = path + "/" + name;
    if (!is_folder(folder)) continue;
    const std::size_t before = files.size();
    for (const std::string& file : list_folder(folder))
      if (is_picture(file)) files.emplace_back(folder + "/" + file, static_cast<std::int32_t>(data.classes.size()));
    if (files.size() == before) run_error("{}: no picture (.png, .pgm, .ppm) is in it", shown(folder));
    data.classes.push_back(name);
  }
  if (files.empty()) run_error("{}: no folder is in it, and each class is one", shown(path));
  data.name = path;
  data.labels = Tensor(i32(static_cast<Dim>(files.size())));
  for (std::size_t i = 0; i < files.size(); ++i) {
    const Tensor picture = read_image(files[i].first);
    const Shape& shape = picture.shape();
    if (i == 0) data.inputs = Tensor(f32(static_cast<Dim>(files.size()), shape[0], shape[1], shape[2]));
    const Shape& all = data.inputs.shape();
    if (shape != Shape{all[1], all[2], all[3]})
      run_error("{} is {}, and {} is {}: all pictures must be of one size", files[i].first, to_string(shape),
                files[0].first, to_string(Shape{all[1], all[2], all[3]}));
    std::memcpy(static_cast<std::byte*>(data.inputs.data()) + i * picture.bytes(), picture.data(), picture.bytes());
    data.labels.as<std::int32_t>()[i] = files[i].second;
  }
  return data;
}

}  // namespace

Tensor read_image(const std::string& path) {
  const FloatingPointScope floating_point;
  return within_memory(path, [&] { return picture_in(read_file(path), path); });
}

Dataset image_folder(const std::string& path) {
  return within_memory(path, [&] { return images_below(path); });
}

}  // namespace thalweg

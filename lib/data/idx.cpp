// SPDX-License-Identifier: Apache-2.0
#include <bit>

#include "thalweg/graph/fail.h"
#include "thalweg/lib/base/bytes.h"
#include "thalweg/lib/base/file.h"
#include "thalweg/lib/base/threads.h"
#include "thalweg/lib/data/readers.h"

namespace thalweg {
namespace {

constexpr std::uint32_t magic_images = 2051;  // u8, three axes
constexpr std::uint32_t magic_labels = 2049;  // u8, one axis

struct Element {
  std::uint8_t code;
  std::size_t bytes;
  DType dtype;
};

Element element_of(std::uint8_t code, const std::string& path) {
  switch (code) {
    case 0x08: return {code, 1, DType::u8};
    case 0x09: return {code, 1, DType::i32};
    case 0x0B: return {code, 2, DType::i32};
    case 0x0C: return {code, 4, DType::i32};
    case 0x0D: return {code, 4, DType::f32};
    case 0x0E: return {code, 8, DType::f64};
    default: break;
  }
  run_error("{}: byte 2: element type {:#04x} is none of IDX's (0x08 0x09 0x0b 0x0c 0x0d 0x0e)", path, code);
}

void read_elements(const Element& element, ByteReader& in, Tensor& to) {
  switch (element.code) {
    case 0x08: {
      const auto bytes = in.take(to.bytes(), "data");
      std::memcpy(to.data(), bytes.data(), bytes.size());
      break;
    }
    case 0x09:
      for (auto& x : to.as<std::int32_t>()) x = static_cast<std::int8_t>(in.big_endian<std::uint8_t>("data"));
      break;
    case 0x0B:
      for (auto& x : to.as<std::int32_t>()) x = static_cast<std::int16_t>(in.big_endian<std::uint16_t>("data"));
      break;
    case 0x0C:
      for (auto& x : to.as<std::int32_t>()) x = static_cast<std::int32_t>(in.big_endian<std::uint32_t>("data"));
      break;
    case 0x0D:
      for (auto& x : to.as<float>()) x = std::bit_cast<float>(in.big_endian<std::uint32_t>("data"));
      break;
    default:
      for (auto& x : to.as<double>()) x = std::bit_cast<double>(in.big_endian<std::uint64_t>("data"));
  }
}

Tensor tensor_in(const std::vector<std::byte>& bytes, const std::string& path) {
  ByteReader in(bytes, path);
  const auto zeros = in.big_endian<std::uint16_t>("the magic number");
  if (zeros != 0) run_error("{}: byte 0: an IDX file begins with two zero bytes, and here are {:#06x}", path, zeros);
  const Element element = element_of(in.big_endian<std::uint8_t>("the element type"), path);
  const auto rank = in.big_endian<std::uint8_t>("the number of axes");
  if (rank == 0 || rank > Shape::max_rank)
    run_error("{}: byte 3: {} axes, and 1 to {} are understood", path, rank, Shape::max_rank);
  std::vector<Dim> dims;
  std::uint64_t size = element.bytes;
  for (std::size_t axis = 0; axis < rank; ++axis) {
    const std::size_t offset = in.offset();
    const auto dim = in.big_endian<std::uint32_t>("the size of an axis");
    if (dim == 0) run_error("{}: byte {}: axis {} has size 0", path, offset, axis);
    if (!checked_mul(size, dim, size)) run_error("{}: byte {}: the sizes multiply beyond 2^64", path, offset);
    dims.push_back(dim);
  }
  if (size != in.remaining())
    run_error("{}: byte {}: sizes {} need {} bytes of data, and {} follow", path, in.offset(), fmt::join(dims, "x"),
              size, in.remaining());
  Tensor tensor(TensorType{element.dtype, Shape(dims)});
  read_elements(element, in, tensor);
  return tensor;
}

std::uint32_t magic_of(const std::vector<std::byte>& bytes, const std::string& path) {
  return ByteReader(bytes, path).big_endian<std::uint32_t>("the magic number");
}

void check_magic(std::uint32_t magic, std::uint32_t expected, const std::string& path, std::string_view what) {
  if (magic == expected) return;
  if (magic == magic_images || magic == magic_labels)
    run_error("{}: holds {} (magic {}) where {} (magic {}) are expected: are the two files swapped?", path,
              magic == magic_images ? "images" : "labels", magic, what, expected);
  const std::uint32_t swapped = __builtin_bswap32(magic);
  run_error("{}: byte 0: magic {} is not {}, that of {}{}", path, magic, expected, what,
            swapped == expected ? ": the file is little-endian, and IDX is big-endian" : "");
}

/// The file of a set, under the names it goes by: with `-idx` as published, or `.idx` as some unpackers leave it.
std::string find_file(const std::string& folder, const std::string& stem, const std::string& suffix) {
  for (const char* joint : {"-", "."})
    for (const char* end : {"", ".gz"})
      if (const std::string path = folder + "/" + stem + joint + suffix + end; is_there(path)) return path;
  run_error("{}: no {}-{} and no {}-{}.gz is in it", folder, stem, suffix, stem, suffix);
}

Dataset read_part(const std::string& folder, const std::string& part) {
  const std::string images = find_file(folder, part + "-images", "idx3-ubyte");
  return read_idx_images(images, find_file(folder, part + "-labels", "idx1-ubyte"));
}

}  // namespace

Tensor read_idx(const std::string& path) {
  return within_memory(path, [&] { return tensor_in(read_maybe_gzip(path), path); });
}

namespace {
Dataset images_of(const std::string& images, const std::string& labels, int classes) {
  const FloatingPointScope floating_point;
  if (classes < 1) run_error("{} classes, and at least 1 is needed", classes);
  const std::vector<std::byte> label_bytes = read_maybe_gzip(labels);
  check_magic(magic_of(label_bytes, labels), magic_labels, labels, "labels");
  const Tensor classes_read = tensor_in(label_bytes, labels);
  Dataset data;
  data.name = images;
  Tensor pixels;
  {
    const std::vector<std::byte> image_bytes = read_maybe_gzip(images);
    check_magic(magic_of(image_bytes, images), magic_images, images, "images");
    pixels = tensor_in(image_bytes, images);
  }
  if (pixels.shape()[0] != classes_read.shape()[0])
    run_error("{} holds {} images, and {} holds {} labels", images, pixels.shape()[0], labels, classes_read.shape()[0]);

  data.inputs = Tensor(f32(pixels.shape()[0], pixels.shape()[1], pixels.shape()[2], 1));
  const auto in = std::as_const(pixels).as<std::uint8_t>();
  const std::span<float> out = data.inputs.as<float>();
  for (std::size_t i = 0; i < in.size(); ++i) out[i] = static_cast<float>(in[i]) / 255.0f;
  data.labels = Tensor(i32(classes_read.shape()[0]));
  const std::span<std::int32_t> numbers = data.labels.as<std::int32_t>();
  const auto label_values = classes_read.as<std::uint8_t>();
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    if (label_values[i] >= classes)
      run_error("{}: label {} of sample {} is not below {}", labels, label_values[i], i, classes);
    numbers[i] = label_values[i];
  }
  for (int k = 0; k < classes; ++k) data.classes.push_back(std::to_string(k));
  return data;
}
}  // namespace

Dataset read_idx_images(const std::string& images, const std::string& labels, int classes) {
  return within_memory(images, [&] { return images_of(images, labels, classes); });
}

TrainTest mnist(const std::string& folder) {
  return within_memory(folder, [&] {
    TrainTest sets{read_part(folder, "train"), read_part(folder, "t10k")};
    sets.train.name = "mnist train";
    sets.test.name = "mnist test";
    return sets;
  });
}

}  // namespace thalweg

// SPDX-License-Identifier: Apache-2.0
#include "thalweg/lib/io/npy.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <optional>
#include <string_view>
#include <vector>

#include "thalweg/graph/fail.h"
#include "thalweg/lib/base/bytes.h"
#include "thalweg/lib/base/file.h"
#include "thalweg/lib/io/npy_format.h"

namespace thalweg {
namespace {

constexpr std::string_view magic = "\x93NUMPY";
constexpr std::uint64_t longest_header = 1 << 16;

/// An element as `descr` names it, without its byte order.
struct Element {
  std::string_view code;
  std::size_t bytes;
  DType dtype;  ///< what it becomes
};
constexpr std::array<Element, 9> elements{{{"f4", 4, DType::f32},
                                           {"f8", 8, DType::f64},
                                           {"i4", 4, DType::i32},
                                           {"i8", 8, DType::i64},
                                           {"u1", 1, DType::u8},
                                           {"b1", 1, DType::boolean},
                                           {"i1", 1, DType::i32},
                                           {"i2", 2, DType::i32},
                                           {"u2", 2, DType::i32}}};

struct Header {
  Element element{};
  bool big_endian = false;
  bool fortran = false;
  std::vector<Dim> dims;
};

/// Reads the header's dictionary: three keys in any order, and nothing else that Python would allow.
class HeaderParser {
 public:
  HeaderParser(std::string_view text, std::size_t offset, const std::string& source)
      : text_(text), offset_(offset), source_(source) {}

  Header run() {
    Header header;
    bool has_type = false, has_order = false, has_shape = false;
    expect('{');
    while (!take('}')) {
      const std::string_view key = quoted("a key");
      const auto once = [&](bool& seen) {
        if (seen) fail(fmt::format("the key {} comes twice", key));
        seen = true;
      };
      expect(':');
      if (key == "descr") {
        once(has_type);
        read_type(header);
      } else if (key == "fortran_order") {
        once(has_order);
        header.fortran = boolean();
      } else if (key == "shape") {
        once(has_shape);
        header.dims = shape();
      } else {
        fail(fmt::format("`{}` is none of descr, fortran_order, shape", shown(key)));
      }
      if (!take(',')) {
        expect('}');
        break;
      }
    }
    skip_spaces();
    if (at_ != text_.size()) fail("something follows the dictionary");
    if (!has_type || !has_order || !has_shape) fail("the header lacks one of descr, fortran_order, shape");
    return header;
  }

 private:
  [[noreturn]] void fail(std::string_view what) const {
    run_error("{}: byte {}: {}", shown(source_), offset_ + at_, what);
  }
  void skip_spaces() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n')) ++at_;
  }
  bool take(char c) {
    skip_spaces();
    if (at_ == text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  void expect(char c) {
    if (!take(c))
      fail(fmt::format("`{}` was expected, and here is `{}`", c, shown(text_.substr(at_, 8))));
  }
  std::string_view quoted(std::string_view what) {
    skip_spaces();
    const char quote = at_ < text_.size() ? text_[at_] : ' ';
    if (quote != '\'' && quote != '"') fail(fmt::format("{} in quotes was expected", what));
    const std::size_t end = text_.find(quote, at_ + 1);
    if (end == text_.npos) fail("a text without an end");
    const std::string_view inside = text_.substr(at_ + 1, end - at_ - 1);
    at_ = end + 1;
    return inside;
  }
  bool boolean() {
    skip_spaces();
    for (const std::string_view word : {"True", "False"}) {
      if (text_.substr(at_, word.size()) != word) continue;
      at_ += word.size();
      return word == "True";
    }
    fail("True or False was expected");
  }
  void read_type(Header& header) {
    skip_spaces();
    if (at_ < text_.size() && text_[at_] == '[') fail("a structured type: only plain numbers are read");
    const std::string_view type = quoted("a type");
    const auto found = std::find_if(elements.begin(), elements.end(),
                                    [&](const Element& e) { return type.size() == 3 && type.substr(1) == e.code; });
    const char order = type.empty() ? ' ' : type[0];
    if (found == elements.end() || std::string_view("<>|=").find(order) == std::string_view::npos ||
        (order == '|' && found->bytes > 1))
      fail(fmt::format("type `{}` is none of f4 f8 i1 i2 i4 i8 u1 u2 b1{}", shown(type),
                       type.find('O') != type.npos ? ": Python objects are never unpickled" : ""));
    header.element = *found;
    header.big_endian = order == '>';
  }
  std::vector<Dim> shape() {
    std::vector<Dim> dims;
    bool comma = true;
    expect('(');
    while (!take(')')) {
      if (!comma) fail("`,` or `)` was expected");
      skip_spaces();
      Dim dim = 0;
      const char* begin = text_.data() + at_;
      const char* const text_end = text_.data() + text_.size();
      const auto [end, error] = std::from_chars(begin, text_end, dim);
      if (error != std::errc() || *begin == '-') fail("a size was expected: a whole number from 0 on");
      if (dim == 0) fail("an axis of size 0: empty tensors are not supported");
      if (dims.size() == Shape::max_rank) fail(fmt::format("more than {} axes", Shape::max_rank));
      dims.push_back(dim);
      at_ += static_cast<std::size_t>(end - begin);
      comma = take(',');
    }
    if (dims.size() == 1 && !comma) fail("a tuple of one size is written (3,)");
    return dims;
  }

  std::string_view text_;
  std::size_t offset_;
  const std::string& source_;
  std::size_t at_ = 0;
};

template <class From, class To>
void copy_elements(std::span<const std::byte> bytes, bool big_endian, std::span<To> to) {
  for (std::size_t i = 0; i < to.size(); ++i) {
    std::array<std::byte, sizeof(From)> one;
    std::memcpy(one.data(), bytes.data() + i * sizeof(From), sizeof(From));
    if (big_endian) std::reverse(one.begin(), one.end());
    From x;
    std::memcpy(&x, one.data(), sizeof x);
    to[i] = static_cast<To>(x);
  }
}

void fill(const Header& header, std::span<const std::byte> bytes, Tensor& to) {
  const std::string_view code = header.element.code;
  if (code == "f4") copy_elements<float>(bytes, header.big_endian, to.as<float>());
  if (code == "f8") copy_elements<double>(bytes, header.big_endian, to.as<double>());
  if (code == "i4") copy_elements<std::int32_t>(bytes, header.big_endian, to.as<std::int32_t>());
  if (code == "i8") copy_elements<std::int64_t>(bytes, header.big_endian, to.as<std::int64_t>());
  if (code == "i1") copy_elements<std::int8_t>(bytes, header.big_endian, to.as<std::int32_t>());
  if (code == "i2") copy_elements<std::int16_t>(bytes, header.big_endian, to.as<std::int32_t>());
  if (code == "u2") copy_elements<std::uint16_t>(bytes, header.big_endian, to.as<std::int32_t>());
  if (code == "u1" || code == "b1") std::memcpy(to.data(), bytes.data(), bytes.size());
}

/// The tensor whose axes `reversed` has in reverse, with its bytes in C order.
Tensor transposed(const Tensor& reversed, const std::vector<Dim>& dims) {
  Tensor to(TensorType{reversed.type().dtype, Shape(dims)});
  const std::size_t width = size_of(reversed.type().dtype);
  const auto* from = static_cast<const std::byte*>(reversed.data());
  auto* out = static_cast<std::byte*>(to.data());
  std::vector<std::size_t> stride(dims.size()), index(dims.size());
  std::size_t step = 1;
  for (std::size_t axis = 0; axis < dims.size(); ++axis) {
    stride[axis] = step;
    step *= static_cast<std::size_t>(dims[axis]);
  }
  std::size_t place = 0;
  for (std::size_t i = 0; i < step; ++i) {
    std::memcpy(out + i * width, from + place * width, width);
    for (std::size_t axis = dims.size(); axis-- > 0;) {
      place += stride[axis];
      if (++index[axis] < static_cast<std::size_t>(dims[axis])) break;
      place -= stride[axis] * index[axis];
      index[axis] = 0;
    }
  }
  return to;
}

Shape shape_of(const std::vector<Dim>& dims, const std::string& source) {
  try {
    return Shape(dims);
  } catch (const GraphError& error) {
    run_error("{}: {}", shown(source), error.what());
  }
}

}  // namespace

Tensor parse_npy(std::span<const std::byte> bytes, const std::string& source) {
  ByteReader in(bytes, source);
  if (text_of(in.take(magic.size(), "the magic number")) != magic)
    run_error("{}: byte 0: is not NumPy's: it does not begin with \\x93NUMPY", shown(source));
  const auto version = in.big_endian<std::uint8_t>("the version");
  in.take(1, "the version");
  if (version < 1 || version > 3) run_error("{}: byte 6: version {} is none of 1 to 3", shown(source), version);
  const std::uint64_t length = version == 1 ? in.little_endian<std::uint16_t>("the header's length")
                                            : in.little_endian<std::uint32_t>("the header's length");
  if (length > longest_header)
    run_error("{}: a header of {} bytes is longer than the limit of {}", shown(source), length, longest_header);
  const std::size_t begin = in.offset();
  const Header header = HeaderParser(text_of(in.take(length, "the header")), begin, source).run();
  std::uint64_t size = header.element.bytes;
  for (const Dim dim : header.dims)
    if (!checked_mul(size, static_cast<std::uint64_t>(dim), size))
      run_error("{}: the sizes multiply beyond 2^64", shown(source));
  if (size != in.remaining())
    run_error("{}: byte {}: shape ({}) of {} needs {} bytes, and {} follow", shown(source), in.offset(),
              fmt::join(header.dims, ","), header.element.code, size, in.remaining());
  const auto data = in.take(size, "the data");
  if (header.element.dtype == DType::boolean)
    for (const std::byte b : data)
      if (b > std::byte{1}) run_error("{}: a byte of {:#x} is not a b1", shown(source), std::to_integer<int>(b));
  std::vector<Dim> dims = header.dims;
  if (header.fortran) std::reverse(dims.begin(), dims.end());
  Tensor tensor(TensorType{header.element.dtype, shape_of(dims, source)});
  fill(header, data, tensor);
  return header.fortran && dims.size() > 1 ? transposed(tensor, header.dims) : tensor;
}

std::string npy_header(const Tensor& tensor, const std::string& path) {
  if (!tensor) run_error("{}: an empty tensor cannot be written", shown(path));
  const DType dtype = tensor.type().dtype;
  const auto found = std::find_if(elements.begin(), elements.end(), [&](const Element& e) { return e.dtype == dtype; });
  if (found == elements.end()) run_error("{}: NumPy has no {}: cast it to f32", shown(path), to_string(dtype));
  std::string text =
      fmt::format("{{'descr': '{}{}', 'fortran_order': False, 'shape': ({}{}), }}", found->bytes == 1 ? '|' : '<',
                  found->code, fmt::join(tensor.shape(), ", "), tensor.shape().rank() == 1 ? "," : "");
  constexpr std::size_t before = 10, alignment = 64;  // magic, version, length; the format asks for the alignment
  text.resize((before + text.size() + 1 + alignment - 1) / alignment * alignment - before - 1, ' ');
  text += '\n';
  std::string header(magic);
  header += {1, 0, static_cast<char>(text.size() & 0xff), static_cast<char>(text.size() >> 8)};
  return header + text;
}

Tensor read_npy(const std::string& path) {
  return within_memory(path, [&] { return parse_npy(read_file(path), path); });
}

void write_npy(const Tensor& tensor, const std::string& path) {
  const std::string header = npy_header(tensor, path);
  const std::array parts{bytes_of(header),
                         std::span<const std::byte>(static_cast<const std::byte*>(tensor.data()), tensor.bytes())};
  write_file(path, parts);
}

}  // namespace thalweg

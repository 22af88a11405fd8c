// SPDX-License-Identifier: Apache-2.0
#include "thalweg/lib/io/safetensors.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "thalweg/graph/fail.h"
#include "thalweg/lib/base/bytes.h"
#include "thalweg/lib/base/file.h"
#include "thalweg/lib/io/checkpoint_file.h"
#include "thalweg/lib/io/safetensors_format.h"
#include "thalweg/lib/io/strict_json.h"

namespace thalweg {
namespace {

using nlohmann::json;

constexpr std::uint64_t largest_header = 100'000'000;  // the format's own limit
constexpr int deepest_header = 3;
constexpr std::string_view metadata_key = "__metadata__";

struct DtypeName {
  DType dtype;
  std::string_view name;
};
constexpr std::array<DtypeName, 7> dtypes{{{DType::f32, "F32"},
                                           {DType::bf16, "BF16"},
                                           {DType::f64, "F64"},
                                           {DType::i32, "I32"},
                                           {DType::i64, "I64"},
                                           {DType::u8, "U8"},
                                           {DType::boolean, "BOOL"}}};

std::string_view name_of(DType dtype) {
  return std::find_if(dtypes.begin(), dtypes.end(), [&](const DtypeName& d) { return d.dtype == dtype; })->name;
}

/// A tensor as the header describes it.
struct Entry {
  std::string name;
  TensorType type;
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
};

// ---- writing

std::string quoted(const std::string& text, const std::string& path) {
  try {
    return json(text).dump();
  } catch (const json::exception&) {
    run_error("{}: cannot write `{}`: it is not UTF-8", path, shown(text));
  }
}

std::string header_of(const Safetensors& content, const std::vector<const std::pair<const std::string, Tensor>*>& order,
                      const std::string& path) {
  std::vector<std::string> parts;
  if (!content.metadata.empty()) {
    std::vector<std::string> pairs;
    for (const auto& [key, value] : content.metadata)
      pairs.push_back(fmt::format("{}:{}", quoted(key, path), quoted(value, path)));
    parts.push_back(fmt::format("\"{}\":{{{}}}", metadata_key, fmt::join(pairs, ",")));
  }
  std::uint64_t offset = 0;
  for (const auto* item : order) {
    const TensorType& type = item->second.type();
    parts.push_back(fmt::format("{}:{{\"dtype\":\"{}\",\"shape\":[{}],\"data_offsets\":[{},{}]}}",
                                quoted(item->first, path), name_of(type.dtype), fmt::join(type.shape, ","), offset,
                                offset + type.bytes()));
    offset += type.bytes();
  }
  std::string header = fmt::format("{{{}}}", fmt::join(parts, ","));
  header.resize((header.size() + 7) / 8 * 8, ' ');  // so that the data is aligned
  if (header.size() > largest_header)
    run_error("{}: names, shapes and texts take {} bytes, and the format allows {}", path, header.size(), largest_header);
  return header;
}

// ---- reading

class Parser {
 public:
  Parser(std::span<const std::byte> bytes, const std::string& path) : path_(path), in_(bytes, path) {}

  Safetensors run() {
    constexpr std::size_t before_header = 8;
    const json header = strict_json(header_text(), deepest_header, "the header", [&](std::size_t at) {
      return fmt::format("{}: byte {}", path_, before_header + at);
    });
    Safetensors content;
    std::vector<Entry> entries;
    for (const auto& [key, value] : header.items()) {
      if (key == metadata_key) content.metadata = metadata(value);
      else entries.push_back(entry(key, value));
    }
    check_layout(entries);
    for (const Entry& e : entries) content.tensors.emplace(e.name, tensor(e));
    return content;
  }

 private:
  /// What begins with {: if it is JSON, an object.
  std::string_view header_text() {
    if (in_.remaining() < 8) run_error("{}: {} bytes are too few for a header", path_, in_.remaining());
    const auto length = in_.little_endian<std::uint64_t>("the header's length");
    if (length > largest_header)
      run_error("{}: byte 0: a header of {} bytes is larger than the format's limit of {}", path_, length,
                largest_header);
    const std::string_view text = text_of(in_.take(length, "the header"));
    if (!text.starts_with('{')) run_error("{}: byte 8: the header does not begin with {{", path_);
    return text;
  }

  std::map<std::string, std::string> metadata(const json& value) const {
    if (!value.is_object()) run_error("{}: {} is not an object of texts", path_, metadata_key);
    std::map<std::string, std::string> texts;
    for (const auto& [key, text] : value.items()) {
      if (!text.is_string()) run_error("{}: {}: the value of `{}` is not a text", path_, metadata_key, shown(key));
      texts[key] = text.get<std::string>();
    }
    return texts;
  }

  template <class... A>
  [[noreturn]] void tensor_error(const std::string& name, fmt::format_string<A...> text, A&&... args) const {
    run_error("{}: tensor '{}': {}", path_, shown(name), fmt::format(text, std::forward<A>(args)...));
  }

  std::vector<std::uint64_t> numbers(const std::string& name, const json& value, std::string_view what) const {
    if (!value.is_array()) tensor_error(name, "{} is not a list of numbers", what);
    std::vector<std::uint64_t> list;
    for (const json& x : value) {
      if (!x.is_number_unsigned()) tensor_error(name, "{} holds something other than whole numbers from 0 on", what);
      list.push_back(x.get<std::uint64_t>());
    }
    return list;
  }

  Entry entry(const std::string& name, const json& value) const {
    if (!value.is_object()) tensor_error(name, "its description is not an object");
    for (const auto& [key, part] : value.items())
      if (key != "dtype" && key != "shape" && key != "data_offsets")
        tensor_error(name, "its description has an unknown key `{}`", shown(key));
    for (const char* key : {"dtype", "shape", "data_offsets"})
      if (!value.contains(key)) tensor_error(name, "its description lacks {}", key);
    Entry e{.name = name, .type = {}, .begin = 0, .end = 0};
    e.type.dtype = dtype(name, value["dtype"]);
    e.type.shape = shape(name, numbers(name, value["shape"], "shape"));
    const std::vector<std::uint64_t> offsets = numbers(name, value["data_offsets"], "data_offsets");
    if (offsets.size() != 2) tensor_error(name, "data_offsets has {} numbers, and must have 2", offsets.size());
    e.begin = offsets[0];
    e.end = offsets[1];
    if (e.begin > e.end) tensor_error(name, "its data begins at {}, after its end at {}", e.begin, e.end);
    if (e.end > in_.remaining())
      tensor_error(name, "its data ends at {}, and the file holds {} bytes of data", e.end, in_.remaining());
    if (e.end - e.begin != e.type.bytes())
      tensor_error(name, "{} takes {} bytes, and data_offsets give {}", to_string(e.type), e.type.bytes(),
                   e.end - e.begin);
    return e;
  }

  DType dtype(const std::string& name, const json& value) const {
    if (!value.is_string()) tensor_error(name, "dtype is not a text");
    const auto& text = value.get_ref<const std::string&>();
    for (const DtypeName& d : dtypes)
      if (d.name == text) return d.dtype;
    tensor_error(name, "dtype {} is none of F32 BF16 F64 I32 I64 U8 BOOL", shown(text));
  }

  Shape shape(const std::string& name, const std::vector<std::uint64_t>& sizes) const {
    std::vector<Dim> dims;
    for (const std::uint64_t size : sizes) {
      if (size == 0) tensor_error(name, "an axis of size 0: empty tensors are not supported");
      if (size > static_cast<std::uint64_t>(Shape::max_elements)) tensor_error(name, "an axis of size {} is too large", size);
      dims.push_back(static_cast<Dim>(size));
    }
    try {
      return Shape(dims);
    } catch (const GraphError& error) {
      tensor_error(name, "{}", error.what());
    }
  }

  /// The tensors' bytes must cover the data exactly.
  void check_layout(std::vector<Entry>& entries) const {
    std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) { return a.begin < b.begin; });
    std::uint64_t offset = 0;
    for (const Entry& e : entries) {
      if (e.begin < offset) tensor_error(e.name, "its data begins at {} and overlaps the one before", e.begin);
      if (e.begin > offset)
        tensor_error(e.name, "its data begins at {}, and nothing fills the bytes from {} on", e.begin, offset);
      offset = e.end;
    }
    if (offset != in_.remaining())
      run_error("{}: {} bytes follow the last tensor", path_, in_.remaining() - offset);
  }

  Tensor tensor(const Entry& e) {
    const auto bytes = in_.take(e.end - e.begin, e.name);  // entries are in order of their bytes
    if (e.type.dtype == DType::boolean)
      for (const std::byte b : bytes)
        if (b > std::byte{1}) tensor_error(e.name, "a byte of {:#x} is not a BOOL", std::to_integer<int>(b));
    Tensor to(e.type);
    std::memcpy(to.data(), bytes.data(), bytes.size());
    return to;
  }

  const std::string& path_;
  ByteReader in_;
};

}  // namespace

std::vector<std::span<const std::byte>> SafetensorsImage::parts() const {
  std::vector<std::span<const std::byte>> all{length, bytes_of(header)};
  all.insert(all.end(), data.begin(), data.end());
  return all;
}

SafetensorsImage image_of(const Safetensors& content, const std::string& path) {
  std::vector<const std::pair<const std::string, Tensor>*> order;
  for (const auto& item : content.tensors) {
    if (!item.second) run_error("{}: tensor '{}' has no memory to write", path, shown(item.first));
    if (item.first == metadata_key) run_error("{}: no tensor can be called {}", path, metadata_key);
    order.push_back(&item);
  }
  // Wide elements first, as the format's own writer does: then every tensor is aligned.
  std::stable_sort(order.begin(), order.end(), [](const auto* a, const auto* b) {
    return size_of(a->second.type().dtype) > size_of(b->second.type().dtype);
  });
  SafetensorsImage image;
  image.header = header_of(content, order, path);
  for (std::size_t i = 0; i < image.length.size(); ++i)
    image.length[i] = static_cast<std::byte>((static_cast<std::uint64_t>(image.header.size()) >> (8 * i)) & 0xFF);
  for (const auto* item : order)
    image.data.emplace_back(static_cast<const std::byte*>(item->second.data()), item->second.bytes());
  return image;
}

Safetensors parse_safetensors(std::span<const std::byte> bytes, const std::string& path) {
  return Parser(bytes, path).run();
}

std::size_t header_end(std::span<const std::byte> bytes, const std::string& path) {
  ByteReader in(bytes, path);
  in.take(in.little_endian<std::uint64_t>("the header's length"), "the header");
  return in.offset();
}

void write_safetensors(const Safetensors& content, const std::string& path) {
  write_file(path, image_of(content, path).parts());
}

Safetensors read_safetensors(const std::string& path) {
  return within_memory(path, [&] { return parse_safetensors(read_file(path, largest_tensor_file()), path); });
}

void save_weights(const Variables& variables, const std::string& path,
                  const std::map<std::string, std::string>& metadata) {
  Safetensors content{.tensors = {}, .metadata = metadata};
  for (const std::string& name : variables.names()) content.tensors.emplace(name, variables.at(name));
  write_safetensors(content, path);
}

void load_weights(const Variables& variables, const std::string& path, const LoadOptions& options) {
  Safetensors content = read_safetensors(path);
  if (content.metadata.contains(std::string(checkpoint_key)))
    std::erase_if(content.tensors,
                  [](const auto& item) { return item.first.find(checkpoint_mark) != std::string::npos; });
  std::vector<std::string> problems;
  for (const std::string& name : variables.names()) {
    const auto found = content.tensors.find(name);
    if (found == content.tensors.end()) {
      if (!options.allow_missing) problems.push_back(fmt::format("'{}' is missing in the file", name));
    } else if (found->second.type() != variables.at(name).type()) {
      problems.push_back(fmt::format("'{}' is {} in the file, and the variable is {}", name,
                                     to_string(found->second.type()), to_string(variables.at(name).type())));
    }
  }
  if (!options.allow_unknown)
    for (const auto& [name, tensor] : content.tensors)
      if (!variables.has(name)) problems.push_back(fmt::format("'{}' is no variable", shown(name)));
  if (!problems.empty())
    run_error("{}: {} of its tensors do not fit the variables\n    {}", path, problems.size(),
              fmt::join(problems, "\n    "));
  Variables into = variables;
  for (const auto& [name, tensor] : content.tensors)
    if (into.has(name)) into.set(name, tensor);
}

Variables load_weights(const Graph& graph, const std::string& path, const LoadOptions& options) {
  Variables variables;
  for (const NodeId id : graph.variables()) variables.ensure(graph, id);
  load_weights(variables, path, options);
  return variables;
}

}  // namespace thalweg

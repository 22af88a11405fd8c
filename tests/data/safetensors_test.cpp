// SPDX-License-Identifier: Apache-2.0
#include "thalweg/lib/io/safetensors.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "files.h"
#include "thalweg/ops/source.h"

namespace thalweg {
namespace {

using testing::content_of;
using testing::Folder;
using testing::run_error_of;
using Numbers = std::vector<double>;

std::string packed(const std::string& header, std::size_t data_bytes) {
  std::string text;
  for (std::size_t i = 0; i < 8; ++i) text += static_cast<char>(header.size() >> (8 * i));
  return text + header + std::string(data_bytes, '\0');
}

Safetensors example() {
  Safetensors content;
  content.tensors = {{"f32", Tensor(f32(2, 2), Numbers{1.5, -2, std::numeric_limits<double>::infinity(), 0})},
                     {"f64", Tensor(f64(), Numbers{0.1})},
                     {"i32", Tensor(i32(3), Numbers{-1, 0, 7})},
                     {"i64", Tensor(i64(1), Numbers{-9007199254740992.0})},
                     {"u8", Tensor(u8(3), Numbers{0, 128, 255})},
                     {"bool", Tensor(boolean(2), Numbers{1, 0})},
                     {"bf16", Tensor(bf16(2), Numbers{1.5, -3})}};
  content.metadata = {{"format", "thalweg"}, {"note", "\"quotes\" and \n lines, 높이"}};
  return content;
}

TEST(Safetensors, RoundTripsEveryDtype) {
  const Folder folder;
  write_safetensors(example(), folder.file("a"));
  const Safetensors back = read_safetensors(folder.file("a"));
  EXPECT_EQ(back.metadata, example().metadata);
  ASSERT_EQ(back.tensors.size(), example().tensors.size());
  for (const auto& [name, tensor] : example().tensors) {
    EXPECT_EQ(back.tensors.at(name).type(), tensor.type()) << name;
    EXPECT_EQ(std::memcmp(back.tensors.at(name).data(), tensor.data(), tensor.bytes()), 0) << name;
  }
  write_safetensors(back, folder.file("b"));
  EXPECT_EQ(content_of(folder.file("a")), content_of(folder.file("b")));
}

TEST(Safetensors, WritesTheKnownBytes) {
  const Folder folder;
  Safetensors content;
  content.tensors = {{"b", Tensor(u8(2), Numbers{1, 2})}, {"a", Tensor(i32(1), Numbers{258})}};
  write_safetensors(content, folder.file("a"));
  std::string header = R"({"a":{"dtype":"I32","shape":[1],"data_offsets":[0,4]},)"
                       R"("b":{"dtype":"U8","shape":[2],"data_offsets":[4,6]}})";
  header.resize((header.size() + 7) / 8 * 8, ' ');
  std::string expected = packed(header, 0) + std::string("\x02\x01\0\0\x01\x02", 6);
  EXPECT_EQ(content_of(folder.file("a")), expected);
}

TEST(Safetensors, RefusesEveryTruncationAndTrailingBytes) {
  const Folder folder;
  write_safetensors(example(), folder.file("a"));
  const std::string whole = content_of(folder.file("a"));
  for (std::size_t n = 0; n < whole.size(); ++n)
    EXPECT_THROW(read_safetensors(folder.write("cut", whole.substr(0, n))), RunError) << n;
  EXPECT_CONTAINS(run_error_of([&] { read_safetensors(folder.write("more", whole + "xy")); }),
                  "2 bytes follow the last tensor");
}

TEST(Safetensors, SurvivesEveryBitFlipOfTheHeader) {
  const Folder folder;
  Safetensors small;
  small.tensors = {{"w", Tensor(f32(2), Numbers{1, 2})}, {"n", Tensor(u8(3), Numbers{3, 4, 5})}};
  write_safetensors(small, folder.file("a"));
  const std::string whole = content_of(folder.file("a"));
  const std::size_t header = 8 + static_cast<unsigned char>(whole[0]) + 256u * static_cast<unsigned char>(whole[1]);
  std::size_t refused = 0;
  for (std::size_t bit = 0; bit < 8 * header; ++bit) {
    std::string damaged = whole;
    damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << (bit % 8)));
    try {
      // What still reads (a letter of a name, a dtype of the same width) is whole: as many bytes as before.
      std::size_t bytes = 0;
      for (const auto& [name, tensor] : read_safetensors(folder.write("flip", damaged)).tensors) bytes += tensor.bytes();
      EXPECT_EQ(bytes, whole.size() - header) << "bit " << bit;
    } catch (const RunError&) {
      ++refused;
    }
  }
  EXPECT_GT(refused, 8 * header / 2);
}

struct Bad {
  std::string header;
  std::size_t data;
  std::string message;
};

TEST(Safetensors, NamesEveryKindOfError) {
  const Folder folder;
  const std::string t = R"("dtype":"F32","shape":[1],"data_offsets":[0,4])";
  const std::vector<Bad> cases = {
      {"[1]", 0, "the header does not begin with {"},
      {" {}", 0, "the header does not begin with {"},
      {"{", 0, "the header is not JSON"},
      {"{\"a\xFF\":{" + t + "}}", 4, "the header is not JSON"},
      {"{} x", 0, "the header is not JSON"},
      {"{\"a\":{" + t + "},\"a\":{" + t + "}}", 4, "the header holds `a` twice"},
      {"{\"a\":{" + t + ",\"dtype\":\"F32\"}}", 4, "the header holds `dtype` twice"},
      {"{\"a\":[[[[[]]]]]}", 0, "nested deeper"},
      {"{\"a\":1}", 0, "tensor 'a': its description is not an object"},
      {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1]}}", 4, "tensor 'a': its description lacks data_offsets"},
      {"{\"a\":{" + t + ",\"x\":1}}", 4, "unknown key `x`"},
      {R"({"a":{"dtype":"F8","shape":[1],"data_offsets":[0,4]}})", 4, "dtype F8 is none of"},
      {R"({"a":{"dtype":1,"shape":[1],"data_offsets":[0,4]}})", 4, "dtype is not a text"},
      {R"({"a":{"dtype":"F32","shape":1,"data_offsets":[0,4]}})", 4, "shape is not a list"},
      {R"({"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}})", 4, "other than whole numbers"},
      {R"({"a":{"dtype":"F32","shape":[1.0],"data_offsets":[0,4]}})", 4, "other than whole numbers"},
      {R"({"a":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}})", 0, "an axis of size 0"},
      {R"({"a":{"dtype":"F32","shape":[18446744073709551615],"data_offsets":[0,4]}})", 4, "too large"},
      {R"({"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,4]}})", 4, "tensor 'a'"},
      {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}})", 4, "f32[2] takes 8 bytes, and data_offsets give 4"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4,8]}})", 4, "data_offsets has 3 numbers"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}})", 4, "begins at 4, after its end at 0"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})", 4, "its data ends at 8"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})", 8, "nothing fills the bytes from 0 on"},
      {"{\"a\":{" + t + "},\"b\":{" + t + "}}", 4, "overlaps the one before"},
      {"{\"a\":{" + t + "}}", 5, "1 bytes follow the last tensor"},
      {R"({"__metadata__":1})", 0, "__metadata__ is not an object"},
      {R"({"__metadata__":{"k":1}})", 0, "the value of `k` is not a text"},
  };
  for (const Bad& bad : cases) {
    const std::string path = folder.write("bad", packed(bad.header, bad.data));
    EXPECT_CONTAINS(run_error_of([&] { read_safetensors(path); }), bad.message) << bad.header;
  }
  EXPECT_CONTAINS(run_error_of([&] { read_safetensors(folder.write("bad", "1234567")); }), "too few");
  EXPECT_CONTAINS(run_error_of([&] { read_safetensors(folder.write("bad", std::string(8, '\xFF') + "{}")); }),
                  "larger than the format's limit");
  std::string wrong_bool = packed(R"({"a":{"dtype":"BOOL","shape":[1],"data_offsets":[0,1]}})", 0) + "\x02";
  EXPECT_CONTAINS(run_error_of([&] { read_safetensors(folder.write("bad", wrong_bool)); }), "0x2 is not a BOOL");
}

TEST(Safetensors, AnEmptyFileOfTensorsIsOne) {
  const Folder folder;
  EXPECT_TRUE(read_safetensors(folder.write("none", packed("{}", 0))).tensors.empty());
}

TEST(Safetensors, WritesNothingThatCannotBeRead) {
  const Folder folder;
  const auto refusal = [&](const std::string& name, const Tensor& tensor, const std::string& text) {
    return run_error_of([&] { write_safetensors({{{name, tensor}}, {{"by", text}}}, folder.file("out")); });
  };
  const Tensor one(f32(1), Numbers{1});
  EXPECT_CONTAINS(refusal("a", Tensor(), "x"), "tensor 'a' has no memory to write");
  EXPECT_CONTAINS(refusal("__metadata__", one, "x"), "no tensor can be called __metadata__");
  EXPECT_CONTAINS(refusal("a", one, "\xff"), "it is not UTF-8");
  EXPECT_EQ(folder.files(), 0u);
}

Graph two_variables() {
  Graph g("two");
  variable(g, "w", f32(2), filled(0.5));
  variable(g, "b", f32(1), filled(0.25));
  return g;
}

TEST(Safetensors, HoldsTheVariablesOfAGraph) {
  const Folder folder;
  const std::string path = folder.file("w");
  Graph g = two_variables();
  write_safetensors({{{"w", Tensor(f32(2), Numbers{1, 2})}, {"b", Tensor(f32(1), Numbers{3})}}, {}}, path);
  Variables loaded = load_weights(g, path);
  EXPECT_EQ(loaded.at("w").numbers(), (Numbers{1, 2}));
  save_weights(loaded, folder.file("again"), {{"by", "us"}});
  EXPECT_EQ(read_safetensors(folder.file("again")).metadata.at("by"), "us");
  EXPECT_EQ(load_weights(g, folder.file("again")).at("b").numbers(), (Numbers{3}));

  write_safetensors({{{"w", Tensor(f64(2), Numbers{1, 2})}, {"c", Tensor(f32(1))}}, {}}, path);
  EXPECT_EQ(run_error_of([&] { load_weights(loaded, path); }),
            path + ": 3 of its tensors do not fit the variables\n    'b' is missing in the file\n"
            "    'w' is f64[2] in the file, and the variable is f32[2]\n    'c' is no variable");
  EXPECT_EQ(loaded.at("w").numbers(), (Numbers{1, 2}));
  write_safetensors({{{"w", Tensor(f32(2), Numbers{5, 6})}, {"c", Tensor(f32(1))}}, {}}, path);
  EXPECT_CONTAINS(run_error_of([&] { load_weights(loaded, path, {.allow_unknown = true}); }), "'b' is missing");
  EXPECT_CONTAINS(run_error_of([&] { load_weights(loaded, path, {.allow_missing = true}); }), "'c' is no variable");
  load_weights(loaded, path, {.allow_missing = true, .allow_unknown = true});
  EXPECT_EQ(loaded.at("w").numbers(), (Numbers{5, 6}));
  EXPECT_EQ(loaded.at("b").numbers(), (Numbers{3}));
}

}  // namespace
}  // namespace thalweg

// SPDX-License-Identifier: Apache-2.0
#include "parsers.h"

#include <zlib.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <map>

#include "thalweg/graph/error.h"
#include "thalweg/graph/print.h"
#include "thalweg/lib/base/file.h"
#include "thalweg/lib/base/file_system.h"
#include "thalweg/lib/data/readers.h"
#include "thalweg/lib/io/checkpoint_file.h"
#include "thalweg/lib/io/graph_text.h"
#include "thalweg/lib/io/npy.h"
#include "thalweg/lib/train/training_state.h"
#include "thalweg/ops/layers.h"
#include "thalweg/ops/loss.h"
#include "thalweg/ops/pointwise.h"
#include "thalweg/ops/reduce.h"
#include "thalweg/ops/source.h"
#include "thalweg/optim/adam.h"
#include "thalweg/optim/minimize.h"

namespace thalweg::testing {
namespace {

constexpr std::string_view labels_suffix = ".labels";
constexpr std::string_view two_labels("\0\0\x08\x01\0\0\0\x02\x03\x04", 10);

/// One file in memory, under any name but that of labels; what is written lands nowhere, and is remembered.
class OneFile final : public FileSystem {
 public:
  explicit OneFile(std::span<const std::byte> bytes = {}) : bytes_(bytes) {}
  std::string written;

  int open(const std::string& path, int, unsigned) override {
    at_ = 0;
    open_ = content(path);
    return 3;
  }
  ssize_t read(int, void* to, std::size_t bytes) override {
    const std::size_t n = std::min(bytes, open_.size() - at_);
    if (n > 0) std::memcpy(to, open_.data() + at_, n);
    at_ += n;
    return static_cast<ssize_t>(n);
  }
  ssize_t write(int, const void* from, std::size_t bytes) override {
    written.append(static_cast<const char*>(from), bytes);
    return static_cast<ssize_t>(bytes);
  }
  int sync(int) override { return 0; }
  int close(int) override { return 0; }
  int rename(const std::string&, const std::string&) override { return 0; }
  int remove(const std::string&) override { return 0; }
  int status(const std::string& path, FileStatus& status) override {
    status = {FileStatus::Kind::regular, content(path).size(), 0600};
    return 0;
  }
  int status(int, FileStatus& status) override {
    status = {FileStatus::Kind::regular, open_.size(), 0600};
    return 0;
  }

 private:
  std::span<const std::byte> content(const std::string& path) const {
    return path.ends_with(labels_suffix) ? std::as_bytes(std::span(two_labels)) : bytes_;
  }
  std::span<const std::byte> open_;
  std::span<const std::byte> bytes_;
  std::size_t at_ = 0;
};

/// What a writer writes.
template <class F>
std::string written_by(F write) {
  OneFile file;
  const FileSystemScope scope(file);
  write("seed");
  return file.written;
}

std::string gzip(const std::string& text) {
  z_stream z{};
  constexpr int as_gzip = MAX_WBITS + 16;
  deflateInit2(&z, 9, Z_DEFLATED, as_gzip, 8, Z_DEFAULT_STRATEGY);
  std::string out(deflateBound(&z, text.size()) + 64, '\0');
  z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  z.avail_in = static_cast<uInt>(text.size());
  z.next_out = reinterpret_cast<Bytef*>(out.data());
  z.avail_out = static_cast<uInt>(out.size());
  deflate(&z, Z_FINISH);
  out.resize(out.size() - z.avail_out);
  deflateEnd(&z);
  return out;
}

std::string idx() {
  return std::string("\0\0\x08\x03\0\0\0\x02\0\0\0\x01\0\0\0\x03", 16) + "abcdef";
}
std::string idx_floats() { return std::string("\0\0\x0d\x01\0\0\0\x01\x3f\x80\0\0", 12); }

Safetensors some_tensors() {
  Safetensors content;
  content.tensors.emplace("w", Tensor(f32(2, 2), std::vector<double>{1, 2, 3, 4}));
  content.tensors.emplace("n", Tensor(i64(), std::vector<double>{7}));
  content.tensors.emplace("ok", Tensor(boolean(3), std::vector<double>{1, 0, 1}));
  content.metadata["by"] = "a test \"of\" ours";
  return content;
}

TrainingState some_state() {
  TrainingState state;
  state.facts = {{"graph", "0123456789abcdef"}};
  state.epochs_done = 2;
  state.steps_done = 1;
  state.sums = {1.5};
  state.columns = {"epoch", "loss", "seconds"};
  state.rows = {{1, 0.5, 0.1}, {2, 0.25, 0.1}};
  state.variables = some_tensors().tensors;
  state.callbacks = {{"EarlyStopping", {.tensors = some_tensors().tensors, .texts = {{"mode", "min"}}}}};
  return state;
}

std::string graph_text() {
  Graph g("net");
  const Value x = input(g, "x", f32(4, 3)), t = input(g, "t", i32(4));
  const Value loss = mean(sparse_cross_entropy(dense(dropout(relu(dense(x, 5)), 0.5), 2), t));
  minimize(loss, Adam{.rate = exponential_decay(0.1, 0.5, 10)});
  g.output("loss", loss);
  return print(g);
}

/// A PNG file of 2x2 RGB pixels.
std::string png() {
  const auto word = [](std::size_t x) {
    std::string bytes;
    for (int shift = 24; shift >= 0; shift -= 8) bytes += static_cast<char>(x >> shift);
    return bytes;
  };
  const auto chunk = [&](const std::string& type, const std::string& data) {
    const std::string body = type + data;
    return word(data.size()) + body +
           word(crc32(0, reinterpret_cast<const Bytef*>(body.data()), static_cast<uInt>(body.size())));
  };
  const std::string rows = "\x01" "abcdef" "\x04" "ghijkl";
  std::string packed(64, '\0');
  uLongf size = packed.size();
  compress(reinterpret_cast<Bytef*>(packed.data()), &size, reinterpret_cast<const Bytef*>(rows.data()), rows.size());
  packed.resize(size);
  return "\x89PNG\r\n\x1a\n" + chunk("IHDR", word(2) + word(2) + std::string("\x08\x02\0\0\0", 5)) +
         chunk("IDAT", packed) + chunk("IEND", "");
}

/// The text's second seed as JSON, with one of each kind of attribute.
std::string graph_json() {
  const auto tensor = [](int id, const std::string& shape) {
    return "{\"id\": " + std::to_string(id) + ", \"dtype\": \"f32\", \"shape\": " + shape + "}";
  };
  const auto node = [](const std::string& name, const std::string& op, const std::string& attrs,
                       const std::string& inputs, const std::string& outputs, const std::string& rest) {
    return "{\"name\": \"" + name + "\", \"op\": \"" + op + "\", \"attrs\": {" + attrs + "}, \"inputs\": [" + inputs +
           "], \"outputs\": [" + outputs + "], " + rest + "}";
  };
  const std::string plain = R"("scope": "", "origin": "forward", "line": "")";
  return R"({"version": "2.6.3", "name": "net", "graph": [)" +
         node("%x", "input", "", "", tensor(0, "[2, 3]"), plain) + "," +
         node("@w", "variable", R"("init": {"type": "string", "value": "he_normal"}, "trainable": {"type": "bool", "value": 1})",
              "", tensor(1, "[3, 4]"), R"("scope": "dense", "origin": "forward", "line": "a.cpp:3")") + "," +
         node("%2", "matmul", R"("ta": {"type": "bool", "value": 0})", tensor(0, "[2, 3]") + "," + tensor(1, "[3, 4]"),
              tensor(2, "[2, 4]"), plain) + "," +
         node("%3", "sum", R"("axes": {"type": "s64[]", "value": [0, 1]})", tensor(2, "[2, 4]"), tensor(3, "[]"), plain) +
         "," + node("%4", "constant", R"("values": {"type": "f32[]", "value": [0.5, "inf", -1e30]})", "", tensor(4, "[3]"),
                    R"("scope": "", "origin": "schedule", "line": "")") +
         R"(], "outputs": [{"name": "y", "value": 3}], "updates": [{"variable": "w", "value": 1}]})";
}

const std::vector<Fact> facts{{"graph", ""}};

const std::array<Parser, 14> all{{
    {"idx", [](const std::string& path) { read_idx(path); },
     [] { return std::vector<std::string>{idx(), idx_floats(), gzip(idx())}; }},
    {"images", [](const std::string& path) { read_idx_images(path, path + std::string(labels_suffix)); },
     [] { return std::vector<std::string>{idx()}; }},
    {"gzip", [](const std::string& path) { gunzip(read_file(path), path, std::uint64_t{1} << 24); },
     [] { return std::vector<std::string>{gzip("a valley's line"), gzip("") + gzip(std::string(5000, 'x'))}; }},
    {"csv", [](const std::string& path) { csv(path); },
     [] {
       return std::vector<std::string>{"a,b,label\n1,2.5,x\n-3e2,0.1,y\n", "1,2,0\r\n3,4,1\r\n",
                                       "\xef\xbb\xbf\"a\",\"b \"\"c\"\"\",d\n1,2,\"two\nlines\"\n5,6,x\n"};
     }},
    {"sklearn_csv", [](const std::string& path) { sklearn_csv(path); },
     [] { return std::vector<std::string>{"3,2,red,blue\n1,2,0\n3,4,1\n5,6,0\n"}; }},
    {"cifar10", [](const std::string& path) { cifar10(path); },
     [] { return std::vector<std::string>{std::string(3073, '\7'), std::string(6146, '\1')}; }},
    {"cifar100", [](const std::string& path) { cifar100(path); },
     [] { return std::vector<std::string>{std::string(3074, '\7')}; }},
    {"picture", [](const std::string& path) { read_image(path); },
     [] { return std::vector<std::string>{"P6 1 2 255\nabcdef", "P5\n# gray\n3 1\n1000\n\1\2\1\2\1\2", png()}; }},
    {"graph", [](const std::string& path) { read_text(path); },
     [] { return std::vector<std::string>{graph_text(), "graph g {\n  %x = input : f32[2]\n  output y = %x\n}\n"}; }},
    {"json", [](const std::string& path) { read_text(path); },
     [] { return std::vector<std::string>{graph_json()}; }},
    {"safetensors", [](const std::string& path) { read_safetensors(path); },
     [] {
       return std::vector<std::string>{
           written_by([](const std::string& path) { write_safetensors(some_tensors(), path); })};
     }},
    // Damage is found by digests; the rest of the reader is reached by files without them.
    {"checkpoint",
     [](const std::string& path) {
       const Safetensors content = read_safetensors(path);
       to_checkpoint(from_checkpoint(content, facts, path));
       read_checkpoint(path);
     },
     [] {
       return std::vector<std::string>{
           written_by([](const std::string& path) { write_checkpoint(to_checkpoint(some_state()), path); })};
     },
     [] {
       return std::vector<std::string>{
           written_by([](const std::string& path) { write_safetensors(to_checkpoint(some_state()), path); })};
     }},
    {"npy", [](const std::string& path) { read_npy(path); },
     [] {
       return std::vector<std::string>{
           written_by([](const std::string& path) { write_npy(some_tensors().tensors.at("w"), path); }),
           std::string("\x93NUMPY\x01\x00", 8) + "\x40" + std::string(1, '\0') +
               "{'descr': '>i2', 'fortran_order': True, 'shape': (2, 1), }     \n" + "abcd"};
     }},
    {"npz", [](const std::string& path) { read_npz(path); },
     [] {
       return std::vector<std::string>{written_by([](const std::string& path) { write_npz(some_tensors().tensors, path); })};
     }},
}};

}  // namespace

std::span<const Parser> parsers() { return all; }

struct InMemory::State {
  explicit State(std::span<const std::byte> bytes) : file(bytes), scope(file) {}
  OneFile file;
  FileSystemScope scope;
};
InMemory::InMemory(std::span<const std::byte> bytes) : state_(std::make_unique<State>(bytes)) {}
InMemory::~InMemory() = default;

void feed(const Parser& parser, std::span<const std::byte> bytes) {
  const InMemory memory(bytes);
  try {
    parser.read("file");
  } catch (const RunError&) {
  } catch (const GraphError&) {
  }
}

}  // namespace thalweg::testing

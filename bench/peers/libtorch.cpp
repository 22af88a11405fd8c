// SPDX-License-Identifier: Apache-2.0
// The workloads in libtorch, PyTorch's C++ library, by the protocol of `steps --serve`. Built by bench/compare against
// what is installed (Debian: libtorch-dev); no part of the build.
#include <torch/torch.h>

#include <chrono>
#include <cmath>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace {

namespace nn = torch::nn;
using Json = nlohmann::json;
using torch::Tensor;

struct Options {
  std::string mode, workload, folder, variant;
  int threads = 1;
};

/// The file that the run starts from.
struct Start {
  Json header;
  std::string bytes;
  std::vector<std::string> names;

  explicit Start(const std::string& folder) {
    std::ifstream file(folder + "/start.safetensors", std::ios::binary);
    std::uint64_t size = 0;
    file.read(reinterpret_cast<char*>(&size), sizeof size);
    std::string text(size, ' ');
    file.read(text.data(), static_cast<std::streamsize>(size));
    header = Json::parse(text);
    bytes.assign(std::istreambuf_iterator<char>(file), {});
    names = Json::parse(std::ifstream(folder + "/reference.json"))["variables"].get<std::vector<std::string>>();
  }
  bool has(const std::string& name) const { return header.contains(name); }
  Tensor at(const std::string& name) {
    const Json& entry = header.at(name);
    const std::string dtype = entry["dtype"];
    const auto kind = dtype == "F32" ? torch::kFloat32 : dtype == "I32" ? torch::kInt32 : torch::kUInt8;
    return torch::from_blob(bytes.data() + entry["data_offsets"][0].get<std::size_t>(),
                            entry["shape"].get<std::vector<std::int64_t>>(), kind).clone();
  }
};

/// Dropout; with given masks those are taken, step by step.
struct MaskedImpl : nn::Module {
  explicit MaskedImpl(double rate) : rate(rate) {}
  Tensor forward(const Tensor& x) {
    if (!masks.defined()) return torch::dropout(x, rate, is_training());
    return x * masks[at++].reshape(x.sizes()) / (1 - rate);
  }
  double rate;
  Tensor masks;
  std::int64_t at = 0;
};
TORCH_MODULE(Masked);

nn::Conv2d conv(int in, int out, int window, int stride, int pad, bool bias) {
  return nn::Conv2d(nn::Conv2dOptions(in, out, window).stride(stride).padding(pad).bias(bias));
}

struct BlockImpl : nn::Module {
  BlockImpl(int in, int filters, int stride, bool bottleneck) {
    struct Size { int window, out, step; };
    const std::vector<Size> sizes = bottleneck
        ? std::vector<Size>{{1, filters, 1}, {3, filters, stride}, {1, 4 * filters, 1}}
        : std::vector<Size>{{3, filters, stride}, {3, filters, 1}};
    int width = in;
    for (std::size_t i = 0; i < sizes.size(); ++i) {
      body->push_back(conv(width, sizes[i].out, sizes[i].window, sizes[i].step, sizes[i].window / 2, false));
      body->push_back(nn::BatchNorm2d(sizes[i].out));
      if (i + 1 < sizes.size()) body->push_back(nn::ReLU());
      width = sizes[i].out;
    }
    register_module("body", body);
    if (in != width || stride != 1) {
      skip->push_back(conv(in, width, 1, stride, 0, false));
      skip->push_back(nn::BatchNorm2d(width));
    }
    register_module("skip", skip);
  }
  Tensor forward(const Tensor& x) {
    return torch::relu(body->forward(x) + (skip->is_empty() ? x : skip->forward(x)));
  }
  nn::Sequential body, skip;
};
TORCH_MODULE(Block);

void add_resnet(nn::Sequential& net, int width, const std::vector<int>& blocks, int first, int classes,
                bool bottleneck) {
  for (std::size_t stage = 0; stage < blocks.size(); ++stage)
    for (int k = 0; k < blocks[stage]; ++k) {
      const int filters = first << stage;
      net->push_back(Block(width, filters, stage > 0 && k == 0 ? 2 : 1, bottleneck));
      width = bottleneck ? 4 * filters : filters;
    }
  net->push_back(nn::AdaptiveAvgPool2d(1));
  net->push_back(nn::Flatten());
  net->push_back(nn::Linear(width, classes));
}

nn::Sequential network(const std::string& name) {
  if (name == "tiny" || name == "tiny1") return nn::Sequential(nn::Linear(4, 16), nn::ReLU(), nn::Linear(16, 3));
  if (name == "mlp")
    return nn::Sequential(nn::Linear(784, 512), nn::ReLU(), nn::Linear(512, 512), nn::ReLU(), nn::Linear(512, 10));
  if (name == "lenet")
    return nn::Sequential(conv(1, 6, 5, 1, 2, true), nn::ReLU(), nn::MaxPool2d(2), conv(6, 16, 5, 1, 0, true),
                          nn::ReLU(), nn::MaxPool2d(2), nn::Flatten(), nn::Linear(400, 120), nn::ReLU(),
                          nn::Linear(120, 84), nn::ReLU(), nn::Linear(84, 10));
  if (name == "digits")
    return nn::Sequential(conv(1, 32, 3, 1, 1, true), nn::ReLU(), conv(32, 64, 3, 1, 1, true), nn::ReLU(),
                          nn::MaxPool2d(2), nn::Flatten(), Masked(0.25), nn::Linear(1024, 128), nn::ReLU(),
                          Masked(0.5), nn::Linear(128, 10));
  if (name == "resnet20") {
    nn::Sequential net(conv(3, 16, 3, 1, 1, false), nn::BatchNorm2d(16), nn::ReLU());
    add_resnet(net, 16, {3, 3, 3}, 16, 10, false);
    return net;
  }
  if (name == "resnet50") {
    nn::Sequential net(conv(3, 64, 7, 2, 3, false), nn::BatchNorm2d(64), nn::ReLU(),
                       nn::MaxPool2d(nn::MaxPool2dOptions(3).stride(2).padding(1)));
    add_resnet(net, 64, {3, 4, 6, 3}, 64, 1000, true);
    return net;
  }
  throw std::runtime_error("there is no workload '" + name + "'");
}

/// The sizes [H, W, C] that a net flattens, and their product; none for most.
std::vector<std::int64_t> flattened(const std::string& name) {
  if (name == "lenet") return {5, 5, 16};
  if (name == "digits") return {4, 4, 64};
  return {};
}

bool is_flattened(const Tensor& t, std::int64_t axis, const std::vector<std::int64_t>& sizes) {
  return sizes.size() == 3 && t.size(axis) == sizes[0] * sizes[1] * sizes[2];
}

Tensor in_torch_layout(Tensor t, const std::vector<std::int64_t>& sizes) {
  if (t.dim() == 4) return t.permute({3, 2, 0, 1}).contiguous();
  if (t.dim() != 2) return t;
  if (is_flattened(t, 0, sizes))
    t = t.reshape({sizes[0], sizes[1], sizes[2], -1}).permute({2, 0, 1, 3}).reshape(t.sizes());
  return t.t().contiguous();
}

/// One workload: what is stepped.
class Training {
 public:
  explicit Training(const Options& options) : name_(options.workload), start_(options.folder) {
    if (name_.rfind("adam", 0) == 0) {
      w_ = start_.at("w").set_requires_grad(true);
      w_.mutable_grad() = start_.at("input/dw");
      use_adam({w_});
      return;
    }
    net_ = network(name_);
    const auto parameters = net_->parameters();
    TORCH_CHECK(parameters.size() == start_.names.size(), "another number of weights");
    {
      torch::NoGradGuard guard;
      for (std::size_t i = 0; i < parameters.size(); ++i)
        parameters[i].copy_(in_torch_layout(start_.at(start_.names[i]), flattened(name_)));
    }
    x_ = start_.at("input/x");
    if (x_.dim() == 4) x_ = x_.permute({0, 3, 1, 2}).contiguous();
    if (options.variant == "channels_last") {
      x_ = x_.contiguous(torch::MemoryFormat::ChannelsLast);
      torch::NoGradGuard guard;
      for (auto& p : net_->parameters())
        if (p.dim() == 4) p.set_data(p.contiguous(torch::MemoryFormat::ChannelsLast));
    }
    label_ = start_.at("input/label").to(torch::kInt64);
    if (name_ == "mlp" || name_ == "digits") {
      use_adam(net_->parameters());
    } else {
      const double rate = name_ == "lenet" ? 0.01 : 0.1;
      optimizer_ =
          std::make_unique<torch::optim::SGD>(net_->parameters(), torch::optim::SGDOptions(rate).momentum(0.9));
    }
  }

  Tensor step() {
    if (!net_) {
      optimizer_->step();
      return {};
    }
    optimizer_->zero_grad();
    Tensor loss = torch::cross_entropy_loss(net_->forward(x_), label_);
    loss.backward();
    optimizer_->step();
    return loss;
  }

  std::vector<double> losses(int count) {
    give_masks();
    std::vector<double> values;
    for (int t = 1; t <= count; ++t) {
      like_keras(t);
      const Tensor loss = step();
      values.push_back(net_ ? loss.item<double>() : w_.detach().to(torch::kFloat64).square().mean().item<double>());
    }
    return values;
  }

 private:
  void use_adam(std::vector<Tensor> parameters) {
    optimizer_ = std::make_unique<torch::optim::Adam>(std::move(parameters), torch::optim::AdamOptions(1e-3));
  }
  void give_masks() {
    if (!net_) return;
    int k = 0;
    for (const auto& module : net_->modules(false)) {
      auto* masked = module->as<MaskedImpl>();
      if (masked == nullptr) continue;
      Tensor masks = start_.at("mask/" + std::to_string(k++)).to(torch::kFloat32);
      const auto sizes = flattened(name_);
      if (is_flattened(masks, -1, sizes))
        masks = masks.reshape({masks.size(0), masks.size(1), sizes[0], sizes[1], sizes[2]}).permute({0, 1, 4, 2, 3});
      masked->masks = masks.contiguous();
    }
  }
  /// Adam's epsilon stands outside the bias correction in Keras; here that is another epsilon at each step.
  void like_keras(int t) {
    for (auto& group : optimizer_->param_groups())
      if (auto* adam = dynamic_cast<torch::optim::AdamOptions*>(&group.options()))
        adam->eps(1e-7 / std::sqrt(1 - std::pow(0.999, t)));
  }

  std::string name_;
  Start start_;
  nn::Sequential net_{nullptr};
  std::unique_ptr<torch::optim::Optimizer> optimizer_;
  Tensor x_, label_, w_;
};

Options parsed(int argc, char** argv) {
  Options options;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string word = argv[i], value = argv[i + 1];
    if (word == "--threads") options.threads = std::stoi(value);
    else if (word == "--folder") options.folder = value;
    else if (word == "--variant") options.variant = value;
    else if (word == "--precision" && value != "f32") throw std::runtime_error("no precision but f32");
    else if (word == "--serve" || word == "--once" || word == "--losses" || word == "--choices") {
      options.mode = word;
      options.workload = value;
    }
  }
  if (options.mode.empty()) throw std::runtime_error("usage: --serve|--once|--losses|--choices WORKLOAD --threads N "
                                                     "--folder FOLDER [--variant channels_last]");
  return options;
}

int run(const Options& options) {
  if (options.mode == "--choices") {
    const bool images = options.workload == "lenet" || options.workload == "digits" ||
                        options.workload.rfind("resnet", 0) == 0;
    const Json layouts = images ? Json{"", "channels_last"} : Json::array({""});
    std::cout << Json{{"choices", Json::array({layouts})}}.dump() << std::endl;
    return 0;
  }
  torch::set_num_threads(options.threads);
  Training training(options);
  if (options.mode == "--once") {
    training.step();
    std::cout << Json{{"first", true}}.dump() << std::endl;
    return 0;
  }
  if (options.mode == "--losses") {
    std::cout << Json{{"losses", training.losses(20)}}.dump() << std::endl;
    return 0;
  }
  training.step();
  const Json ready{{"workload", options.workload}, {"of", "libtorch " TORCH_VERSION}, {"threads", options.threads},
                   {"precision", "f32"}, {"variant", options.variant}};
  std::cout << Json{{"ready", ready}}.dump() << std::endl;
  using Clock = std::chrono::steady_clock;
  for (std::string line; std::getline(std::cin, line);) {
    std::vector<double> us(std::stoul(line));
    for (double& time : us) {
      const auto before = Clock::now();
      training.step();
      time = std::chrono::duration<double, std::micro>(Clock::now() - before).count();
    }
    std::cout << Json{{"us", us}}.dump() << std::endl;
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(parsed(argc, argv));
  } catch (const std::exception& error) {
    std::cerr << "libtorch: " << error.what() << '\n';
    return 3;
  }
}

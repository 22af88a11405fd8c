// SPDX-License-Identifier: Apache-2.0
// thalweg gallery: an experiment for each training technique, on one page.
#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <chrono>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>

#include "command.h"
#include "gallery/page.h"
#include "graph_file.h"
#include "options.h"
#include "thalweg/lib/base/file.h"

namespace thalweg::tool {
namespace {

using Json = nlohmann::ordered_json;
using gallery::Exhibit;
using gallery::Experiment;
using gallery::Lab;

struct GalleryRequest {
  std::string data = {};
  std::vector<std::string> only = {};
  int epochs = 0;
  std::string out = "thalweg-gallery";
  bool json = false;
};

/// All of them, in the order of their rows; one whose row is a word stays behind the one it follows.
std::vector<Experiment> all_experiments() {
  std::vector<std::pair<int, Experiment>> numbered;
  for (const auto list : {gallery::descent_experiments, gallery::optimizer_experiments, gallery::schedule_experiments,
                          gallery::depth_experiments, gallery::generalization_experiments,
                          gallery::lecture_experiments})
    for (Experiment& experiment : list()) {
      const bool has_number = experiment.row.size() > 1 && experiment.row[0] == 's'
          && std::isdigit(experiment.row[1]) != 0;
      numbered.emplace_back(has_number ? std::stoi(experiment.row.substr(1)) : numbered.back().first,
          std::move(experiment));
    }
  std::stable_sort(numbered.begin(), numbered.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  std::vector<Experiment> experiments;
  for (auto& [number, experiment] : numbered) experiments.push_back(std::move(experiment));
  return experiments;
}

std::vector<std::string> rows() {
  std::vector<std::string> names;
  for (const Experiment& experiment : all_experiments()) names.push_back(experiment.row);
  return names;
}

constexpr std::uint64_t split_seed = 1;

Lab lab_for(const GalleryRequest& request) {
  TrainTest data;
  if (request.data.empty()) {
    data = split(digits(), 0.2, split_seed);
  } else {
    // As many samples as keep the page a matter of minutes.
    const TrainTest all = mnist(request.data);
    std::vector<std::uint32_t> order = permutation(all.train.size(), split_seed);
    order.resize(std::min<std::size_t>(order.size(), 1500));
    data.train = take(all.train, order);
    data.test = thalweg::rows(all.test, 0, std::min<Dim>(all.test.size(), 500));
  }
  return {.train = data.train, .held_out = data.test, .most_epochs = request.epochs};
}

std::string described(const GalleryRequest& request, const Lab& lab) {
  const std::string name = request.data.empty() ? "the handwritten digits that the library carries (UCI, CC BY 4.0)"
      : request.data;
  return fmt::format("{}, {} training samples and {} held out{}", name, with_commas(lab.train.size()),
                     with_commas(lab.held_out.size()),
                     request.epochs > 0 ? fmt::format(", no training longer than {} epochs", request.epochs) : "");
}

Status show(const GalleryRequest& request) {
  made_folder(request.out);
  const Interruption interruption;
  const Lab lab = lab_for(request);
  std::vector<Exhibit> exhibits;
  Json json = Json::array();
  std::size_t held = 0;
  for (Experiment& experiment : all_experiments()) {
    if (!request.only.empty() && std::find(request.only.begin(), request.only.end(),
        experiment.row) == request.only.end())
      continue;
    const auto begin = std::chrono::steady_clock::now();
    gallery::Shown shown = experiment.run(lab);
    // Trainings then end early: what they show is no experiment's result.
    if (interruption.came()) throw Stop(interrupted, fmt::format("interrupted in experiment {}", experiment.row));
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    fmt::print(stderr, "{:<10} {:6.2f} s  {}\n", experiment.row, seconds, experiment.title);
    held += shown.holds ? 1 : 0;
    json.push_back({{"row", experiment.row}, {"title", experiment.title}, {"sentence", shown.sentence},
                    {"holds", shown.holds}, {"charts", shown.charts.size()}, {"seconds", seconds}});
    exhibits.push_back({std::move(experiment), std::move(shown), seconds});
  }
  const std::string path = (std::filesystem::path(request.out) / "index.html").string();
  write_file(path, gallery::page_of(exhibits, described(request, lab)));
  if (request.json) {
    put(json.dump(1, ' ', false, Json::error_handler_t::replace) + "\n", "");
    return succeeded;
  }
  std::string text;
  for (const Exhibit& exhibit : exhibits)
    text += fmt::format("{} {}{}\n  {}\n", exhibit.experiment.row, exhibit.experiment.title,
                        exhibit.shown.holds ? "" : " (not shown by this run)", exhibit.shown.sentence);
  put(fmt::format("{}{} of {} experiments show what they are about\nwritten: {}\n", text, held, exhibits.size(), path),
      "");
  return succeeded;
}

}  // namespace

void add_gallery(CLI::App& app, Action& action) {
  const auto request = std::make_shared<GalleryRequest>();
  CLI::App* command = app.add_subcommand(
      "gallery", "One experiment for each training technique, on one page: code, curves, and what they show");
  command->add_option("--data", request->data, "a folder in MNIST's form, in the place of the built-in digits");
  command->add_option("--only", request->only, "rows s1 to s28, optimizers or schedules; may be repeated")
      ->check(CLI::IsMember(rows()).description(""));
  command->add_option("--epochs", request->epochs, "of any training at most, for a quick look")
      ->check(CLI::Range(1, 1'000'000));
  command->add_option("-o,--out", request->out, "folder for the page, index.html")->capture_default_str();
  command->add_flag("--json", request->json, "what was measured as JSON, beside the page");
  command->callback([request, &action] { action = [request] { return show(*request); }; });
}

}  // namespace thalweg::tool

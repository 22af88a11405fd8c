// SPDX-License-Identifier: Apache-2.0
// The gallery: an experiment for each technique. What stands between `// [row` and `// row]` in an experiment's file is
// shown on the page as its code, taken from the file when the tool is built.
#pragma once

#include <thalweg/thalweg.h>

#include <functional>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace thalweg::gallery {

/// A training, and what its layers' gradients were like in the first epoch.
struct Watched {
  History history;
  std::vector<LayerStatistics> layers;
};
/// A training, and a number after each step.
struct Recorded {
  History history;
  std::vector<double> steps;
};

/// The data that experiments learn from, and how they are trained: silently, cut for one thread, so that every machine
/// gets the same numbers, and judged after each epoch on the samples that are held out.
struct Lab {
  Dataset train, held_out;
  int most_epochs = 0;  ///< of any training; 0: as many as the experiment asks for

  /// Images of a batch, and their labels' type.
  TensorType images(Dim batch) const;
  Dim pixels() const { return train.inputs.type().elements() / train.size(); }
  /// So many training samples, of which every fifth has a wrong label: what a net can only learn by heart.
  Dataset few(Dim samples) const;
  int epochs(int asked) const;

  History fit(const Graph& step, FitOptions options) const { return fit(step, train, std::move(options)); }
  History fit(const Graph& step, const Dataset& data, FitOptions options) const;
  /// fit(), and the statistics of the layers in the first epoch.
  Watched watch(const Graph& step, FitOptions options) const;
  /// fit(), and an output after each step; it ends where that is no longer finite.
  Recorded record(const Graph& step, const std::string& output, FitOptions options) const;
};

/// What an experiment has to show.
struct Shown {
  std::vector<Chart> charts;
  std::string sentence;  ///< with the numbers that were measured
  bool holds = true;     ///< whether they show what the technique is known for
};

struct Experiment {
  std::string row;    ///< s1 to s28, as in the list of techniques; others are words
  std::string title;
  std::string about;  ///< what is done, in one sentence
  std::function<Shown(const Lab&)> run;
};
// In the order of the page, each in the file of its name.
std::vector<Experiment> descent_experiments();
std::vector<Experiment> optimizer_experiments();
std::vector<Experiment> schedule_experiments();
std::vector<Experiment> depth_experiments();
std::vector<Experiment> generalization_experiments();
std::vector<Experiment> lecture_experiments();

/// The code of a row, as the files hold it.
struct Code {
  std::string row, file, text;
};
std::span<const Code> codes();

// ---- charts and words that several have in common

/// Columns of histories against the epoch.
Chart epochs_chart(const std::string& title, const std::string& y_label, std::vector<Curve> curves, bool log_y = false);
Curve curve_of(const std::string& name, const History& history, const std::string& column);
/// A column's last value; 0 for a training that diverged before its first epoch was over.
double last_of(const History& history, const std::string& column);
/// `97.2 %`
std::string percent(double share);
/// `0.0123`, as many digits as matter.
std::string number(double x);

}  // namespace thalweg::gallery

// SPDX-License-Identifier: Apache-2.0
// One workload in a process of its own, so that it can be interleaved with another framework's.
#pragma once

#include <istream>
#include <ostream>
#include <string>

#include "workloads.h"

namespace thalweg::bench {

/// How many first steps two frameworks are compared over.
inline constexpr int compared_steps = 20;

struct ServeOptions {
  int threads = 1;
  std::string precision = "f32";  ///< or bf16
  bool tune = false;              ///< as CompileOptions::tune
  bool winograd = false;          ///< as CompileOptions::winograd
  double budget = 1;              ///< the share of the bytes it plans by itself that it may have; below 1 it recomputes
};

/// Compiles the workload as `options` say. Throws RunError for a precision that there is not, or not on this
/// processor.
Program compiled(const Workload& workload, const ServeOptions& options);

/// Prints `{"ready": {...}}` with what the program is; then, for every line K that it reads, runs K steps and prints
/// `{"us": [...]}`, a time for each. Steps too short for the clock are timed in blocks, whose mean each of them gets.
/// Ends with the input. Throws RunError for a line that is no number of steps.
void serve(const Workload& workload, const ServeOptions& options, std::istream& in, std::ostream& out);

/// Compiles, runs one step and prints `{"first": measure}`: for the time from a process's start to its first step.
void run_once(const Workload& workload, const ServeOptions& options, std::ostream& out);

/// Prints `{"losses": [...]}`: the measure of each of the first steps.
void print_losses(const Workload& workload, const ServeOptions& options, std::ostream& out);

/// Writes what another framework starts from: into `folder`/start.safetensors every variable's first value, the inputs
/// (`input/<name>`) and the masks of dropout in the first steps (`mask/<k>`, u8); into `folder`/reference.json the
/// names of what learns in order of creation, our measure of each of the first steps, and how far another framework's
/// may be from it: four times what changing each first weight by 2^-18 of itself does, and 1e-6 of the measure.
void export_start(const Workload& workload, const std::string& folder);

/// Reads a line of losses and compares it with `folder`/reference.json: prints
/// `{"agrees": bool, "step": s, "difference": d, "allowed": a}` of the step that is worst (from 1), and returns whether
/// all agree. In bf16 2% of the measure is allowed besides. Throws RunError for what is no such line.
bool judge(const std::string& folder, const std::string& precision, std::istream& in, std::ostream& out);

}  // namespace thalweg::bench

// SPDX-License-Identifier: Apache-2.0
// Private: another program, asked for an answer that can be done without.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

namespace thalweg {

/// Runs a program that is found by PATH on `input`, and gives what it wrote to its standard output; its standard error
/// is dropped. Nothing if it is not there, fails, answers with more than 64 MiB or takes longer than `limit`: it is
/// then ended. Raises no signal and leaves no process behind.
std::optional<std::string> answer_of(const std::vector<std::string>& command, const std::string& input,
                                     std::chrono::milliseconds limit);

}  // namespace thalweg

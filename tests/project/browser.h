// SPDX-License-Identifier: Apache-2.0
// A headless Chromium that a test drives by hand: real mouse and keys, over the DevTools protocol's pipe.
#pragma once

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "shell.h"

namespace thalweg::project {

class Browser {
 public:
  using Json = nlohmann::json;

  /// The program's name; empty where there is none.
  static std::string program() {
    for (const char* name : {"chromium", "chromium-browser", "google-chrome"})
      if (run(std::string("command -v ") + name).status == 0) return name;
    return "";
  }

  Browser() {
    start();
    const auto target = call("Target.createTarget", {{"url", "about:blank"}}).at("targetId").get<std::string>();
    session_ =
        call("Target.attachToTarget", {{"targetId", target}, {"flatten", true}}).at("sessionId").get<std::string>();
    call("Emulation.setDeviceMetricsOverride",
         {{"width", 1500}, {"height", 900}, {"deviceScaleFactor", 1}, {"mobile", false}});
    call("Page.enable");
  }
  ~Browser() {
    try {
      session_.clear();
      call("Browser.close");
    } catch (const std::exception&) {
      kill(child_, SIGKILL);
    }
    int status = 0;
    waitpid(child_, &status, 0);
    close(to_);
    close(from_);
  }
  Browser(const Browser&) = delete;
  Browser& operator=(const Browser&) = delete;

  void open(const std::filesystem::path& file, const std::string& fragment = "") {
    call("Page.navigate", {{"url", "about:blank"}});  // a new fragment alone would load nothing
    call("Page.navigate", {{"url", "file://" + file.string() + (fragment.empty() ? "" : "#" + fragment)}});
    for (int k = 0; k < 600 && value("document.readyState + location.protocol") != "completefile:"; ++k)
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }

  /// The value of an expression in the page.
  Json value(const std::string& expression) {
    const Json answer = call("Runtime.evaluate", {{"expression", expression}, {"returnByValue", true}});
    if (answer.contains("exceptionDetails")) throw std::runtime_error(expression + ": " + answer.dump());
    return answer.at("result").value("value", Json());
  }
  bool holds(const std::string& expression) { return value("!!(" + expression + ")").get<bool>(); }

  /// Points at the middle of what an expression gives.
  void point(const std::string& element) { mouse("mouseMoved", middle(element)); }
  void click(const std::string& element) {
    const Point p = middle(element);
    mouse("mouseMoved", p);
    mouse("mousePressed", p);
    mouse("mouseReleased", p);
  }
  void drag(const std::string& element, double dx, double dy) {
    const Point p = middle(element);
    mouse("mouseMoved", p);
    mouse("mousePressed", p);
    mouse("mouseMoved", {p.first + dx / 2, p.second + dy / 2});
    mouse("mouseMoved", {p.first + dx, p.second + dy});
    mouse("mouseReleased", {p.first + dx, p.second + dy});
  }
  void wheel(const std::string& element, double dy) {
    const Point p = middle(element);
    call("Input.dispatchMouseEvent",
         {{"type", "mouseWheel"}, {"x", p.first}, {"y", p.second}, {"deltaX", 0}, {"deltaY", dy}});
  }
  /// `key` as DevTools names it: `Enter`, `ArrowLeft`, `/`.
  void press(const std::string& key, int code) {
    Json event = {{"type", "rawKeyDown"}, {"key", key}, {"windowsVirtualKeyCode", code}};
    call("Input.dispatchKeyEvent", event);
    event["type"] = "keyUp";
    call("Input.dispatchKeyEvent", event);
  }
  void type(const std::string& text) { call("Input.insertText", {{"text", text}}); }

 private:
  using Point = std::pair<double, double>;

  void start() {
    int to[2], from[2];
    if (pipe2(to, O_CLOEXEC) != 0 || pipe2(from, O_CLOEXEC) != 0) throw std::runtime_error("no pipe");
    const std::string name = program(), folder = "--user-data-dir=" + (folder_.path() / "profile").string();
    std::vector<const char*> words = {name.c_str(), "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
                                      "--remote-debugging-pipe", folder.c_str(), nullptr};
    child_ = fork();
    if (child_ < 0) throw std::runtime_error("cannot start " + name);
    if (child_ == 0) {
      // It reads at 3 and writes at 4.
      const int in = fcntl(to[0], F_DUPFD, 10), out = fcntl(from[1], F_DUPFD, 10);
      dup2(in, 3);
      dup2(out, 4);
      const int nowhere = ::open("/dev/null", O_WRONLY);
      dup2(nowhere, STDOUT_FILENO);
      dup2(nowhere, STDERR_FILENO);
      execvp(words[0], const_cast<char* const*>(words.data()));
      _exit(127);
    }
    close(to[0]);
    close(from[1]);
    to_ = to[1];
    from_ = from[0];
  }

  Json call(const std::string& method, Json parameters = Json::object()) {
    Json message = {{"id", ++number_}, {"method", method}, {"params", std::move(parameters)}};
    if (!session_.empty()) message["sessionId"] = session_;
    const std::string text = message.dump();
    const char* at = text.c_str();
    for (std::size_t left = text.size() + 1; left > 0;) {
      const ssize_t n = write(to_, at, left);  // a message ends with its NUL
      if (n <= 0) throw std::runtime_error("the browser is gone");
      at += n;
      left -= static_cast<std::size_t>(n);
    }
    for (;;) {
      const Json answer = Json::parse(next());
      if (answer.value("id", 0) != number_) continue;
      if (answer.contains("error")) throw std::runtime_error(method + ": " + answer.at("error").dump());
      return answer.at("result");
    }
  }

  std::string next() {
    for (;;) {
      if (const std::size_t end = buffer_.find('\0'); end != std::string::npos) {
        std::string message = buffer_.substr(0, end);
        buffer_.erase(0, end + 1);
        return message;
      }
      pollfd waited{.fd = from_, .events = POLLIN, .revents = 0};
      char block[65536];
      constexpr int patience = 60'000;
      const ssize_t n = poll(&waited, 1, patience) > 0 ? read(from_, block, sizeof block) : 0;
      if (n <= 0) throw std::runtime_error("the browser does not answer");
      buffer_.append(block, static_cast<std::size_t>(n));
    }
  }

  Point middle(const std::string& element) {
    const Json box =
        value("(() => { const e = " + element +
              "; if (!e) return null; e.scrollIntoView({block: 'nearest'});"
              " const b = e.getBoundingClientRect(); return [b.x + b.width / 2, b.y + b.height / 2]; })()");
    if (!box.is_array()) throw std::runtime_error("the page has no " + element);
    return {box[0].get<double>(), box[1].get<double>()};
  }
  void mouse(const char* kind, const Point& p) {
    const bool pressed = kind == std::string_view("mousePressed"), released = kind == std::string_view("mouseReleased");
    call("Input.dispatchMouseEvent", {{"type", kind},
                                      {"x", p.first},
                                      {"y", p.second},
                                      {"button", pressed || released ? "left" : "none"},
                                      {"clickCount", pressed ? 1 : 0}});
  }

  Folder folder_;
  pid_t child_ = -1;
  int to_ = -1, from_ = -1, number_ = 0;
  std::string session_, buffer_;
};

}  // namespace thalweg::project

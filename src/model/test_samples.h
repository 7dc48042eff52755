// Checkpoints for tests, made from key sets written as text (tests/model_samples/README.md).
#pragma once

#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "kilter/checkpoint.h"
#include "kilter/dtype.h"

namespace kilter::model::test {

inline const std::string kSamples = std::string(KILTER_SOURCE_DIR) + "/tests/model_samples/";

struct Sample {
  CheckpointData data;
  std::vector<std::pair<std::string, std::string>> expected;  ///< ("architecture", "llama")
};

/// Builds CheckpointData by hand: each tensor in a storage of its own.
class Builder {
 public:
  explicit Builder(std::string format = "safetensors") {
    data_.format = std::move(format);
    data_.path = "model.safetensors";
    data_.index.files.push_back({"model.safetensors", 0});
  }

  Builder& tensor(std::string name, std::vector<std::int64_t> shape, DType dtype = DType::kF16) {
    TensorInfo info;
    info.name = std::move(name);
    info.dtype = dtype;
    info.shape = std::move(shape);
    info.strides = contiguous_strides(info.shape);
    info.storage = static_cast<std::uint32_t>(data_.index.storages.size());
    StorageInfo storage;
    storage.bytes = storage.stored_bytes = info.bytes();
    data_.index.storages.push_back(std::move(storage));
    data_.index.tensors.push_back(std::move(info));
    return *this;
  }
  Builder& document(std::string path, std::string text) {
    data_.documents.push_back({path, text});
    data_.index.files.push_back({std::move(path), text.size()});
    data_.root_is_folder = true;
    return *this;
  }
  CheckpointData& data() { return data_; }

 private:
  CheckpointData data_;
};

/// "a.{0-2}.{x,y}" to its six names.
inline std::vector<std::string> expand_name(const std::string& pattern) {
  const std::size_t open = pattern.find('{');
  const std::size_t close = pattern.find('}', open);
  if (open == std::string::npos || close == std::string::npos) return {pattern};
  std::vector<std::string> choices;
  std::stringstream parts(pattern.substr(open + 1, close - open - 1));
  for (std::string part; std::getline(parts, part, ',');) {
    const std::size_t dash = part.find('-');
    if (dash == std::string::npos || part.find_first_not_of("0123456789-") != std::string::npos) {
      choices.push_back(part);
      continue;
    }
    const int last = std::stoi(part.substr(dash + 1));
    for (int i = std::stoi(part.substr(0, dash)); i <= last; ++i)
      choices.push_back(std::to_string(i));
  }
  std::vector<std::string> names;
  for (const std::string& tail : expand_name(pattern.substr(close + 1)))
    for (const std::string& choice : choices)
      names.push_back(pattern.substr(0, open) + choice + tail);
  return names;
}

inline std::vector<std::int64_t> read_shape(const std::string& text) {
  std::vector<std::int64_t> shape;
  if (text == "-") return shape;
  std::stringstream parts(text);
  for (std::string part; std::getline(parts, part, ',');) {
    std::int64_t product = 1;
    std::stringstream factors(part);
    for (std::string factor; std::getline(factors, factor, '*');) product *= std::stoll(factor);
    shape.push_back(product);
  }
  return shape;
}

class SampleReader {
 public:
  Sample read(const std::string& name) {
    read_lines(lines_of(name + ".keys"));
    return {std::move(builder_.data()), std::move(expected_)};
  }

 private:
  static std::vector<std::string> lines_of(const std::string& file) {
    std::ifstream in(kSamples + file);
    std::vector<std::string> lines;
    for (std::string line; std::getline(in, line);) lines.push_back(line);
    return lines;
  }

  void read_lines(const std::vector<std::string>& lines) {
    for (std::size_t i = 0; i < lines.size(); ++i) {
      const std::string& line = lines[i];
      if (line.empty() || line[0] == '#') continue;
      std::stringstream words(line);
      std::string first, second;
      words >> first;
      if (first[0] == '%') {
        auto& body = macros_[first.substr(1)];
        for (++i; i < lines.size() && lines[i] != "%end"; ++i) body.push_back(lines[i]);
      } else if (first == "@include") {
        words >> second;
        read_lines(lines_of(second));
      } else if (first == "@dtype") {
        words >> second;
        dtype_ = *dtype_from_safetensors(second);
      } else if (first == "@meta" || first == "@expect") {
        words >> second;
        auto& list = first == "@meta" ? builder_.data().metadata : expected_;
        list.emplace_back(second, line.substr(first.size() + second.size() + 2));
      } else if (first == "@file") {
        words >> second;
        std::string text;
        for (++i; i < lines.size() && lines[i] != "@end"; ++i) text += lines[i] + "\n";
        builder_.document(second, text);
      } else {
        read_entry(line);
      }
    }
  }

  void read_entry(const std::string& line) {
    std::stringstream stream(line);
    std::vector<std::string> words;
    for (std::string word; stream >> word;) words.push_back(word == "\"\"" ? "" : word);
    const auto macro = macros_.find(words[0]);
    if (macro == macros_.end()) {
      const DType dtype = words.size() > 2 ? *dtype_from_safetensors(words[2]) : dtype_;
      for (const std::string& name : expand_name(words[0]))
        builder_.tensor(name, read_shape(words.at(1)), dtype);
      return;
    }
    for (std::string body : std::vector<std::string>(macro->second)) {
      for (std::size_t i = 1; i < words.size(); ++i) {
        const std::string mark = "$" + std::to_string(i);
        std::string value = words[i];
        for (std::size_t at = body.find(mark); at != std::string::npos; at = body.find(mark, at)) {
          const bool alone =
              (at == 0 || body[at - 1] == ' ') && (at + 2 == body.size() || body[at + 2] == ' ');
          const std::string put = value.empty() && alone ? "\"\"" : value;
          body.replace(at, mark.size(), put);
          at += put.size();
        }
      }
      read_entry(body);
    }
  }

  Builder builder_;
  std::map<std::string, std::vector<std::string>> macros_;
  std::vector<std::pair<std::string, std::string>> expected_;
  DType dtype_ = DType::kF16;
};

}  // namespace kilter::model::test

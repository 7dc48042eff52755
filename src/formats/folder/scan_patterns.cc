#include "formats/folder/scan_patterns.h"

#include <array>

namespace kilter::formats {
namespace {

constexpr auto kBad = Severity::kDangerous;
constexpr auto kOdd = Severity::kSuspicious;

constexpr std::array kTemplatePatterns = {
    TextPattern{"__subclasses__", kBad, "walks Python's classes"},
    TextPattern{"__globals__", kBad, "reaches a module's globals"},
    TextPattern{"__builtins__", kBad, "reaches Python's built-in functions"},
    TextPattern{"__import__", kBad, "imports a module"},
    TextPattern{"__class__", kBad, "reaches an object's class"},
    TextPattern{"__mro__", kBad, "walks Python's classes"},
    TextPattern{"__bases__", kBad, "walks Python's classes"},
    TextPattern{"__base__", kBad, "walks Python's classes"},
    TextPattern{"__init__", kBad, "reaches a constructor"},
    TextPattern{"__getattribute__", kBad, "reads attributes by name"},
    TextPattern{"__getitem__", kOdd, "reads items by a hidden name"},
    TextPattern{"__dict__", kBad, "reads an object's attributes"},
    TextPattern{"__code__", kBad, "reaches a function's code"},
    TextPattern{"__reduce__", kBad, "reaches pickle's hooks"},
    TextPattern{"func_globals", kBad, "reaches a function's globals"},
    TextPattern{"_TemplateReference", kBad, "reaches the template's own machinery"},
    TextPattern{"os.system", kBad, "runs a shell command"},
    TextPattern{"os.popen", kBad, "runs a shell command"},
    TextPattern{"popen(", kBad, "runs a shell command"},
    TextPattern{"subprocess", kBad, "runs a program"},
    TextPattern{"import os", kBad, "imports a module"},
    TextPattern{"importlib", kBad, "imports a module"},
    TextPattern{"eval(", kBad, "evaluates code"},
    TextPattern{"exec(", kBad, "executes code"},
    TextPattern{"|attr(", kOdd, "reads attributes by a computed name"},
    TextPattern{"| attr(", kOdd, "reads attributes by a computed name"},
    TextPattern{"getattr(", kOdd, "reads attributes by a computed name"},
    TextPattern{"\\x5f\\x5f", kBad, "hides a double underscore"},
    TextPattern{"\\u005f", kBad, "hides an underscore"},
    TextPattern{"lipsum.", kOdd, "uses a Jinja helper that leads to Python's globals"},
    TextPattern{"cycler.", kOdd, "uses a Jinja helper that leads to Python's globals"},
    TextPattern{"joiner.", kOdd, "uses a Jinja helper that leads to Python's globals"},
    TextPattern{"request.application", kBad, "reaches a web application"},
    TextPattern{"{% import", kOdd, "loads another template"},
    TextPattern{"{%- import", kOdd, "loads another template"},
    TextPattern{"{% include", kOdd, "loads another template"},
    TextPattern{"{%- include", kOdd, "loads another template"},
    TextPattern{"{% extends", kOdd, "loads another template"},
};

constexpr std::array kPythonPatterns = {
    TextPattern{"os.system(", kBad, "runs a shell command"},
    TextPattern{"os.popen(", kBad, "runs a shell command"},
    TextPattern{"os.exec", kBad, "replaces the process"},
    TextPattern{"os.spawn", kBad, "runs a program"},
    TextPattern{"subprocess.", kBad, "runs a program"},
    TextPattern{"pty.spawn", kBad, "opens a shell"},
    TextPattern{"socket.socket", kBad, "opens a network connection"},
    TextPattern{"urlopen(", kBad, "fetches from the network"},
    TextPattern{"urlretrieve(", kBad, "fetches from the network"},
    TextPattern{"requests.get(", kBad, "fetches from the network"},
    TextPattern{"requests.post(", kBad, "sends to the network"},
    TextPattern{"http.client", kBad, "opens a network connection"},
    TextPattern{"ctypes.CDLL", kBad, "loads native code"},
    TextPattern{"__import__(", kBad, "imports by a computed name"},
    TextPattern{"b64decode(", kOdd, "decodes hidden content"},
    TextPattern{"marshal.loads", kBad, "loads compiled code"},
    TextPattern{"pickle.load", kOdd, "loads a pickle"},
};

}  // namespace

std::span<const TextPattern> template_patterns() { return kTemplatePatterns; }
std::span<const TextPattern> python_patterns() { return kPythonPatterns; }

}  // namespace kilter::formats

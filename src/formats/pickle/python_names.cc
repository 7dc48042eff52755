// Python 2's names as Python 3's unpicklers read them.
#include <algorithm>
#include <iterator>
#include <string>
#include <string_view>
#include <unordered_set>
#include <utility>

#include "formats/pickle/machine.h"
#include "formats/pickle/rules.h"

namespace kilter::pickle {
namespace {

struct ModuleRow {
  std::string_view from, to;
};
struct NameRow {
  std::string_view module, name, to_module, to_name;
};

// Source: CPython's Lib/_compat_pickle.py, IMPORT_MAPPING and NAME_MAPPING, which protocols 0 to 2
// apply. All that is in `exceptions` moved to `builtins` under its own name.
// clang-format off
constexpr ModuleRow kMoved[] = {
    {"BaseHTTPServer", "http.server"},
    {"CGIHTTPServer", "http.server"},
    {"ConfigParser", "configparser"},
    {"Cookie", "http.cookies"},
    {"Dialog", "tkinter.dialog"},
    {"DocXMLRPCServer", "xmlrpc.server"},
    {"FileDialog", "tkinter.filedialog"},
    {"HTMLParser", "html.parser"},
    {"Queue", "queue"},
    {"ScrolledText", "tkinter.scrolledtext"},
    {"SimpleDialog", "tkinter.simpledialog"},
    {"SimpleHTTPServer", "http.server"},
    {"SimpleXMLRPCServer", "xmlrpc.server"},
    {"SocketServer", "socketserver"},
    {"StringIO", "io"},
    {"Tix", "tkinter.tix"},
    {"Tkconstants", "tkinter.constants"},
    {"Tkdnd", "tkinter.dnd"},
    {"Tkinter", "tkinter"},
    {"UserDict", "collections"},
    {"UserList", "collections"},
    {"UserString", "collections"},
    {"__builtin__", "builtins"},
    {"_abcoll", "collections.abc"},
    {"_elementtree", "xml.etree.ElementTree"},
    {"_winreg", "winreg"},
    {"anydbm", "dbm"},
    {"cPickle", "pickle"},
    {"cStringIO", "io"},
    {"commands", "subprocess"},
    {"cookielib", "http.cookiejar"},
    {"copy_reg", "copyreg"},
    {"dbhash", "dbm.bsd"},
    {"dbm", "dbm.ndbm"},
    {"dumbdbm", "dbm.dumb"},
    {"dummy_thread", "_dummy_thread"},
    {"gdbm", "dbm.gnu"},
    {"htmlentitydefs", "html.entities"},
    {"httplib", "http.client"},
    {"markupbase", "_markupbase"},
    {"repr", "reprlib"},
    {"robotparser", "urllib.robotparser"},
    {"test.test_support", "test.support"},
    {"thread", "_thread"},
    {"tkColorChooser", "tkinter.colorchooser"},
    {"tkCommonDialog", "tkinter.commondialog"},
    {"tkFileDialog", "tkinter.filedialog"},
    {"tkFont", "tkinter.font"},
    {"tkMessageBox", "tkinter.messagebox"},
    {"tkSimpleDialog", "tkinter.simpledialog"},
    {"ttk", "tkinter.ttk"},
    {"urllib2", "urllib.request"},
    {"urlparse", "urllib.parse"},
    {"whichdb", "dbm"},
    {"xmlrpclib", "xmlrpc.client"},
};

constexpr NameRow kRenamed[] = {
    {"UserDict", "IterableUserDict", "collections", "UserDict"},
    {"UserDict", "UserDict", "collections", "UserDict"},
    {"UserList", "UserList", "collections", "UserList"},
    {"UserString", "UserString", "collections", "UserString"},
    {"__builtin__", "basestring", "builtins", "str"},
    {"__builtin__", "intern", "sys", "intern"},
    {"__builtin__", "long", "builtins", "int"},
    {"__builtin__", "reduce", "functools", "reduce"},
    {"__builtin__", "unichr", "builtins", "chr"},
    {"__builtin__", "unicode", "builtins", "str"},
    {"__builtin__", "xrange", "builtins", "range"},
    {"_multiprocessing", "Connection", "multiprocessing.connection", "Connection"},
    {"_socket", "fromfd", "socket", "fromfd"},
    {"itertools", "ifilter", "builtins", "filter"},
    {"itertools", "ifilterfalse", "itertools", "filterfalse"},
    {"itertools", "imap", "builtins", "map"},
    {"itertools", "izip", "builtins", "zip"},
    {"itertools", "izip_longest", "itertools", "zip_longest"},
    {"multiprocessing", "AuthenticationError", "multiprocessing.context", "AuthenticationError"},
    {"multiprocessing", "BufferTooShort", "multiprocessing.context", "BufferTooShort"},
    {"multiprocessing", "ProcessError", "multiprocessing.context", "ProcessError"},
    {"multiprocessing", "TimeoutError", "multiprocessing.context", "TimeoutError"},
    {"multiprocessing.forking", "Popen", "multiprocessing.popen_fork", "Popen"},
    {"multiprocessing.process", "Process", "multiprocessing.context", "Process"},
    {"socket", "_socketobject", "socket", "SocketType"},
    {"urllib", "ContentTooShortError", "urllib.error", "ContentTooShortError"},
    {"urllib", "getproxies", "urllib.request", "getproxies"},
    {"urllib", "pathname2url", "urllib.request", "pathname2url"},
    {"urllib", "quote", "urllib.parse", "quote"},
    {"urllib", "quote_plus", "urllib.parse", "quote_plus"},
    {"urllib", "unquote", "urllib.parse", "unquote"},
    {"urllib", "unquote_plus", "urllib.parse", "unquote_plus"},
    {"urllib", "url2pathname", "urllib.request", "url2pathname"},
    {"urllib", "urlcleanup", "urllib.request", "urlcleanup"},
    {"urllib", "urlencode", "urllib.parse", "urlencode"},
    {"urllib", "urlopen", "urllib.request", "urlopen"},
    {"urllib", "urlretrieve", "urllib.request", "urlretrieve"},
    {"urllib2", "HTTPError", "urllib.error", "HTTPError"},
    {"urllib2", "URLError", "urllib.error", "URLError"},
    {"whichdb", "whichdb", "dbm", "whichdb"},
    {"exceptions", "StandardError", "builtins", "Exception"},
};
// clang-format on

/// Whether Python 2 knew a module by this name: few of today's are, and every call asks.
bool is_old_module(std::string_view module) {
  static const std::unordered_set<std::string_view> kOld = [] {
    std::unordered_set<std::string_view> out = {"exceptions"};
    for (const ModuleRow& row : kMoved) out.insert(row.from);
    for (const NameRow& row : kRenamed) out.insert(row.module);
    return out;
  }();
  return kOld.contains(module);
}

struct NameView {
  std::string_view module;
  std::string_view name;
};

NameView map_name(std::string_view module, std::string_view name) {
  if (!is_old_module(module)) return {module, name};
  const auto named =
      std::find_if(std::begin(kRenamed), std::end(kRenamed),
                   [&](const NameRow& row) { return row.module == module && row.name == name; });
  if (named != std::end(kRenamed)) {
    return {named->to_module, named->to_name};
  }
  const auto moved = std::find_if(std::begin(kMoved), std::end(kMoved),
                                  [&](const ModuleRow& row) { return row.from == module; });
  std::string_view to = moved == std::end(kMoved) ? module : moved->to;
  if (module == "exceptions") to = "builtins";
  return {to, name};
}

}  // namespace

PythonName python_name(const Node& global) {
  const NameView out = map_name(global.text, global.text2);
  return {std::string(out.module), std::string(out.name)};
}

bool is_named(const Node& global, std::string_view qualified) {
  if (!global.items.empty()) return false;
  const auto [module, name] = map_name(global.text, global.text2);
  return qualified.size() == module.size() + 1 + name.size() && qualified.starts_with(module) &&
         qualified[module.size()] == '.' && qualified.ends_with(name);
}

std::string qualified_name(const Node& global) {
  if (!global.items.empty()) return "<computed>.<computed>";
  PythonName out = python_name(global);
  return std::move(out.module).append(".").append(out.name);
}

}  // namespace kilter::pickle

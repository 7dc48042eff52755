#include "io/s3/settings.h"

#include <fmt/format.h>

#include <cstdlib>

#include "base/try.h"
#include "io/s3/profile.h"

namespace kilter::io::s3 {
namespace {

constexpr std::uint64_t kProfileFileBytesMax = 1U << 20U;

/// Ways to credentials that would have to run programs or ask services.
constexpr const char* kOtherSources[] = {"credential_process", "sso_session", "sso_start_url",
                                         "role_arn", "web_identity_token_file"};

std::string first_of(std::initializer_list<std::string> values) {
  for (const std::string& value : values)
    if (!value.empty()) return value;
  return {};
}

/// The settings of one profile from both files.
class Profile {
 public:
  static Result<Profile> load(const S3Options& options, const Environment& environment,
                              FileSystem& files) {
    Profile out;
    const std::string asked = first_of({options.profile, environment("AWS_PROFILE")});
    out.name_ = asked.empty() ? "default" : asked;
    const std::string home = environment("HOME");
    const auto path = [&](const char* variable, const char* name) {
      const std::string given = environment(variable);
      return !given.empty() || home.empty() ? given : join_path(home, name);
    };
    KILTER_ASSIGN(out.config_, read(files, path("AWS_CONFIG_FILE", ".aws/config")));
    KILTER_ASSIGN(out.keys_, read(files, path("AWS_SHARED_CREDENTIALS_FILE", ".aws/credentials")));
    if (!asked.empty() && !out.exists())
      return fail(Error(ErrorCode::kInvalidArgument,
                        fmt::format("no profile \"{}\" in the AWS files", asked))
                      .advise("look at AWS_PROFILE, ~/.aws/config and ~/.aws/credentials"));
    return out;
  }

  const std::string& name() const { return name_; }
  std::string get(const std::string& key) const {
    return first_of({setting(keys_, name_, key), config(key)});
  }
  /// endpoint_url in the profile, or in the services section it names.
  std::string endpoint() const {
    const std::string services = get("services");
    return first_of({services.empty() ? std::string()
                                      : setting(config_, "services " + services, "s3.endpoint_url"),
                     get("endpoint_url")});
  }

 private:
  static Result<ProfileFile> read(FileSystem& files, const std::string& path) {
    if (path.empty()) return ProfileFile();
    auto text = read_text(files, path, kProfileFileBytesMax);
    if (!text) {
      if (text.error().code == ErrorCode::kNotFound) return ProfileFile();
      return fail(std::move(text).error());
    }
    auto parsed = parse_profile_file(*text);
    if (!parsed) return fail(std::move(parsed).error().at_path(path));
    return parsed;
  }
  static std::string setting(const ProfileFile& file, const std::string& section,
                             const std::string& key) {
    const auto found = file.find(section);
    if (found == file.end()) return {};
    const auto value = found->second.find(key);
    return value == found->second.end() ? std::string() : value->second;
  }
  std::string config(const std::string& key) const {  // [profile x], but plain [default]
    const std::string with_word = setting(config_, "profile " + name_, key);
    return with_word.empty() && name_ == "default" ? setting(config_, name_, key) : with_word;
  }
  bool exists() const {
    return keys_.contains(name_) || config_.contains("profile " + name_) ||
           (name_ == "default" && config_.contains(name_));
  }

  std::string name_;
  ProfileFile config_, keys_;
};

Result<Credentials> checked_pair(Credentials credentials, const std::string& where) {
  if (credentials.key_id.empty() != credentials.secret.empty())
    return fail(Error(ErrorCode::kPermission, "only half of a key pair is set in " + where)
                    .advise("set both the access key id and the secret access key"));
  return credentials;
}

Result<Credentials> find_credentials(const S3Options& options, const Environment& environment,
                                     const Profile& profile) {
  if (options.anonymous) return Credentials();
  Credentials own{.key_id = environment("AWS_ACCESS_KEY_ID"),
                  .secret = environment("AWS_SECRET_ACCESS_KEY"),
                  .session_token = environment("AWS_SESSION_TOKEN")};
  if (options.profile.empty() && !(own.key_id.empty() && own.secret.empty()))
    return checked_pair(std::move(own), "the environment");
  Credentials kept{.key_id = profile.get("aws_access_key_id"),
                   .secret = profile.get("aws_secret_access_key"),
                   .session_token = profile.get("aws_session_token")};
  if (kept.key_id.empty() && kept.secret.empty())
    for (const char* source : kOtherSources)
      if (!profile.get(source).empty())
        return fail(Error(ErrorCode::kUnsupported,
                          fmt::format("profile \"{}\" takes its credentials from {}",
                                      profile.name(), source))
                        .advise("export keys into the environment (aws configure "
                                "export-credentials --format env)"));
  return checked_pair(std::move(kept), fmt::format("profile \"{}\"", profile.name()));
}

}  // namespace

Environment process_environment() {
  return [](const char* name) {
    const char* value = std::getenv(name);
    return std::string(value == nullptr ? "" : value);
  };
}

Result<Settings> resolve_settings(const S3Options& options, const std::string& bucket,
                                  const Environment& environment, FileSystem& files) {
  KILTER_ASSIGN(const Profile profile, Profile::load(options, environment, files));
  Settings out;
  KILTER_ASSIGN(out.credentials, find_credentials(options, environment, profile));
  out.region = first_of({options.region, environment("AWS_REGION"),
                         environment("AWS_DEFAULT_REGION"), profile.get("region"), "us-east-1"});
  if (out.region.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-_") != out.region.npos)
    return fail(Error(ErrorCode::kInvalidArgument, "this is no name of a region")
                    .wanted("such as us-east-1", out.region));
  out.ca_file = environment("AWS_CA_BUNDLE");
  const std::string url = first_of({options.endpoint, environment("KILTER_S3_ENDPOINT"),
                                    environment("AWS_ENDPOINT_URL_S3"),
                                    environment("AWS_ENDPOINT_URL"), profile.endpoint()});
  if (url.empty()) {
    out.endpoint = aws_endpoint(out.region, bucket);
  } else {
    KILTER_ASSIGN(out.endpoint, parse_endpoint(url));
  }
  if (options.bucket_in_host) out.endpoint.bucket_in_host = *options.bucket_in_host;
  return out;
}

}  // namespace kilter::io::s3

// What is asked for: queries, requests, instances. Plain values that are put together word by word.
#ifndef PLUMLINE_REQUEST_HPP
#define PLUMLINE_REQUEST_HPP

#include "values.hpp"

namespace plumline {

namespace detail {
struct RawQuery;
struct RawRequest;
struct RawInstance;
}  // namespace detail

/// Which endpoints are meant: a service, narrowed by version, protocol and labels. A name alone is a query.
class Query {
 public:
  Query(std::string_view service) : service_{service} {}    // NOLINT: a name is a query
  Query(const char* service) : service_{service} {}         // NOLINT
  Query(const std::string& service) : service_{service} {}  // NOLINT

  Query& version(std::string_view version) { return version_ = version, *this; }
  Query& protocol(std::string_view protocol) { return protocol_ = protocol, *this; }
  Query& label(std::string_view name, std::string_view value) {
    return labels_.insert_or_assign(std::string{name}, value), *this;
  }

  const std::string& service() const& noexcept { return service_; }

 private:
  friend struct detail::RawQuery;
  std::string service_;
  std::optional<std::string> version_;
  std::optional<std::string> protocol_;
  Labels labels_;
};

/// A request to a service by name. What is not said is as the settings say.
class Request {
 public:
  Request(std::string_view method, std::string_view service, std::string_view path)
      : method_{method}, service_{service}, path_{path} {}

  static Request get(std::string_view service, std::string_view path) { return {"GET", service, path}; }
  static Request post(std::string_view service, std::string_view path) { return {"POST", service, path}; }
  static Request put(std::string_view service, std::string_view path) { return {"PUT", service, path}; }
  static Request patch(std::string_view service, std::string_view path) { return {"PATCH", service, path}; }
  static Request del(std::string_view service, std::string_view path) { return {"DELETE", service, path}; }
  static Request head(std::string_view service, std::string_view path) { return {"HEAD", service, path}; }
  static Request options(std::string_view service, std::string_view path) { return {"OPTIONS", service, path}; }

  /// A query parameter, to be escaped.
  Request& param(std::string_view name, std::string_view value) { return params_.emplace_back(name, value), *this; }
  /// A header; several of the same name are all sent.
  Request& header(std::string_view name, std::string_view value) { return headers_.emplace_back(name, value), *this; }
  /// A body of JSON text.
  Request& json(std::string_view text) { return json_ = text, *this; }
  /// A body of any bytes.
  Request& content(std::string_view bytes) { return content_ = bytes, *this; }
  /// A field of a form, which is the body.
  Request& form(std::string_view name, std::string_view value) { return form_.emplace_back(name, value), *this; }
  /// How long the whole call may take.
  Request& timeout(Millis time) { return timeout_ = detail::millis(time), *this; }
  /// How long one attempt may take.
  Request& attempt_timeout(Millis time) { return attempt_timeout_ = detail::millis(time), *this; }
  /// How many attempts are made at most, the first included.
  Request& attempts(std::uint32_t count) { return attempts_ = count, *this; }
  /// Whether the service may see it twice.
  Request& idempotent(bool is_it) { return idempotent_ = is_it ? PLUMLINE_YES : PLUMLINE_NO, *this; }
  /// The largest body of an answer taken, bytes after decompression.
  Request& max_body(std::uint64_t bytes) { return max_body_ = bytes, *this; }
  /// Only endpoints of this version.
  Request& version(std::string_view version) { return version_ = version, *this; }
  /// Only endpoints with this label.
  Request& label(std::string_view name, std::string_view value) {
    return labels_.insert_or_assign(std::string{name}, value), *this;
  }

 private:
  friend struct detail::RawRequest;
  friend class Service;
  std::string method_, service_, path_;
  Fields params_, headers_, form_;
  std::optional<std::string> json_, content_, version_;
  Labels labels_;
  std::optional<std::uint64_t> timeout_, attempt_timeout_, max_body_;
  std::optional<std::uint32_t> attempts_;
  std::int32_t idempotent_ = PLUMLINE_DEFAULT;
};

/// What a program registers: itself. In an update, what is not said stays as it is.
class Instance {
 public:
  Instance(std::string_view service, std::uint16_t port) : service_{std::string{service}}, port_{port} {}

  /// Nothing said yet: for Registration::update().
  static Instance changes() { return Instance{}; }

  /// Where others reach it; not said: this machine's address towards the registry.
  Instance& host(std::string_view host) { return host_ = host, *this; }
  Instance& port(std::uint16_t port) { return port_ = port, *this; }
  Instance& protocol(std::string_view protocol) { return protocol_ = protocol, *this; }
  Instance& version(std::string_view version) { return version_ = version, *this; }
  Instance& zone(std::string_view zone) { return zone_ = zone, *this; }
  Instance& instance_id(std::string_view id) { return instance_id_ = id, *this; }
  /// One label more. In an update they replace those that were there.
  Instance& label(std::string_view name, std::string_view value) {
    if (!labels_) labels_.emplace();
    return labels_->insert_or_assign(std::string{name}, value), *this;
  }
  Instance& labels(Labels labels) { return labels_ = std::move(labels), *this; }
  Instance& tag(std::string_view tag) {
    if (!tags_) tags_.emplace();
    return tags_->emplace_back(tag), *this;
  }
  Instance& weight(std::uint32_t weight) { return weight_ = weight, *this; }
  /// How long the registry keeps it without hearing from it.
  Instance& ttl(Millis ttl) { return ttl_ = detail::millis(ttl), *this; }
  /// Whether it wants to be called.
  Instance& healthy(bool is_it) { return healthy_ = is_it ? PLUMLINE_YES : PLUMLINE_NO, *this; }

 private:
  Instance() = default;

  friend struct detail::RawInstance;
  std::optional<std::string> service_, host_, protocol_, version_, zone_, instance_id_;
  std::uint16_t port_ = 0;
  std::optional<Labels> labels_;
  std::optional<std::vector<std::string>> tags_;
  std::optional<std::uint64_t> ttl_;
  std::optional<std::uint32_t> weight_;
  std::int32_t healthy_ = PLUMLINE_DEFAULT;
};

namespace detail {

/// The same as C's structs, borrowed from the values for the time of a call.
struct RawQuery {
  explicit RawQuery(const Query& query) : labels{fields_of(query.labels_)} {
    raw.version = to_c_if(query.version_);
    raw.protocol = to_c_if(query.protocol_);
    raw.labels = labels.data();
    raw.label_count = labels.size();
    is_narrowed = query.version_ || query.protocol_ || !labels.empty();
  }

  /// NULL for all of a service: the faster way.
  const plumline_query* get() const noexcept { return is_narrowed ? &raw : nullptr; }

  std::vector<plumline_field> labels;
  plumline_query raw = PLUMLINE_QUERY_INIT;
  bool is_narrowed = false;
};

struct RawRequest {
  RawRequest(const Request& request, bool is_bound)
      : params{fields_of(request.params_)},
        headers{fields_of(request.headers_)},
        form{fields_of(request.form_)},
        labels{fields_of(request.labels_)} {
    raw.idempotent = request.idempotent_;
    raw.method = to_c(request.method_);
    if (!is_bound) raw.service = to_c(request.service_);
    raw.path = to_c(request.path_);
    raw.params = params.data();
    raw.param_count = params.size();
    raw.headers = headers.data();
    raw.header_count = headers.size();
    raw.json = to_c_if(request.json_);
    raw.content = to_c_if(request.content_);
    raw.form = form.empty() ? nullptr : form.data();
    raw.form_count = form.size();
    raw.version = to_c_if(request.version_);
    raw.labels = labels.data();
    raw.label_count = labels.size();
    raw.timeout_ms = amount(request.timeout_);
    raw.attempt_timeout_ms = amount(request.attempt_timeout_);
    raw.max_body = amount(request.max_body_);
    raw.attempts = count(request.attempts_);
  }

  std::vector<plumline_field> params, headers, form, labels;
  plumline_request raw = PLUMLINE_REQUEST_INIT;
};

struct RawInstance {
  explicit RawInstance(const Instance& instance) {
    static const plumline_field none{};
    if (instance.labels_) labels = fields_of(*instance.labels_);
    if (instance.tags_)
      for (const auto& tag : *instance.tags_) tags.push_back(to_c(tag));
    raw.port = instance.port_;
    raw.service = to_c_if(instance.service_);
    raw.host = to_c_if(instance.host_);
    raw.protocol = to_c_if(instance.protocol_);
    raw.version = to_c_if(instance.version_);
    raw.zone = to_c_if(instance.zone_);
    raw.instance_id = to_c_if(instance.instance_id_);
    raw.labels = !instance.labels_ ? nullptr : labels.empty() ? &none : labels.data();
    raw.label_count = labels.size();
    raw.tags = tags.data();
    raw.tag_count = tags.size();
    raw.ttl_ms = amount(instance.ttl_);
    raw.weight = count(instance.weight_);
    raw.healthy = instance.healthy_;
  }

  std::vector<plumline_field> labels;
  std::vector<plumline_str> tags;
  plumline_instance raw = PLUMLINE_INSTANCE_INIT;
};

}  // namespace detail
}  // namespace plumline

#endif

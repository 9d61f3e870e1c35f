// Strings as they cross, and endpoints.
#ifndef PLUMLINE_VALUES_HPP
#define PLUMLINE_VALUES_HPP

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "../plumline.h"

namespace plumline {

/// Names and values in order: headers, parameters, fields of a form.
using Fields = std::vector<std::pair<std::string, std::string>>;
/// Free-form pairs carried by instances and endpoints.
using Labels = std::map<std::string, std::string>;
/// Every time that is said here.
using Millis = std::chrono::milliseconds;

namespace detail {

inline plumline_str to_c(std::string_view text) noexcept {
  return {text.data() == nullptr ? "" : text.data(), text.size()};
}

/// Not given where there is none.
inline plumline_str to_c_if(const std::optional<std::string>& text) noexcept {
  return text ? to_c(std::string_view{*text}) : plumline_str{nullptr, 0};
}

inline std::string_view view(plumline_str text) noexcept {
  return text.data == nullptr ? std::string_view{} : std::string_view{text.data, text.len};
}

inline std::optional<std::string_view> optional_view(plumline_str text) noexcept {
  return text.data == nullptr ? std::nullopt : std::optional{view(text)};
}

/// Pairs as C takes them, borrowed from any range of them.
template <typename Pairs>
std::vector<plumline_field> fields_of(const Pairs& pairs) {
  std::vector<plumline_field> fields;
  fields.reserve(pairs.size());
  for (const auto& [name, value] : pairs) fields.push_back({to_c(name), to_c(value)});
  return fields;
}

/// In C, 0 stands for the default; a zero that is meant is written as another number.
inline std::uint64_t amount(const std::optional<std::uint64_t>& given) noexcept {
  return !given ? 0 : *given == 0 ? PLUMLINE_ZERO_64 : *given;
}

inline std::uint32_t count(const std::optional<std::uint32_t>& given) noexcept {
  return !given ? 0 : *given == 0 ? PLUMLINE_ZERO : *given;
}

/// Milliseconds below 0 are none; C counts from 0.
inline std::uint64_t millis(Millis time) noexcept {
  return time.count() < 0 ? 0 : static_cast<std::uint64_t>(time.count());
}

inline std::int64_t optional_millis(const std::optional<Millis>& time) noexcept {
  return time ? static_cast<std::int64_t>(millis(*time)) : -1;
}

template <typename T>
using Handle = std::unique_ptr<T, void (*)(T*)>;

/// A handle that belongs to somebody else.
template <typename T>
Handle<T> borrowed(const T* handle) noexcept {
  return {const_cast<T*>(handle), [](T*) {}};  // never written through: only const functions take it
}

}  // namespace detail

/// What an endpoint is made of: to publish, or for the tests of your own code.
struct EndpointFields {
  std::string service, host;
  std::uint16_t port = 0;
  /// Where it is reached, if `host` is a name.
  std::optional<std::string> ip;
  std::string protocol = "http", version, zone, node_id, source, generation;
  /// None: `{service}-{host}-{port}`.
  std::optional<std::string> instance_id;
  Labels labels;
  std::uint32_t weight = 1;
  bool is_healthy = true;
  /// Unix seconds; 0: unknown.
  std::uint64_t last_seen = 0;
};

/// One address of one instance of a service. A value: copies are cheap, and equal if all their parts are.
class Endpoint {
 public:
  /// A copy of C's, which stays whose it was.
  explicit Endpoint(const plumline_endpoint* endpoint)
      : handle_{plumline_endpoint_clone(endpoint), plumline_endpoint_free} {}

  /// One made by hand; throws where it cannot be one.
  explicit Endpoint(const EndpointFields& fields);

  std::string_view address() const& noexcept { return detail::view(plumline_endpoint_address(get())); }
  std::string address() && { return std::string{detail::view(plumline_endpoint_address(get()))}; }
  std::string_view service() const& noexcept { return detail::view(plumline_endpoint_service(get())); }
  std::string service() && { return std::string{detail::view(plumline_endpoint_service(get()))}; }
  std::string_view instance_id() const& noexcept { return detail::view(plumline_endpoint_instance_id(get())); }
  std::string instance_id() && { return std::string{detail::view(plumline_endpoint_instance_id(get()))}; }
  std::string_view node_id() const& noexcept { return detail::view(plumline_endpoint_node_id(get())); }
  std::string node_id() && { return std::string{detail::view(plumline_endpoint_node_id(get()))}; }
  std::string_view host() const& noexcept { return detail::view(plumline_endpoint_host(get())); }
  std::string host() && { return std::string{detail::view(plumline_endpoint_host(get()))}; }
  std::string_view ip() const& noexcept { return detail::view(plumline_endpoint_ip(get())); }
  std::string ip() && { return std::string{detail::view(plumline_endpoint_ip(get()))}; }
  std::string_view protocol() const& noexcept { return detail::view(plumline_endpoint_protocol(get())); }
  std::string protocol() && { return std::string{detail::view(plumline_endpoint_protocol(get()))}; }
  std::string_view version() const& noexcept { return detail::view(plumline_endpoint_version(get())); }
  std::string version() && { return std::string{detail::view(plumline_endpoint_version(get()))}; }
  std::string_view zone() const& noexcept { return detail::view(plumline_endpoint_zone(get())); }
  std::string zone() && { return std::string{detail::view(plumline_endpoint_zone(get()))}; }
  std::string_view source() const& noexcept { return detail::view(plumline_endpoint_source(get())); }
  std::string source() && { return std::string{detail::view(plumline_endpoint_source(get()))}; }
  std::string_view generation() const& noexcept { return detail::view(plumline_endpoint_generation(get())); }
  std::string generation() && { return std::string{detail::view(plumline_endpoint_generation(get()))}; }
  std::uint16_t port() const noexcept { return plumline_endpoint_port(get()); }
  std::uint32_t weight() const noexcept { return plumline_endpoint_weight(get()); }
  bool is_healthy() const noexcept { return plumline_endpoint_is_healthy(get()) != 0; }
  /// Unix seconds by the registry's clock; 0 if it does not say.
  std::uint64_t last_seen() const noexcept { return plumline_endpoint_last_seen(get()); }

  std::optional<std::string_view> label(std::string_view name) const& noexcept {
    return detail::optional_view(plumline_endpoint_label(get(), detail::to_c(name)));
  }
  std::optional<std::string> label(std::string_view name) && {
    const auto found = detail::optional_view(plumline_endpoint_label(get(), detail::to_c(name)));
    return found ? std::optional<std::string>{*found} : std::nullopt;
  }

  Labels labels() const {
    Labels labels;
    for (std::size_t index = 0; index < plumline_endpoint_label_count(get()); ++index) {
      const plumline_field label = plumline_endpoint_label_at(get(), index);
      labels.emplace(detail::view(label.name), detail::view(label.value));
    }
    return labels;
  }

  /// What plumline.h calls it; it stays this object's.
  const plumline_endpoint* get() const noexcept { return handle_.get(); }

  friend bool operator==(const Endpoint& one, const Endpoint& other) noexcept {
    return plumline_endpoint_equals(one.get(), other.get()) != 0;
  }
  friend bool operator!=(const Endpoint& one, const Endpoint& other) noexcept { return !(one == other); }

 private:
  std::shared_ptr<plumline_endpoint> handle_;
};

/// Endpoints, to be walked through: `for (const auto& endpoint : plum.discover("orders"))`.
using Endpoints = std::vector<Endpoint>;

namespace detail {

inline Endpoints endpoints_of(const plumline_endpoints* list) {
  Endpoints endpoints;
  const std::size_t count = plumline_endpoints_count(list);
  endpoints.reserve(count);
  for (std::size_t index = 0; index < count; ++index) endpoints.emplace_back(plumline_endpoints_at(list, index));
  return endpoints;
}

}  // namespace detail
}  // namespace plumline

#endif

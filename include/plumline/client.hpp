// The client.
#ifndef PLUMLINE_CLIENT_HPP
#define PLUMLINE_CLIENT_HPP

#include "handles.hpp"

namespace plumline {

/// Finds services, calls them, survives what fails, and keeps this program registered.
///
/// Any thread may use it, also while another one closes it. Destroying it stops its work without waiting; close()
/// deregisters what is registered, and waits for that.
class Client {
 public:
  /// A client of the registry at this address; an empty one means `config`'s, else PLUMLINE_REGISTRY. Checks
  /// everything, opens nothing, and never fails because a registry is away.
  explicit Client(std::string_view address = {}, const Config& config = {})
      : Client{try_create(address, config).value()} {}

  static result<Client> try_create(std::string_view address = {}, const Config& config = {}) {
    auto given = config.give();
    if (!given) return given.error();
    auto made = detail::made(plumline_client_free, [&](auto client, auto error) {
      return plumline_client_new(detail::to_c(address), given->settings.get(), client, error);
    });
    if (!made) return made.error();
    return Client{std::move(*made), std::move(given->code)};
  }

  /// The endpoints of a service that are there and healthy. A service nobody knows has none.
  Endpoints discover(const Query& query) const { return try_discover(query).value(); }
  result<Endpoints> try_discover(const Query& query) const {
    auto made = queried(plumline_endpoints_free, plumline_client_discover, query);
    if (!made) return made.error();
    return detail::endpoints_of((*made).get());
  }

  /// Chooses an endpoint for one use of any protocol, to be reported on.
  Pick pick(const Query& query) const { return try_pick(query).value(); }
  result<Pick> try_pick(const Query& query) const {
    return wrapped<Pick>(queried(plumline_pick_free, plumline_client_pick, query));
  }

  /// Makes a call: picks, sends, goes elsewhere if need be, reports. An answer of any status is a Response.
  Response call(const Request& request) const { return try_call(request).value(); }
  result<Response> try_call(const Request& request) const {
    const detail::RawRequest raw{request, false};
    return wrapped<Response>(detail::made(plumline_response_free, [&](auto response, auto error) {
      return plumline_client_call(get(), &raw.raw, response, error);
    }));
  }

  Response get(std::string_view service, std::string_view path) const { return try_get(service, path).value(); }
  result<Response> try_get(std::string_view service, std::string_view path) const {
    return try_call(Request::get(service, path));
  }
  /// Sends a POST with this JSON text.
  Response post(std::string_view service, std::string_view path, std::string_view json) const {
    return try_post(service, path, json).value();
  }
  result<Response> try_post(std::string_view service, std::string_view path, std::string_view json) const {
    return try_call(Request::post(service, path).json(json));
  }
  /// Sends a PUT with this JSON text.
  Response put(std::string_view service, std::string_view path, std::string_view json) const {
    return try_put(service, path, json).value();
  }
  result<Response> try_put(std::string_view service, std::string_view path, std::string_view json) const {
    return try_call(Request::put(service, path).json(json));
  }
  /// Sends a PATCH with this JSON text.
  Response patch(std::string_view service, std::string_view path, std::string_view json) const {
    return try_patch(service, path, json).value();
  }
  result<Response> try_patch(std::string_view service, std::string_view path, std::string_view json) const {
    return try_call(Request::patch(service, path).json(json));
  }
  /// Sends a DELETE, which is a word of C++.
  Response del(std::string_view service, std::string_view path) const { return try_del(service, path).value(); }
  result<Response> try_del(std::string_view service, std::string_view path) const {
    return try_call(Request::del(service, path));
  }
  Response head(std::string_view service, std::string_view path) const { return try_head(service, path).value(); }
  result<Response> try_head(std::string_view service, std::string_view path) const {
    return try_call(Request::head(service, path));
  }
  Response options(std::string_view service, std::string_view path) const {
    return try_options(service, path).value();
  }
  result<Response> try_options(std::string_view service, std::string_view path) const {
    return try_call(Request::options(service, path));
  }

  /// A handle bound to a service: the fast path of many calls and picks.
  Service service(const Query& query) const { return try_service(query).value(); }
  result<Service> try_service(const Query& query) const {
    auto made = queried(plumline_service_free, plumline_client_service, query);
    if (!made) return made.error();
    return Service{std::move(*made), code_};
  }

  /// Registers this program, and keeps it registered until the handle is destroyed or closed.
  [[nodiscard]] Registration register_instance(const Instance& instance) const {
    return try_register_instance(instance).value();
  }
  result<Registration> try_register_instance(const Instance& instance) const {
    const detail::RawInstance raw{instance};
    return wrapped<Registration>(detail::made(plumline_registration_free, [&](auto registration, auto error) {
      return plumline_client_register(get(), &raw.raw, registration, error);
    }));
  }

  /// Tells of every change of a service, beginning with what is there.
  Watch watch(std::string_view service) const { return try_watch(service).value(); }
  result<Watch> try_watch(std::string_view service) const {
    return wrapped<Watch>(detail::made(plumline_watch_free, [&](auto watch, auto error) {
      return plumline_client_watch(get(), detail::to_c(service), watch, error);
    }));
  }
  /// Tells of every change of every service, those included that appear later.
  Watch watch_all() const { return try_watch_all().value(); }
  result<Watch> try_watch_all() const {
    return wrapped<Watch>(detail::made(plumline_watch_free, [&](auto watch, auto error) {
      return plumline_client_watch_all(get(), watch, error);
    }));
  }

  /// Waits until a service has an endpoint: for those who want to start only when it is there.
  void wait_for(const Query& query, Millis timeout) const { try_wait_for(query, timeout).value(); }
  result<void> try_wait_for(const Query& query, Millis timeout) const {
    const detail::RawQuery raw{query};
    return detail::done([&](auto error) {
      return plumline_client_wait_for(get(), detail::to_c(query.service()), raw.get(),
                                      detail::millis(timeout), error);
    });
  }

  /// Says for each endpoint of a service whether it would be called, and why not.
  Explanation explain(const Query& query) const { return try_explain(query).value(); }
  result<Explanation> try_explain(const Query& query) const {
    return wrapped<Explanation>(queried(plumline_explanation_free, plumline_client_explain, query));
  }

  /// The names of every service there is, sorted.
  std::vector<std::string> services() const { return try_services().value(); }
  result<std::vector<std::string>> try_services() const {
    auto made = detail::made(plumline_strings_free, [&](auto services, auto error) {
      return plumline_client_services(get(), services, error);
    });
    if (!made) return made.error();
    std::vector<std::string> names;
    for (std::size_t index = 0; index < plumline_strings_count((*made).get()); ++index)
      names.emplace_back(detail::view(plumline_strings_at((*made).get(), index)));
    return names;
  }

  /// Everything that is counted.
  Stats stats() const { return try_stats().value(); }
  result<Stats> try_stats() const {
    return wrapped<Stats>(detail::made(plumline_stats_free, [&](auto stats, auto error) {
      return plumline_client_stats(get(), stats, error);
    }));
  }

  /// Says what exists of a service, beside what the registries say: a registry of your own.
  void publish(std::string_view service, const Endpoints& endpoints) const { try_publish(service, endpoints).value(); }
  result<void> try_publish(std::string_view service, const Endpoints& endpoints) const {
    std::vector<const plumline_endpoint*> handles;
    for (const auto& endpoint : endpoints) handles.push_back(endpoint.get());
    return detail::done([&](auto error) {
      return plumline_client_publish(get(), detail::to_c(service), handles.data(), handles.size(), error);
    });
  }

  /// Has every list asked for anew before it is used again; if that fails, the old one still serves.
  void clear_cache() const { try_clear_cache().value(); }
  result<void> try_clear_cache() const {
    return detail::done([&](auto error) { return plumline_client_clear_cache(get(), error); });
  }

  /// Changes settings while the client lives: those that `changes` sets.
  void configure(const Config& changes) const { try_configure(changes).value(); }
  result<void> try_configure(const Config& changes) const {
    auto given = changes.give();
    if (!given) return given.error();
    return detail::done(
        [&](auto error) { return plumline_client_configure(get(), given->settings.get(), error); });
  }

  /// Deregisters what is registered, ends watches and calls in flight, waits for the drain (none said: as the settings
  /// say), and gives back threads and connections. Everything afterwards is Kind::closed; closing again does nothing.
  void close(std::optional<Millis> drain = std::nullopt) const { try_close(drain).value(); }
  result<void> try_close(std::optional<Millis> drain = std::nullopt) const {
    return detail::done(
        [&](auto error) { return plumline_client_close(get(), detail::optional_millis(drain), error); });
  }
  bool is_closed() const noexcept { return plumline_client_is_closed(get()) != 0; }

  /// Hands what has been logged, by any client of this process, to `log(level, message)`, on this thread.
  template <typename Log>
  void drain_logs(Log log) const {
    const auto each = [](void* user_data, std::int32_t level, const char* message) noexcept {
      (*static_cast<Log*>(user_data))(level, std::string_view{message});
    };
    detail::done([&](auto error) { return plumline_client_drain_logs(get(), each, &log, error); }).value();
  }

  /// What plumline.h calls it; it stays this object's. NULL once it was moved from.
  plumline_client* get() const noexcept { return handle_.get(); }

 private:
  Client(detail::Handle<plumline_client> handle, std::shared_ptr<const detail::Code> code)
      : code_{std::move(code)}, handle_{std::move(handle)} {}

  template <typename T, typename Function>
  result<detail::Handle<T>> queried(void (*free)(T*), Function function, const Query& query) const {
    const detail::RawQuery raw{query};
    return detail::made(free, [&](auto made, auto error) {
      return function(get(), detail::to_c(query.service()), raw.get(), made, error);
    });
  }

  template <typename Object, typename T>
  static result<Object> wrapped(result<detail::Handle<T>> made) {
    if (!made) return made.error();
    return Object{std::move(*made)};
  }

  std::shared_ptr<const detail::Code> code_;  // outlives what calls it
  detail::Handle<plumline_client> handle_;
};

}  // namespace plumline

#endif

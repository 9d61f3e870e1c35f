// What a client hands out: picks, bound services, registrations, watches, explanations, figures.
#ifndef PLUMLINE_HANDLES_HPP
#define PLUMLINE_HANDLES_HPP

#include <iterator>
#include <ostream>

#include "config.hpp"

namespace plumline {

/// An endpoint chosen for one use, of any protocol. The first word on how it went counts; without one it is neutral.
class Pick {
 public:
  explicit Pick(detail::Handle<plumline_pick> handle)
      : handle_{std::move(handle)}, endpoint_{plumline_pick_endpoint(handle_.get())} {}

  const Endpoint& endpoint() const& noexcept { return endpoint_; }
  Endpoint endpoint() && { return endpoint_; }
  /// Whether its service's list is older than it should be, because the registry does not answer.
  bool is_stale() const noexcept { return plumline_pick_is_stale(handle_.get()) != 0; }
  /// It went well.
  void success() noexcept { plumline_pick_success(handle_.get()); }
  /// It did not.
  void failure() noexcept { plumline_pick_failure(handle_.get()); }

  /// Uses the endpoint, and returns what `use` does; an exception counts as a failure, and goes on its way.
  template <typename Use>
  std::invoke_result_t<Use, const Endpoint&> run(Use use) {
    struct Word {
      plumline_pick* pick;
      int thrown = std::uncaught_exceptions();
      ~Word() { std::uncaught_exceptions() > thrown ? plumline_pick_failure(pick) : plumline_pick_success(pick); }
    } const word{handle_.get()};
    return use(endpoint_);
  }

 private:
  detail::Handle<plumline_pick> handle_;
  Endpoint endpoint_;
};

/// A service, or some of its endpoints, bound once: the fast path of many calls and picks.
class Service {
 public:
  std::string_view name() const& noexcept { return detail::view(plumline_service_name(handle_.get())); }
  std::string name() && { return std::string{detail::view(plumline_service_name(handle_.get()))}; }

  /// Chooses an endpoint for one use of any protocol, to be reported on.
  Pick pick() const { return try_pick().value(); }
  result<Pick> try_pick() const {
    auto made = detail::made(plumline_pick_free, [&](auto pick, auto error) {
      return plumline_service_pick(handle_.get(), pick, error);
    });
    if (!made) return made.error();
    return Pick{std::move(*made)};
  }

  /// Makes a call with any method. The request's service is the handle's; it narrows nothing.
  Response call(const Request& request) const { return try_call(request).value(); }
  result<Response> try_call(const Request& request) const {
    const detail::RawRequest raw{request, true};
    auto made = detail::made(plumline_response_free, [&](auto response, auto error) {
      return plumline_service_call(handle_.get(), &raw.raw, response, error);
    });
    if (!made) return made.error();
    return Response{std::move(*made)};
  }

  Response get(std::string_view path) const { return try_get(path).value(); }
  result<Response> try_get(std::string_view path) const { return try_call({"GET", "", path}); }
  /// These three send JSON text.
  Response post(std::string_view path, std::string_view json) const { return try_post(path, json).value(); }
  result<Response> try_post(std::string_view path, std::string_view json) const {
    return try_call(Request::post("", path).json(json));
  }
  Response put(std::string_view path, std::string_view json) const { return try_put(path, json).value(); }
  result<Response> try_put(std::string_view path, std::string_view json) const {
    return try_call(Request::put("", path).json(json));
  }
  Response patch(std::string_view path, std::string_view json) const { return try_patch(path, json).value(); }
  result<Response> try_patch(std::string_view path, std::string_view json) const {
    return try_call(Request::patch("", path).json(json));
  }
  Response del(std::string_view path) const { return try_del(path).value(); }
  result<Response> try_del(std::string_view path) const { return try_call(Request::del("", path)); }
  Response head(std::string_view path) const { return try_head(path).value(); }
  result<Response> try_head(std::string_view path) const { return try_call(Request::head("", path)); }
  Response options(std::string_view path) const { return try_options(path).value(); }
  result<Response> try_options(std::string_view path) const { return try_call(Request::options("", path)); }

 private:
  friend class Client;
  Service(detail::Handle<plumline_service> handle, std::shared_ptr<const detail::Code> code)
      : code_{std::move(code)}, handle_{std::move(handle)} {}

  std::shared_ptr<const detail::Code> code_;  // outlives what calls it
  detail::Handle<plumline_service> handle_;
};

/// Where a registration stands.
enum class State : std::int32_t {
  waiting_for_port = PLUMLINE_REGISTRATION_WAITING_FOR_PORT,
  registering = PLUMLINE_REGISTRATION_REGISTERING,
  registered = PLUMLINE_REGISTRATION_REGISTERED,
  unreachable = PLUMLINE_REGISTRATION_UNREACHABLE,
  refused = PLUMLINE_REGISTRATION_REFUSED,
  closed = PLUMLINE_REGISTRATION_CLOSED,
};

/// Keeps an instance known. Destroying it deregisters, waiting at most 2 s, unless it was detached.
class Registration {
 public:
  explicit Registration(detail::Handle<plumline_registration> handle) noexcept : handle_{std::move(handle)} {}
  Registration(Registration&&) noexcept = default;
  Registration& operator=(Registration&& other) noexcept {
    if (this != &other) {
      drop();
      handle_ = std::move(other.handle_);
      is_detached_ = other.is_detached_;
    }
    return *this;
  }
  ~Registration() { drop(); }

  /// Gives it to the client: from now on destroying this does nothing.
  Registration& detach() noexcept { return is_detached_ = true, *this; }

  State state() const noexcept { return static_cast<State>(plumline_registration_state(handle_.get())); }
  std::string_view state_name() const noexcept {
    return detail::view(plumline_registration_state_name(handle_.get()));
  }
  /// `host:port` as others see it.
  std::string_view address() const& noexcept { return detail::view(plumline_registration_address(handle_.get())); }
  std::string address() && { return std::string{detail::view(plumline_registration_address(handle_.get()))}; }
  std::string_view service() const& noexcept { return detail::view(plumline_registration_service(handle_.get())); }
  std::string service() && { return std::string{detail::view(plumline_registration_service(handle_.get()))}; }
  std::string_view instance_id() const& noexcept {
    return detail::view(plumline_registration_instance_id(handle_.get()));
  }
  std::string instance_id() && { return std::string{detail::view(plumline_registration_instance_id(handle_.get()))}; }
  /// What last went wrong; none once it is registered again.
  std::optional<Error> last_error() const {
    plumline_error* error = plumline_registration_last_error(handle_.get());
    return error == nullptr ? std::nullopt : std::optional{Error{error}};
  }

  /// Waits until it is registered; throws what last went wrong if that does not come about in time.
  void wait(Millis timeout = std::chrono::seconds{10}) const { try_wait(timeout).value(); }
  result<void> try_wait(Millis timeout = std::chrono::seconds{10}) const {
    return detail::done([&](auto error) {
      return plumline_registration_wait(handle_.get(), detail::optional_millis(timeout), error);
    });
  }
  /// Changes what is registered, now and after every outage to come. What `changes` does not say stays.
  void update(const Instance& changes) { try_update(changes).value(); }
  result<void> try_update(const Instance& changes) {
    const detail::RawInstance raw{changes};
    return detail::done(
        [&](auto error) { return plumline_registration_update(handle_.get(), &raw.raw, error); });
  }
  /// Deregisters, then waits for the drain; none said: as the settings say. Again: does nothing.
  void close(std::optional<Millis> drain = std::nullopt) { try_close(drain).value(); }
  result<void> try_close(std::optional<Millis> drain = std::nullopt) {
    return detail::done([&](auto error) {
      return plumline_registration_close(handle_.get(), detail::optional_millis(drain), error);
    });
  }

 private:
  void drop() noexcept {
    if (handle_ != nullptr && !is_detached_) plumline_registration_close(handle_.get(), 0, nullptr);
    handle_.reset();
  }

  detail::Handle<plumline_registration> handle_;
  bool is_detached_ = false;
};

/// What a watch tells.
enum class ChangeKind : std::int32_t {
  snapshot = PLUMLINE_CHANGE_SNAPSHOT,
  changed = PLUMLINE_CHANGE_CHANGED,
  registry_down = PLUMLINE_CHANGE_REGISTRY_DOWN,
  registry_up = PLUMLINE_CHANGE_REGISTRY_UP,
};

/// One step of a watch: what happened, and the full list after it. A value.
struct Change {
  std::string service;
  ChangeKind kind = ChangeKind::snapshot;
  Endpoints added, updated, removed, endpoints;

  Change() = default;
  explicit Change(const plumline_change* change)
      : service{detail::view(plumline_change_service(change))},
        kind{plumline_change_kind(change)},
        added{detail::endpoints_of(plumline_change_added(change))},
        updated{detail::endpoints_of(plumline_change_updated(change))},
        removed{detail::endpoints_of(plumline_change_removed(change))},
        endpoints{detail::endpoints_of(plumline_change_endpoints(change))} {}

  friend bool operator==(const Change& one, const Change& other) {
    return one.service == other.service && one.kind == other.kind && one.added == other.added &&
           one.updated == other.updated && one.removed == other.removed && one.endpoints == other.endpoints;
  }
  friend bool operator!=(const Change& one, const Change& other) { return !(one == other); }
};

/// Its name, such as `registry_down`.
inline std::string_view name(ChangeKind kind) noexcept {
  switch (kind) {
    case ChangeKind::snapshot: return "snapshot";
    case ChangeKind::changed: return "changed";
    case ChangeKind::registry_down: return "registry_down";
    case ChangeKind::registry_up: return "registry_up";
  }
  return "unknown";
}

/// Tells of every change, beginning with what is there: `for (const auto& change : plum.watch("orders"))`.
class Watch {
 public:
  explicit Watch(detail::Handle<plumline_watch> handle) noexcept : handle_{std::move(handle)} {}

  /// The next change; none when the timeout has passed without one. Without a timeout it waits for ever.
  std::optional<Change> next(std::optional<Millis> timeout = std::nullopt) { return try_next(timeout).value(); }
  result<std::optional<Change>> try_next(std::optional<Millis> timeout = std::nullopt) {
    auto made = detail::made(plumline_change_free, [&](auto change, auto error) {
      return plumline_watch_next(handle_.get(), detail::optional_millis(timeout), change, error);
    });
    if (!made) return made.error();
    if (*made == nullptr) return std::optional<Change>{};
    return std::optional<Change>{Change{(*made).get()}};
  }
  /// Ends it: whoever waits for a change, in whichever thread, is told that it is closed, and loops over it end.
  void close() noexcept { plumline_watch_close(handle_.get()); }

  class iterator {
   public:
    using iterator_category = std::input_iterator_tag;
    using value_type = Change;
    using difference_type = std::ptrdiff_t;
    using pointer = const Change*;
    using reference = const Change&;

    iterator() = default;
    explicit iterator(Watch* watch) : watch_{watch} { ++*this; }
    reference operator*() const noexcept { return *change_; }
    pointer operator->() const noexcept { return &*change_; }
    iterator& operator++() {
      auto next = watch_->try_next();
      if (!next && next.error().kind() != Kind::closed) next.error().raise();
      change_ = next ? std::move(*next) : std::nullopt;
      if (!change_) watch_ = nullptr;
      return *this;
    }
    void operator++(int) { ++*this; }
    friend bool operator==(const iterator& one, const iterator& other) noexcept { return one.watch_ == other.watch_; }
    friend bool operator!=(const iterator& one, const iterator& other) noexcept { return !(one == other); }

   private:
    Watch* watch_ = nullptr;
    std::optional<Change> change_;
  };

  /// Waits for the first change.
  iterator begin() { return iterator{this}; }
  iterator end() noexcept { return {}; }

 private:
  detail::Handle<plumline_watch> handle_;
};

/// What is thought of one endpoint.
struct Verdict {
  std::string address;
  Endpoint endpoint;
  bool is_usable;
  /// Why not, or what speaks against it.
  std::vector<std::string> reasons;
  /// What a use takes, milliseconds (EWMA); none until one has ended.
  std::optional<double> ewma_ms;
  /// Share of uses that go well (EWMA), 0 to 1.
  double success;
  std::uint32_t in_flight;
  std::uint32_t weight;

  explicit Verdict(const plumline_verdict* verdict)
      : address{detail::view(plumline_verdict_address(verdict))},
        endpoint{plumline_verdict_endpoint(verdict)},
        is_usable{plumline_verdict_is_usable(verdict) != 0},
        success{plumline_verdict_success(verdict)},
        in_flight{plumline_verdict_in_flight(verdict)},
        weight{plumline_verdict_weight(verdict)} {
    for (std::size_t index = 0; index < plumline_verdict_reason_count(verdict); ++index)
      reasons.emplace_back(detail::view(plumline_verdict_reason_at(verdict, index)));
    const double ewma = plumline_verdict_ewma_ms(verdict);
    if (ewma >= 0) ewma_ms = ewma;
  }
};

/// What a client knows of a service, and what it would do with it.
class Explanation {
 public:
  explicit Explanation(detail::Handle<plumline_explanation> handle) noexcept : handle_{std::move(handle)} {}

  std::string_view query() const& noexcept { return detail::view(plumline_explanation_query(handle_.get())); }
  std::string query() && { return std::string{detail::view(plumline_explanation_query(handle_.get()))}; }
  /// One line: how many endpoints are usable, and where the list is from; or why there is none.
  std::string_view summary() const& noexcept { return detail::view(plumline_explanation_summary(handle_.get())); }
  std::string summary() && { return std::string{detail::view(plumline_explanation_summary(handle_.get()))}; }
  std::string_view source() const& noexcept { return detail::view(plumline_explanation_source(handle_.get())); }
  std::string source() && { return std::string{detail::view(plumline_explanation_source(handle_.get()))}; }
  /// All of it as a table to read.
  std::string_view text() const& noexcept { return detail::view(plumline_explanation_text(handle_.get())); }
  std::string text() && { return std::string{detail::view(plumline_explanation_text(handle_.get()))}; }
  /// How many endpoints would be called.
  std::size_t usable() const noexcept { return plumline_explanation_usable(handle_.get()); }
  std::vector<Verdict> endpoints() const {
    std::vector<Verdict> verdicts;
    for (std::size_t index = 0; index < plumline_explanation_count(handle_.get()); ++index)
      verdicts.emplace_back(plumline_explanation_at(handle_.get(), index));
    return verdicts;
  }
  friend std::ostream& operator<<(std::ostream& out, const Explanation& it) { return out << it.text(); }

 private:
  detail::Handle<plumline_explanation> handle_;
};

/// Everything a client counts, as it was when it was asked.
class Stats {
 public:
  explicit Stats(detail::Handle<plumline_stats> handle) noexcept : handle_{std::move(handle)} {}

  /// All of it, as JSON.
  std::string_view json() const& noexcept { return detail::view(plumline_stats_json(handle_.get())); }
  std::string json() && { return std::string{detail::view(plumline_stats_json(handle_.get()))}; }
  /// One figure, by its JSON pointer, such as `/services/orders/calls`.
  double number(std::string_view pointer) const { return try_number(pointer).value(); }
  result<double> try_number(std::string_view pointer) const {
    double number = 0;
    auto done = detail::done([&](auto error) {
      return plumline_stats_number(handle_.get(), detail::to_c(pointer), &number, error);
    });
    if (!done) return done.error();
    return number;
  }

 private:
  detail::Handle<plumline_stats> handle_;
};

}  // namespace plumline

#endif

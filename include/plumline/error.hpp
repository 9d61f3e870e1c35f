// Errors, thrown or returned; and how what a callback threw finds its way back.
#ifndef PLUMLINE_ERROR_HPP
#define PLUMLINE_ERROR_HPP

#include <exception>
#include <stdexcept>
#include <type_traits>
#include <variant>

#include "values.hpp"

namespace plumline {

/// What went wrong, by the same number in every language.
enum class Kind : plumline_kind {
  ok = PLUMLINE_OK,
  invalid_argument = PLUMLINE_INVALID_ARGUMENT,
  not_found = PLUMLINE_NOT_FOUND,
  no_endpoint = PLUMLINE_NO_ENDPOINT,
  timeout = PLUMLINE_TIMEOUT,
  unavailable = PLUMLINE_UNAVAILABLE,
  circuit_open = PLUMLINE_CIRCUIT_OPEN,
  overloaded = PLUMLINE_OVERLOADED,
  unauthenticated = PLUMLINE_UNAUTHENTICATED,
  permission_denied = PLUMLINE_PERMISSION_DENIED,
  protocol = PLUMLINE_PROTOCOL,
  cancelled = PLUMLINE_CANCELLED,
  closed = PLUMLINE_CLOSED,
  unsupported = PLUMLINE_UNSUPPORTED,
  status = PLUMLINE_STATUS,
  internal = PLUMLINE_INTERNAL,
};

/// Its name, such as `NoEndpoint`.
inline std::string_view name(Kind kind) noexcept { return plumline_kind_name(static_cast<plumline_kind>(kind)); }

/// What one attempt of a call came to.
struct TraceStep {
  Endpoint endpoint;
  /// The status that came back; 0 where none did.
  int status;
  /// What kind of failure it was; `ok` where a status came back.
  Kind kind;
  std::string error;
  std::chrono::duration<double, std::milli> elapsed;

  explicit TraceStep(const plumline_trace_step* step)
      : endpoint{plumline_trace_step_endpoint(step)},
        status{plumline_trace_step_status(step)},
        kind{plumline_trace_step_kind(step)},
        error{detail::view(plumline_trace_step_error(step))},
        elapsed{plumline_trace_step_elapsed_ms(step)} {}
};

/// Why something did not succeed. A copy is the same error.
class Error : public std::runtime_error {
 public:
  Error(Kind kind, std::string_view message)
      : Error{plumline_error_new(static_cast<plumline_kind>(kind), detail::to_c(message))} {}

  /// Takes over what a function of plumline.h has given; `cause` is what a callback threw, if one did.
  explicit Error(plumline_error* error, std::exception_ptr cause = nullptr)
      : Error{std::shared_ptr<plumline_error>{error, plumline_error_free}, std::move(cause)} {}

  Kind kind() const noexcept { return static_cast<Kind>(plumline_error_kind(handle_.get())); }
  /// Whether the same call could succeed if it were made again, later or elsewhere.
  bool is_retryable() const noexcept { return plumline_error_is_retryable(handle_.get()) != 0; }
  /// How many attempts were made before giving up.
  std::uint32_t attempts() const noexcept { return plumline_error_attempts(handle_.get()); }
  std::optional<std::string_view> service() const& noexcept {
    return detail::optional_view(plumline_error_service(handle_.get()));
  }
  std::optional<std::string> service() && {
    const auto found = detail::optional_view(plumline_error_service(handle_.get()));
    return found ? std::optional<std::string>{*found} : std::nullopt;
  }
  /// The endpoint of the last attempt.
  std::optional<Endpoint> endpoint() const {
    const plumline_endpoint* endpoint = plumline_error_endpoint(handle_.get());
    return endpoint == nullptr ? std::nullopt : std::optional{Endpoint{endpoint}};
  }
  /// What each attempt came to, in order.
  std::vector<TraceStep> trace() const {
    std::vector<TraceStep> trace;
    for (std::size_t index = 0; index < plumline_error_trace_count(handle_.get()); ++index)
      trace.emplace_back(plumline_error_trace_at(handle_.get(), index));
    return trace;
  }
  /// What a callback threw inside the call, if that is what ended it. A thrown Error is nested in it as well.
  const std::exception_ptr& cause() const noexcept { return cause_; }

  /// Throws it, with its cause behind it: std::rethrow_if_nested() finds that.
  [[noreturn]] void raise() const {
    if (cause_ == nullptr) throw *this;
    try {
      std::rethrow_exception(cause_);
    } catch (...) {
      std::throw_with_nested(*this);
    }
  }

 private:
  Error(std::shared_ptr<plumline_error> handle, std::exception_ptr cause)
      : std::runtime_error{plumline_error_message(handle.get())},
        handle_{std::move(handle)},
        cause_{std::move(cause)} {}

  std::shared_ptr<plumline_error> handle_;
  std::exception_ptr cause_;
};

/// A value, or why there is none: what every try_…() returns.
template <typename T>
class [[nodiscard]] result {
 public:
  result(T value) : content_{std::in_place_index<0>, std::move(value)} {}    // NOLINT: a value is a result
  result(Error error) : content_{std::in_place_index<1>, std::move(error)} {}  // NOLINT: so is an error

  bool has_value() const noexcept { return content_.index() == 0; }
  explicit operator bool() const noexcept { return has_value(); }

  /// The value; throws the error where there is none.
  T& value() & { return check(), std::get<0>(content_); }
  const T& value() const& { return check(), std::get<0>(content_); }
  T&& value() && { return check(), std::get<0>(std::move(content_)); }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(*this).value(); }
  T* operator->() & { return &value(); }
  const T* operator->() const& { return &value(); }
  /// Not of a temporary, for what it shows would be gone with it: `*std::move(result)` gives the value away.
  T* operator->() && = delete;

  /// The error; only where there is no value.
  const Error& error() const& { return std::get<1>(content_); }

 private:
  void check() const {
    if (!has_value()) error().raise();
  }

  std::variant<T, Error> content_;
};

/// The same where there is nothing to return.
template <>
class [[nodiscard]] result<void> {
 public:
  result() = default;
  result(Error error) : error_{std::move(error)} {}  // NOLINT: an error is a result

  bool has_value() const noexcept { return !error_.has_value(); }
  explicit operator bool() const noexcept { return has_value(); }
  void value() const {
    if (error_) error_->raise();
  }
  const Error& error() const& { return error_.value(); }

 private:
  std::optional<Error> error_;
};

namespace detail {

/// What a callback threw on this thread, until the call that it is in has ended.
inline std::exception_ptr& thrown() noexcept {
  static thread_local std::exception_ptr thrown;
  return thrown;
}

/// One call into the library: what is thrown inside it is its own, also when it is made by a callback.
class Call {
 public:
  Call() noexcept : outer_{std::exchange(thrown(), nullptr)} {}
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;
  ~Call() { thrown() = std::move(outer_); }

  Error failed(plumline_error* error) const { return Error{error, std::exchange(thrown(), nullptr)}; }

 private:
  std::exception_ptr outer_;
};

/// Runs a function that only succeeds or fails.
template <typename Function>
result<void> done(Function function) {
  const Call call;
  plumline_error* error = nullptr;
  if (function(&error) == PLUMLINE_OK) return {};
  return call.failed(error);
}

/// Runs a function that makes a T of C's; NULL is a null handle.
template <typename T, typename Function>
result<Handle<T>> made(void (*free)(T*), Function function) {
  const Call call;
  T* object = nullptr;
  plumline_error* error = nullptr;
  if (function(&object, &error) == PLUMLINE_OK) return Handle<T>{object, free};
  return call.failed(error);
}

}  // namespace detail

inline Endpoint::Endpoint(const EndpointFields& fields) {
  const auto labels = detail::fields_of(fields.labels);
  plumline_endpoint_fields raw = PLUMLINE_ENDPOINT_FIELDS_INIT;
  raw.port = fields.port;
  raw.unhealthy = fields.is_healthy ? 0 : 1;
  raw.service = detail::to_c(fields.service);
  raw.host = detail::to_c(fields.host);
  raw.ip = detail::to_c_if(fields.ip);
  raw.protocol = detail::to_c(fields.protocol);
  raw.version = detail::to_c(fields.version);
  raw.zone = detail::to_c(fields.zone);
  raw.instance_id = detail::to_c_if(fields.instance_id);
  raw.node_id = detail::to_c(fields.node_id);
  raw.source = detail::to_c(fields.source);
  raw.generation = detail::to_c(fields.generation);
  raw.labels = labels.data();
  raw.label_count = labels.size();
  raw.last_seen = fields.last_seen;
  raw.weight = detail::count(fields.weight);
  handle_ = detail::made(plumline_endpoint_free, [&](auto endpoint, auto error) {
              return plumline_endpoint_new(&raw, endpoint, error);
            }).value();
}

}  // namespace plumline

#endif

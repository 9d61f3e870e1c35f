/*
 * Plumline: find a service, call it, survive what fails, stay registered.
 *
 * The conventions, once for all functions:
 *
 * - A function that can fail returns PLUMLINE_OK (0) or the kind of its error. Its last argument, `error`, may be NULL;
 *   otherwise *error is set: to NULL if all went well, else to an error that is yours to free.
 * - What a function makes comes out through a pointer to your variable, which is set to NULL if it fails. It is yours to
 *   free, with the `_free` function of its type, which takes NULL. Closing stops work; only freeing frees memory.
 * - A function that only reads returns something borrowed, valid until the object it was asked of is freed. For NULL it
 *   returns 0, NULL or no string.
 * - Strings in are UTF-8 with a length, borrowed for the time of the call: PLUMLINE_STR("literal"), plumline_str_from(text).
 *   Strings out have a length, and a NUL behind them.
 * - A struct that goes in begins with its size and is initialised with its PLUMLINE_..._INIT; zero in any field stands for
 *   its default. So a program built with an older or newer header works, as long as it asks for nothing that is not there.
 * - Durations are milliseconds.
 * - Any thread may use any object at any time, except a pick; freeing is the exception: nobody may use the object then, or
 *   later. A null pointer where none may be is PLUMLINE_INVALID_ARGUMENT; a dangling one cannot be told.
 * - After fork() the child may use every object it inherited. Registrations are the parent's.
 * - The library installs no signal handler, never raises SIGPIPE, writes no file and prints nothing.
 */


#ifndef PLUMLINE_H
#define PLUMLINE_H

/* Generated from bindings/c/src/ffi by bindings/c/tests/header.rs. Do not edit. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/**
 * The release this header belongs to; `plumline_version()` says the library's.
 */
#define PLUMLINE_VERSION "0.1.0"

/**
 * A real zero in a field of 32 bits where 0 stands for the default.
 */
#define PLUMLINE_ZERO 4294967295

/**
 * The same in a field of 64 bits.
 */
#define PLUMLINE_ZERO_64 18446744073709551615ull

/**
 * Grows by one when a program that was built against an older header would no longer work.
 */
#define PLUMLINE_ABI_VERSION 1

/**
 * A transport's answer: `*response` holds it.
 */
#define PLUMLINE_SENT_ANSWERED 0

/**
 * No connection could be opened; the request never left. The call goes on around it.
 */
#define PLUMLINE_SENT_REFUSED 1

/**
 * The connection broke after the request may have been read. The call goes on around it.
 */
#define PLUMLINE_SENT_RESET 2

/**
 * No answer in time. The call goes on around it.
 */
#define PLUMLINE_SENT_TIMEOUT 3

/**
 * Something is wrong with the transport itself: the call fails with `*error`.
 */
#define PLUMLINE_SENT_FAILED 4



/**
 * A yes-or-no that need not be said: not said.
 */
#define PLUMLINE_DEFAULT 0

/**
 * Yes.
 */
#define PLUMLINE_YES 1

/**
 * No.
 */
#define PLUMLINE_NO 2

/**
 * Its port does not answer yet; it is published once it does.
 */
#define PLUMLINE_REGISTRATION_WAITING_FOR_PORT 1

/**
 * On its way to the registry for the first time.
 */
#define PLUMLINE_REGISTRATION_REGISTERING 2

/**
 * Known to at least one registry.
 */
#define PLUMLINE_REGISTRATION_REGISTERED 3

/**
 * No registry answers; it is registered as soon as one does.
 */
#define PLUMLINE_REGISTRATION_UNREACHABLE 4

/**
 * The registry said no; tried again with every beat.
 */
#define PLUMLINE_REGISTRATION_REFUSED 5

/**
 * Closed.
 */
#define PLUMLINE_REGISTRATION_CLOSED 6

/**
 * The present state; always the first.
 */
#define PLUMLINE_CHANGE_SNAPSHOT 1

/**
 * Endpoints came, went or changed.
 */
#define PLUMLINE_CHANGE_CHANGED 2

/**
 * The registry stopped answering; the list stays as it was.
 */
#define PLUMLINE_CHANGE_REGISTRY_DOWN 3

/**
 * The registry answers again.
 */
#define PLUMLINE_CHANGE_REGISTRY_UP 4

/**
 * Details for whoever looks for a fault.
 */
#define PLUMLINE_LOG_DEBUG 10

/**
 * What happened, for the record.
 */
#define PLUMLINE_LOG_INFO 20

/**
 * Something that somebody should look at.
 */
#define PLUMLINE_LOG_WARN 30

/**
 * Something that went wrong.
 */
#define PLUMLINE_LOG_ERROR 40

/**
 * One step of a watch: what happened, and the full list after it. It never changes. Yours to free.
 */
typedef struct plumline_change plumline_change;

/**
 * What a balancer chooses among: endpoints in an order of their own, and figures for each. It belongs to the call.
 */
typedef struct plumline_choice plumline_choice;

/**
 * Finds services, calls them, survives what fails, and keeps this program registered. Any thread may use it, also
 * while another one closes it. Yours to close with `plumline_client_close()`, then to free, once nobody uses it any
 * more, with `plumline_client_free()`.
 */
typedef struct plumline_client plumline_client;

/**
 * What a client is made with. Beneath it lie the environment and the file that `PLUMLINE_CONFIG` names.
 * Any thread may use it. Yours to free, as soon as the client is made.
 */
typedef struct plumline_config plumline_config;

/**
 * One address of one instance of a service. It never changes, and any thread may read it.
 */
typedef struct plumline_endpoint plumline_endpoint;

/**
 * A list of endpoints. It never changes, and any thread may read it.
 */
typedef struct plumline_endpoints plumline_endpoints;

/**
 * Why a function did not succeed. Yours to free with `plumline_error_free()`.
 */
typedef struct plumline_error plumline_error;

/**
 * What a client knows of a service, and what it would do with it. Yours to free with `plumline_explanation_free()`.
 */
typedef struct plumline_explanation plumline_explanation;

/**
 * One attempt's request, as it is about to be sent. It belongs to the call, and what is borrowed from it is valid
 * until the callback returns.
 */
typedef struct plumline_outgoing plumline_outgoing;

/**
 * An endpoint chosen for one use. Say how it went with `plumline_pick_success()` or `plumline_pick_failure()`; the
 * first word counts, and none is neutral. Any thread may use it. Yours to free with `plumline_pick_free()`.
 */
typedef struct plumline_pick plumline_pick;

/**
 * Keeps an instance known. The client owns it: freeing the handle deregisters nothing; closing it does, closing the
 * client, and an orderly exit of the process that registered it. Any thread may use it. Yours to free with
 * `plumline_registration_free()`.
 */
typedef struct plumline_registration plumline_registration;

/**
 * An HTTP answer of any status, and how it was come by. It never changes, and any thread may read it. Everything
 * borrowed from it is valid until it is freed. Yours to free with `plumline_response_free()`.
 */
typedef struct plumline_response plumline_response;

/**
 * A service, or some of its endpoints, of a client: the fast path of many calls and picks. Any thread may use it.
 * It may outlive the client's handle. Yours to free with `plumline_service_free()`.
 */
typedef struct plumline_service plumline_service;

/**
 * Everything a client counts, as it was when it was asked. Yours to free with `plumline_stats_free()`.
 */
typedef struct plumline_stats plumline_stats;

/**
 * A list of strings. Yours to free with `plumline_strings_free()`.
 */
typedef struct plumline_strings plumline_strings;

/**
 * What one attempt of a call came to. It belongs to the response or error that it was asked of.
 */
typedef struct plumline_trace_step plumline_trace_step;

/**
 * What is thought of one endpoint. It belongs to the explanation.
 */
typedef struct plumline_verdict plumline_verdict;

/**
 * Tells of every change, beginning with what is there. A slow reader gets changes merged, never a gap. Any thread
 * may use it. Yours to free with `plumline_watch_free()`.
 */
typedef struct plumline_watch plumline_watch;

/**
 * What a function came to: `PLUMLINE_OK`, or the kind of its error.
 */
typedef int32_t plumline_kind;

/**
 * A string: where it begins and how many bytes it has.
 *
 * Going in it is UTF-8, borrowed for the time of the call, and needs no NUL. `data` NULL and `len` 0 means that
 * it is not given, which is not the same as an empty string. Coming out it is borrowed from the object that it
 * was asked of and valid until that is freed; a NUL stands behind it, which `len` does not count; `data` NULL
 * means that there is none.
 */
typedef struct {
  /**
   * The first byte.
   */
  const char *data;
  /**
   * How many bytes.
   */
  size_t len;
} plumline_str;

/**
 * A name and its value: a header, a label, a parameter, a field of a form.
 */
typedef struct {
  /**
   * The name.
   */
  plumline_str name;
  /**
   * The value.
   */
  plumline_str value;
} plumline_field;

/**
 * What an endpoint is made of, for `plumline_endpoint_new()`. Initialise it with `PLUMLINE_ENDPOINT_FIELDS_INIT`.
 */
typedef struct {
  /**
   * `sizeof(plumline_endpoint_fields)`; the initialiser sets it.
   */
  uint32_t size;
  /**
   * The port.
   */
  uint16_t port;
  /**
   * 0: healthy. 1: not.
   */
  uint16_t unhealthy;
  /**
   * The service it belongs to.
   */
  plumline_str service;
  /**
   * The name or address others know it by. Required.
   */
  plumline_str host;
  /**
   * Where it is reached; not given: `host`, which is an address then.
   */
  plumline_str ip;
  /**
   * Not given: `http`.
   */
  plumline_str protocol;
  /**
   * Its version; not given: none.
   */
  plumline_str version;
  /**
   * The zone it runs in; not given: none.
   */
  plumline_str zone;
  /**
   * The instance that registered it; not given: `{service}-{host}-{port}`.
   */
  plumline_str instance_id;
  /**
   * The machine it runs on; not given: none.
   */
  plumline_str node_id;
  /**
   * Who told of it; not given: nobody.
   */
  plumline_str source;
  /**
   * Random per registration; not given: none.
   */
  plumline_str generation;
  /**
   * Its labels, `label_count` of them.
   */
  const plumline_field *labels;
  /**
   * How many labels.
   */
  size_t label_count;
  /**
   * When it was last heard of, unix seconds; 0: unknown.
   */
  uint64_t last_seen;
  /**
   * Its share of the traffic; 0: the default, 1; `PLUMLINE_ZERO`: none.
   */
  uint32_t weight;
  /**
   * 0.
   */
  uint32_t reserved;
} plumline_endpoint_fields;

/**
 * What a response is made of, for `plumline_response_new()`. Initialise it with `PLUMLINE_RESPONSE_FIELDS_INIT`.
 */
typedef struct {
  /**
   * `sizeof(plumline_response_fields)`; the initialiser sets it.
   */
  uint32_t size;
  /**
   * 200 to 599; 0: 200.
   */
  uint32_t status;
  /**
   * The headers, `header_count` of them.
   */
  const plumline_field *headers;
  /**
   * How many headers.
   */
  size_t header_count;
  /**
   * A body of JSON, with `Content-Type: application/json` unless a header says otherwise. At most one of `json`
   * and `content` is given.
   */
  plumline_str json;
  /**
   * A body of any bytes.
   */
  plumline_str content;
} plumline_response_fields;

/**
 * Called before each attempt. May set headers. Other than `PLUMLINE_OK` ends the call: it fails with `*error`, made
 * by `plumline_error_new()` and handed over, or, where that is left NULL, with the kind that was returned.
 */
typedef plumline_kind (*plumline_on_request)(void *user_data,
                                             plumline_outgoing *request,
                                             const plumline_endpoint *endpoint,
                                             plumline_error **error);

/**
 * Called after each attempt. `response` is what came, or NULL; then `failure` says why nothing did. Other than
 * `PLUMLINE_OK` ends the call, as with a request.
 */
typedef plumline_kind (*plumline_on_response)(void *user_data,
                                              const plumline_outgoing *request,
                                              const plumline_endpoint *endpoint,
                                              const plumline_response *response,
                                              const plumline_error *failure,
                                              plumline_error **error);

/**
 * Sends instead of a socket. Returns `PLUMLINE_SENT_…`; an answer is made by `plumline_response_new()` and handed over.
 */
typedef int32_t (*plumline_send)(void *user_data,
                                 const plumline_outgoing *request,
                                 const plumline_endpoint *endpoint,
                                 plumline_response **response,
                                 plumline_error **error);

/**
 * Chooses an endpoint: sets `*index`, below `plumline_choice_count()`, or to `PLUMLINE_CHOOSE_NONE`. Other than
 * `PLUMLINE_OK` ends the call or pick, as with a request.
 */
typedef plumline_kind (*plumline_choose)(void *user_data,
                                         const plumline_choice *choice,
                                         size_t *index,
                                         plumline_error **error);

/**
 * A balancer for one service.
 */
typedef struct {
  /**
   * The service.
   */
  plumline_str service;
  /**
   * Chooses its endpoints.
   */
  plumline_choose choose;
  /**
   * Handed to it.
   */
  void *user_data;
} plumline_service_balancer;

/**
 * Code of your own inside a client. It runs on the thread that calls, inside the function that it called, and may
 * call the library again, closing the client included, but not free it. Where several threads use the client,
 * several run at once. Initialise it with `PLUMLINE_CALLBACKS_INIT`; a function that is NULL is not called.
 */
typedef struct {
  /**
   * `sizeof(plumline_callbacks)`; the initialiser sets it.
   */
  uint32_t size;
  /**
   * 0.
   */
  uint32_t reserved;
  /**
   * Handed to each of these.
   */
  void *user_data;
  /**
   * Before each attempt.
   */
  plumline_on_request on_request;
  /**
   * After each attempt.
   */
  plumline_on_response on_response;
  /**
   * Sends instead of a socket, for the tests of your own code.
   */
  plumline_send send;
  /**
   * Chooses endpoints, for every service that has no balancer of its own.
   */
  plumline_choose choose;
  /**
   * Balancers for single services, `balancer_count` of them.
   */
  const plumline_service_balancer *balancers;
  /**
   * How many.
   */
  size_t balancer_count;
} plumline_callbacks;

/**
 * A request to a service by name. Initialise it with `PLUMLINE_REQUEST_INIT`; what is not set is as the settings
 * say. Nothing it points to is needed once the call has returned.
 */
typedef struct {
  /**
   * `sizeof(plumline_request)`; the initialiser sets it.
   */
  uint32_t size;
  /**
   * Whether the service may see it twice: `PLUMLINE_YES`, `PLUMLINE_NO`, or `PLUMLINE_DEFAULT`: only GET, HEAD,
   * OPTIONS, PUT and DELETE may.
   */
  int32_t idempotent;
  /**
   * Not given: `GET`.
   */
  plumline_str method;
  /**
   * Whom to ask. Not given to `plumline_service_call()`.
   */
  plumline_str service;
  /**
   * Path and query, beginning with `/` and escaped already; blanks and what is not ASCII are escaped, `%XX` kept.
   */
  plumline_str path;
  /**
   * Query parameters, `param_count` of them, to be escaped and put behind the path.
   */
  const plumline_field *params;
  /**
   * How many parameters.
   */
  size_t param_count;
  /**
   * Headers, `header_count` of them; several of the same name are all sent.
   */
  const plumline_field *headers;
  /**
   * How many headers.
   */
  size_t header_count;
  /**
   * A body of JSON, sent as it is with `Content-Type: application/json` unless a header says otherwise. At most
   * one of `json`, `content` and `form` is given.
   */
  plumline_str json;
  /**
   * A body of any bytes.
   */
  plumline_str content;
  /**
   * A body of form fields, `form_count` of them, sent as `application/x-www-form-urlencoded`.
   */
  const plumline_field *form;
  /**
   * How many form fields.
   */
  size_t form_count;
  /**
   * Only endpoints of this version; not given: of any.
   */
  plumline_str version;
  /**
   * Only endpoints with these labels, `label_count` of them.
   */
  const plumline_field *labels;
  /**
   * How many labels.
   */
  size_t label_count;
  /**
   * How long the whole call may take, milliseconds; 0: as the settings say.
   */
  uint64_t timeout_ms;
  /**
   * How long one attempt may take, milliseconds; 0: as the settings say.
   */
  uint64_t attempt_timeout_ms;
  /**
   * The largest body of an answer taken, bytes after decompression; 0: as the settings say.
   */
  uint64_t max_body;
  /**
   * How many attempts are made at most, the first included; 0: as the settings say.
   */
  uint32_t attempts;
  /**
   * 0.
   */
  uint32_t reserved;
} plumline_request;

/**
 * What a program registers: itself. Initialise it with `PLUMLINE_INSTANCE_INIT`. In an update, what is not set stays
 * as it is.
 */
typedef struct {
  /**
   * `sizeof(plumline_instance)`; the initialiser sets it.
   */
  uint32_t size;
  /**
   * The port others reach it at. Required.
   */
  uint16_t port;
  /**
   * 0.
   */
  uint16_t reserved;
  /**
   * The service it offers. Required; in an update not given.
   */
  plumline_str service;
  /**
   * Where others reach it; not given: this machine's address towards the registry.
   */
  plumline_str host;
  /**
   * Not given: `http`.
   */
  plumline_str protocol;
  /**
   * Its version; not given: none.
   */
  plumline_str version;
  /**
   * The zone it runs in; not given: the client's.
   */
  plumline_str zone;
  /**
   * Its id; not given: `{service}-{host}-{port}`.
   */
  plumline_str instance_id;
  /**
   * Its labels, `label_count` of them; in an update NULL leaves them as they are.
   */
  const plumline_field *labels;
  /**
   * How many labels.
   */
  size_t label_count;
  /**
   * Its tags, `tag_count` of them; in an update NULL leaves them as they are.
   */
  const plumline_str *tags;
  /**
   * How many tags.
   */
  size_t tag_count;
  /**
   * How long the registry keeps it without hearing from it, milliseconds; 0: as the settings say.
   */
  uint64_t ttl_ms;
  /**
   * Its share of the traffic; 0: the default, 1; `PLUMLINE_ZERO`: none.
   */
  uint32_t weight;
  /**
   * Whether it wants to be called: `PLUMLINE_YES`, `PLUMLINE_NO`, or `PLUMLINE_DEFAULT`: yes.
   */
  int32_t healthy;
} plumline_instance;

/**
 * Which endpoints of a service are meant; NULL in its place: all. Initialise it with `PLUMLINE_QUERY_INIT`.
 */
typedef struct {
  /**
   * `sizeof(plumline_query)`; the initialiser sets it.
   */
  uint32_t size;
  /**
   * 0.
   */
  uint32_t reserved;
  /**
   * Only of this version; not given: of any.
   */
  plumline_str version;
  /**
   * Only of this protocol; not given: of any.
   */
  plumline_str protocol;
  /**
   * Only with these labels, `label_count` of them.
   */
  const plumline_field *labels;
  /**
   * How many labels.
   */
  size_t label_count;
} plumline_query;

/**
 * Gets one record: its level, `PLUMLINE_LOG_…`, and its line, ended by a NUL, valid until it returns.
 */
typedef void (*plumline_log)(void *user_data, int32_t level, const char *message);

/**
 * All went well.
 */
#define PLUMLINE_OK 0

/**
 * The caller passed something that cannot be right; the message names it and what would be.
 */
#define PLUMLINE_INVALID_ARGUMENT 1

/**
 * The key asked for does not exist (key-value only).
 */
#define PLUMLINE_NOT_FOUND 2

/**
 * No endpoint could be chosen; the message says why.
 */
#define PLUMLINE_NO_ENDPOINT 3

/**
 * The deadline of the call, or of its last attempt, passed.
 */
#define PLUMLINE_TIMEOUT 4

/**
 * No connection, or one that broke.
 */
#define PLUMLINE_UNAVAILABLE 5

/**
 * The service's circuit breaker is open.
 */
#define PLUMLINE_CIRCUIT_OPEN 6

/**
 * A local limit refused the call.
 */
#define PLUMLINE_OVERLOADED 7

/**
 * The other side wants to know who asks.
 */
#define PLUMLINE_UNAUTHENTICATED 8

/**
 * The other side knows who asks, and says no.
 */
#define PLUMLINE_PERMISSION_DENIED 9

/**
 * The answer broke the protocol, its certificate did not verify, or it was larger than `max_body`.
 */
#define PLUMLINE_PROTOCOL 10

/**
 * The caller ended the wait, or one of its callbacks the call.
 */
#define PLUMLINE_CANCELLED 11

/**
 * The client was closed.
 */
#define PLUMLINE_CLOSED 12

/**
 * This registry or endpoint cannot do that.
 */
#define PLUMLINE_UNSUPPORTED 13

/**
 * `plumline_response_raise_for_status()` met a 4xx or 5xx answer.
 */
#define PLUMLINE_STATUS 14

/**
 * A defect of Plumline; please report it.
 */
#define PLUMLINE_INTERNAL 99

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * The version of the library, such as `0.1.0`, ended by a NUL. Valid for ever.
 */
const char *plumline_version(void);

/**
 * `PLUMLINE_ABI_VERSION` as the library has it; the header's may differ, if it is another release's.
 */
uint32_t plumline_abi_version(void);

/**
 * The name of a kind of error, such as `NoEndpoint`, ended by a NUL; `Ok` for `PLUMLINE_OK`, `Unknown` for a number
 * that is none. Valid for ever.
 */
const char *plumline_kind_name(plumline_kind kind);

/**
 * The JSON Schema of the configuration, as JSON, ended by a NUL. Valid for ever.
 */
const char *plumline_config_schema(void);

/**
 * A string of C's own: everything before its NUL. It is borrowed. NULL is a string that is not given.
 */
plumline_str plumline_str_from(const char *text);

/**
 * Makes an error, for a callback to fail with. `kind` is one of the numbers above; another one, and
 * `PLUMLINE_OK`, becomes `PLUMLINE_CANCELLED`. A message that is not valid UTF-8 is replaced by one that says so.
 * Never NULL, short of a defect. Yours to free, unless you hand it over through a callback's `error`.
 */
plumline_error *plumline_error_new(plumline_kind kind,
                                   plumline_str message);

/**
 * Its kind, one of the numbers above; `PLUMLINE_OK` for NULL.
 */
plumline_kind plumline_error_kind(const plumline_error *error);

/**
 * Its one line, ended by a NUL, without line breaks; an empty string for NULL. Valid until the error is freed.
 */
const char *plumline_error_message(const plumline_error *error);

/**
 * The service that was asked for; none if none was.
 */
plumline_str plumline_error_service(const plumline_error *error);

/**
 * The endpoint of the last attempt, or NULL. It belongs to the error.
 */
const plumline_endpoint *plumline_error_endpoint(const plumline_error *error);

/**
 * How many attempts were made before giving up.
 */
uint32_t plumline_error_attempts(const plumline_error *error);

/**
 * Whether the same call could succeed if it were made again, later or elsewhere.
 */
bool plumline_error_is_retryable(const plumline_error *error);

/**
 * How many steps its story has: one for each attempt.
 */
size_t plumline_error_trace_count(const plumline_error *error);

/**
 * What an attempt came to, in order from 0; NULL past the end. It belongs to the error.
 */
const plumline_trace_step *plumline_error_trace_at(const plumline_error *error, size_t index);

/**
 * Frees an error and everything that was borrowed from it. NULL is fine.
 */
void plumline_error_free(plumline_error *error);

/**
 * Where the attempt went.
 */
const plumline_endpoint *plumline_trace_step_endpoint(const plumline_trace_step *step);

/**
 * The status that came back; 0 where none did.
 */
uint16_t plumline_trace_step_status(const plumline_trace_step *step);

/**
 * What kind of failure it was; `PLUMLINE_OK` where a status came back.
 */
plumline_kind plumline_trace_step_kind(const plumline_trace_step *step);

/**
 * The failure in words; none where a status came back.
 */
plumline_str plumline_trace_step_error(const plumline_trace_step *step);

/**
 * How long the attempt took, milliseconds.
 */
double plumline_trace_step_elapsed_ms(const plumline_trace_step *step);

/**
 * How many there are.
 */
size_t plumline_strings_count(const plumline_strings *strings);

/**
 * The string at this index, from 0; none past the end. Valid until the list is freed.
 */
plumline_str plumline_strings_at(const plumline_strings *strings, size_t index);

/**
 * Frees a list and its strings. NULL is fine.
 */
void plumline_strings_free(plumline_strings *strings);

/**
 * Makes an endpoint: to publish, or for the tests of your own code. Yours to free.
 */
plumline_kind plumline_endpoint_new(const plumline_endpoint_fields *fields,
                                    plumline_endpoint **endpoint,
                                    plumline_error **error);

/**
 * The same endpoint once more, yours to free: to keep one that belongs to a list, a pick or a response. NULL for NULL.
 */
plumline_endpoint *plumline_endpoint_clone(const plumline_endpoint *endpoint);

/**
 * Frees an endpoint of your own, made or cloned. Never one that belongs to something else. NULL is fine.
 */
void plumline_endpoint_free(plumline_endpoint *endpoint);

/**
 * Whether two endpoints are equal in everything.
 */
bool plumline_endpoint_equals(const plumline_endpoint *one, const plumline_endpoint *other);

/**
 * `ip:port`, an IPv6 address in brackets.
 */
plumline_str plumline_endpoint_address(const plumline_endpoint *endpoint);

/**
 * The service it belongs to.
 */
plumline_str plumline_endpoint_service(const plumline_endpoint *endpoint);

/**
 * The instance that registered it.
 */
plumline_str plumline_endpoint_instance_id(const plumline_endpoint *endpoint);

/**
 * The machine it runs on, as the registry calls it.
 */
plumline_str plumline_endpoint_node_id(const plumline_endpoint *endpoint);

/**
 * The name or address it was registered under.
 */
plumline_str plumline_endpoint_host(const plumline_endpoint *endpoint);

/**
 * Where it is reached: the host resolved, or the host itself where that is an address.
 */
plumline_str plumline_endpoint_ip(const plumline_endpoint *endpoint);

/**
 * The port.
 */
uint16_t plumline_endpoint_port(const plumline_endpoint *endpoint);

/**
 * `http`, `https`, `grpc`, `tcp`, …
 */
plumline_str plumline_endpoint_protocol(const plumline_endpoint *endpoint);

/**
 * The version it was registered with; empty where there is none.
 */
plumline_str plumline_endpoint_version(const plumline_endpoint *endpoint);

/**
 * The zone it runs in; empty where there is none.
 */
plumline_str plumline_endpoint_zone(const plumline_endpoint *endpoint);

/**
 * The address of the registry that told us, without secrets.
 */
plumline_str plumline_endpoint_source(const plumline_endpoint *endpoint);

/**
 * Random per registration, where the registry carries one: another one means the program was started anew.
 */
plumline_str plumline_endpoint_generation(const plumline_endpoint *endpoint);

/**
 * Its share of the traffic against the others'.
 */
uint32_t plumline_endpoint_weight(const plumline_endpoint *endpoint);

/**
 * Whether the registry reports it as healthy.
 */
bool plumline_endpoint_is_healthy(const plumline_endpoint *endpoint);

/**
 * When the registry last heard of it, unix seconds by the registry's clock; 0 if it does not say.
 */
uint64_t plumline_endpoint_last_seen(const plumline_endpoint *endpoint);

/**
 * How many labels it has.
 */
size_t plumline_endpoint_label_count(const plumline_endpoint *endpoint);

/**
 * The label at this index, sorted by name; both strings are none past the end.
 */
plumline_field plumline_endpoint_label_at(const plumline_endpoint *endpoint, size_t index);

/**
 * The value of a label; none where it is not there.
 */
plumline_str plumline_endpoint_label(const plumline_endpoint *endpoint, plumline_str name);

/**
 * How many endpoints there are.
 */
size_t plumline_endpoints_count(const plumline_endpoints *endpoints);

/**
 * The endpoint at this index, from 0; NULL past the end. It belongs to the list.
 */
const plumline_endpoint *plumline_endpoints_at(const plumline_endpoints *endpoints, size_t index);

/**
 * Frees a list that `plumline_client_discover()` gave you, with its endpoints. NULL is fine.
 */
void plumline_endpoints_free(plumline_endpoints *endpoints);

/**
 * Makes a response: what a transport of your own answers, or for the tests of your own code. `endpoint` may be NULL.
 * Yours to free, unless a transport hands it over.
 */
plumline_kind plumline_response_new(const plumline_response_fields *fields,
                                    const plumline_endpoint *endpoint,
                                    plumline_response **response,
                                    plumline_error **error);

/**
 * Its status, 200 to 599; 0 for NULL.
 */
uint16_t plumline_response_status(const plumline_response *response);

/**
 * Whether the status is 2xx.
 */
bool plumline_response_is_success(const plumline_response *response);

/**
 * The body, decompressed, without a copy. A NUL stands behind it.
 */
plumline_str plumline_response_body(const plumline_response *response);

/**
 * The first header of that name, whatever its case; none where there is no such header.
 */
plumline_str plumline_response_header(const plumline_response *response, plumline_str name);

/**
 * How many headers there are, each of several with the same name by itself.
 */
size_t plumline_response_header_count(const plumline_response *response);

/**
 * The header at this index, in the order in which they came; both strings are none past the end.
 */
plumline_field plumline_response_header_at(const plumline_response *response, size_t index);

/**
 * `PLUMLINE_OK` for an answer below 400; else `PLUMLINE_STATUS`, with an error that tells of it.
 */
plumline_kind plumline_response_raise_for_status(const plumline_response *response,
                                                 plumline_error **error);

/**
 * The service that was asked for.
 */
plumline_str plumline_response_service(const plumline_response *response);

/**
 * The endpoint that answered. It belongs to the response.
 */
const plumline_endpoint *plumline_response_endpoint(const plumline_response *response);

/**
 * How many attempts it took.
 */
uint32_t plumline_response_attempts(const plumline_response *response);

/**
 * How long the whole call took, milliseconds.
 */
double plumline_response_elapsed_ms(const plumline_response *response);

/**
 * How many steps its story has: one for each attempt; the last one is this answer.
 */
size_t plumline_response_trace_count(const plumline_response *response);

/**
 * What an attempt came to, in order from 0; NULL past the end. It belongs to the response.
 */
const plumline_trace_step *plumline_response_trace_at(const plumline_response *response,
                                                      size_t index);

/**
 * Frees a response and everything that was borrowed from it. NULL is fine.
 */
void plumline_response_free(plumline_response *response);

/**
 * `GET`, `POST`, …
 */
plumline_str plumline_outgoing_method(const plumline_outgoing *request);

/**
 * The service that was asked for.
 */
plumline_str plumline_outgoing_service(const plumline_outgoing *request);

/**
 * Path and query, escaped.
 */
plumline_str plumline_outgoing_path(const plumline_outgoing *request);

/**
 * The body; empty where there is none.
 */
plumline_str plumline_outgoing_body(const plumline_outgoing *request);

/**
 * Which attempt this is, from 1.
 */
uint32_t plumline_outgoing_attempt(const plumline_outgoing *request);

/**
 * The first header of that name, whatever its case; none where there is no such header. Host and Content-Length are
 * not among them.
 */
plumline_str plumline_outgoing_header(const plumline_outgoing *request,
                                      plumline_str name);

/**
 * How many headers there are.
 */
size_t plumline_outgoing_header_count(const plumline_outgoing *request);

/**
 * The header at this index; both strings are none past the end.
 */
plumline_field plumline_outgoing_header_at(const plumline_outgoing *request, size_t index);

/**
 * Sets a header, replacing any of that name. Only `on_request` can: elsewhere the request has been sent.
 */
plumline_kind plumline_outgoing_set_header(plumline_outgoing *request,
                                           plumline_str name,
                                           plumline_str value,
                                           plumline_error **error);

/**
 * How many endpoints there are to choose among.
 */
size_t plumline_choice_count(const plumline_choice *choice);

/**
 * The endpoint at this index; NULL past the end. It belongs to the choice.
 */
const plumline_endpoint *plumline_choice_endpoint(const plumline_choice *choice, size_t index);

/**
 * Its calls and picks that have not ended yet.
 */
uint32_t plumline_choice_in_flight(const plumline_choice *choice, size_t index);

/**
 * What a use of it takes, milliseconds (EWMA); below 0 until one has ended.
 */
double plumline_choice_latency_ms(const plumline_choice *choice, size_t index);

/**
 * Whether this call has asked it already.
 */
bool plumline_choice_is_tried(const plumline_choice *choice, size_t index);

/**
 * An empty configuration: everything is as it is by default. Never NULL, short of a defect. Yours to free.
 */
plumline_config *plumline_config_new(void);

/**
 * A configuration from JSON, such as `{"timeout": "2s", "services": {"orders": {"retry": {"attempts": 2}}}}`.
 * Durations are text with a unit, or numbers of seconds. An unknown key, a wrong type or a value out of range is
 * `PLUMLINE_INVALID_ARGUMENT`, naming the key and what would be right. Yours to free.
 */
plumline_kind plumline_config_from_json(plumline_str json,
                                        plumline_config **config,
                                        plumline_error **error);

/**
 * The same configuration once more, callbacks included, yours to free: what is set in one is not set in the other.
 * NULL for NULL.
 */
plumline_config *plumline_config_clone(const plumline_config *config);

/**
 * Sets one value. The key is dotted, such as `retry.attempts`, `headers.X-Team` or `services.orders.timeout`; the
 * value is text, such as `5`, `true`, `800ms` or, for the addresses of several registries, `plum://a:1 plum://b:1`.
 * A duration without a unit is in seconds. An unknown key is refused here, with the one that was probably meant; a
 * wrong value when a client is made, because it may depend on others.
 */
plumline_kind plumline_config_set(const plumline_config *config,
                                  plumline_str key,
                                  plumline_str value,
                                  plumline_error **error);

/**
 * Gives the client code of your own: hooks, a balancer, a transport. Replaces what was given before. The struct is
 * copied; what its `user_data` leads to must live until the client, and every service handle made of it, is freed.
 */
plumline_kind plumline_config_set_callbacks(const plumline_config *config,
                                            const plumline_callbacks *callbacks,
                                            plumline_error **error);

/**
 * Frees a configuration. NULL is fine.
 */
void plumline_config_free(plumline_config *config);

/**
 * The endpoint. It belongs to the pick.
 */
const plumline_endpoint *plumline_pick_endpoint(const plumline_pick *pick);

/**
 * Whether its service's list is older than it should be, because the registry does not answer.
 */
bool plumline_pick_is_stale(const plumline_pick *pick);

/**
 * It went well. Nothing for NULL.
 */
void plumline_pick_success(const plumline_pick *pick);

/**
 * It did not. Nothing for NULL.
 */
void plumline_pick_failure(const plumline_pick *pick);

/**
 * Frees a pick; one that nothing was said of is neutral, and counted in the figures. NULL is fine.
 */
void plumline_pick_free(plumline_pick *pick);

/**
 * The service's name.
 */
plumline_str plumline_service_name(const plumline_service *service);

/**
 * Chooses an endpoint for one use of any protocol, to be reported on. The pick is yours to free.
 */
plumline_kind plumline_service_pick(const plumline_service *service,
                                    plumline_pick **pick,
                                    plumline_error **error);

/**
 * Makes a call, as `plumline_client_call()` does. The request names neither service, version nor labels: they were
 * said when the handle was made. The response is yours to free.
 */
plumline_kind plumline_service_call(const plumline_service *service,
                                    const plumline_request *request,
                                    plumline_response **response,
                                    plumline_error **error);

/**
 * Frees a handle. Its client goes on. NULL is fine.
 */
void plumline_service_free(plumline_service *service);

/**
 * Where it stands: `PLUMLINE_REGISTRATION_…`. `PLUMLINE_REGISTRATION_CLOSED` for NULL.
 */
int32_t plumline_registration_state(const plumline_registration *registration);

/**
 * Where it stands, in a word: `waiting_for_port`, `registering`, `registered`, `unreachable`, `refused` or `closed`.
 */
plumline_str plumline_registration_state_name(const plumline_registration *registration);

/**
 * `host:port` as others see it. Valid until the handle is freed, as are the two below.
 */
plumline_str plumline_registration_address(const plumline_registration *registration);

/**
 * The service it offers.
 */
plumline_str plumline_registration_service(const plumline_registration *registration);

/**
 * Its id.
 */
plumline_str plumline_registration_instance_id(const plumline_registration *registration);

/**
 * What last went wrong, yours to free; NULL once it is registered again.
 */
plumline_error *plumline_registration_last_error(const plumline_registration *registration);

/**
 * Waits until it is registered; fails with what last went wrong if that does not come about within `timeout_ms`
 * milliseconds. Below 0: 10 s.
 */
plumline_kind plumline_registration_wait(const plumline_registration *registration,
                                         int64_t timeout_ms,
                                         plumline_error **error);

/**
 * Changes what is registered, now and after every outage to come. What `instance` does not set stays.
 */
plumline_kind plumline_registration_update(const plumline_registration *registration,
                                           const plumline_instance *instance,
                                           plumline_error **error);

/**
 * Deregisters, within 2 s, then waits `drain_ms` milliseconds for calls that are still on their way. Below 0: as the
 * settings say. Again: does nothing.
 */
plumline_kind plumline_registration_close(const plumline_registration *registration,
                                          int64_t drain_ms,
                                          plumline_error **error);

/**
 * Frees the handle; the instance stays registered unless it was closed. NULL is fine.
 */
void plumline_registration_free(plumline_registration *registration);

/**
 * The next change, yours to free; NULL, with `PLUMLINE_OK`, when `timeout_ms` milliseconds have passed without one.
 * Below 0 it waits for ever. `PLUMLINE_CLOSED` once the watch or its client is closed.
 */
plumline_kind plumline_watch_next(const plumline_watch *watch,
                                  int64_t timeout_ms,
                                  plumline_change **change,
                                  plumline_error **error);

/**
 * Ends it: whoever waits for a change, in whichever thread, gets `PLUMLINE_CLOSED`. Again, and for NULL: does nothing.
 */
void plumline_watch_close(const plumline_watch *watch);

/**
 * Frees a watch, and ends it. Nobody may wait in it any more: close it first. NULL is fine.
 */
void plumline_watch_free(plumline_watch *watch);

/**
 * What happened: `PLUMLINE_CHANGE_…`; 0 for NULL.
 */
int32_t plumline_change_kind(const plumline_change *change);

/**
 * What happened, in a word: `snapshot`, `changed`, `registry_down` or `registry_up`.
 */
plumline_str plumline_change_kind_name(const plumline_change *change);

/**
 * The service it concerns.
 */
plumline_str plumline_change_service(const plumline_change *change);

/**
 * Every endpoint there is now. The list belongs to the change.
 */
const plumline_endpoints *plumline_change_endpoints(const plumline_change *change);

/**
 * Endpoints that were not there before. The list belongs to the change.
 */
const plumline_endpoints *plumline_change_added(const plumline_change *change);

/**
 * Endpoints whose record is another one now. The list belongs to the change.
 */
const plumline_endpoints *plumline_change_updated(const plumline_change *change);

/**
 * Endpoints that are gone. The list belongs to the change.
 */
const plumline_endpoints *plumline_change_removed(const plumline_change *change);

/**
 * Frees a change and its lists. NULL is fine.
 */
void plumline_change_free(plumline_change *change);

/**
 * What was asked.
 */
plumline_str plumline_explanation_query(const plumline_explanation *explanation);

/**
 * One line: how many endpoints are usable, and where the list is from; or why there is none.
 */
plumline_str plumline_explanation_summary(const plumline_explanation *explanation);

/**
 * Where the list is from and how old it is.
 */
plumline_str plumline_explanation_source(const plumline_explanation *explanation);

/**
 * All of it as a table to read, a line each.
 */
plumline_str plumline_explanation_text(const plumline_explanation *explanation);

/**
 * How many endpoints would be called.
 */
size_t plumline_explanation_usable(const plumline_explanation *explanation);

/**
 * How many endpoints are known, usable or not.
 */
size_t plumline_explanation_count(const plumline_explanation *explanation);

/**
 * What is thought of the endpoint at this index; NULL past the end. It belongs to the explanation.
 */
const plumline_verdict *plumline_explanation_at(const plumline_explanation *explanation,
                                                size_t index);

/**
 * Where it is.
 */
plumline_str plumline_verdict_address(const plumline_verdict *verdict);

/**
 * Its record. It belongs to the explanation.
 */
const plumline_endpoint *plumline_verdict_endpoint(const plumline_verdict *verdict);

/**
 * Whether it would be called.
 */
bool plumline_verdict_is_usable(const plumline_verdict *verdict);

/**
 * How many reasons there are against it.
 */
size_t plumline_verdict_reason_count(const plumline_verdict *verdict);

/**
 * Why not, or what speaks against it; none past the end.
 */
plumline_str plumline_verdict_reason_at(const plumline_verdict *verdict, size_t index);

/**
 * What a use of it takes, milliseconds (EWMA); below 0 until one has ended.
 */
double plumline_verdict_ewma_ms(const plumline_verdict *verdict);

/**
 * Share of uses that go well (EWMA), 0 to 1.
 */
double plumline_verdict_success(const plumline_verdict *verdict);

/**
 * Uses of it that have not ended yet.
 */
uint32_t plumline_verdict_in_flight(const plumline_verdict *verdict);

/**
 * Its share of the traffic against the others'.
 */
uint32_t plumline_verdict_weight(const plumline_verdict *verdict);

/**
 * Frees an explanation and everything that was borrowed from it. NULL is fine.
 */
void plumline_explanation_free(plumline_explanation *explanation);

/**
 * All of it, as JSON.
 */
plumline_str plumline_stats_json(const plumline_stats *stats);

/**
 * One figure, by its JSON pointer (RFC 6901), such as `/services/orders/calls` or `/threads`. True is 1, false 0.
 * `PLUMLINE_INVALID_ARGUMENT` where there is no such figure, or it is none yet.
 */
plumline_kind plumline_stats_number(const plumline_stats *stats,
                                    plumline_str pointer,
                                    double *number,
                                    plumline_error **error);

/**
 * Frees figures. NULL is fine.
 */
void plumline_stats_free(plumline_stats *stats);

/**
 * A client of the registry at `address`, such as `plum://127.0.0.1:8080`. Checks everything, opens nothing, and
 * never fails because a registry is away. An empty address, or none, means `config`'s, else the environment's
 * `PLUMLINE_REGISTRY`. `config` may be NULL, and is not needed afterwards. The client is yours to close and free.
 */
plumline_kind plumline_client_new(plumline_str address,
                                  const plumline_config *config,
                                  plumline_client **client,
                                  plumline_error **error);

/**
 * The endpoints of a service that are there and healthy; a service nobody knows has none. `query` narrows them, and
 * may be NULL. The list is yours to free.
 */
plumline_kind plumline_client_discover(const plumline_client *client,
                                       plumline_str service,
                                       const plumline_query *query,
                                       plumline_endpoints **endpoints,
                                       plumline_error **error);

/**
 * Chooses an endpoint for one use of any protocol, to be reported on. `query` narrows the choice, and may be NULL.
 * The pick is yours to free.
 */
plumline_kind plumline_client_pick(const plumline_client *client,
                                   plumline_str service,
                                   const plumline_query *query,
                                   plumline_pick **pick,
                                   plumline_error **error);

/**
 * Makes a call: picks, sends, goes elsewhere if need be, reports. An answer of any status is a response; see
 * `plumline_response_raise_for_status()`. The response is yours to free.
 */
plumline_kind plumline_client_call(const plumline_client *client,
                                   const plumline_request *request,
                                   plumline_response **response,
                                   plumline_error **error);

/**
 * A handle bound to a service, or, with a `query` that is not NULL, to some of its endpoints: the fast path of many
 * calls and picks. The handle is yours to free.
 */
plumline_kind plumline_client_service(const plumline_client *client,
                                      plumline_str service,
                                      const plumline_query *query,
                                      plumline_service **handle,
                                      plumline_error **error);

/**
 * Registers this program, and keeps it registered until the registration or the client is closed, or the process
 * exits in good order. Returns at once while its port does not answer yet, and waits at most 2 s for the registry's
 * word when it does; with the registry away it keeps trying. The handle is yours to free.
 */
plumline_kind plumline_client_register(const plumline_client *client,
                                       const plumline_instance *instance,
                                       plumline_registration **registration,
                                       plumline_error **error);

/**
 * Tells of every change of a service, beginning with what is there. The watch is yours to free.
 */
plumline_kind plumline_client_watch(const plumline_client *client,
                                    plumline_str service,
                                    plumline_watch **watch,
                                    plumline_error **error);

/**
 * Tells of every change of every service, those included that appear later. The watch is yours to free.
 */
plumline_kind plumline_client_watch_all(const plumline_client *client,
                                        plumline_watch **watch,
                                        plumline_error **error);

/**
 * Waits, at most `timeout_ms` milliseconds, until a service has an endpoint: for those who want to start only when
 * it is there. `query` narrows it, and may be NULL.
 */
plumline_kind plumline_client_wait_for(const plumline_client *client,
                                       plumline_str service,
                                       const plumline_query *query,
                                       uint64_t timeout_ms,
                                       plumline_error **error);

/**
 * Says for each endpoint of a service whether it would be called, and why not. `query` narrows it, and may be NULL.
 * The explanation is yours to free.
 */
plumline_kind plumline_client_explain(const plumline_client *client,
                                      plumline_str service,
                                      const plumline_query *query,
                                      plumline_explanation **explanation,
                                      plumline_error **error);

/**
 * The names of every service there is, sorted. The list is yours to free.
 */
plumline_kind plumline_client_services(const plumline_client *client,
                                       plumline_strings **services,
                                       plumline_error **error);

/**
 * Everything that is counted. The figures are yours to free.
 */
plumline_kind plumline_client_stats(const plumline_client *client,
                                    plumline_stats **stats,
                                    plumline_error **error);

/**
 * Says what exists of a service, beside what the registries say: a registry of your own. The endpoints, `count` of
 * them, stay yours.
 */
plumline_kind plumline_client_publish(const plumline_client *client,
                                      plumline_str service,
                                      const plumline_endpoint *const *endpoints,
                                      size_t count,
                                      plumline_error **error);

/**
 * Has every list asked for anew before it is used again; if that fails, the old one still serves.
 */
plumline_kind plumline_client_clear_cache(const plumline_client *client, plumline_error **error);

/**
 * Changes settings while the client lives: those that `changes` sets. The registry, the cache, the registration and
 * callbacks cannot be changed.
 */
plumline_kind plumline_client_configure(const plumline_client *client,
                                        const plumline_config *changes,
                                        plumline_error **error);

/**
 * Deregisters what is registered, ends watches and calls in flight, waits `drain_ms` milliseconds for what is still
 * on its way, and gives back threads and connections. Below 0: as the settings say. Everything afterwards is
 * `PLUMLINE_CLOSED`; closing again does nothing. Other threads may be in the middle of calls.
 */
plumline_kind plumline_client_close(const plumline_client *client,
                                    int64_t drain_ms,
                                    plumline_error **error);

/**
 * Whether it was closed; true for NULL.
 */
bool plumline_client_is_closed(const plumline_client *client);

/**
 * Frees a client, closed or not: one that is not stops its background work without waiting for it, and what it has
 * registered stays registered until the process exits. No thread may be inside it, and none may use it afterwards;
 * that cannot be checked. Services, watches and registrations made of it are freed by themselves. NULL is fine.
 */
void plumline_client_free(plumline_client *client);

/**
 * Hands what has been logged, by any client of this process, to `log`, on this thread, and returns. A thousand
 * records wait at most; later ones are dropped, and counted in a record. A closed client will do.
 */
plumline_kind plumline_client_drain_logs(const plumline_client *client,
                                         plumline_log log,
                                         void *user_data,
                                         plumline_error **error);

/**
 * Waits until something has been logged: for a thread that does nothing but `plumline_client_drain_logs()`. True, or
 * false as soon as no client of this process is open.
 */
bool plumline_wait_logs(void);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

/* Chosen by a balancer: none of them. */
#define PLUMLINE_CHOOSE_NONE SIZE_MAX

/* How to begin: strings from literals, structs with their size. */

#ifdef __cplusplus

#define PLUMLINE_STR(literal) (plumline_str{"" literal "", sizeof(literal) - 1})

/* C++17 has no designated initialisers: a value with its size set and all else zero. */
template <typename Struct>
inline Struct plumline_initialised() {
  Struct value{};
  value.size = static_cast<uint32_t>(sizeof(Struct));
  return value;
}

#define PLUMLINE_INIT_OF(type) (plumline_initialised<type>())

#else

#define PLUMLINE_STR(literal) ((plumline_str){"" literal "", sizeof(literal) - 1})
#define PLUMLINE_INIT_OF(type) {.size = (uint32_t)sizeof(type)}

#endif

#define PLUMLINE_REQUEST_INIT PLUMLINE_INIT_OF(plumline_request)
#define PLUMLINE_QUERY_INIT PLUMLINE_INIT_OF(plumline_query)
#define PLUMLINE_INSTANCE_INIT PLUMLINE_INIT_OF(plumline_instance)
#define PLUMLINE_CALLBACKS_INIT PLUMLINE_INIT_OF(plumline_callbacks)
#define PLUMLINE_ENDPOINT_FIELDS_INIT PLUMLINE_INIT_OF(plumline_endpoint_fields)
#define PLUMLINE_RESPONSE_FIELDS_INIT PLUMLINE_INIT_OF(plumline_response_fields)

#endif  /* PLUMLINE_H */

#include "common.h"

#include <pthread.h>

TEST(call_returns_the_response) {
  plumline_client *plum = client_of_server(NULL);
  plumline_request get = get_of(S("orders"), S("/items/7"));
  plumline_response *reply = NULL;
  OK(plumline_client_call(plum, &get, &reply, &error));
  CHECK(plumline_response_status(reply) == 200 && plumline_response_is_success(reply) == 1);
  CHECK(check_holds(plumline_response_body(reply).data, "GET /items/7 HTTP/1.1\r\n"));
  CHECK(strlen(plumline_response_body(reply).data) == plumline_response_body(reply).len);
  CHECK_STR(plumline_response_service(reply), "orders");
  CHECK(plumline_response_attempts(reply) == 1 && plumline_response_elapsed_ms(reply) > 0);
  CHECK(check_holds(plumline_endpoint_address(plumline_response_endpoint(reply)).data, "127.0.0.1:"));
  CHECK(plumline_response_trace_count(reply) == 1 && plumline_response_trace_at(reply, 1) == NULL);
  const plumline_trace_step *step = plumline_response_trace_at(reply, 0);
  CHECK(plumline_trace_step_status(step) == 200 && plumline_trace_step_kind(step) == PLUMLINE_OK);
  CHECK(plumline_trace_step_error(step).data == NULL && plumline_trace_step_elapsed_ms(step) >= 0);
  CHECK(plumline_endpoint_equals(plumline_trace_step_endpoint(step), plumline_response_endpoint(reply)));
  CHECK(plumline_response_header_count(reply) == 3);
  CHECK_STR(plumline_response_header(reply, S("x-twice")), "1");
  CHECK_STR(plumline_response_header_at(reply, 2).name, "X-Twice");
  CHECK_STR(plumline_response_header_at(reply, 2).value, "2");
  plumline_response_free(reply);
  done_with(plum);
}

TEST(request_fields_are_all_sent) {
  plumline_client *plum = client_of_server(NULL);
  const plumline_field params[] = {{S("q"), S("a b&c")}, {S("q"), S("2")}}, headers[] = {{S("X-Team"), S("fruit")}};
  plumline_request post = get_of(S("orders"), S("/a b"));
  plumline_response *reply = NULL;
  post.method = S("POST");
  post.params = params;
  post.param_count = 2;
  post.headers = headers;
  post.header_count = 1;
  post.json = S("{\"a\":1}");
  post.timeout_ms = 5000;
  post.attempt_timeout_ms = 4000;
  post.attempts = 2;
  post.max_body = 1 << 16;
  post.idempotent = PLUMLINE_YES;
  OK(plumline_client_call(plum, &post, &reply, &error));
  const char *body = plumline_response_body(reply).data;
  CHECK(check_holds(body, "POST /a%20b?q=a%20b%26c&q=2 HTTP/1.1") && check_holds(body, "X-Team: fruit"));
  CHECK(check_holds(body, "application/json") && check_holds(body, "\r\n\r\n{\"a\":1}"));
  plumline_response_free(reply);

  plumline_request form = get_of(S("orders"), S("/"));
  form.method = S("PUT");
  form.form = params;
  form.form_count = 2;
  OK(plumline_client_call(plum, &form, &reply, &error));
  body = plumline_response_body(reply).data;
  CHECK(check_holds(body, "application/x-www-form-urlencoded") && check_holds(body, "\r\n\r\nq=a+b%26c&q=2"));
  plumline_response_free(reply);

  plumline_request bytes = get_of(S("orders"), S("/"));
  bytes.method = S("BREW");
  bytes.content = S("\0\xff!");
  OK(plumline_client_call(plum, &bytes, &reply, &error));
  plumline_str answer = plumline_response_body(reply);
  CHECK(answer.len > 3 && memcmp(answer.data + answer.len - 3, "\0\xff!", 4) == 0);
  plumline_response_free(reply);
  bytes.json = S("{}");
  REFUSED("only one of json, content and form", plumline_client_call(plum, &bytes, &reply, &error));
  done_with(plum);
}

TEST(status_is_no_error_until_raised) {
  plumline_client *plum = client_of_server(NULL);
  plumline_request get = get_of(S("orders"), S("/status/404"));
  plumline_response *reply = NULL;
  OK(plumline_client_call(plum, &get, &reply, &error));
  CHECK(plumline_response_status(reply) == 404 && plumline_response_is_success(reply) == 0);
  FAILS(PLUMLINE_STATUS, "answered 404", plumline_response_raise_for_status(reply, &error));
  plumline_error *error = NULL;
  plumline_response_raise_for_status(reply, &error);
  CHECK_STR(plumline_error_service(error), "orders");
  CHECK(plumline_error_attempts(error) == 1 && plumline_error_is_retryable(error) == 0);
  CHECK(plumline_endpoint_equals(plumline_error_endpoint(error), plumline_response_endpoint(reply)));
  CHECK(plumline_error_trace_count(error) == 1);
  CHECK(plumline_trace_step_status(plumline_error_trace_at(error, 0)) == 404);
  plumline_error_free(error);
  plumline_response_free(reply);
  done_with(plum);
}

TEST(failed_call_has_a_trace) {
  plumline_client *plum = client_of("static://127.0.0.1:1", NULL);
  plumline_request get = get_of(S("orders"), S("/"));
  plumline_response *reply = NULL;
  plumline_error *error = NULL;
  get.attempts = 2;
  CHECK(plumline_client_call(plum, &get, &reply, &error) == PLUMLINE_UNAVAILABLE && reply == NULL);
  CHECK(plumline_error_is_retryable(error) == 1 && plumline_error_attempts(error) == 2);
  CHECK(plumline_error_trace_count(error) == 2);
  const plumline_trace_step *step = plumline_error_trace_at(error, 1);
  CHECK(plumline_trace_step_kind(step) == PLUMLINE_UNAVAILABLE && plumline_trace_step_status(step) == 0);
  CHECK(check_holds(plumline_trace_step_error(step).data, "could not connect"));
  CHECK_STR(plumline_endpoint_address(plumline_trace_step_endpoint(step)), "127.0.0.1:1");
  plumline_error_free(error);
  CHECK(plumline_client_call(plum, &get, &reply, NULL) == PLUMLINE_UNAVAILABLE); /* nobody wants to know why */
  done_with(plum);
}

TEST(call_limits_are_respected) {
  plumline_client *plum = client_of_server(NULL);
  plumline_request get = get_of(S("orders"), S("/hang"));
  plumline_response *reply = NULL;
  get.timeout_ms = 100;
  FAILS(PLUMLINE_TIMEOUT, "", plumline_client_call(plum, &get, &reply, &error));
  get = get_of(S("orders"), S("/big"));
  OK(plumline_client_call(plum, &get, &reply, &error));
  CHECK(plumline_response_body(reply).len == 1 << 20 && plumline_response_body(reply).data[1 << 20] == '\0');
  plumline_response_free(reply);
  get.max_body = 1000;
  FAILS(PLUMLINE_PROTOCOL, "max_body (1000 bytes)", plumline_client_call(plum, &get, &reply, &error));
  get.timeout_ms = PLUMLINE_ZERO_64;
  REFUSED("timeout is 0", plumline_client_call(plum, &get, &reply, &error));
  get.timeout_ms = 0;
  get.attempts = PLUMLINE_ZERO;
  REFUSED("attempts is 0", plumline_client_call(plum, &get, &reply, &error));
  done_with(plum);
}

TEST(bound_service_calls_and_picks) {
  plumline_client *plum = client_of_server(NULL);
  plumline_service *orders = NULL;
  plumline_response *reply = NULL;
  plumline_pick *pick = NULL;
  OK(plumline_client_service(plum, S("orders"), NULL, &orders, &error));
  CHECK_STR(plumline_service_name(orders), "orders");
  plumline_request get = PLUMLINE_REQUEST_INIT;
  get.path = S("/x");
  OK(plumline_service_call(orders, &get, &reply, &error));
  CHECK_STR(plumline_response_service(reply), "orders");
  plumline_response_free(reply);
  OK(plumline_service_pick(orders, &pick, &error));
  plumline_pick_success(pick);
  plumline_pick_free(pick);
  get.service = S("other");
  REFUSED("when the handle is made", plumline_service_call(orders, &get, &reply, &error));
  plumline_service_free(orders);
  done_with(plum);
}

static unsigned before;

static int has_arrived(void *none) {
  (void)none;
  return server_requests() != before;
}

/* Closes the client once its request has arrived. */
static void *close_it(void *client) {
  CHECK(check_until(has_arrived, NULL));
  OK(plumline_client_close((plumline_client *)client, 0, &error));
  return NULL;
}

TEST(close_ends_calls_of_other_threads) {
  before = server_requests();
  plumline_client *plum = client_of_server(NULL);
  plumline_request get = get_of(S("orders"), S("/hang"));
  plumline_response *reply = NULL;
  plumline_service *orders = NULL;
  pthread_t closer;
  OK(plumline_client_service(plum, S("orders"), NULL, &orders, &error));
  CHECK(pthread_create(&closer, NULL, close_it, plum) == 0);
  FAILS(PLUMLINE_CLOSED, "closed", plumline_client_call(plum, &get, &reply, &error));
  pthread_join(closer, NULL);
  CHECK(plumline_client_is_closed(plum) == 1);
  OK(plumline_client_close(plum, -1, &error)); /* again */
  FAILS(PLUMLINE_CLOSED, "closed", plumline_client_call(plum, &get, &reply, &error));
  get = get_of(S(""), S("/"));
  get.service.data = NULL;
  FAILS(PLUMLINE_CLOSED, "closed", plumline_service_call(orders, &get, &reply, &error));
  plumline_client_free(plum);
  FAILS(PLUMLINE_CLOSED, "closed", plumline_service_call(orders, &get, &reply, &error)); /* outlives its client */
  plumline_service_free(orders);
}

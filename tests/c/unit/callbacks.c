#include "common.h"

#include <pthread.h>

/* What the callbacks below do and have seen. */
typedef struct {
  plumline_client *client;
  int closes, fails, calls, attempts;
  plumline_kind fails_with, failure;
  int32_t sends;
  size_t chooses;
  uint16_t status;
  pthread_t thread;
} scene;

static plumline_kind on_request(void *user_data, plumline_outgoing *request, const plumline_endpoint *endpoint,
                                plumline_error **error) {
  scene *it = user_data;
  it->thread = pthread_self();
  it->attempts = (int)plumline_outgoing_attempt(request);
  CHECK(plumline_endpoint_port(endpoint) > 0);
  CHECK_STR(plumline_outgoing_method(request), "POST");
  CHECK_STR(plumline_outgoing_service(request), "orders");
  CHECK_STR(plumline_outgoing_path(request), "/x");
  CHECK_STR(plumline_outgoing_body(request), "{}");
  const plumline_str before = plumline_outgoing_header(request, S("content-type"));
  plumline_error *own = NULL;
  CHECK(plumline_outgoing_set_header(request, S("X-Trace"), S("abc"), &own) == PLUMLINE_OK);
  CHECK_STR(before, "application/json"); /* what was lent stays */
  CHECK_STR(plumline_outgoing_header(request, S("x-trace")), "abc");
  const size_t count = plumline_outgoing_header_count(request);
  CHECK_STR(plumline_outgoing_header_at(request, count - 1).name, "X-Trace");
  CHECK(plumline_outgoing_header_at(request, count).name.data == NULL);
  CHECK(plumline_outgoing_header_at(request, SIZE_MAX).name.data == NULL);
  CHECK(plumline_outgoing_set_header(request, S("X"), S("a\r\nb"), NULL) == PLUMLINE_INVALID_ARGUMENT);
  if (it->closes) plumline_client_close(it->client, 0, NULL);
  if (it->fails) *error = plumline_error_new(it->fails_with, S("not today"));
  return it->fails ? PLUMLINE_CANCELLED : PLUMLINE_OK;
}

static plumline_kind on_response(void *user_data, const plumline_outgoing *request, const plumline_endpoint *endpoint,
                                 const plumline_response *response, const plumline_error *failure,
                                 plumline_error **error) {
  scene *it = user_data;
  (void)request;
  (void)endpoint;
  (void)error;
  it->calls++;
  it->status = plumline_response_status(response);
  it->failure = plumline_error_kind(failure);
  return it->fails ? PLUMLINE_OVERLOADED : PLUMLINE_OK; /* without a word */
}

static int32_t send_it(void *user_data, const plumline_outgoing *request, const plumline_endpoint *endpoint,
                       plumline_response **response, plumline_error **error) {
  scene *it = user_data;
  plumline_response_fields fields = PLUMLINE_RESPONSE_FIELDS_INIT;
  it->calls++;
  fields.status = it->status;
  fields.content = plumline_outgoing_path(request);
  if (it->sends == PLUMLINE_SENT_ANSWERED && it->status != 1)
    CHECK(plumline_response_new(&fields, endpoint, response, NULL) == PLUMLINE_OK);
  if (it->sends != PLUMLINE_SENT_ANSWERED) *error = plumline_error_new(PLUMLINE_OVERLOADED, S("the stub said so"));
  return it->sends;
}

static plumline_kind choose(void *user_data, const plumline_choice *choice, size_t *index, plumline_error **error) {
  scene *it = user_data;
  it->calls++;
  CHECK(plumline_choice_count(choice) == 2 && plumline_choice_endpoint(choice, 2) == NULL);
  CHECK(plumline_choice_in_flight(choice, 0) == 0 && plumline_choice_is_tried(choice, 0) == 0);
  CHECK(plumline_choice_latency_ms(choice, 2) < 0 && plumline_choice_latency_ms(choice, 1) < 0);
  *index = it->chooses;
  if (it->fails) *error = plumline_error_new(PLUMLINE_PERMISSION_DENIED, S("none of these"));
  return it->fails ? PLUMLINE_CANCELLED : PLUMLINE_OK;
}

static plumline_config *config_of(plumline_callbacks callbacks) {
  plumline_config *config = plumline_config_new();
  OK(plumline_config_set_callbacks(config, &callbacks, &error));
  return config;
}

static plumline_request post(void) {
  plumline_request post = get_of(S("orders"), S("/x"));
  post.method = S("POST");
  post.json = S("{}");
  return post;
}

TEST(hooks_run_for_each_attempt_on_callers_thread) {
  scene it = {0};
  plumline_callbacks callbacks = PLUMLINE_CALLBACKS_INIT;
  callbacks.user_data = &it;
  callbacks.on_request = on_request;
  callbacks.on_response = on_response;
  plumline_config *config = config_of(callbacks);
  plumline_client *plum = client_of_server(config);
  plumline_config_free(config);
  plumline_request request = post();
  plumline_response *reply = NULL;
  OK(plumline_client_call(plum, &request, &reply, &error));
  CHECK(check_holds(plumline_response_body(reply).data, "X-Trace: abc"));
  CHECK(it.attempts == 1 && it.calls == 1 && it.status == 200 && it.failure == PLUMLINE_OK);
  CHECK(pthread_equal(it.thread, pthread_self()));
  plumline_response_free(reply);

  it.fails = 1; /* the call fails with it, and the client lives on */
  it.fails_with = PLUMLINE_PERMISSION_DENIED;
  FAILS(PLUMLINE_PERMISSION_DENIED, "not today", plumline_client_call(plum, &request, &reply, &error));
  CHECK(reply == NULL);
  it.fails = 0;
  OK(plumline_client_call(plum, &request, &reply, &error));
  plumline_response_free(reply);

  it.client = plum;
  it.closes = 1; /* a callback that closes the client is fine; the call it stands in ends as it ends */
  const plumline_kind ended = plumline_client_call(plum, &request, &reply, NULL);
  CHECK(ended == PLUMLINE_OK || ended == PLUMLINE_CLOSED);
  plumline_response_free(reply);
  CHECK(plumline_client_is_closed(plum) == 1);
  FAILS(PLUMLINE_CLOSED, "closed", plumline_client_call(plum, &request, &reply, &error));
  plumline_client_free(plum);
}

TEST(callback_failing_without_error_is_named) {
  scene it = {0};
  plumline_callbacks callbacks = PLUMLINE_CALLBACKS_INIT;
  callbacks.user_data = &it;
  callbacks.on_response = on_response;
  plumline_config *config = config_of(callbacks);
  plumline_client *plum = client_of("static://127.0.0.1:1", config);
  plumline_config_free(config);
  plumline_request request = post();
  plumline_response *reply = NULL;
  CHECK(plumline_client_call(plum, &request, &reply, NULL) == PLUMLINE_UNAVAILABLE);
  CHECK(it.failure == PLUMLINE_UNAVAILABLE && it.status == 0);
  it.fails = 1;
  FAILS(PLUMLINE_OVERLOADED, "on_response returned 7", plumline_client_call(plum, &request, &reply, &error));
  done_with(plum);
}

TEST(transport_stub_replaces_the_network) {
  scene it = {0};
  plumline_callbacks callbacks = PLUMLINE_CALLBACKS_INIT;
  callbacks.user_data = &it;
  callbacks.send = send_it;
  plumline_config *config = config_of(callbacks);
  plumline_client *plum = client_of("static://a:1,b:1", config);
  plumline_config_free(config);
  plumline_request get = get_of(S("orders"), S("/y"));
  plumline_response *reply = NULL;
  it.status = 202;
  OK(plumline_client_call(plum, &get, &reply, &error));
  CHECK(plumline_response_status(reply) == 202 && it.calls == 1);
  CHECK_STR(plumline_response_body(reply), "/y");
  plumline_response_free(reply);
  it.sends = PLUMLINE_SENT_REFUSED; /* goes on around it: the other one is asked, too */
  get.attempts = 2;
  FAILS(PLUMLINE_UNAVAILABLE, "the stub said so", plumline_client_call(plum, &get, &reply, &error));
  CHECK(it.calls >= 3);
  it.sends = PLUMLINE_SENT_RESET;
  FAILS(PLUMLINE_UNAVAILABLE, "the stub said so", plumline_client_call(plum, &get, &reply, &error));
  it.sends = PLUMLINE_SENT_TIMEOUT;
  FAILS(PLUMLINE_TIMEOUT, "in time", plumline_client_call(plum, &get, &reply, &error));
  it.calls = 0;
  it.sends = PLUMLINE_SENT_FAILED;
  FAILS(PLUMLINE_OVERLOADED, "the stub said so", plumline_client_call(plum, &get, &reply, &error));
  CHECK(it.calls == 1);
  it.sends = 77;
  FAILS(PLUMLINE_OVERLOADED, "the stub said so", plumline_client_call(plum, &get, &reply, &error));
  it.sends = PLUMLINE_SENT_ANSWERED;
  it.status = 1;
  REFUSED("without a response", plumline_client_call(plum, &get, &reply, &error));
  done_with(plum);
}

TEST(custom_balancer_chooses) {
  scene it = {0}, own = {0};
  plumline_service_balancer of_billing = {S("billing"), choose, &own};
  plumline_callbacks callbacks = PLUMLINE_CALLBACKS_INIT;
  callbacks.user_data = &it;
  callbacks.choose = choose;
  callbacks.balancers = &of_billing;
  callbacks.balancer_count = 1;
  plumline_config *config = config_of(callbacks);
  plumline_client *plum = client_of("static://10.0.0.1:1,10.0.0.2:1", config);
  plumline_config_free(config);
  plumline_pick *pick = NULL;
  own.chooses = 1;
  OK(plumline_client_pick(plum, S("orders"), NULL, &pick, &error));
  CHECK(it.calls == 1 && own.calls == 0);
  plumline_pick_free(pick);
  OK(plumline_client_pick(plum, S("billing"), NULL, &pick, &error));
  CHECK(it.calls == 1 && own.calls == 1);
  plumline_pick_free(pick);
  it.chooses = 2;
  CHECK(plumline_client_pick(plum, S("orders"), NULL, &pick, NULL) != PLUMLINE_OK); /* there is no such index */
  it.chooses = PLUMLINE_CHOOSE_NONE;
  CHECK(plumline_client_pick(plum, S("orders"), NULL, &pick, NULL) != PLUMLINE_OK);
  it.fails = 1;
  FAILS(PLUMLINE_PERMISSION_DENIED, "none of these", plumline_client_pick(plum, S("orders"), NULL, &pick, &error));
  it.fails = 0;
  it.chooses = 0;
  OK(plumline_client_pick(plum, S("orders"), NULL, &pick, &error));
  plumline_pick_free(pick);
  done_with(plum);

  config = plumline_config_new();
  of_billing.choose = NULL;
  REFUSED("balancer of \"billing\" is NULL", plumline_config_set_callbacks(config, &callbacks, &error));
  plumline_config_free(config);
}

static void keep_log(void *user_data, int32_t level, const char *message) {
  CHECK(level >= PLUMLINE_LOG_DEBUG && level <= PLUMLINE_LOG_ERROR && strlen(message) > 0);
  ++*(int *)user_data;
}

TEST(logs_are_queued_until_drained) {
  int records = 0;
  plumline_client *plum = client_of("plum://127.0.0.1:1", NULL);
  plumline_registration *me = NULL;
  plumline_instance instance = PLUMLINE_INSTANCE_INIT;
  instance.service = S("orders");
  instance.host = S("127.0.0.1");
  instance.port = server_start();
  OK(plumline_client_register(plum, &instance, &me, &error));
  CHECK(plumline_wait_logs() == 1); /* that the registry is away */
  OK(plumline_client_drain_logs(plum, keep_log, &records, &error));
  CHECK(records > 0);
  plumline_registration_free(me);
  REFUSED("log is NULL", plumline_client_drain_logs(plum, NULL, NULL, &error));
  OK(plumline_client_close(plum, 0, &error));
  OK(plumline_client_drain_logs(plum, keep_log, &records, &error)); /* a closed client will do */
  CHECK(plumline_wait_logs() == 0); /* nobody is left to log anything */
  plumline_client_free(plum);
}

/* Whatever comes in wrong is named, and nothing else happens. */
#include "common.h"

#include <stddef.h>
#include <stdint.h>

TEST(null_object_is_named) {
  plumline_endpoints *endpoints = NULL;
  plumline_response *reply = NULL;
  plumline_pick *pick = NULL;
  plumline_service *service = NULL;
  plumline_watch *watch = NULL;
  plumline_change *change = NULL;
  plumline_registration *me = NULL;
  plumline_explanation *why = NULL;
  plumline_strings *strings = NULL;
  plumline_stats *stats = NULL;
  plumline_request get = get_of(S("orders"), S("/"));
  plumline_instance instance = PLUMLINE_INSTANCE_INIT;
  double number;
  REFUSED("client is NULL", plumline_client_discover(NULL, S("s"), NULL, &endpoints, &error));
  REFUSED("client is NULL", plumline_client_pick(NULL, S("s"), NULL, &pick, &error));
  REFUSED("client is NULL", plumline_client_call(NULL, &get, &reply, &error));
  REFUSED("client is NULL", plumline_client_service(NULL, S("s"), NULL, &service, &error));
  REFUSED("client is NULL", plumline_client_register(NULL, &instance, &me, &error));
  REFUSED("client is NULL", plumline_client_watch(NULL, S("s"), &watch, &error));
  REFUSED("client is NULL", plumline_client_watch_all(NULL, &watch, &error));
  REFUSED("client is NULL", plumline_client_wait_for(NULL, S("s"), NULL, 1, &error));
  REFUSED("client is NULL", plumline_client_explain(NULL, S("s"), NULL, &why, &error));
  REFUSED("client is NULL", plumline_client_services(NULL, &strings, &error));
  REFUSED("client is NULL", plumline_client_stats(NULL, &stats, &error));
  REFUSED("client is NULL", plumline_client_publish(NULL, S("s"), NULL, 0, &error));
  REFUSED("client is NULL", plumline_client_clear_cache(NULL, &error));
  REFUSED("client is NULL", plumline_client_configure(NULL, NULL, &error));
  REFUSED("client is NULL", plumline_client_close(NULL, 0, &error));
  REFUSED("client is NULL", plumline_client_drain_logs(NULL, NULL, NULL, &error));
  REFUSED("service is NULL", plumline_service_pick(NULL, &pick, &error));
  REFUSED("service is NULL", plumline_service_call(NULL, &get, &reply, &error));
  REFUSED("watch is NULL", plumline_watch_next(NULL, 0, &change, &error));
  REFUSED("registration is NULL", plumline_registration_wait(NULL, 0, &error));
  REFUSED("registration is NULL", plumline_registration_update(NULL, &instance, &error));
  REFUSED("registration is NULL", plumline_registration_close(NULL, 0, &error));
  REFUSED("response is NULL", plumline_response_raise_for_status(NULL, &error));
  REFUSED("stats is NULL", plumline_stats_number(NULL, S("/x"), &number, &error));
  REFUSED("config is NULL", plumline_config_set(NULL, S("timeout"), S("1s"), &error));
  REFUSED("config is NULL", plumline_config_set_callbacks(NULL, NULL, &error));
  REFUSED("request is NULL", plumline_outgoing_set_header(NULL, S("A"), S("b"), &error));
  plumline_endpoint *endpoint = NULL;
  REFUSED("fields is NULL", plumline_endpoint_new(NULL, &endpoint, &error));
  REFUSED("fields is NULL", plumline_response_new(NULL, NULL, &reply, &error));
}

TEST(null_result_pointer_is_named) {
  plumline_client *plum = client_of("static://10.0.0.1:1", NULL);
  plumline_request get = get_of(S("orders"), S("/"));
  plumline_stats *stats = NULL;
  REFUSED("client is NULL", plumline_client_new(S("memory://"), NULL, NULL, &error));
  REFUSED("endpoints is NULL", plumline_client_discover(plum, S("s"), NULL, NULL, &error));
  REFUSED("pick is NULL", plumline_client_pick(plum, S("s"), NULL, NULL, &error));
  REFUSED("response is NULL", plumline_client_call(plum, &get, NULL, &error));
  REFUSED("handle is NULL", plumline_client_service(plum, S("s"), NULL, NULL, &error));
  REFUSED("watch is NULL", plumline_client_watch(plum, S("s"), NULL, &error));
  REFUSED("config is NULL", plumline_config_from_json(S("{}"), NULL, &error));
  OK(plumline_client_stats(plum, &stats, &error));
  REFUSED("number is NULL", plumline_stats_number(stats, S("/threads"), NULL, &error));
  plumline_stats_free(stats);
  done_with(plum);
}

TEST(null_getters_return_empty_and_free_accepts_null) {
  CHECK(plumline_response_status(NULL) == 0 && plumline_response_body(NULL).data == NULL);
  CHECK(plumline_response_is_success(NULL) == 0 && plumline_response_header(NULL, S("x")).data == NULL);
  CHECK(plumline_response_header_count(NULL) == 0 && plumline_response_header_at(NULL, 0).name.data == NULL);
  CHECK(plumline_response_service(NULL).data == NULL && plumline_response_endpoint(NULL) == NULL);
  CHECK(plumline_response_attempts(NULL) == 0 && plumline_response_elapsed_ms(NULL) == 0);
  CHECK(plumline_response_trace_count(NULL) == 0 && plumline_response_trace_at(NULL, 0) == NULL);
  CHECK(plumline_trace_step_endpoint(NULL) == NULL && plumline_trace_step_status(NULL) == 0);
  CHECK(plumline_trace_step_kind(NULL) == 0 && plumline_trace_step_error(NULL).data == NULL);
  CHECK(plumline_trace_step_elapsed_ms(NULL) == 0);
  CHECK(plumline_error_kind(NULL) == PLUMLINE_OK && plumline_error_message(NULL)[0] == '\0');
  CHECK(plumline_error_service(NULL).data == NULL && plumline_error_endpoint(NULL) == NULL);
  CHECK(plumline_error_attempts(NULL) == 0 && plumline_error_is_retryable(NULL) == 0);
  CHECK(plumline_error_trace_count(NULL) == 0 && plumline_error_trace_at(NULL, 0) == NULL);
  CHECK(plumline_endpoint_address(NULL).data == NULL && plumline_endpoint_port(NULL) == 0);
  CHECK(plumline_endpoint_weight(NULL) == 0 && plumline_endpoint_is_healthy(NULL) == 0);
  CHECK(plumline_endpoint_last_seen(NULL) == 0 && plumline_endpoint_label_count(NULL) == 0);
  CHECK(plumline_endpoint_label_at(NULL, 0).name.data == NULL && plumline_endpoint_label(NULL, S("x")).data == NULL);
  CHECK(plumline_endpoint_clone(NULL) == NULL && plumline_endpoint_equals(NULL, NULL) == 1);
  CHECK(plumline_endpoints_count(NULL) == 0 && plumline_endpoints_at(NULL, 0) == NULL);
  CHECK(plumline_strings_count(NULL) == 0 && plumline_strings_at(NULL, 0).data == NULL);
  CHECK(plumline_pick_endpoint(NULL) == NULL && plumline_pick_is_stale(NULL) == 0);
  CHECK(plumline_service_name(NULL).data == NULL && plumline_client_is_closed(NULL) == 1);
  CHECK(plumline_registration_state(NULL) == PLUMLINE_REGISTRATION_CLOSED);
  CHECK_STR(plumline_registration_state_name(NULL), "closed");
  CHECK(plumline_registration_address(NULL).data == NULL && plumline_registration_service(NULL).data == NULL);
  CHECK(plumline_registration_instance_id(NULL).data == NULL && plumline_registration_last_error(NULL) == NULL);
  CHECK(plumline_change_kind(NULL) == 0 && plumline_change_kind_name(NULL).data == NULL);
  CHECK(plumline_change_service(NULL).data == NULL && plumline_change_endpoints(NULL) == NULL);
  CHECK(!plumline_change_added(NULL) && !plumline_change_updated(NULL) && !plumline_change_removed(NULL));
  CHECK(plumline_explanation_text(NULL).data == NULL && plumline_explanation_at(NULL, 0) == NULL);
  CHECK(plumline_explanation_usable(NULL) == 0 && plumline_explanation_count(NULL) == 0);
  CHECK(plumline_verdict_address(NULL).data == NULL && plumline_verdict_endpoint(NULL) == NULL);
  CHECK(plumline_verdict_ewma_ms(NULL) < 0 && plumline_verdict_reason_at(NULL, 0).data == NULL);
  CHECK(plumline_stats_json(NULL).data == NULL && plumline_outgoing_method(NULL).data == NULL);
  CHECK(plumline_outgoing_attempt(NULL) == 0 && plumline_outgoing_header_count(NULL) == 0);
  CHECK(plumline_choice_count(NULL) == 0 && plumline_choice_endpoint(NULL, 0) == NULL);
  CHECK(plumline_choice_in_flight(NULL, 0) == 0 && plumline_choice_is_tried(NULL, 0) == 0);
  plumline_pick_success(NULL);
  plumline_pick_failure(NULL);
  plumline_watch_close(NULL);
  plumline_client_free(NULL);
  plumline_config_free(NULL);
  plumline_response_free(NULL);
  plumline_error_free(NULL);
  plumline_endpoint_free(NULL);
  plumline_endpoints_free(NULL);
  plumline_strings_free(NULL);
  plumline_pick_free(NULL);
  plumline_service_free(NULL);
  plumline_registration_free(NULL);
  plumline_watch_free(NULL);
  plumline_change_free(NULL);
  plumline_explanation_free(NULL);
  plumline_stats_free(NULL);
}

TEST(invalid_utf8_names_its_argument) {
  plumline_client *plum = client_of("static://10.0.0.1:1", NULL), *none = NULL;
  plumline_endpoints *endpoints = NULL;
  plumline_response *reply = NULL;
  plumline_registration *me = NULL;
  const plumline_str broken = S("ab\xff");
  const plumline_field field = {S("X-A"), broken};
  plumline_request get = get_of(broken, S("/"));
  REFUSED("address is not valid UTF-8, from byte 2 on", plumline_client_new(broken, NULL, &none, &error));
  REFUSED("service is not valid UTF-8", plumline_client_discover(plum, broken, NULL, &endpoints, &error));
  REFUSED("service is not valid UTF-8", plumline_client_call(plum, &get, &reply, &error));
  get = get_of(S("orders"), broken);
  REFUSED("path is not valid UTF-8", plumline_client_call(plum, &get, &reply, &error));
  get = get_of(S("orders"), S("/"));
  get.method = broken;
  REFUSED("method is not valid UTF-8", plumline_client_call(plum, &get, &reply, &error));
  get.method = S("GET");
  get.headers = &field;
  get.header_count = 1;
  REFUSED("headers \"X-A\" is not valid UTF-8", plumline_client_call(plum, &get, &reply, &error));
  get.header_count = 0;
  get.json = broken;
  REFUSED("json is not valid UTF-8", plumline_client_call(plum, &get, &reply, &error));
  plumline_instance instance = PLUMLINE_INSTANCE_INIT;
  instance.service = S("orders");
  instance.port = 80;
  instance.tags = &broken;
  instance.tag_count = 1;
  REFUSED("a tag is not valid UTF-8", plumline_client_register(plum, &instance, &me, &error));
  done_with(plum);
}

TEST(rejects_impossible_lengths) {
  plumline_client *plum = client_of("static://10.0.0.1:1", NULL);
  plumline_endpoints *endpoints = NULL;
  plumline_response *reply = NULL;
  plumline_str huge = S("orders");
  huge.len = SIZE_MAX;
  REFUSED("the length of service is", plumline_client_discover(plum, huge, NULL, &endpoints, &error));
  huge.len = (size_t)PTRDIFF_MAX + 1;
  REFUSED("the length of service is", plumline_client_discover(plum, huge, NULL, &endpoints, &error));
  huge.data = NULL;
  huge.len = 6;
  REFUSED("service is NULL, but its length is 6", plumline_client_discover(plum, huge, NULL, &endpoints, &error));
  const plumline_field field = {S("a"), S("b")};
  plumline_request get = get_of(S("orders"), S("/"));
  get.headers = &field;
  get.header_count = SIZE_MAX / 8;
  REFUSED("the length of headers is", plumline_client_call(plum, &get, &reply, &error));
  get.headers = (const plumline_field *)(const void *)((const char *)&field + 1);
  get.header_count = 1;
  REFUSED("headers is not aligned", plumline_client_call(plum, &get, &reply, &error));
  get.headers = NULL;
  REFUSED("headers is NULL, but its length is 1", plumline_client_call(plum, &get, &reply, &error));
  const plumline_endpoint *none = NULL;
  REFUSED("one of endpoints is NULL", plumline_client_publish(plum, S("s"), &none, 1, &error));
  done_with(plum);
}

TEST(struct_of_older_header_gets_defaults) {
  plumline_client *plum = client_of_server(NULL);
  plumline_response *reply = NULL;
  plumline_request get = get_of(S("orders"), S("/old"));
  get.attempts = PLUMLINE_ZERO; /* beyond what the older header knew: not looked at */
  get.size = (uint32_t)offsetof(plumline_request, params);
  OK(plumline_client_call(plum, &get, &reply, &error));
  CHECK(check_holds(plumline_response_body(reply).data, "GET /old "));
  plumline_response_free(reply);
  done_with(plum);
}

TEST(struct_of_newer_header_is_accepted_if_zero) {
  plumline_client *plum = client_of_server(NULL);
  plumline_response *reply = NULL;
  struct {
    plumline_request known;
    uint64_t news[2];
  } newer = {get_of(S("orders"), S("/new")), {0, 0}};
  newer.known.size = (uint32_t)sizeof newer;
  OK(plumline_client_call(plum, &newer.known, &reply, &error));
  plumline_response_free(reply);
  newer.news[1] = 1;
  REFUSED("says something that this version of the library", plumline_client_call(plum, &newer.known, &reply, &error));
  done_with(plum);
}

TEST(rejects_struct_size_zero) {
  plumline_client *plum = client_of("static://10.0.0.1:1", NULL);
  plumline_response *reply = NULL;
  plumline_registration *me = NULL;
  plumline_endpoints *endpoints = NULL;
  plumline_request get = get_of(S("orders"), S("/"));
  const uint32_t wrong[] = {0, 4, 7, 13, 100000, UINT32_MAX};
  for (size_t index = 0; index < sizeof wrong / sizeof *wrong; ++index) {
    get.size = wrong[index];
    REFUSED("initialise it with PLUMLINE_REQUEST_INIT", plumline_client_call(plum, &get, &reply, &error));
  }
  plumline_instance instance = {0};
  REFUSED("PLUMLINE_INSTANCE_INIT", plumline_client_register(plum, &instance, &me, &error));
  plumline_query query = {0};
  REFUSED("PLUMLINE_QUERY_INIT", plumline_client_discover(plum, S("s"), &query, &endpoints, &error));
  plumline_callbacks callbacks = {0};
  plumline_config *config = plumline_config_new();
  REFUSED("PLUMLINE_CALLBACKS_INIT", plumline_config_set_callbacks(config, &callbacks, &error));
  plumline_config_free(config);
  REFUSED("request is NULL", plumline_client_call(plum, NULL, &reply, &error));
  done_with(plum);
}

TEST(rejects_crlf_and_nul) {
  plumline_client *plum = client_of("static://10.0.0.1:1", NULL);
  plumline_response *reply = NULL;
  const plumline_field evil = {S("X"), S("a\r\nHost: evil")};
  plumline_request get = get_of(S("orders"), S("nope"));
  REFUSED("must begin with /", plumline_client_call(plum, &get, &reply, &error));
  get.path = S("/a\0b");
  REFUSED("control character", plumline_client_call(plum, &get, &reply, &error));
  get.path = S("/");
  get.headers = &evil;
  get.header_count = 1;
  REFUSED("header X", plumline_client_call(plum, &get, &reply, &error));
  get = get_of(S(""), S("/"));
  REFUSED("service name is empty", plumline_client_call(plum, &get, &reply, &error));
  get = get_of(S("orders"), S("/"));
  get.idempotent = 3;
  REFUSED("idempotent is 3", plumline_client_call(plum, &get, &reply, &error));
  done_with(plum);
}

#include "common.h"

TEST(versions_are_returned) {
  CHECK(plumline_abi_version() == PLUMLINE_ABI_VERSION);
  CHECK(strlen(plumline_version()) >= 5);
}

TEST(kinds_have_names) {
  CHECK(strcmp(plumline_kind_name(PLUMLINE_OK), "Ok") == 0);
  CHECK(strcmp(plumline_kind_name(PLUMLINE_NO_ENDPOINT), "NoEndpoint") == 0);
  CHECK(strcmp(plumline_kind_name(PLUMLINE_INTERNAL), "Internal") == 0);
  CHECK(strcmp(plumline_kind_name(77), "Unknown") == 0);
}

TEST(schema_is_json_with_all_keys) {
  CHECK(plumline_config_schema()[0] == '{');
  CHECK(check_holds(plumline_config_schema(), "\"attempt_timeout\""));
}

TEST(strings_have_their_length) {
  CHECK(plumline_str_from("orders").len == 6);
  CHECK(plumline_str_from(NULL).data == NULL && plumline_str_from(NULL).len == 0);
  CHECK(S("orders").len == 6 && S("").len == 0 && S("").data != NULL);
}

TEST(errors_are_created_and_read) {
  plumline_error *error = plumline_error_new(PLUMLINE_UNAVAILABLE, S("gone\nfor good"));
  CHECK(plumline_error_kind(error) == PLUMLINE_UNAVAILABLE);
  CHECK(strcmp(plumline_error_message(error), "gone for good") == 0);
  CHECK(plumline_error_is_retryable(error) == 1 && plumline_error_attempts(error) == 0);
  CHECK(plumline_error_service(error).data == NULL && plumline_error_endpoint(error) == NULL);
  CHECK(plumline_error_trace_count(error) == 0 && plumline_error_trace_at(error, 0) == NULL);
  plumline_error_free(error);

  error = plumline_error_new(4711, S("odd"));
  CHECK(plumline_error_kind(error) == PLUMLINE_CANCELLED);
  plumline_error_free(error);
  error = plumline_error_new(PLUMLINE_TIMEOUT, S("\xff"));
  CHECK(check_holds(plumline_error_message(error), "message is not valid UTF-8"));
  plumline_error_free(error);
}

TEST(endpoints_are_created_compared_and_read) {
  const plumline_field labels[] = {{S("zeta"), S("1")}, {S("env"), S("test")}};
  plumline_endpoint_fields fields = PLUMLINE_ENDPOINT_FIELDS_INIT;
  fields.service = S("orders");
  fields.host = S("shop.example");
  fields.ip = S("::1");
  fields.port = 8080;
  fields.version = S("v2");
  fields.zone = S("eu");
  fields.node_id = S("node");
  fields.source = S("me");
  fields.generation = S("g");
  fields.labels = labels;
  fields.label_count = 2;
  fields.weight = PLUMLINE_ZERO;
  fields.last_seen = 7;
  fields.unhealthy = 1;
  plumline_endpoint *endpoint = NULL;
  OK(plumline_endpoint_new(&fields, &endpoint, &error));
  CHECK_STR(plumline_endpoint_address(endpoint), "[::1]:8080");
  CHECK_STR(plumline_endpoint_service(endpoint), "orders");
  CHECK_STR(plumline_endpoint_instance_id(endpoint), "orders-shop.example-8080");
  CHECK_STR(plumline_endpoint_node_id(endpoint), "node");
  CHECK_STR(plumline_endpoint_host(endpoint), "shop.example");
  CHECK_STR(plumline_endpoint_ip(endpoint), "::1");
  CHECK_STR(plumline_endpoint_protocol(endpoint), "http");
  CHECK_STR(plumline_endpoint_version(endpoint), "v2");
  CHECK_STR(plumline_endpoint_zone(endpoint), "eu");
  CHECK_STR(plumline_endpoint_source(endpoint), "me");
  CHECK_STR(plumline_endpoint_generation(endpoint), "g");
  CHECK(plumline_endpoint_port(endpoint) == 8080 && plumline_endpoint_weight(endpoint) == 0);
  CHECK(plumline_endpoint_last_seen(endpoint) == 7 && plumline_endpoint_is_healthy(endpoint) == 0);
  CHECK(plumline_endpoint_label_count(endpoint) == 2);
  CHECK_STR(plumline_endpoint_label_at(endpoint, 0).name, "env");
  CHECK_STR(plumline_endpoint_label_at(endpoint, 1).value, "1");
  CHECK(plumline_endpoint_label_at(endpoint, 2).name.data == NULL);
  CHECK(plumline_endpoint_label_at(endpoint, SIZE_MAX).name.data == NULL);
  CHECK(plumline_endpoint_label_at(endpoint, SIZE_MAX / 2).value.data == NULL);
  CHECK_STR(plumline_endpoint_label(endpoint, S("env")), "test");
  CHECK(plumline_endpoint_label(endpoint, S("none")).data == NULL);

  plumline_endpoint *copy = plumline_endpoint_clone(endpoint);
  CHECK(plumline_endpoint_equals(endpoint, copy) == 1);
  plumline_endpoint_free(copy);
  fields.weight = 0;
  OK(plumline_endpoint_new(&fields, &copy, &error));
  CHECK(plumline_endpoint_weight(copy) == 1 && plumline_endpoint_equals(endpoint, copy) == 0);
  plumline_endpoint_free(copy);
  plumline_endpoint_free(endpoint);
  fields.ip = S("nowhere");
  REFUSED("\"nowhere\" is not an IP address", plumline_endpoint_new(&fields, &copy, &error));
}

TEST(responses_are_created_for_tests) {
  const plumline_field headers[] = {{S("X-A"), S("1")}, {S("x-a"), S("2")}};
  plumline_response_fields fields = PLUMLINE_RESPONSE_FIELDS_INIT;
  plumline_response *response = NULL;
  fields.headers = headers;
  fields.header_count = 2;
  fields.json = S("{\"id\":7}");
  OK(plumline_response_new(&fields, NULL, &response, &error));
  CHECK(plumline_response_status(response) == 200 && plumline_response_is_success(response) == 1);
  CHECK_STR(plumline_response_body(response), "{\"id\":7}");
  CHECK(plumline_response_header_count(response) == 3);
  CHECK_STR(plumline_response_header(response, S("X-a")), "1");
  CHECK_STR(plumline_response_header_at(response, 1).value, "2");
  CHECK_STR(plumline_response_header(response, S("content-type")), "application/json");
  CHECK(plumline_response_header(response, S("none")).data == NULL);
  CHECK(plumline_response_header_at(response, 3).name.data == NULL);
  OK(plumline_response_raise_for_status(response, &error));
  plumline_response_free(response);

  fields.content = S("too much");
  REFUSED("only one of json and content", plumline_response_new(&fields, NULL, &response, &error));
  fields.json = fields.content;
  fields.content.data = NULL;
  fields.content.len = 0;
  fields.status = 99;
  REFUSED("status is 99", plumline_response_new(&fields, NULL, &response, &error));
  CHECK(response == NULL);
}

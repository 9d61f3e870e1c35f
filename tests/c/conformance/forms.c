/* What came of an operation, in the normal forms. */
#include "runner.h"

#include <stdlib.h>
#include <string.h>

cJSON *text(plumline_str from) { return from.data == NULL ? cJSON_CreateNull() : cJSON_CreateString(from.data); }
void add(cJSON *form, const char *key, plumline_str from) { cJSON_AddItemToObject(form, key, text(from)); }
void add_number(cJSON *form, const char *key, double from) { cJSON_AddNumberToObject(form, key, from); }
static void add_bool(cJSON *form, const char *key, int from) { cJSON_AddBoolToObject(form, key, from); }

static cJSON *body(plumline_str bytes) {
  static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  plumline_error *checked = plumline_error_new(PLUMLINE_CANCELLED, bytes); /* knows UTF-8 when it sees it */
  const int is_utf8 = plumline_error_kind(checked) == PLUMLINE_CANCELLED;
  plumline_error_free(checked);
  if (is_utf8) return text(bytes);
  char *coded = calloc(1, bytes.len / 3 * 4 + 5), *next = coded;
  for (size_t at = 0; at < bytes.len; at += 3) {
    unsigned group = 0;
    for (size_t byte = at; byte < at + 3; ++byte)
      group = group << 8 | (byte < bytes.len ? (unsigned char)bytes.data[byte] : 0);
    for (size_t digit = 0; digit < 4; ++digit)
      *next++ = at + digit > bytes.len ? '=' : digits[group >> (18 - 6 * digit) & 63];
  }
  cJSON *form = cJSON_CreateObject();
  cJSON_AddStringToObject(form, "base64", coded);
  free(coded);
  return form;
}

cJSON *endpoint(const plumline_endpoint *it) {
  cJSON *form = cJSON_CreateObject(), *labels = cJSON_AddObjectToObject(form, "labels");
#define WORD(name) add(form, #name, plumline_endpoint_##name(it))
  WORD(service), WORD(address), WORD(host), WORD(ip), WORD(protocol), WORD(version), WORD(zone);
  WORD(instance_id), WORD(node_id), WORD(source);
  for (size_t next = 0; next < plumline_endpoint_label_count(it); ++next)
    add(labels, plumline_endpoint_label_at(it, next).name.data, plumline_endpoint_label_at(it, next).value);
  add_number(form, "port", plumline_endpoint_port(it));
  add_number(form, "weight", plumline_endpoint_weight(it));
  add_bool(form, "healthy", plumline_endpoint_is_healthy(it));
  return form;
}

cJSON *endpoints(const plumline_endpoints *list) {
  cJSON *form = cJSON_CreateArray();
  for (size_t next = 0; next < plumline_endpoints_count(list); ++next)
    cJSON_AddItemToArray(form, endpoint(plumline_endpoints_at(list, next)));
  return form;
}

static void add_step(cJSON *trace, const plumline_trace_step *it) {
  cJSON *step = cJSON_CreateObject();
  const int failed = plumline_trace_step_kind(it) != PLUMLINE_OK;
  add(step, "endpoint", plumline_endpoint_address(plumline_trace_step_endpoint(it)));
  add_number(step, failed ? "kind" : "status", failed ? plumline_trace_step_kind(it) : plumline_trace_step_status(it));
  cJSON_AddItemToArray(trace, step);
}

cJSON *error_form(const plumline_error *it) {
  cJSON *form = cJSON_CreateObject(), *trace = cJSON_AddArrayToObject(form, "trace");
  add_number(form, "kind", plumline_error_kind(it));
  add(form, "name", plumline_str_from(plumline_kind_name(plumline_error_kind(it))));
  add(form, "message", plumline_str_from(plumline_error_message(it)));
  add(form, "service", plumline_error_service(it));
  add(form, "endpoint", plumline_endpoint_address(plumline_error_endpoint(it)));
  add_number(form, "attempts", plumline_error_attempts(it));
  add_bool(form, "retryable", plumline_error_is_retryable(it));
  for (size_t next = 0; next < plumline_error_trace_count(it); ++next) add_step(trace, plumline_error_trace_at(it, next));
  return form;
}

cJSON *response_form(const plumline_response *it) {
  cJSON *form = cJSON_CreateObject(), *headers = cJSON_AddArrayToObject(form, "headers");
  cJSON *trace = cJSON_AddArrayToObject(form, "trace");
  add_number(form, "status", plumline_response_status(it));
  add_bool(form, "is_success", plumline_response_is_success(it));
  for (size_t next = 0; next < plumline_response_header_count(it); ++next) {
    cJSON *pair = cJSON_CreateArray();
    cJSON_AddItemToArray(pair, text(plumline_response_header_at(it, next).name));
    cJSON_AddItemToArray(pair, text(plumline_response_header_at(it, next).value));
    cJSON_AddItemToArray(headers, pair);
  }
  cJSON_AddItemToObject(form, "body", body(plumline_response_body(it)));
  add(form, "service", plumline_response_service(it));
  add(form, "endpoint", plumline_endpoint_address(plumline_response_endpoint(it)));
  add_number(form, "attempts", plumline_response_attempts(it));
  add_number(form, "elapsed", plumline_response_elapsed_ms(it));
  for (size_t next = 0; next < plumline_response_trace_count(it); ++next)
    add_step(trace, plumline_response_trace_at(it, next));
  return form;
}

cJSON *registration_form(const plumline_registration *it) {
  cJSON *form = cJSON_CreateObject();
  plumline_error *last = plumline_registration_last_error(it);
  add(form, "state", plumline_registration_state_name(it));
  add(form, "address", plumline_registration_address(it));
  add(form, "service", plumline_registration_service(it));
  add(form, "instance_id", plumline_registration_instance_id(it));
  cJSON_AddItemToObject(form, "last_error", last == NULL ? cJSON_CreateNull() : error_form(last));
  plumline_error_free(last);
  return form;
}

cJSON *change_form(const plumline_change *it) {
  if (it == NULL) return cJSON_CreateNull();
  cJSON *form = cJSON_CreateObject();
  add(form, "service", plumline_change_service(it));
  add(form, "kind", plumline_change_kind_name(it));
  cJSON_AddItemToObject(form, "added", endpoints(plumline_change_added(it)));
  cJSON_AddItemToObject(form, "updated", endpoints(plumline_change_updated(it)));
  cJSON_AddItemToObject(form, "removed", endpoints(plumline_change_removed(it)));
  cJSON_AddItemToObject(form, "endpoints", endpoints(plumline_change_endpoints(it)));
  return form;
}

cJSON *explanation_form(const plumline_explanation *it) {
  cJSON *form = cJSON_CreateObject(), *rows = cJSON_AddArrayToObject(form, "endpoints");
  add(form, "query", plumline_explanation_query(it));
  add(form, "summary", plumline_explanation_summary(it));
  add(form, "source", plumline_explanation_source(it));
  add_number(form, "usable", (double)plumline_explanation_usable(it));
  for (size_t next = 0; next < plumline_explanation_count(it); ++next) {
    const plumline_verdict *verdict = plumline_explanation_at(it, next);
    const double ewma = plumline_verdict_ewma_ms(verdict);
    cJSON *row = cJSON_CreateObject(), *reasons = cJSON_AddArrayToObject(row, "reasons");
    add(row, "address", plumline_verdict_address(verdict));
    cJSON_AddItemToObject(row, "endpoint", endpoint(plumline_verdict_endpoint(verdict)));
    add_bool(row, "usable", plumline_verdict_is_usable(verdict));
    for (size_t reason = 0; reason < plumline_verdict_reason_count(verdict); ++reason)
      cJSON_AddItemToArray(reasons, text(plumline_verdict_reason_at(verdict, reason)));
    cJSON_AddItemToObject(row, "ewma_ms", ewma < 0 ? cJSON_CreateNull() : cJSON_CreateNumber(ewma));
    add_number(row, "success", plumline_verdict_success(verdict));
    add_number(row, "in_flight", plumline_verdict_in_flight(verdict));
    add_number(row, "weight", plumline_verdict_weight(verdict));
    cJSON_AddItemToArray(rows, row);
  }
  return form;
}
